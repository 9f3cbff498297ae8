//! Which models of authenticators we want.
