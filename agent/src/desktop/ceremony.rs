//! One action on the desktop: the dialog that shows it, the PIN, the touch, and how it ended. The agent asks ([`crate::prompt`]); this shows and answers.

use serde_json::json;

use super::assuan::{Choice, Pinentry, PinentryError};
use super::client::Connection;
use super::dialog::{self, Dialog};
use super::notification::{Urgency, Voice};
use super::{Settings, request};
use crate::prompt::attached::Numbered;
use crate::prompt::terminal::Message;
use crate::prompt::{Answer, CardChoice, CardSecret, Progress, Question, Reason, Refusal, Shown};
use crate::socket::watch::Waiting;
use crate::text::one_line;

/// What the person wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// See the action, and decide.
    See,
    /// Refuse it.
    Refuse,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Sealed,
    Refused,
    PutOff,
    Failed,
}

/// Sees one action through. Given up (dropped), it closes its dialog, and the agent cancels at the key.
pub(super) async fn run(settings: &Settings, voice: &Voice, waiting: Waiting, wish: Wish) -> End {
    let mut told = Told { voice, touch: None };
    let end = match wish {
        Wish::See => see(settings, &mut told, &waiting).await,
        Wish::Refuse => refuse(settings, &mut told, &waiting).await,
    };
    told.no_touch().await;
    end
}

/// What is being told beside dialogs.
struct Told<'a> {
    voice: &'a Voice,
    touch: Option<u32>,
}

impl Told<'_> {
    async fn touch(&mut self, summary: &str, body: &str) {
        let replaced = self.touch.unwrap_or_default();
        let shown = self
            .voice
            .show(replaced, summary, body, &[], Urgency::Critical);
        self.touch = shown.await;
    }

    async fn no_touch(&mut self) {
        if let Some(id) = self.touch.take() {
            self.voice.close(id).await;
        }
    }

    async fn say(&self, summary: &str, body: &str) {
        self.voice.show(0, summary, body, &[], Urgency::Low).await;
    }

    async fn fail(&self, settings: &Settings, message: &str) {
        let summary = settings.language.text("prompt-nothing-sealed-title");
        self.voice
            .show(0, &summary, message, &[], Urgency::Normal)
            .await;
    }
}

async fn refuse(settings: &Settings, told: &mut Told<'_>, waiting: &Waiting) -> End {
    let language = settings.language;
    let asked = async {
        let mut pinentry = Pinentry::start(&settings.pinentry).await?;
        pinentry
            .confirm(&dialog::reason(&waiting.title, language))
            .await
    };
    let reason = match asked.await {
        Ok(Choice::Yes) => "not-me",
        Ok(Choice::No) => "mistake",
        Ok(Choice::Cancel) => return End::PutOff,
        Err(e) => {
            told.fail(settings, &no_window(&e, settings)).await;
            return End::Failed;
        }
    };
    let refusal = json!({ "op": "refuse", "id": waiting.id, "reason": reason });
    let answered = match Connection::open(&settings.socket, &request(refusal, language)).await {
        Ok(mut agent) => agent.next().await,
        Err(_) => None,
    };
    ended(settings, told, answered).await
}

async fn see(settings: &Settings, told: &mut Told<'_>, waiting: &Waiting) -> End {
    let approve = json!({ "op": "approve", "id": waiting.id });
    let approve = request(approve, settings.language);
    let Ok(mut agent) = Connection::open(&settings.socket, &approve).await else {
        return End::Failed;
    };
    let mut asking = None;
    loop {
        let answer = async {
            match &mut asking {
                Some(asking) => std::pin::Pin::as_mut(asking).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = agent.next() => match message {
                Some(Message::Prompt(Numbered { id, question })) => {
                    told.no_touch().await;
                    asking = Some(Box::pin(async move { (id, ask(settings, waiting, question).await) }));
                }
                Some(Message::Progress(progress)) => {
                    if matches!(progress, Progress::Withdrawn { .. }) {
                        asking = None;
                    }
                    progressed(settings, told, &progress).await;
                }
                Some(Message::Event(_)) => {}
                message => return ended(settings, told, message).await,
            },
            (id, answer) = answer => {
                asking = None;
                match answer {
                    // An agent that went away is noticed by the next message.
                    Ok(answer) => drop(agent.answer(id, answer).await),
                    Err(e) => {
                        told.fail(settings, &no_window(&e, settings)).await;
                        return End::Failed;
                    }
                }
            }
        }
    }
}

/// Says how the request ended.
async fn ended(settings: &Settings, told: &mut Told<'_>, message: Option<Message>) -> End {
    let language = settings.language;
    told.no_touch().await;
    match message {
        Some(Message::Done(done)) => match done["outcome"].as_str() {
            Some("sealed") => {
                let body = language.text("prompt-sealed");
                told.say("Sceau", &body).await;
                End::Sealed
            }
            Some("refused") => {
                let body = language.text("prompt-refused");
                told.say("Sceau", &body).await;
                End::Refused
            }
            _ => End::PutOff,
        },
        Some(Message::Error(failed)) => match failed.code.as_str() {
            "declined" => End::PutOff,
            // It was answered elsewhere: the person knows.
            "withdrawn" | "nothing-pending" => End::Failed,
            _ => {
                told.fail(settings, &failed.message).await;
                End::Failed
            }
        },
        _ => End::Failed,
    }
}

fn no_window(error: &PinentryError, settings: &Settings) -> String {
    let why = one_line(&error.to_string(), 200);
    settings.language.text("prompt-no-window").into_owned() + &format!(" ({why})")
}

async fn ask(
    settings: &Settings,
    waiting: &Waiting,
    question: Question,
) -> Result<Answer, PinentryError> {
    let language = settings.language;
    let mut pinentry = Pinentry::start(&settings.pinentry).await?;
    let pin = |key: String, tries_left, again: Option<_>| {
        let again = again.map(|again| dialog::again(again, language));
        (
            dialog::pin(&waiting.title, &key, tries_left, language),
            again,
        )
    };
    let (dialog, error) = match question {
        Question::Action { action } => return decide(settings, &mut pinentry, &action).await,
        Question::Pin {
            authenticator,
            tries_left,
            again,
        } => pin(one_line(&authenticator, 100), tries_left, again),
        Question::CardSecret {
            card,
            secret: CardSecret::Pin,
            tries_left,
            again,
        } => pin(card, tries_left.map(u64::from), again),
        Question::CardChoice {
            card,
            choice: CardChoice::AnotherTry { tries_left },
        } => {
            let dialog = dialog::another_try(&card, tries_left, language);
            return Ok(match pinentry.confirm(&dialog).await? {
                Choice::Yes => Answer::GoOn,
                Choice::No | Choice::Cancel => Answer::Cancel,
            });
        }
        // Setting up keys and cards is for a terminal, beside whoever helps.
        _ => return Ok(Answer::Cancel),
    };
    let prompt = dialog::pin_prompt(language);
    let typed = pinentry.pin(&dialog, &prompt, error.as_deref()).await?;
    Ok(typed
        .filter(|typed| !typed.expose().is_empty())
        .map_or(Answer::Cancel, Answer::Pin))
}

/// Shows the action, page after page, until the person has decided.
async fn decide(
    settings: &Settings,
    pinentry: &mut Pinentry,
    action: &Shown,
) -> Result<Answer, PinentryError> {
    let pages: Vec<Dialog> = dialog::action(action, settings.language);
    let mut at = 0;
    loop {
        let Some(page) = pages.get(at) else {
            return Ok(Answer::GoOn);
        };
        match pinentry.confirm(page).await? {
            Choice::Yes => at += 1,
            Choice::Cancel => return Ok(Answer::Later),
            Choice::No => {
                let why = dialog::reason(&action.title, settings.language);
                let reason = match pinentry.confirm(&why).await? {
                    Choice::Yes => Reason::NotMe,
                    Choice::No => Reason::Mistake,
                    Choice::Cancel => {
                        at = 0;
                        continue;
                    }
                };
                return Ok(Answer::Refuse(Refusal { reason, text: None }));
            }
        }
    }
}

async fn progressed(settings: &Settings, told: &mut Told<'_>, progress: &Progress) {
    let say = |name: &str| settings.language.text(name);
    match progress {
        Progress::Touch { authenticator } => {
            let body = one_line(authenticator, 100);
            told.touch(&say("prompt-touch-your-key"), &body).await;
        }
        Progress::InsertKey { keys, unclear } => {
            let (summary, body) = if unclear.is_empty() {
                ("prompt-insert-your-key", keys)
            } else {
                ("prompt-unclear-key", unclear)
            };
            told.touch(&say(summary), &body.join(", ")).await;
        }
        Progress::InsertCard => {
            let body = say("prompt-card-wanted");
            told.touch(&say("prompt-insert-your-card"), &body).await;
        }
        Progress::TypeOnReader { reader, .. } => {
            let summary = say("prompt-pin-on-reader");
            told.touch(&summary, &one_line(reader, 100)).await;
        }
        Progress::Withdrawn { .. } => {
            told.no_touch().await;
            let body = say("prompt-withdrawn");
            told.say("Sceau", &body).await;
        }
        Progress::Processing | Progress::Reporting => told.no_touch().await,
        _ => {}
    }
}
