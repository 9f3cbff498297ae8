//! Who begot whom: persons and services' accounts, and the executed actions by which they came to be.
//!
//! Edges are written in the transaction that records an execution, and never removed. What *descends* from a person is reached over
//! `created`, `enrolled` and `is`; a granted right is shown in the tree and begets nobody. The digest of a lineage is what a
//! `person.suspend` with `cascade` seals: that which was shown is that which is stopped.
//!
//! Pure. Rows are in `store::lineage`, decisions in `desk::lineage`, drawing for reports in [`svg`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use time::OffsetDateTime;

use crate::id::{ActionId, MalformedId, PersonId, ServiceId};

pub mod svg;

/// Longest identifier of an account, in bytes.
pub const MAX_ACCOUNT: usize = 256;

/// The most accounts that one execution may make.
pub const MAX_BEGOTTEN: usize = 1_000;

/// Someone or something that can beget or be begotten.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A person of ours.
    Person(PersonId),
    /// An account at a service, by the service's own identifier.
    Account(ServiceId, String),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "person/{id}"),
            Self::Account(service, id) => write!(f, "account/{service}/{id}"),
        }
    }
}

impl FromStr for Node {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let (kind, rest) = text.split_once('/').ok_or(MalformedId)?;
        match kind {
            "person" => Ok(Self::Person(rest.parse()?)),
            "account" => {
                let (service, id) = rest.split_once('/').ok_or(MalformedId)?;
                Self::account(service.parse()?, id).ok_or(MalformedId)
            }
            _ => Err(MalformedId),
        }
    }
}

impl Node {
    /// An account; `None` when its identifier is empty, too long, or has control characters.
    #[must_use]
    pub fn account(service: ServiceId, id: &str) -> Option<Self> {
        let plain = !id.is_empty() && id.len() <= MAX_ACCOUNT && !id.chars().any(char::is_control);
        plain.then(|| Self::Account(service, id.to_owned()))
    }
}

/// How one begot another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The child came to be.
    Created,
    /// The child, who existed, had a key enrolled.
    Enrolled,
    /// The child got a right. Begets nobody.
    Granted,
    /// Parent and child are one: an account, and the person whom it belongs to.
    Is,
}

impl Relation {
    /// The word in the store and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Enrolled => "enrolled",
            Self::Granted => "granted",
            Self::Is => "is",
        }
    }

    /// Reads [`Relation::as_str`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Created, Self::Enrolled, Self::Granted, Self::Is]
            .into_iter()
            .find(|relation| relation.as_str() == word)
    }
}

/// What an execution begot, as the gate or a service reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begotten {
    /// `Created` or `Granted`.
    pub relation: Relation,
    /// The account's identifier at the service; `None` when the answer did not say it.
    pub id: Option<String>,
    /// How people call it.
    pub display: String,
}

/// One edge, with what is known of its child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Who begot.
    pub parent: Node,
    /// Who was begotten.
    pub child: Node,
    /// How.
    pub relation: Relation,
    /// By which action; `None` for what is older than the record.
    pub action: Option<ActionId>,
    /// When.
    pub at: OffsetDateTime,
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// How people call it. Received text: shown quoted.
    pub display: String,
    /// `active`, `inert` or `suspended`.
    pub state: String,
}

/// What a suspension of the whole lineage would stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Persons, the root among them.
    pub persons: u64,
    /// Accounts at services.
    pub accounts: u64,
    /// Live sessions of these persons.
    pub sessions: u64,
    /// Actions that they asked for or approved, and that are not executed.
    pub actions: u64,
    /// Live keys.
    pub keys: u64,
}

/// One line of the tree, in the order in which it is drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Branch {
    /// Its name, as in [`Node`]'s text.
    pub node: String,
    /// How deep; the root is 0.
    pub depth: u32,
    /// Whether it is the last of its parent's.
    pub last: bool,
    /// How people call it.
    pub display: String,
    /// `active`, `inert`, `suspended`, or `unknown`.
    pub state: String,
    /// How it came to be; `None` for the root.
    pub relation: Option<Relation>,
    /// By which action.
    pub action: Option<ActionId>,
    /// When.
    #[serde(with = "time::serde::rfc3339::option")]
    pub at: Option<OffsetDateTime>,
}

/// A person with everything that descends from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lineage {
    /// Digest of the set, hexadecimal: see [`set_sha256`].
    pub sha256: String,
    /// What a suspension would stop.
    pub totals: Totals,
    /// The tree, drawn depth first; cut at the limit that was asked for.
    pub nodes: Vec<Branch>,
    /// How many nodes are not in `nodes`.
    pub left_out: usize,
}

/// The digest that a cascade seals: SHA-256 over the names of the root and all who descend from it, sorted by bytes, each followed
/// by a line feed.
#[must_use]
pub fn set_sha256<'n>(nodes: impl IntoIterator<Item = &'n Node>) -> [u8; 32] {
    let names: BTreeSet<String> = nodes.into_iter().map(ToString::to_string).collect();
    let mut text = String::new();
    for name in names {
        text.push_str(&name);
        text.push('\n');
    }
    sceau_proof::log::entry::sha256(text.as_bytes())
}

/// Draws the tree of `root`: each node once, at its oldest edge, children in the order in which they came; at most `limit` lines.
#[must_use]
pub fn draw(
    root: &Node,
    edges: &[Edge],
    known: &BTreeMap<Node, Known>,
    limit: usize,
) -> (Vec<Branch>, usize) {
    let mut children: BTreeMap<&Node, Vec<&Edge>> = BTreeMap::new();
    for edge in edges {
        children.entry(&edge.parent).or_default().push(edge);
    }
    for begotten in children.values_mut() {
        begotten.sort_by(|a, b| (a.at, &a.child, a.relation).cmp(&(b.at, &b.child, b.relation)));
    }
    let branch = |node: &Node, edge: Option<&Edge>, depth: u32, last: bool| {
        let found = known.get(node);
        Branch {
            node: node.to_string(),
            depth,
            last,
            display: found.map_or_else(|| node.to_string(), |known| known.display.clone()),
            state: found.map_or_else(|| "unknown".to_owned(), |known| known.state.clone()),
            relation: edge.map(|edge| edge.relation),
            action: edge.and_then(|edge| edge.action),
            at: edge.map(|edge| edge.at),
        }
    };
    let mut drawn = Vec::new();
    let mut seen = BTreeSet::from([root]);
    let mut left_out = 0;
    // Not recursive: a lineage may be as deep as it is large.
    let mut waiting: Vec<(&Node, Option<&Edge>, u32, bool)> = vec![(root, None, 0, true)];
    while let Some((node, edge, depth, last)) = waiting.pop() {
        if drawn.len() < limit {
            drawn.push(branch(node, edge, depth, last));
        } else {
            left_out += 1;
        }
        // A granted right is a leaf here: its holder is drawn where they came to be.
        if edge.is_some_and(|edge| edge.relation == Relation::Granted) {
            continue;
        }
        let mut below: Vec<&Edge> = Vec::new();
        for edge in children.get(node).map(Vec::as_slice).unwrap_or_default() {
            if edge.relation == Relation::Granted || seen.insert(&edge.child) {
                below.push(edge);
            }
        }
        let count = below.len();
        for (at, edge) in below.into_iter().enumerate().rev() {
            waiting.push((&edge.child, Some(edge), depth + 1, at + 1 == count));
        }
    }
    (drawn, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str) -> Node {
        Node::Person(id.parse().unwrap())
    }

    fn edge(parent: &Node, child: &Node, relation: Relation, at: i64) -> Edge {
        Edge {
            parent: parent.clone(),
            child: child.clone(),
            relation,
            action: None,
            at: OffsetDateTime::from_unix_timestamp(at).unwrap(),
        }
    }

    #[test]
    fn names_read_back_and_odd_ones_do_not() {
        for name in ["person/alice", "account/portal/17", "account/portal/a/b@c"] {
            assert_eq!(name.parse::<Node>().unwrap().to_string(), name);
        }
        for odd in [
            "alice",
            "person/",
            "person/a b",
            "account/portal",
            "account/portal/",
            "account//1",
            "account/portal/a\nb",
            "key/1",
        ] {
            assert_eq!(odd.parse::<Node>(), Err(MalformedId), "{odd:?}");
        }
        assert!(Node::account("portal".parse().unwrap(), &"x".repeat(257)).is_none());
    }

    #[test]
    fn a_tree_is_drawn_once_each_also_around_a_circle() {
        let (alice, jean, account) = (
            person("alice"),
            person("jean"),
            Node::account("portal".parse().unwrap(), "17").unwrap(),
        );
        let edges = [
            edge(&alice, &account, Relation::Created, 1),
            edge(&account, &jean, Relation::Is, 2),
            edge(&jean, &alice, Relation::Enrolled, 3),
            edge(&jean, &account, Relation::Granted, 4),
        ];
        let (drawn, left_out) = draw(&alice, &edges, &BTreeMap::new(), 100);
        let lines: Vec<(&str, u32, bool)> = drawn
            .iter()
            .map(|branch| (branch.node.as_str(), branch.depth, branch.last))
            .collect();
        assert_eq!(
            lines,
            [
                ("person/alice", 0, true),
                ("account/portal/17", 1, true),
                ("person/jean", 2, true),
                ("account/portal/17", 3, true),
            ]
        );
        assert_eq!(left_out, 0);
        let (cut, left_out) = draw(&alice, &edges, &BTreeMap::new(), 2);
        assert_eq!((cut.len(), left_out), (2, 2));
    }

    #[test]
    fn the_digest_is_of_the_set_whatever_its_order() {
        let (a, b) = (person("a"), person("b"));
        assert_eq!(set_sha256([&a, &b]), set_sha256([&b, &a, &b]));
        assert_ne!(set_sha256([&a]), set_sha256([&a, &b]));
        assert_eq!(
            set_sha256([&b, &a]),
            sceau_proof::log::entry::sha256(b"person/a\nperson/b\n")
        );
    }
}
