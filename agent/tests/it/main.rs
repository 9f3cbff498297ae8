//! The daemon and the command as processes: real sockets, real terminals, a server that can lie; with a virtual key where `vkey` is built.

mod ceremony;
mod identity;
mod relay;
mod socket;
mod workstation;
