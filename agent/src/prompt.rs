//! The port to the person: what is asked, what is told, and what may come back. Adapters: a person's terminal attached over the socket
//! ([`attached`] in the daemon, [`terminal`] at the person's end). One prompt at a time is the agent's doing, not the port's.
//!
//! Questions carry text from actions already escaped and bounded by [`sceau_proof`]; an adapter shows it as it is and adds nothing from
//! elsewhere. PINs travel in [`Secret`]: no `Debug`, erased when dropped.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub mod attached;
pub mod terminal;

/// A PIN as typed. No `Debug`, no `Display`; erased when dropped.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes what was typed.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the authenticator alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// An action in words, for the person's eyes. Every string is escaped, bounded and one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The action's id.
    pub id: String,
    /// What will be done, in one sentence.
    pub title: String,
    /// Label and value of each thing that the person must see.
    pub lines: Vec<Line>,
    /// What to be careful about.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How many other actions wait behind this one.
    pub waiting: usize,
}

/// One line of a [`Shown`] action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What it is.
    pub label: String,
    /// Its value.
    pub value: String,
    /// Of use to an auditor rather than to the person who decides.
    #[serde(default)]
    pub technical: bool,
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Question {
    /// Seal this action? Answers: go on, refuse, later.
    Action {
        /// The action.
        action: Shown,
    },
    /// The PIN of this authenticator. Answers: PIN, cancel.
    Pin {
        /// The authenticator, for people.
        authenticator: String,
        /// Tries left, when the authenticator tells.
        tries_left: Option<u64>,
        /// Why it is asked again.
        #[serde(default)]
        again: Option<Again>,
    },
    /// A first PIN for an authenticator that has none. Answers: PIN (typed twice alike at the person's end), cancel.
    NewPin {
        /// The authenticator, for people.
        authenticator: String,
        /// Fewest characters.
        min_length: usize,
        /// Why it is asked again.
        #[serde(default)]
        again: Option<Again>,
    },
    /// A secret of a PIV card. Answers: PIN, cancel.
    CardSecret {
        /// Holder and reader, for people.
        card: String,
        /// Which.
        secret: CardSecret,
        /// Tries left, when the card tells.
        tries_left: Option<u8>,
        /// Why it is asked again.
        #[serde(default)]
        again: Option<Again>,
    },
    /// A decision about a PIV card. Answers: go on, cancel.
    CardChoice {
        /// Holder and reader, for people.
        card: String,
        /// What is to be decided.
        choice: CardChoice,
    },
}

/// A secret of a PIV card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardSecret {
    /// The PIN.
    Pin,
    /// A new PIN, typed twice.
    NewPin,
    /// The PUK, which unblocks a PIN.
    Puk,
    /// A new PUK, typed twice.
    NewPuk,
    /// The management key, in hexadecimal digits.
    ManagementKey,
    /// A new management key, typed twice.
    NewManagementKey,
}

/// Something to decide about a PIV card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CardChoice {
    /// The PIN typed on the reader was wrong: type it there again?
    AnotherTry {
        /// Tries left, when the card tells.
        tries_left: Option<u8>,
    },
    /// Replace the key in slot 9C for good?
    ReplaceKey,
}

/// Why a PIN is asked for once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Again {
    /// It was wrong, and cost a try.
    Wrong,
    /// It could not be one (too short, too long, a forbidden character); nothing was sent.
    Unfit,
}

/// What a person answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Seal it.
    GoOn,
    /// Do not, and tell the server why.
    Refuse(Refusal),
    /// Not now; the action stays pending.
    Later,
    /// The PIN.
    Pin(Secret),
    /// Stop here.
    Cancel,
}

/// A person's refusal of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// In the person's words, at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Why a person refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The person did not ask for this: the session that did is suspended.
    NotMe,
    /// Asked for by mistake.
    Mistake,
    /// Something else.
    Other,
}

/// What a person is told while something happens. No answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Progress {
    /// Another ceremony is going on; this one comes next.
    Queued,
    /// None of the authenticators that are there holds one of these keys.
    InsertKey {
        /// The keys' labels.
        keys: Vec<String>,
        /// Authenticators that are there and gave no answer that can be used, for people: one of them may be the one.
        #[serde(default)]
        unclear: Vec<String>,
    },
    /// Several authenticators are there, and only one is wanted: the others must be taken out.
    OnlyOneKey,
    /// Several authenticators are there; the one that is touched is taken.
    TouchToChoose,
    /// A PIV card is wanted.
    InsertCard,
    /// The reader waits for the PIN on its own pad.
    TypeOnReader {
        /// The reader, for people.
        reader: String,
        /// Tries left, when the card tells.
        tries_left: Option<u8>,
    },
    /// The authenticator's PIN was for the way only: it is typed once more, and then the person's own.
    OwnPin,
    /// The authenticator waits for a touch.
    Touch {
        /// The authenticator, for people.
        authenticator: String,
    },
    /// The authenticator is working.
    Processing,
    /// The seal is on its way to the server.
    Reporting,
    /// The action was settled elsewhere, or expired; what is being asked needs no answer any more.
    Withdrawn {
        /// The action's state.
        state: String,
    },
}

/// Where questions go.
pub trait Prompt {
    /// Asks, and waits for the answer. A person who has gone away answers [`Answer::Cancel`].
    fn ask(&mut self, question: Question) -> impl Future<Output = Answer>;

    /// Tells.
    fn tell(&mut self, progress: Progress);
}

/// Replays answers: for the tests of ceremonies.
#[cfg(test)]
pub(crate) mod scripted {
    use std::collections::VecDeque;

    use super::{Answer, Progress, Prompt, Question};

    /// Answers in this order, then cancels; remembers everything.
    #[derive(Default)]
    pub(crate) struct Scripted {
        pub(crate) answers: VecDeque<Answer>,
        pub(crate) asked: Vec<Question>,
        pub(crate) told: Vec<Progress>,
    }

    impl Prompt for Scripted {
        async fn ask(&mut self, question: Question) -> Answer {
            self.asked.push(question);
            self.answers.pop_front().unwrap_or(Answer::Cancel)
        }

        fn tell(&mut self, progress: Progress) {
            self.told.push(progress);
        }
    }
}
