//! Devices that are broken, or that want to break their host: cards (`card`) and USB keys (`report`).

pub(crate) mod card;
pub(crate) mod report;
