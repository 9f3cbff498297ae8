//! How bad each finding is. What is said of it, and what to do about it, is in the catalogue: `doctor-found-CODE`, `doctor-todo-CODE`.

use std::borrow::Cow;

use super::{Part, State};
use crate::locale::Language;

use State::{Fault, Note, Ok};

/// By code.
pub(super) const ALL: &[(&str, State)] = &[
    ("configured", Ok),
    ("configuration-missing", Fault),
    ("configuration-unreadable", Fault),
    ("configuration-malformed", Fault),
    ("configuration-server", Fault),
    ("configuration-rp-id", Fault),
    ("configuration-pin", Fault),
    ("relying-party-elsewhere", Fault),
    ("ca-file-unusable", Fault),
    ("server-reached", Ok),
    ("server-unresolved", Fault),
    ("server-silent", Fault),
    ("server-untrusted", Fault),
    ("server-other-key", Fault),
    ("server-unwell", Fault),
    ("clock-right", Ok),
    ("clock-wrong", Fault),
    ("clock-unknown", Note),
    ("runtime-directory-missing", Fault),
    ("agent-running", Ok),
    ("agent-absent", Fault),
    ("agent-refuses", Fault),
    ("agent-of-another-version", Fault),
    ("agent-of-another-server", Fault),
    ("signed-in", Ok),
    ("signed-out", Note),
    ("inbox-lost", Fault),
    ("session-file-open", Fault),
    ("pcscd-answers", Ok),
    ("pcscd-absent", Fault),
    ("pcscd-refuses", Fault),
    ("pcscd-fails", Fault),
    ("usb-key", Ok),
    ("usb-none", Note),
    ("usb-refused", Fault),
    ("key-enrolled", Ok),
    ("key-absent", Note),
    ("key-unknown", Note),
    ("key-without-pin", Fault),
    ("key-locked", Fault),
    ("pinentry-there", Ok),
    ("pinentry-absent", Fault),
    ("pinentry-without-windows", Fault),
    ("desktop-served", Ok),
    ("desktop-none", Note),
    ("session-bus-absent", Fault),
    ("notification-server-absent", Fault),
    ("desktop-absent", Fault),
];

/// How bad a code is; one that nobody knows is a fault.
pub(super) fn state(code: &str) -> State {
    let found = ALL.iter().find(|(other, _)| *other == code);
    found.map_or(Fault, |(_, state)| *state)
}

/// What a part is called.
pub(super) fn part(part: Part, language: Language) -> Cow<'static, str> {
    match part {
        Part::Configuration => "configuration".into(),
        Part::Server => language.text("doctor-part-server"),
        Part::Clock => language.text("doctor-part-clock"),
        Part::Agent => "agent".into(),
        Part::Session => "session".into(),
        Part::SmartCards => language.text("doctor-part-cards"),
        Part::Usb => "USB".into(),
        Part::Keys => language.text("doctor-part-keys"),
        Part::Pinentry => "pinentry".into(),
        Part::Desktop => language.text("doctor-part-desktop"),
    }
}
