//! The gate: a reverse proxy that holds what changes things until a key has sealed it.

pub mod body;
pub mod canon;
pub mod meaning;
pub mod route;
