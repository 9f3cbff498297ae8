//! Routes: which requests of an application are free, which are held, and as what.
//!
//! Matching is fail-safe: an unsafe method that no route frees is held, and a path that resembles a route's without being
//! it is refused (`NotCanonical::NearMiss`). Routes are read and checked in `file`; what a held request says, in parameters
//! and words, is made in `meaning`.
//!
//! Pure. Trusts the route file (the operator wrote it), and nothing of the request.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use crate::gate::canon::{NotCanonical, Overrides, Target, folded};
use crate::gate::creation::Whence;
use crate::id::ServiceId;
use crate::reading::Budget;

mod file;
#[cfg(test)]
mod shipped;

pub use file::{RouteFault, RouteFileError};

/// One application behind the gate.
#[derive(Debug, Clone)]
pub struct Application {
    /// The public names, as in `Host`.
    pub hosts: Vec<String>,
    /// Its identifier in Sceau.
    pub service: ServiceId,
    /// Where it really is.
    pub upstream: Upstream,
    /// How long a connection is held.
    pub hold: Duration,
    /// How long the upstream may take to begin its answer.
    pub upstream_timeout: Duration,
    /// The largest held body, in bytes.
    pub body_limit: usize,
    /// How the application replaces methods.
    pub overrides: Overrides,
    /// Must even ungated requests come with an active session?
    pub session_always: bool,
    /// Does it answer `GET /gate/verify`?
    pub forward_auth: bool,
    /// Where the application says whom it takes a caller for.
    pub account: Option<Whose>,
    /// Levels of ProConnect of which one must be reached here; those of `[gate.login]` when absent.
    pub acr: Option<Vec<String>>,
    /// What a touch opens for reading on metered routes.
    pub budget: Option<Budget>,
    routes: Vec<Route>,
}

/// Where an application listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Upstream {
    /// `host:port`, plain HTTP.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
}

/// One route, compiled.
#[derive(Debug, Clone)]
pub struct Route {
    methods: Option<BTreeSet<String>>,
    segments: Vec<Segment>,
    tail: bool,
    query: BTreeMap<String, String>,
    line: usize,
    /// What becomes of requests that match.
    pub purpose: Purpose,
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// Forwarded, never held.
    Free {
        /// WebSockets may be opened here.
        upgrade: bool,
    },
    /// Held until the key has sealed it.
    Hold(Box<Hold>),
    /// Read, and counted.
    Meter(Box<Metered>),
}

/// What is counted of a route's answers.
#[derive(Debug, Clone)]
pub struct Metered {
    /// What a record is called: one that several routes show is counted once.
    pub record: String,
    /// The ways of counting; the first that fits the answer's type counts.
    pub countings: Vec<Counting>,
}

/// A way of counting.
#[derive(Debug, Clone)]
pub enum Counting {
    /// A number at this JSON pointer.
    Number(String),
    /// The length of the JSON array there.
    Length {
        /// Where.
        pointer: String,
        /// What tells its elements apart, a pointer within each.
        distinct: Option<String>,
    },
    /// Elements of a page.
    Css {
        /// Which.
        selector: String,
        /// What tells them apart: the first that an element has.
        distinct: Vec<Distinct>,
    },
    /// So many, whatever the answer is.
    Cost {
        /// How many.
        records: u64,
        /// What is read: a template of the path's placeholders; the path when absent.
        id: Option<Template>,
    },
}

/// Where an element of a page says which record it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distinct {
    /// The selector of an element within, from the page's root; the element itself when absent.
    pub within: Option<String>,
    /// The attribute.
    pub attribute: String,
}

/// What a held request means.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The action type.
    pub action: String,
    /// What it is done to.
    pub target_kind: String,
    /// Its identifier.
    pub target_id: Template,
    /// How people call it.
    pub target_display: Template,
    /// Parameters by name.
    pub params: BTreeMap<String, Param>,
    /// Fields that mean nothing.
    pub ignore: BTreeSet<String>,
    /// The words in French and English.
    pub words: [Option<Template>; 2],
    /// Effects that the request does not spell out.
    pub also: Vec<Also>,
    /// Look-ups shown in words.
    pub display: BTreeMap<String, Display>,
    /// A body is never expected: forward-auth may decide without seeing one.
    pub bodyless: bool,
    /// Where the answer says which account was made.
    pub creates: Option<Whence>,
    /// The account that is given something.
    pub grants: Option<Template>,
}

/// A page of the application that says whom it takes a caller for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// Its path.
    pub get: http::Uri,
    /// The JSON pointer of the account's identifier.
    pub json: String,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Where it comes from.
    pub source: Source,
    /// May it be absent?
    pub optional: bool,
    /// May it be there several times? Then it is a list.
    pub many: bool,
}

/// Where a parameter comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A placeholder of the path.
    Path(String),
    /// A query field.
    Query(String),
    /// An RFC 6901 pointer into a JSON body.
    Json(String),
    /// A field of an urlencoded body.
    Form(String),
    /// A field or file of a multipart body.
    Multipart(String),
    /// A field of an urlencoded or multipart body.
    Field(String),
    /// A header.
    Header(String),
}

/// Words added when a condition holds.
#[derive(Debug, Clone)]
pub struct Also {
    /// The condition.
    pub when: When,
    /// The words in French and English.
    pub words: [Option<Template>; 2],
}

/// When words are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// With every request of the route.
    Always,
    /// When the parameter has this text.
    Equals(String, String),
    /// When the parameter is there with any text but these: for values that applications read generously.
    Unless(String, Vec<String>),
}

/// A page of the application fetched with the caller's own session, for a name to show.
#[derive(Debug, Clone)]
pub struct Display {
    /// Its path.
    pub get: Template,
    /// The JSON pointer of the name; the page's title when absent.
    pub json: Option<String>,
}

/// Text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Name { name: String, kind: Kind },
}

/// The shape of an identifier in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Uuid,
    Word,
    Email,
    Host,
    Any,
}

impl Kind {
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "int" => Self::Int,
            "uuid" => Self::Uuid,
            "word" => Self::Word,
            "email" => Self::Email,
            "host" => Self::Host,
            "any" => Self::Any,
            _ => return None,
        })
    }

    fn accepts(self, text: &str) -> bool {
        let all = |extra: &[u8]| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
        };
        match self {
            // One number has one spelling: no sign, no leading zero.
            Self::Int => {
                text.len() <= 19
                    && text.bytes().all(|b| b.is_ascii_digit())
                    && (text == "0" || !text.starts_with('0'))
            }
            Self::Uuid => text.len() == 36 && uuid::Uuid::try_parse(text).is_ok(),
            Self::Word => text.len() <= 128 && all(b"_-"),
            Self::Email => text.len() <= 254 && text.matches('@').count() == 1 && all(b"@._+-"),
            Self::Host => text.len() <= 253 && all(b".-"),
            Self::Any => text.len() <= 512 && !text.chars().any(char::is_control),
        }
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, RouteFault> {
        let braces = || RouteFault::Braces(text.to_owned());
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    literal.push(c);
                }
                '{' => {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some(c) if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
                            _ => return Err(braces()),
                        }
                    }
                    pieces.push(Piece::Name(name));
                }
                '}' => return Err(braces()),
                c => literal.push(c),
            }
        }
        pieces.push(Piece::Text(literal));
        Ok(Self(pieces))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text, each placeholder replaced by what `value` gives for its name.
    pub fn fill(&self, mut value: impl FnMut(&str) -> String) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Name(name) => value(name),
            })
            .collect()
    }
}

/// The route that a request meets, with the path's placeholders.
#[derive(Debug)]
pub struct Met<'a> {
    /// The route.
    pub route: &'a Route,
    /// Placeholders of the path, decoded.
    pub path: BTreeMap<String, String>,
}

impl Application {
    /// The most specific route for a method and target; `None` when no route speaks of it.
    ///
    /// # Errors
    /// `NearMiss` when the path resembles a route's for this method without being it; `Query` when a route asks for
    /// a query field and the query does not parse.
    pub fn find(&self, method: &Method, target: &Target) -> Result<Option<Met<'_>>, NotCanonical> {
        let mut near = false;
        for route in self.routes.iter().filter(|route| route.has_method(method)) {
            match route.fit(target)? {
                Fit::Exact(path) => return Ok(Some(Met { route, path })),
                Fit::Near => near = true,
                Fit::None => {}
            }
        }
        if near {
            Err(NotCanonical::NearMiss)
        } else {
            Ok(None)
        }
    }

    /// The routes' lines and whether they hold, for `check-config`.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}

enum Fit {
    Exact(BTreeMap<String, String>),
    Near,
    None,
}

impl Route {
    /// The line in its file.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    fn has_method(&self, method: &Method) -> bool {
        let name = if *method == Method::HEAD {
            "GET"
        } else {
            method.as_str()
        };
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.contains(name))
    }

    /// Most specific first: literals before placeholders, longer before tails, conditions before none.
    fn rank(&self) -> (Vec<u8>, usize, bool) {
        let mut rank: Vec<u8> = self
            .segments
            .iter()
            .map(|segment| u8::from(matches!(segment, Segment::Name { .. })))
            .collect();
        if self.tail {
            rank.push(2);
        }
        (rank, usize::MAX - self.query.len(), self.methods.is_none())
    }

    fn fit(&self, target: &Target) -> Result<Fit, NotCanonical> {
        let given = target.segments();
        let enough = if self.tail {
            given.len() >= self.segments.len()
        } else {
            given.len() == self.segments.len()
        };
        if !enough {
            return Ok(Fit::None);
        }
        let mut path = BTreeMap::new();
        let mut near = false;
        for (segment, text) in self.segments.iter().zip(given) {
            match segment {
                Segment::Literal(literal) if literal == text => {}
                Segment::Literal(literal) if folded(literal) == folded(text) => near = true,
                Segment::Literal(_) => return Ok(Fit::None),
                Segment::Name { name, kind } => {
                    near |= !kind.accepts(text);
                    path.insert(name.clone(), text.clone());
                }
            }
        }
        if near {
            return Ok(Fit::Near);
        }
        if !self.query.is_empty() {
            let pairs = target.pairs()?;
            for (name, value) in &self.query {
                let mut given = pairs.iter().filter(|(other, _)| other == name);
                match (given.next(), given.next()) {
                    (Some((_, text)), None) if text == value => {}
                    (Some(_), Some(_)) => return Err(NotCanonical::Duplicate),
                    _ => return Ok(Fit::None),
                }
            }
        }
        Ok(Fit::Exact(path))
    }

    fn collides(&self, other: &Self) -> bool {
        let shape = |route: &Self| -> Vec<Option<String>> {
            route
                .segments
                .iter()
                .map(|segment| match segment {
                    Segment::Literal(text) => Some(text.clone()),
                    Segment::Name { .. } => None,
                })
                .collect()
        };
        let methods = match (&self.methods, &other.methods) {
            (Some(a), Some(b)) => !a.is_disjoint(b),
            (None, None) => true,
            _ => false,
        };
        methods
            && self.tail == other.tail
            && self.query == other.query
            && shape(self) == shape(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[application]\nhost = \"portal.example\"\nservice = \"portal\"\nupstream = \"http://127.0.0.1:1\"\n";

    fn load(routes: &str) -> Application {
        Application::parse("portal.toml", &format!("{HEAD}{routes}")).unwrap()
    }

    fn find<'a>(
        app: &'a Application,
        method: &str,
        path: &str,
    ) -> Result<Option<(usize, Met<'a>)>, NotCanonical> {
        let target = Target::parse(&path.parse().unwrap()).unwrap();
        let met = app.find(&Method::from_bytes(method.as_bytes()).unwrap(), &target)?;
        Ok(met.map(|met| (met.route.line(), met)))
    }

    const ROUTES: &str = "\
[[route]]
method = \"POST\"
path = \"/accounts\"
action = \"account.create\"
target = { kind = \"account\", id = \"{email}\", display = \"{name} <{email}>\" }
param.email = { json = \"/email\" }
param.name = { json = \"/name\" }
words.fr = \"Créer le compte {name}\"
[[route]]
method = [\"PATCH\", \"DELETE\"]
path = \"/accounts/{id:int}\"
action = \"account.change\"
[[route]]
method = \"DELETE\"
path = \"/accounts/me\"
action = \"account.leave\"
[[route]]
method = \"POST\"
path = \"/auth/login\"
free = true
[[route]]
method = \"*\"
path = \"/public/**\"
free = true
[[route]]
method = \"PATCH\"
path = \"/domains/{id:int}\"
query = { type = \"verify\" }
action = \"domain.verify\"
[[route]]
method = \"PATCH\"
path = \"/domains/{id:int}\"
action = \"domain.change\"
";

    #[test]
    fn the_most_specific_route_wins() {
        let app = load(ROUTES);
        for (method, path, line) in [
            ("POST", "/accounts", Some(5)),
            ("POST", "/accounts/", Some(5)),
            ("POST", "/accounts?x=1", Some(5)),
            ("DELETE", "/accounts/7", Some(13)),
            ("DELETE", "/accounts/me", Some(17)),
            ("GET", "/accounts/new", None),
            ("PUT", "/accounts", None),
            ("POST", "/auth/login", Some(21)),
            ("PUT", "/public/a/b/c", Some(25)),
            ("PATCH", "/domains/3?type=verify", Some(29)),
            ("PATCH", "/domains/3?type=refuse", Some(34)),
        ] {
            let met = find(&app, method, path).unwrap();
            assert_eq!(met.map(|(line, _)| line), line, "{method} {path}");
        }
        let (_, met) = find(&app, "DELETE", "/accounts/7").unwrap().unwrap();
        assert_eq!(
            met.path,
            BTreeMap::from([("id".to_owned(), "7".to_owned())])
        );
    }

    #[test]
    fn what_resembles_a_route_is_refused() {
        let app = load(ROUTES);
        for (method, path) in [
            ("POST", "/Accounts"),
            ("POST", "/ACCOUNTS"),
            ("POST", "/accounts."),
            ("POST", "/accounts%20"),
            ("DELETE", "/accounts/07"),
            ("DELETE", "/accounts/+7"),
            ("DELETE", "/accounts/7x"),
            ("DELETE", "/accounts/%EF%BC%97"),
            ("DELETE", "/accounts/Me"),
            ("POST", "/AUTH/login"),
        ] {
            assert_eq!(
                find(&app, method, path).unwrap_err(),
                NotCanonical::NearMiss,
                "{method} {path}"
            );
        }
        assert_eq!(
            find(&app, "PATCH", "/domains/3?type=verify&type=x").unwrap_err(),
            NotCanonical::Duplicate
        );
    }
}
