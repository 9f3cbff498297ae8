//! The workstation: authenticators, prompts, the server. The daemon (`sceau-agent`) and the command for people (`sceau`) are thin mains over
//! this library.
//!
//! Trusted: its configuration (server, relying party, certificate authority or pinned keys) and the person at the prompt. Not trusted: the
//! server's answers (only what [`sceau_proof::action::Action`] accepts is shown and signed), authenticators, readers, whoever opens the socket.
//!
//! Rooms, from the outside in: [`config`], [`session`] and [`locale`] (what the machine says) · [`server`] (HTTP, TLS, inbox) · [`reader`],
//! [`pcsc`], [`hidraw`] and [`piv`] (authenticators) · [`prompt`], [`socket`], [`desktop`], [`bridge`] and [`administration`] (people) · [`life`],
//! [`doctor`] (the machine) · [`ceremony`] (pure: what may be signed) · [`agent`] (the state that they
//! share) and the three ceremonies over it: [`approval`], [`sign_in`], [`enrolment`]; [`lineage`], [`break_glass`], [`record`] and [`handout`] ask for what these seal, [`batch`] for a list of persons, [`guide`] along the paths of a help desk · [`presence`] and [`seat`] (the key stays, and somebody sits here).

pub mod administration;
pub mod agent;
pub mod approval;
pub mod batch;
pub mod break_glass;
pub mod bridge;
pub mod ceremony;
pub mod config;
pub mod desktop;
pub mod device;
pub mod doctor;
pub mod enrolment;
pub mod guide;
pub mod handout;
pub mod hidraw;
pub mod life;
pub mod lineage;
pub mod locale;
pub mod log;
mod own;
pub mod pcsc;
pub mod piv;
pub mod presence;
pub mod prompt;
pub mod queue;
pub mod reader;
pub mod record;
pub mod seat;
pub mod server;
pub mod session;
pub mod sign_in;
pub mod socket;
#[cfg(test)]
mod specimen;
pub mod text;
