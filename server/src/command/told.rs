//! What a person reads when a command did not do its work: the catalogue's words for [`CommandError`] and for what it carries. `Display` of the same
//! errors is English, for logs. Sentences of others (Cedar, sqlx, rustls) are told as [`foreign`] tells them; a route file's faults are English.

use std::fmt::Display;
use std::path::Path;

use sceau_locale::{Language, Value, foreign};

use super::CommandError;
use crate::attestation::JudgeError;
use crate::config::ServiceError;
use crate::desk::DeskError;
use crate::export::ExportError;
use crate::gate::GateError;
use crate::metadata::RefreshError;
use crate::oauth::RegistrationError;
use crate::piv::CardsError;
use crate::provider::ProviderError;
use crate::provider::people::PeopleError;
use crate::report::ReportError;
use crate::signal::SignalError;
use crate::store::StoreError;

/// The words for one error.
pub(super) fn told(error: &CommandError, language: Language) -> String {
    let teller = Teller(language);
    let labelled = |label: &str, what: String| language.labelled(label, what);
    match error {
        CommandError::Config(error) => labelled("configuration", error.tell(language)),
        CommandError::Unreadable { path, error } => teller.unreadable(path, error),
        CommandError::Policy(error) => {
            let label = language.text("fault-policy");
            format!("{label}{}\n{error}", language.colon())
        }
        CommandError::Table { path, error } => {
            let at = teller.at(error.line, foreign(language, &error.problem));
            labelled(&path.display().to_string(), at)
        }
        CommandError::NotInitialised(path) => teller.path("fault-not-initialised", path),
        CommandError::KeyFile(error) => error.tell(language),
        CommandError::Attestation(error) => labelled("attestation", teller.judge(error)),
        CommandError::Metadata(error) => teller.refresh(error),
        CommandError::Cards(error) => labelled("piv", teller.cards(error)),
        CommandError::Tls(error) => labelled("tls", teller.file(&error.path, &error.reason)),
        CommandError::Gate(error) => labelled("gate", teller.gate(error)),
        CommandError::Signal(error) => labelled("signal", teller.signal(error)),
        CommandError::Provider(error) => labelled("provider", teller.provider(error)),
        CommandError::Service(error) => labelled("configuration", teller.service(error)),
        CommandError::Store(error) => teller.store(error),
        CommandError::Desk(error) => teller.desk(error),
        CommandError::Malformed(what) => what.clone(),
        CommandError::Initialised => teller.say("fault-initialised", &[]),
        CommandError::Report(error) => teller.report(error),
        CommandError::Export(error) => teller.export(error),
        CommandError::Listen { address, error } => teller.say(
            "fault-listen",
            &[
                ("address", address.to_string().into()),
                ("reason", teller.foreign(error).into()),
            ],
        ),
        CommandError::Io(error) => teller.foreign(error),
    }
}

struct Teller(Language);

impl Teller {
    fn say(&self, name: &str, values: &[(&str, Value<'_>)]) -> String {
        self.0.text_with(name, values)
    }

    fn foreign(&self, error: impl Display) -> String {
        foreign(self.0, &error.to_string())
    }

    fn path(&self, name: &str, path: &Path) -> String {
        self.say(name, &[("path", path.display().to_string().into())])
    }

    fn unreadable(&self, path: &Path, reason: impl Display) -> String {
        let values = [
            ("path", path.display().to_string().into()),
            ("reason", self.foreign(reason).into()),
        ];
        self.say("fault-unreadable", &values)
    }

    /// A file, and what a library says of it.
    fn file(&self, path: &Path, reason: impl Display) -> String {
        self.0
            .labelled(&path.display().to_string(), self.foreign(reason))
    }

    /// With its line, where that is known.
    fn at(&self, line: usize, what: String) -> String {
        match line {
            0 => what,
            line => self.say(
                "fault-at-line",
                &[("line", line.to_string().into()), ("what", what.into())],
            ),
        }
    }

    fn judge(&self, error: &JudgeError) -> String {
        match error {
            JudgeError::Unreadable { path, reason } => self.unreadable(path, reason),
            JudgeError::Malformed { path, reason } => self.file(path, reason),
            JudgeError::Empty { path } => self.path("fault-anchors-none", path),
        }
    }

    fn cards(&self, error: &CardsError) -> String {
        match error {
            CardsError::Unreadable { path, reason } => self.unreadable(path, reason),
            CardsError::Malformed { path, reason } => self.file(path, reason),
        }
    }

    fn refresh(&self, error: &RefreshError) -> String {
        let (name, reason) = match error {
            RefreshError::Unavailable(why) => ("fault-metadata-unavailable", self.foreign(why)),
            RefreshError::Refused(reason) => ("fault-metadata-refused", (*reason).to_owned()),
            RefreshError::Desk(error) => return self.desk(error),
        };
        self.say(name, &[("reason", reason.into())])
    }

    fn gate(&self, error: &GateError) -> String {
        match error {
            GateError::Routes(error) => error.to_string(),
            GateError::SameHost(host) => {
                self.say("fault-gate-host-twice", &[("host", host.as_str().into())])
            }
            GateError::NoApplication => self.say("fault-gate-no-application", &[]),
            GateError::PlainOutsideLoopback => self.say("fault-gate-plain", &[]),
            GateError::Tls(why) => self.0.labelled("gate.tls", self.foreign(why)),
            GateError::Login(error) => error.to_string(),
        }
    }

    fn signal(&self, error: &SignalError) -> String {
        match error {
            SignalError::Key(error) => error.tell(self.0),
            SignalError::Desk(error) => self.desk(error),
        }
    }

    fn provider(&self, error: &ProviderError) -> String {
        match error {
            ProviderError::Key(error) => error.tell(self.0),
            ProviderError::Unreadable { path, error } => self.unreadable(path, error),
            ProviderError::People { path, error } => {
                let what = match error {
                    PeopleError::Malformed(why) => self.foreign(why),
                    PeopleError::Rejected { person, problem } => self.say(
                        "fault-person",
                        &[
                            ("person", person.as_str().into()),
                            ("what", self.say(problem, &[]).into()),
                        ],
                    ),
                };
                self.0.labelled(&path.display().to_string(), what)
            }
            ProviderError::Secret(client) => self.say(
                "fault-client-secret-short",
                &[("client", client.as_str().into())],
            ),
        }
    }

    fn service(&self, error: &ServiceError) -> String {
        let (service, what) = match &error.error {
            RegistrationError::Source(service) => (service, self.say("fault-service-keys", &[])),
            RegistrationError::Unreadable {
                service,
                path,
                reason,
            } => (service, self.unreadable(path, reason)),
            RegistrationError::Malformed {
                service,
                path,
                reason,
            } => (service, self.file(path, reason)),
            RegistrationError::Key {
                service,
                number,
                problem,
            } => (
                service,
                self.say(
                    "fault-service-key",
                    &[
                        ("number", number.to_string().into()),
                        ("what", self.say(problem, &[]).into()),
                    ],
                ),
            ),
            RegistrationError::Address { service, uri } => (
                service,
                self.say("fault-service-address", &[("uri", uri.as_str().into())]),
            ),
            RegistrationError::Algorithms(service) => {
                (service, self.say("fault-service-algorithms", &[]))
            }
        };
        let values = [("service", service.as_str().into()), ("what", what.into())];
        self.at(
            error.line.unwrap_or_default(),
            self.say("fault-service", &values),
        )
    }

    fn store(&self, error: &StoreError) -> String {
        match error {
            StoreError::Unavailable(why) => self.say(
                "fault-store-unavailable",
                &[("reason", self.foreign(why).into())],
            ),
            StoreError::Corrupt(what) => {
                self.say("fault-store-corrupt", &[("what", (*what).into())])
            }
            StoreError::Schema { found, known } => self.say(
                "fault-store-schema",
                &[
                    ("found", found.to_string().into()),
                    ("known", known.to_string().into()),
                ],
            ),
            StoreError::Url => self.say("fault-store-scheme", &[]),
        }
    }

    /// What a command can meet of it; the rest is the API's.
    fn desk(&self, error: &DeskError) -> String {
        match error {
            DeskError::UnknownPerson => self.say("fault-unknown-person", &[]),
            DeskError::Malformed(what) => {
                self.say("fault-malformed-value", &[("what", (*what).into())])
            }
            DeskError::ClockWentBack => self.say("fault-clock-went-back", &[]),
            DeskError::Unavailable => self.say("fault-unavailable", &[]),
            other => self.foreign(other),
        }
    }

    fn report(&self, error: &ReportError) -> String {
        match error {
            ReportError::Store(error) => self.store(error),
            ReportError::UnknownPerson(person) => self.say(
                "fault-no-such-person",
                &[("person", person.as_str().into())],
            ),
            ReportError::Unproven(what) => {
                self.say("fault-report-unproven", &[("what", (*what).into())])
            }
        }
    }

    fn export(&self, error: &ExportError) -> String {
        match error {
            ExportError::Store(error) => self.store(error),
            ExportError::File { path, error } => self.file(path, error),
            ExportError::Stranger(path) => self.path("fault-export-stranger", path),
            ExportError::RolledBack { held, stored } => self.say(
                "fault-export-rolled-back",
                &[
                    ("held", held.to_string().into()),
                    ("stored", stored.to_string().into()),
                ],
            ),
            ExportError::Forked(count) => self.say(
                "fault-export-forked",
                &[("count", count.to_string().into())],
            ),
            ExportError::Unsigned => self.say("fault-export-unsigned", &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::keyfile::KeyFileError;
    use crate::oauth::RegistrationError;
    use crate::policy::{MalformedTable, PolicyError};
    use crate::port::NoRandomness;

    /// Every error, with what its words must name.
    fn all() -> Vec<(CommandError, &'static [&'static str])> {
        let path = || PathBuf::from("/etc/sceau/x");
        let absent = || io::Error::from_raw_os_error(2);
        let service = |error| {
            CommandError::Service(ServiceError {
                line: Some(7),
                error,
            })
        };
        let id = || "portal".parse().unwrap();
        let reason = || "No such file or directory (os error 2)".to_owned();
        vec![
            (
                CommandError::Unreadable {
                    path: path(),
                    error: absent(),
                },
                &["/etc/sceau/x"],
            ),
            (
                CommandError::Policy(PolicyError { faults: Vec::new() }),
                &[],
            ),
            (
                CommandError::Table {
                    path: path(),
                    error: MalformedTable {
                        line: 3,
                        problem: "missing field `case`".to_owned(),
                    },
                },
                &["/etc/sceau/x", "3", "case"],
            ),
            (
                CommandError::NotInitialised(path()),
                &["/etc/sceau/x", "sceau-server init"],
            ),
            (
                KeyFileError::Io {
                    path: path(),
                    error: absent(),
                }
                .into(),
                &["/etc/sceau/x"],
            ),
            (
                KeyFileError::Exposed {
                    path: path(),
                    mode: 0o644,
                }
                .into(),
                &["/etc/sceau/x", "644", "0600"],
            ),
            (
                KeyFileError::Malformed {
                    path: path(),
                    kind: "fault-key-kind-line",
                }
                .into(),
                &["/etc/sceau/x"],
            ),
            (KeyFileError::NoRandomness(NoRandomness).into(), &[]),
            (KeyFileError::NotMade.into(), &[]),
            (
                JudgeError::Unreadable {
                    path: path(),
                    reason: reason(),
                }
                .into(),
                &["/etc/sceau/x"],
            ),
            (
                JudgeError::Malformed {
                    path: path(),
                    reason: reason(),
                }
                .into(),
                &["/etc/sceau/x"],
            ),
            (JudgeError::Empty { path: path() }.into(), &["/etc/sceau/x"]),
            (RefreshError::Unavailable(reason()).into(), &[]),
            (
                RefreshError::Refused("number-reused").into(),
                &["number-reused"],
            ),
            (
                CardsError::Unreadable {
                    path: path(),
                    reason: reason(),
                }
                .into(),
                &["/etc/sceau/x"],
            ),
            (
                CardsError::Malformed {
                    path: path(),
                    reason: reason(),
                }
                .into(),
                &["/etc/sceau/x"],
            ),
            (
                crate::listen::TlsError {
                    path: path(),
                    reason: reason(),
                }
                .into(),
                &["tls", "/etc/sceau/x"],
            ),
            (
                GateError::SameHost("app.example".to_owned()).into(),
                &["app.example"],
            ),
            (GateError::NoApplication.into(), &["gate.routes"]),
            (GateError::PlainOutsideLoopback.into(), &["gate.behind_tls"]),
            (GateError::Tls(reason()).into(), &["gate.tls"]),
            (SignalError::Key(KeyFileError::NotMade).into(), &["signal"]),
            (
                ProviderError::Unreadable {
                    path: path(),
                    error: absent(),
                }
                .into(),
                &["/etc/sceau/x"],
            ),
            (
                ProviderError::People {
                    path: path(),
                    error: PeopleError::Rejected {
                        person: "amartin".to_owned(),
                        problem: "fault-person-email",
                    },
                }
                .into(),
                &["/etc/sceau/x", "amartin", "email"],
            ),
            (
                ProviderError::Secret("portal".to_owned()).into(),
                &["portal", "32"],
            ),
            (
                service(RegistrationError::Source(id())),
                &["7", "portal", "keys_file"],
            ),
            (
                service(RegistrationError::Unreadable {
                    service: id(),
                    path: path(),
                    reason: reason(),
                }),
                &["7", "portal", "/etc/sceau/x"],
            ),
            (
                service(RegistrationError::Key {
                    service: id(),
                    number: 2,
                    problem: "fault-service-key-kid",
                }),
                &["7", "portal", "2", "kid"],
            ),
            (
                service(RegistrationError::Address {
                    service: id(),
                    uri: "http://x".to_owned(),
                }),
                &["7", "portal", "http://x"],
            ),
            (
                service(RegistrationError::Algorithms(id())),
                &["7", "portal", "algorithms"],
            ),
            (
                StoreError::Corrupt("actions.state").into(),
                &["actions.state"],
            ),
            (
                StoreError::Schema {
                    found: 99,
                    known: 42,
                }
                .into(),
                &["99", "42"],
            ),
            (StoreError::Url.into(), &["sqlite:", "postgres:"]),
            (DeskError::UnknownPerson.into(), &[]),
            (
                DeskError::Malformed("params.facts").into(),
                &["params.facts"],
            ),
            (DeskError::ClockWentBack.into(), &[]),
            (DeskError::Unavailable.into(), &[]),
            (CommandError::Initialised, &[]),
            (
                ReportError::UnknownPerson("amartin".parse().unwrap()).into(),
                &["amartin"],
            ),
            (ReportError::Unproven("entry").into(), &["entry"]),
            (
                ExportError::File {
                    path: path(),
                    error: absent(),
                }
                .into(),
                &["/etc/sceau/x"],
            ),
            (ExportError::Stranger(path()).into(), &["/etc/sceau/x"]),
            (
                ExportError::RolledBack { held: 9, stored: 5 }.into(),
                &["9", "5"],
            ),
            (ExportError::Forked(9).into(), &["9"]),
            (ExportError::Unsigned.into(), &[]),
            (
                CommandError::Listen {
                    address: "127.0.0.1:80".parse().unwrap(),
                    error: io::Error::from_raw_os_error(13),
                },
                &["127.0.0.1:80"],
            ),
            (CommandError::Io(absent()), &[]),
        ]
    }

    #[test]
    fn each_error_is_told_in_both_languages_with_what_it_is_about() {
        for (error, about) in all() {
            let [french, english] = [Language::Fr, Language::En].map(|it| error.tell(it));
            for text in [&french, &english] {
                assert!(
                    about.iter().all(|it| text.contains(it)),
                    "{text}: {about:?}"
                );
                assert!(!text.contains("fault-") && !text.contains('{'), "{text}");
            }
            assert_ne!(french, english);
            for left in ["No such", "cannot", " is ", " the "] {
                assert!(!french.contains(left), "{french}");
            }
        }
    }

    #[test]
    fn what_logs_say_is_what_an_english_reader_reads() {
        for (error, _) in all() {
            assert_eq!(
                error.to_string().trim_end(),
                error.tell(Language::En).trim_end(),
                "{error:?}"
            );
        }
    }
}
