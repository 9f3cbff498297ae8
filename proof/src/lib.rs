//! What is signed and how anyone checks it. Pure: no I/O, clock, randomness, async or logging; they are arguments.
//!
//! Read in the order of an action's life: [`action`] (what is asked, and the challenge it gives), [`words`] and [`display`] (what a person is
//! shown), [`assertion`] over [`client_data`], [`authenticator_data`] and [`cose`] (what a key signed), [`piv`] (what a card signed),
//! [`presence`] (that a key is still there), [`permit`] (what the server then allows, a [`jws`]), [`log`] (where it stays written) and [`evidence`] (all of it, checkable offline).
//! Where keys come from: [`attestation`], [`certificate`], [`metadata`], [`model`]. Formats: [`cbor`], [`base64url`].
//!
//! What arrives is a claim; what has been checked is another type with private fields, built only by the verifier.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod action;
pub mod asn1;
pub mod assertion;
pub mod attestation;
pub mod authenticator_data;
pub mod base64url;
pub mod cbor;
pub mod certificate;
pub mod client_data;
pub mod cose;
pub mod display;
pub mod evidence;
pub mod json;
pub mod jws;
pub mod log;
pub mod metadata;
pub mod model;
pub mod permit;
pub mod piv;
pub mod presence;
pub mod words;
