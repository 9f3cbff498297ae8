//! What is signed and how anyone checks it. Pure: no I/O, clock, randomness, async or logging; they are arguments.
