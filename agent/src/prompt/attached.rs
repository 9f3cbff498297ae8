//! The daemon's end of a person's terminal: questions go out as lines of the socket, answers come back by number.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, UnboundedSender};
use zeroize::Zeroizing;

use super::{Answer, Progress, Prompt, Question};

/// One question on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Counts up within a connection.
    pub id: u64,
    /// The question.
    #[serde(flatten)]
    pub question: Question,
}

/// One answer on the wire.
#[derive(Serialize, Deserialize)]
pub struct Reply {
    /// The question's number.
    pub id: u64,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What the attached client sends while a ceremony runs.
#[derive(Serialize, Deserialize)]
pub struct ReplyLine {
    /// The answer.
    pub answer: Reply,
}

/// The prompt of one connection.
pub struct Attached {
    lines: Receiver<Zeroizing<Vec<u8>>>,
    out: UnboundedSender<serde_json::Value>,
    asked: u64,
}

impl Attached {
    /// Over the connection's incoming lines and outgoing messages.
    #[must_use]
    pub fn new(
        lines: Receiver<Zeroizing<Vec<u8>>>,
        out: UnboundedSender<serde_json::Value>,
    ) -> Self {
        Self {
            lines,
            out,
            asked: 0,
        }
    }

    /// Sends any other message of the protocol.
    pub fn send(&self, message: serde_json::Value) {
        // The client may have gone; its connection ends the ceremony then.
        drop(self.out.send(message));
    }
}

impl Prompt for Attached {
    async fn ask(&mut self, question: Question) -> Answer {
        self.asked += 1;
        let id = self.asked;
        self.send(serde_json::json!({ "prompt": Numbered { id, question } }));
        while let Some(line) = self.lines.recv().await {
            match serde_json::from_slice::<ReplyLine>(&line) {
                Ok(ReplyLine { answer }) if answer.id == id => return answer.answer,
                // An answer to a question that was withdrawn.
                Ok(_) => {}
                Err(_) => return Answer::Cancel,
            }
        }
        Answer::Cancel
    }

    fn tell(&mut self, progress: Progress) {
        self.send(serde_json::json!({ "progress": progress }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{Reason, Refusal, Secret};

    #[test]
    fn answers_have_one_shape_each_on_the_wire() {
        let text = |answer| {
            serde_json::to_string(&ReplyLine {
                answer: Reply { id: 7, answer },
            })
            .unwrap()
        };
        assert_eq!(
            text(Answer::Pin(Secret::new("1234".into()))),
            r#"{"answer":{"id":7,"pin":"1234"}}"#
        );
        assert_eq!(
            text(Answer::Refuse(Refusal {
                reason: Reason::NotMe,
                text: None
            })),
            r#"{"answer":{"id":7,"refuse":{"reason":"not-me"}}}"#
        );
        for answer in [Answer::GoOn, Answer::Later, Answer::Cancel] {
            let line = text(answer);
            assert!(serde_json::from_str::<ReplyLine>(&line).is_ok(), "{line}");
        }
    }
}
