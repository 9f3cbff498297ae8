//! Cards without key attestation, accepted by certificate from a configured issuer (an administration's own card PKI).
use time::OffsetDateTime;

use super::path::{self, PathError, Rules};
use crate::certificate::Certificate;

/// Whether a certificate leads to one of `roots`, valid at `at`; the root's subject.
///
/// # Errors
/// [`PathError`].
pub fn verify_path(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[&Certificate],
    at: OffsetDateTime,
) -> Result<String, PathError> {
    let found = path::find(
        leaf,
        intermediates,
        roots,
        Rules {
            at: Some(at),
            bare_attestation_issuer: false,
        },
    )?;
    Ok(found
        .anchor()
        .ok_or(PathError::UnknownRoot)?
        .subject()
        .to_string())
}
