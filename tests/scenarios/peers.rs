//! Clients that we did not write against the same virtual keys: python-fido2 over PC/SC, libfido2's tools over HID.
