//! FIDO metadata (MDS3): what is known of a model, and its status.
