//! Power cuts at any moment of an approval: never executed twice, nothing acknowledged is lost, no approval without its log entry.
