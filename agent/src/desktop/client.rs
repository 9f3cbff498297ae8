//! The agent's socket, as a program without a terminal uses it: one request, and what the agent says until it is done.

use std::io;
use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zeroize::Zeroizing;

use crate::prompt::Answer;
use crate::prompt::attached::{Reply, ReplyLine};
use crate::prompt::terminal::Message;

/// The longest line that the agent may send.
const MAX_LINE: u64 = 1024 * 1024;

/// One connection, for one request.
pub(super) struct Connection {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    /// What came of the next line; kept when [`Connection::next`] is given up.
    line: Vec<u8>,
}

impl Connection {
    /// Connects and asks.
    ///
    /// # Errors
    /// The system's: no agent.
    pub(super) async fn open(socket: &Path, request: &Value) -> io::Result<Self> {
        let (read, write) = UnixStream::connect(socket).await?.into_split();
        let mut connection = Self {
            read: BufReader::new(read),
            write,
            line: Vec::new(),
        };
        connection.send(request.to_string().as_bytes()).await?;
        Ok(connection)
    }

    /// The next message; `None` when the agent is gone, or cannot be understood. May be given up and asked again.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let left = MAX_LINE.saturating_sub(self.line.len() as u64);
        let mut limited = (&mut self.read).take(left);
        limited.read_until(b'\n', &mut self.line).await.ok()?;
        if self.line.last() != Some(&b'\n') {
            return None;
        }
        let line = std::mem::take(&mut self.line);
        serde_json::from_slice(&line).ok()
    }

    /// Answers the question with this number.
    pub(super) async fn answer(&mut self, id: u64, answer: Answer) -> io::Result<()> {
        let line = ReplyLine {
            answer: Reply { id, answer },
        };
        let line = Zeroizing::new(serde_json::to_vec(&line)?);
        self.send(&line).await
    }

    async fn send(&mut self, line: &[u8]) -> io::Result<()> {
        self.write.write_all(line).await?;
        self.write.write_all(b"\n").await
    }
}
