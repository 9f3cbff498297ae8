//! What an entry of the log means to others. Pure: the same entry gives the same signals, in the same order, for ever, whoever asks and when; so a
//! signal's name (entry, number) is known without having been written down.

use sceau_proof::log::Entry;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::config::Event;
use crate::id::{PersonId, ServiceId};
use crate::key::{Credential, KeyRecord};
use crate::lineage::Node;

/// One thing to be told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signal {
    /// The entry that says it.
    pub(crate) index: u64,
    /// Which of that entry's signals.
    pub(crate) n: u32,
    /// When it happened.
    pub(crate) at: OffsetDateTime,
    /// To whom.
    pub(crate) about: About,
    /// What.
    pub(crate) what: What,
    /// Who had it done: a word of CAEP §2.
    pub(crate) by: &'static str,
    /// Why, where the entry says.
    pub(crate) reason: Option<String>,
}

/// To whom it happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum About {
    /// A person of ours.
    Person(PersonId),
    /// One session of theirs.
    Session(PersonId, String),
    /// An account, by its service's own identifier.
    Account(ServiceId, String),
    /// A stream itself.
    Stream(Uuid),
}

impl About {
    /// Person or account.
    pub(crate) fn node(&self) -> Option<Node> {
        match self {
            Self::Person(id) | Self::Session(id, _) => Some(Node::Person(id.clone())),
            Self::Account(service, id) => Node::account(service.clone(), id),
            Self::Stream(_) => None,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// May not act any more.
    Disabled,
    /// May act again.
    Enabled,
    /// Sessions are over.
    Revoked,
    /// A key came, or counts no more.
    Credential {
        /// CAEP §3.3: `create` or `revoke`.
        change: &'static str,
        /// CAEP §3.3: what kind it is.
        kind: &'static str,
        /// Its model.
        aaguid: Option<String>,
    },
    /// The receiver asked whether the stream flows.
    Verification {
        /// Its own words.
        state: Option<String>,
    },
}

impl What {
    /// Under which type receivers ask for it; a verification comes unasked for.
    pub(crate) fn event(&self) -> Option<Event> {
        match self {
            Self::Disabled => Some(Event::AccountDisabled),
            Self::Enabled => Some(Event::AccountEnabled),
            Self::Revoked => Some(Event::SessionRevoked),
            Self::Credential { .. } => Some(Event::CredentialChange),
            Self::Verification { .. } => None,
        }
    }
}

/// What has to be known beside an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: it tells nobody anything.
    Silence,
    /// All whom it is about.
    Subjects,
    /// The key.
    Key,
    /// No more than its openings.
    Openings,
}

/// What has to be read before [`of`].
pub(crate) fn needs(entry: &Entry) -> Needs {
    match entry.kind() {
        "person.suspended" | "person.restored" => Needs::Subjects,
        "key.enrolled" | "key.suspended" | "key.revoked" => Needs::Key,
        "session.suspended" | "signal.verification-asked" => Needs::Openings,
        // Signing out is the person's own affair; a key that was pulled is not.
        "session.ended" if reason(entry).as_deref() == Some("presence") => Needs::Openings,
        _ => Needs::Silence,
    }
}

/// What was read.
#[derive(Default)]
pub(crate) struct Beside {
    /// Of [`Needs::Subjects`], sorted.
    pub(crate) nodes: Vec<Node>,
    /// Of [`Needs::Key`].
    pub(crate) key: Option<KeyRecord>,
    /// The opening of `person`; `None` when it was erased.
    pub(crate) person: Option<PersonId>,
    /// The opening of `state`.
    pub(crate) state: Option<String>,
}

fn reason(entry: &Entry) -> Option<String> {
    let reason = entry.data().get("reason").and_then(Value::as_str)?;
    Some(reason.to_owned())
}

/// The signals of an entry.
pub(crate) fn of(index: u64, entry: &Entry, beside: Beside) -> Vec<Signal> {
    let sealed = entry.subject_id("action").is_some();
    let (by, told): (_, Vec<(About, What)>) = match entry.kind() {
        "person.suspended" => (
            if sealed { "admin" } else { "policy" },
            each(beside.nodes, &[What::Disabled, What::Revoked]),
        ),
        "person.restored" => ("admin", each(beside.nodes, &[What::Enabled])),
        "session.suspended" | "session.ended" => {
            let by = match reason(entry).as_deref() {
                Some("not-me") => "user",
                _ => "policy",
            };
            let session = entry.subject_id("session").map(str::to_owned);
            let about = beside.person.zip(session);
            let told = about.map(|(person, id)| (About::Session(person, id), What::Revoked));
            (by, told.into_iter().collect())
        }
        "key.enrolled" | "key.suspended" | "key.revoked" => {
            let (by, change) = match entry.kind() {
                "key.enrolled" => ("user", "create"),
                "key.revoked" => ("admin", "revoke"),
                _ => ("policy", "revoke"),
            };
            let told = beside.key.map(|key| {
                let (kind, aaguid) = match key.credential {
                    Credential::Fido2 { aaguid, .. } => ("fido2-roaming", Some(aaguid)),
                    Credential::Piv { .. } => ("x509", None),
                };
                let what = What::Credential {
                    change,
                    kind,
                    aaguid,
                };
                (About::Person(key.person), what)
            });
            (by, told.into_iter().collect())
        }
        "signal.verification-asked" => {
            let stream = entry.subject_id("stream").and_then(|id| id.parse().ok());
            let state = beside.state;
            let told = stream.map(|id| (About::Stream(id), What::Verification { state }));
            ("system", told.into_iter().collect())
        }
        _ => ("system", Vec::new()),
    };
    let reason = reason(entry);
    told.into_iter()
        .zip(0..)
        .map(|((about, what), n)| Signal {
            index,
            n,
            at: entry.at(),
            about,
            what,
            by,
            reason: reason.clone(),
        })
        .collect()
}

fn each(nodes: Vec<Node>, what: &[What]) -> Vec<(About, What)> {
    nodes
        .into_iter()
        .flat_map(|node| {
            let about = match node {
                Node::Person(id) => About::Person(id),
                Node::Account(service, id) => About::Account(service, id),
            };
            what.iter().map(move |it| (about.clone(), it.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str) -> Entry {
        Entry::new(OffsetDateTime::UNIX_EPOCH, kind)
    }

    #[test]
    fn a_cascade_is_told_one_by_one_in_one_order() {
        let nodes = vec![
            Node::Account("portal".parse().unwrap(), "7".to_owned()),
            Node::Person("carol".parse().unwrap()),
        ];
        let of = |nodes: &[Node]| {
            let beside = Beside {
                nodes: nodes.to_vec(),
                ..Beside::default()
            };
            of(9, &entry("person.suspended").subject("action", "a"), beside)
        };
        let told = of(&nodes);
        let numbers: Vec<u32> = told.iter().map(|signal| signal.n).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert_eq!(told[2].about, About::Person("carol".parse().unwrap()));
        assert_eq!((&told[2].what, told[2].by), (&What::Disabled, "admin"));
        assert_eq!(told[3].what, What::Revoked);
        assert_eq!(told, of(&nodes));
    }

    #[test]
    fn what_is_nobodys_affair_is_not_told() {
        for silent in ["action.approved", "session.opened", "presence.lost"] {
            assert_eq!(needs(&entry(silent)), Needs::Silence, "{silent}");
        }
        let ended = |why: &str| needs(&entry("session.ended").datum("reason", why));
        assert_eq!(ended("signed-out"), Needs::Silence);
        assert_eq!(ended("presence"), Needs::Openings);
        // Whoever was erased is not spoken of.
        let suspended = entry("session.suspended").subject("session", "s");
        assert_eq!(of(1, &suspended, Beside::default()), []);
    }
}
