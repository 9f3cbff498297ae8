//! The attacks that must fail (docs/threat-model.md), each against the running house, each ending with the log entry that it left.
