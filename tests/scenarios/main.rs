//! End to end, over real sockets, with real key firmware behind a real PC/SC daemon. Each module has a charter in its first lines.
//! Run with `cargo xtask test [FILTER]`, which gives each test a loopback of its own.

mod attacks;
mod attestation;
mod backoffice;
mod browser;
mod crash;
mod desk;
mod facts;
mod log;
mod login;
mod path;
mod peers;
mod piv;
mod presence;
mod provider;
mod proxies;
mod services;
mod signals;
mod system;
mod usb;
mod workstation;
