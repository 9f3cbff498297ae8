//! The companion server: persons, keys, policy, approvals, permits, log, gate.
