//! The workstation: authenticators, prompts, the server.
