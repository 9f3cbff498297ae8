//! Reading a route file: TOML to checked routes. docs/gate.md is the reference.
//!
//! Everything is checked when it is loaded, and every fault names the file and the line. Trusts the file's author, not
//! their spelling: unknown keys, unknown placeholders and routes that match the same requests are faults.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Application, Kind, Purpose, Route, Segment, Template, Upstream, Whose};
use crate::gate::canon::Overrides;

mod hold;
mod meter;
mod raw;

use hold::hold;
use meter::{budget, metered};
use raw::{ApplicationToml, DisplayToml, FileToml, OverrideToml, RouteToml, SessionToml};

/// A fault of a route file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {fault}")]
pub struct RouteFileError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: RouteFault,
}

/// What may be wrong in a route file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// TOML or schema.
    #[error("{0}")]
    Syntax(String),
    /// A path template.
    #[error(
        "path {0:?}: segments are literals, {{name}}, {{name:kind}} (int, uuid, word, email, host, any), or a last **"
    )]
    Template(String),
    /// A method.
    #[error("method {0:?}: use GET, HEAD, POST, PUT, PATCH, DELETE or *")]
    Method(String),
    /// A route is neither freed nor given an action, or both.
    #[error("a route has either free = true or an action")]
    Purpose,
    /// Something that a freed route cannot have.
    #[error("{0} has no meaning on a freed route")]
    OnFree(&'static str),
    /// A parameter does not name exactly one source.
    #[error("parameter {0:?}: exactly one of path, query, json, form, multipart, field, header")]
    Source(String),
    /// A word template uses a name that nothing gives.
    #[error("template {template:?}: {{{name}}} is no parameter")]
    Placeholder {
        /// The template.
        template: String,
        /// The name.
        name: String,
    },
    /// A template's braces do not match.
    #[error("template {0:?}: braces do not match")]
    Braces(String),
    /// Two routes would match the same requests.
    #[error("matches the same requests as the route at line {0}")]
    Ambiguous(usize),
    /// The upstream is no `http://host:port` or `unix:/path`.
    #[error("upstream {0:?}: http://host:port or unix:/path")]
    Upstream(String),
    /// A duration such as `110s`.
    #[error("{0:?} is no duration: write 110s or 2m, at most 10m")]
    Duration(String),
    /// The host is no lower-case name.
    #[error(
        "host {0:?}: a lower-case name, without scheme, with the port only if it is not the scheme's own"
    )]
    Host(String),
    /// The service id.
    #[error("service {0:?} is no identifier")]
    Service(String),
    /// What an execution makes, or gives something to.
    #[error(
        "{0:?}: creates is {{ kind = \"account\", id = \"json:/pointer\" or \"location:/path/{{id}}\" }}, grants {{ kind = \"account\", id = \"{{parameter}}\" }}"
    )]
    Begets(String),
    /// Where the application says whom it takes a caller for.
    #[error(
        "account {0:?}: a path of the application, and the JSON pointer of the identifier in its answer"
    )]
    Account(String),
    /// A condition of `also`.
    #[error("also: a condition is a parameter with either equals or unless")]
    Condition,
    /// How answers are counted.
    #[error("meter: {0}")]
    Meter(&'static str),
    /// What a touch opens.
    #[error("budget: records between 1 and 20000 for each touch, also of roles")]
    Budget,
    /// Routes are metered, and no touch opens anything.
    #[error("a metered route needs application.budget = {{ records = 50, window = \"30m\" }}")]
    NoBudget,
    /// A level of ProConnect that is not enough.
    #[error("acr: eidas2 or eidas3, at least one (eidas1-mfa may be a code sent by e-mail)")]
    Level,
    /// Only `hold` is a safe default.
    #[error("default_unsafe must be \"hold\": free routes one by one")]
    DefaultUnsafe,
    /// An action type outside `a-z 0-9 . _ -`.
    #[error("action {0:?}: lower-case words with dots, such as account.create")]
    ActionType(String),
}

impl Application {
    /// Reads a route file.
    ///
    /// # Errors
    /// The first fault, with file and line.
    pub fn load(file: &Path) -> Result<Self, RouteFileError> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| RouteFileError {
            file: name.clone(),
            line: 1,
            fault: RouteFault::Unreadable(error.to_string()),
        })?;
        Self::parse(&name, &text)
    }

    /// Reads a route file's text; `file` is for the faults only.
    ///
    /// # Errors
    /// The first fault, with file and line.
    pub fn parse(file: &str, text: &str) -> Result<Self, RouteFileError> {
        let at = |line: usize, fault: RouteFault| RouteFileError {
            file: file.to_owned(),
            line,
            fault,
        };
        let line_of = |offset: usize| {
            1 + text
                .get(..offset)
                .unwrap_or(text)
                .bytes()
                .filter(|b| *b == b'\n')
                .count()
        };
        let raw: FileToml = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(span.start));
            at(line, RouteFault::Syntax(error.message().to_owned()))
        })?;
        let head = line_of(raw.application.span().start);
        let mut application =
            application(raw.application.into_inner()).map_err(|fault| at(head, fault))?;
        for spanned in raw.route {
            let line = line_of(spanned.span().start);
            let route = route(spanned.into_inner(), line).map_err(|fault| at(line, fault))?;
            let twin = application
                .routes
                .iter()
                .find(|other| other.collides(&route));
            if let Some(twin) = twin {
                return Err(at(line, RouteFault::Ambiguous(twin.line)));
            }
            if matches!(route.purpose, Purpose::Meter(_)) && application.budget.is_none() {
                return Err(at(line, RouteFault::NoBudget));
            }
            application.routes.push(route);
        }
        application.routes.sort_by_key(Route::rank);
        Ok(application)
    }
}

fn application(raw: ApplicationToml) -> Result<Application, RouteFault> {
    let hosts = raw.host.into_vec();
    for host in &hosts {
        let plain = host
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b));
        if host.is_empty() || !plain {
            return Err(RouteFault::Host(host.clone()));
        }
    }
    if raw.default_unsafe.is_some_and(|word| word != "hold") {
        return Err(RouteFault::DefaultUnsafe);
    }
    let has = |way: OverrideToml| raw.method_override.contains(&way);
    Ok(Application {
        hosts,
        service: raw
            .service
            .parse()
            .map_err(|_| RouteFault::Service(raw.service.clone()))?,
        upstream: upstream(&raw.upstream)?,
        hold: duration(raw.hold.as_deref().unwrap_or("110s"))?,
        upstream_timeout: duration(raw.upstream_timeout.as_deref().unwrap_or("2m"))?,
        body_limit: raw.body_limit.map_or(10 << 20, |limit| limit as usize),
        overrides: Overrides {
            query: has(OverrideToml::Query),
            body: has(OverrideToml::Body),
            header: has(OverrideToml::Header),
        },
        session_always: raw.session == SessionToml::Always,
        forward_auth: raw.forward_auth,
        account: raw.account.map(whose).transpose()?,
        acr: raw.acr.map(levels).transpose()?,
        budget: raw.budget.map(budget).transpose()?,
        routes: Vec::new(),
    })
}

fn levels(acr: Vec<String>) -> Result<Vec<String>, RouteFault> {
    if crate::gate::login::config::are_levels(&acr) {
        Ok(acr)
    } else {
        Err(RouteFault::Level)
    }
}

fn whose(raw: DisplayToml) -> Result<Whose, RouteFault> {
    let fault = || RouteFault::Account(raw.get.clone());
    let json = raw.json.clone().ok_or_else(fault)?;
    let get: http::Uri = raw.get.parse().map_err(|_| fault())?;
    crate::gate::canon::Target::parse(&get).map_err(|_| fault())?;
    if json.starts_with('/') {
        Ok(Whose { get, json })
    } else {
        Err(fault())
    }
}

fn upstream(text: &str) -> Result<Upstream, RouteFault> {
    let fault = || RouteFault::Upstream(text.to_owned());
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') {
            Ok(Upstream::Unix(PathBuf::from(path)))
        } else {
            Err(fault())
        };
    }
    let authority = text
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .ok_or_else(fault)?;
    let (host, port) = authority.rsplit_once(':').ok_or_else(fault)?;
    let whole = !host.is_empty() && port.parse::<u16>().is_ok() && !authority.contains(['/', '@']);
    if whole {
        Ok(Upstream::Tcp(authority.to_owned()))
    } else {
        Err(fault())
    }
}

fn duration(text: &str) -> Result<Duration, RouteFault> {
    let fault = || RouteFault::Duration(text.to_owned());
    let (number, scale) = match (
        text.strip_suffix("ms"),
        text.strip_suffix('s'),
        text.strip_suffix('m'),
    ) {
        (Some(number), _, _) => (number, 1),
        (_, Some(number), _) => (number, 1_000),
        (_, _, Some(number)) => (number, 60_000),
        _ => return Err(fault()),
    };
    let number: u64 = number.parse().map_err(|_| fault())?;
    match number.saturating_mul(scale) {
        millis @ 1..=600_000 => Ok(Duration::from_millis(millis)),
        _ => Err(fault()),
    }
}

fn methods(words: Vec<String>) -> Result<Option<BTreeSet<String>>, RouteFault> {
    if words == ["*"] {
        return Ok(None);
    }
    for word in &words {
        if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&word.as_str()) {
            return Err(RouteFault::Method(word.clone()));
        }
    }
    Ok(Some(words.into_iter().collect()))
}

fn template_path(path: &str) -> Result<(Vec<Segment>, bool), RouteFault> {
    let fault = || RouteFault::Template(path.to_owned());
    let inner = path.strip_prefix('/').ok_or_else(fault)?;
    let (inner, tail) = match inner.strip_suffix("**") {
        Some(rest) if rest.is_empty() || rest.ends_with('/') => (rest.trim_end_matches('/'), true),
        Some(_) => return Err(fault()),
        None => (inner, false),
    };
    let mut segments = Vec::new();
    let mut names = BTreeSet::new();
    for piece in inner.split('/').filter(|_| !inner.is_empty()) {
        let segment = match piece
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(inside) => {
                let (name, kind) = inside.split_once(':').unwrap_or((inside, "word"));
                let kind = Kind::from_word(kind).ok_or_else(fault)?;
                let plain = !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                if !plain || !names.insert(name.to_owned()) {
                    return Err(fault());
                }
                Segment::Name {
                    name: name.to_owned(),
                    kind,
                }
            }
            None if piece.is_empty() || piece.contains(['{', '}', '*', '%', '?', '\\', ';']) => {
                return Err(fault());
            }
            None => Segment::Literal(piece.to_owned()),
        };
        segments.push(segment);
    }
    Ok((segments, tail))
}

fn route(raw: RouteToml, line: usize) -> Result<Route, RouteFault> {
    let (segments, tail) = template_path(&raw.path)?;
    let methods = methods(raw.method.clone_vec())?;
    let query = raw.query.clone();
    let purpose = match (&raw.action, raw.free) {
        (None, true) => {
            for (there, name) in [
                (raw.target.is_some(), "target"),
                (!raw.param.is_empty(), "param"),
                (raw.words.is_some(), "words"),
                (!raw.also.is_empty(), "also"),
                (raw.creates.is_some(), "creates"),
                (raw.grants.is_some(), "grants"),
            ] {
                if there {
                    return Err(RouteFault::OnFree(name));
                }
            }
            if !raw.meter.list().is_empty() {
                return Err(RouteFault::OnFree("meter"));
            }
            Purpose::Free {
                upgrade: raw.upgrade,
            }
        }
        (Some(_), false) => Purpose::Hold(Box::new(hold(raw, &segments)?)),
        (None, false) if !raw.meter.list().is_empty() => {
            // HEAD is told apart nowhere: it is counted as the GET that it stands for.
            if methods
                .as_ref()
                .is_none_or(|methods| !methods.iter().eq(["GET"]))
            {
                return Err(RouteFault::Meter("a metered route has method = \"GET\""));
            }
            Purpose::Meter(Box::new(metered(&raw, &segments)?))
        }
        _ => return Err(RouteFault::Purpose),
    };
    Ok(Route {
        methods,
        segments,
        tail,
        query,
        line,
        purpose,
    })
}

fn action_type(action: String) -> Result<String, RouteFault> {
    let plain = action
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if action.is_empty() || !plain {
        return Err(RouteFault::ActionType(action));
    }
    Ok(action)
}

fn known(
    template: Template,
    text: &str,
    is_known: impl Fn(&str) -> bool,
) -> Result<Template, RouteFault> {
    if let Some(name) = template.names().find(|name| !is_known(name)) {
        return Err(RouteFault::Placeholder {
            template: text.to_owned(),
            name: name.to_owned(),
        });
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[application]\nhost = \"portal.example\"\nservice = \"portal\"\nupstream = \"http://127.0.0.1:1\"\n";

    fn load(routes: &str) -> Result<Application, RouteFileError> {
        Application::parse("portal.toml", &format!("{HEAD}{routes}"))
    }

    fn fault(routes: &str) -> (usize, RouteFault) {
        let error = load(routes).unwrap_err();
        (error.line, error.fault)
    }

    #[test]
    fn faults_name_the_line() {
        assert_eq!(
            fault("\n[[route]]\nmethod=\"POST\"\npath=\"/a\"\n"),
            (6, RouteFault::Purpose)
        );
        assert_eq!(
            fault("[[route]]\nmethod=\"POST\"\npath=\"/a\"\nfree=true\naction=\"a\"\n").1,
            RouteFault::Purpose
        );
        assert_eq!(
            fault("[[route]]\nmethod=\"post\"\npath=\"/a\"\nfree=true\n").1,
            RouteFault::Method("post".to_owned())
        );
        for path in [
            "a",
            "/a//b",
            "/{id:regex}",
            "/{}",
            "/{a}/{a}",
            "/a%20b",
            "/a**",
            "/**/a",
        ] {
            let text = format!("[[route]]\nmethod=\"POST\"\npath={path:?}\nfree=true\n");
            assert_eq!(
                fault(&text),
                (5, RouteFault::Template(path.to_owned())),
                "{path}"
            );
        }
        let unknown = fault("[[route]]\nmethod=\"POST\"\npath=\"/a\"\nfreee=true\n");
        assert!(
            unknown.0 == 8 && matches!(unknown.1, RouteFault::Syntax(_)),
            "{unknown:?}"
        );
        let hold = "[[route]]\nmethod=\"POST\"\npath=\"/a\"\naction=\"a.b\"\n";
        assert_eq!(
            fault(&format!("{hold}words.fr=\"{{x}}\"\n")).1,
            RouteFault::Placeholder {
                template: "{x}".to_owned(),
                name: "x".to_owned()
            }
        );
        assert_eq!(
            fault(&format!("{hold}words.fr=\"{{x\"\n")).1,
            RouteFault::Braces("{x".to_owned())
        );
        assert_eq!(
            fault(&format!("{hold}param.x={{}}\n")).1,
            RouteFault::Source("x".to_owned())
        );
        assert_eq!(
            fault(&format!("{hold}param.x={{path=\"y\"}}\n")).1,
            RouteFault::Source("x".to_owned())
        );
        assert_eq!(
            fault(&format!("{hold}param.x={{form=\"y\",json=\"/y\"}}\n")).1,
            RouteFault::Source("x".to_owned())
        );
        for bad in ["param=\"x\"", "equals=\"x\"", "param=\"x\"\nequals=\"1\""] {
            let text = format!("{hold}[[route.also]]\n{bad}\nfr=\"y\"\n");
            assert_eq!(fault(&text).1, RouteFault::Condition, "{bad}");
        }
        assert!(matches!(
            fault(&format!("{hold}meter={{json=\"/n\"}}\n")).1,
            RouteFault::Meter(_)
        ));
        let read = "[[route]]\nmethod=\"GET\"\npath=\"/a/{id}\"\n";
        assert_eq!(
            fault(&format!("{read}meter={{json=\"/n\"}}\n")).1,
            RouteFault::NoBudget
        );
        let budget = "budget={records=50,window=\"30m\",roles={auditor=500}}\n";
        for odd in [
            "{}",
            "{json=\"n\"}",
            "{json=\"/n\",cost=1}",
            "{css=\"tr[\"}",
            "{cost=0}",
            "[{cost=1},{length=\"x\"}]",
        ] {
            let text = format!("{budget}{read}meter={odd}\n");
            assert!(matches!(fault(&text).1, RouteFault::Meter(_)), "{odd}");
        }
        let text = format!("{budget}{read}meter={{cost=1,id=\"{{x}}\"}}\n");
        assert!(matches!(fault(&text).1, RouteFault::Placeholder { .. }));
        for odd in ["0", "20001"] {
            let text = budget.replace("50,", &format!("{odd},"));
            assert_eq!(fault(&text).1, RouteFault::Budget, "{odd}");
        }
        let fine = format!(
            "{budget}{read}meter=[{{length=\"/files\",distinct=\"/id\",record=\"file\"}},{{css=\"tr\"}},{{cost=1,id=\"{{id}}\"}}]\n"
        );
        load(&fine).unwrap();
        assert_eq!(
            fault(&format!("{hold}{hold}")),
            (9, RouteFault::Ambiguous(5))
        );
        assert_eq!(
            fault(&hold.replace("a.b", "A b")).1,
            RouteFault::ActionType("A b".to_owned())
        );
    }

    #[test]
    fn application_faults_are_told() {
        for (from, to, expected) in [
            (
                "portal.example",
                "Portal.example",
                RouteFault::Host("Portal.example".to_owned()),
            ),
            (
                "http://127.0.0.1:1",
                "https://x",
                RouteFault::Upstream("https://x".to_owned()),
            ),
            (
                "http://127.0.0.1:1",
                "http://a/b:1",
                RouteFault::Upstream("http://a/b:1".to_owned()),
            ),
            (
                "\"portal\"",
                "\"a b\"",
                RouteFault::Service("a b".to_owned()),
            ),
        ] {
            assert_eq!(
                Application::parse("f", &HEAD.replace(from, to))
                    .unwrap_err()
                    .fault,
                expected
            );
        }
        for (line, expected) in [
            ("hold=\"110\"", RouteFault::Duration("110".to_owned())),
            ("hold=\"1h\"", RouteFault::Duration("1h".to_owned())),
            ("default_unsafe=\"pass\"", RouteFault::DefaultUnsafe),
            ("acr=[\"eidas1-mfa\"]", RouteFault::Level),
        ] {
            assert_eq!(load(line).unwrap_err().fault, expected);
        }
        let app = load("hold=\"2m\"\nmethod_override=[\"body\"]\n").unwrap();
        assert_eq!(app.hold, Duration::from_secs(120));
        assert_eq!(
            app.overrides,
            Overrides {
                body: true,
                ..Overrides::default()
            }
        );
        assert_eq!(
            upstream("unix:/run/a.sock"),
            Ok(Upstream::Unix("/run/a.sock".into()))
        );
    }

    #[test]
    fn the_shipped_files_load() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gate");
        for (name, least) in [("hyyypertool.toml", 20), ("federation-admin.toml", 16)] {
            let app = Application::load(&folder.join(name)).unwrap();
            assert!(app.routes().count() >= least, "{name}");
        }
    }
}
