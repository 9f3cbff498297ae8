//! PIV cards: attestation and signatures.
