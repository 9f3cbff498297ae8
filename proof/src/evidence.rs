//! Evidence bundles: everything that one action left behind, checkable offline.
