//! Malformed and unwelcome input at the API: the right status, a problem that names what is wrong, and nothing lost.
