//! Attestation statements: is what the authenticator says of itself genuine?
