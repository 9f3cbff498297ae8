//! The assertion verifier and `sceau-verify assertion`, from outside: one vector for every check, the public corpus, and a second implementation.

mod checks;
mod command;
mod corpus;
mod differential;
mod forge;
