//! The server without its gate: the desk over both stores, and the HTTP API over real sockets. The authenticator is the one that the
//! gate's tests use: it shares no code with the verifiers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests own their clock and may fail loudly"
)]

#[path = "../gate/authenticator.rs"]
mod authenticator;
mod card;
mod fixture;
mod postgres;
mod publisher;
#[path = "../gate/wire.rs"]
#[allow(dead_code, reason = "shared with the gate's tests")]
mod wire;

/// Every endpoint, and every error that it can give.
mod api;
/// What services and the federation ask for, on each store; and which statements a suite has run.
mod asked;
/// A configuration that cannot be used, in words.
mod broken;
/// One suite, both stores: what the desk promises holds on SQLite and on PostgreSQL, in one instance and in two.
mod conformance;
/// The console: who sees what, what a click asks for, and every page that is not ours (attacks 7, 14, 16, 22).
mod console;
/// Commits that PostgreSQL made and nobody heard of.
mod cut;
/// What ends by time, and the glass that is broken in need (attack 22).
mod fact;
/// Every write of the store, broken after it was made.
mod fault;
/// Four eyes: sequences of everything, against an oracle; who is awaited; whose keys count.
mod four_eyes;
/// Keys that a help desk hands out.
mod handout;
/// What is known of keys, seats and identities, and what is erased of it, on each store.
mod kept;
/// The real binary, killed at random points (attack 21).
mod kill;
/// Whoever has fewer keys than their roles ask for.
mod lacking;
/// Who begot whom, and what falls with a person (attack 14).
mod lineage;
/// The log as outsiders have it: exported, witnessed, cosigned.
mod log;
/// The metadata list: in force, refused, overdue; keys that fall by it; the commands that tell of it.
mod metadata;
/// OAuth for services: the flows, and every attack on them.
mod oauth;
/// The pages, as a browser asks for them.
mod page;
/// Cards: enrolled and approving, and every lie about them.
mod piv;
/// The commands about the policy, on a real store; and what stops the start.
mod policy;
/// Sessions that need their key: kept alive, lost, regained, and every lie about it.
mod presence;
/// What is read, counted exactly (attack 12).
mod reading;
/// Reasons in words, in the console.
mod reason;
/// The recipes of docs/services.md, run as they stand.
mod recipe;
/// Cards whose issuer revokes, by list and by responder; enrolled cards judged again.
mod revocation;
/// Suspension travels: Shared Signals and SCIM, to receivers of every kind.
mod signal;
/// Keys that know touch alone (U2F).
mod touch;
