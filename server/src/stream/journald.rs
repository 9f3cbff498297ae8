//! systemd's journal, by its own socket and protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram for each entry, fields by name.

use tokio::net::UnixDatagram;

use super::Message;

const SOCKET: &str = "/run/systemd/journal/socket";

pub(super) struct Journald {
    path: String,
    socket: Option<UnixDatagram>,
}

impl Journald {
    pub(super) fn new(address: &str) -> Self {
        Self {
            path: address.strip_prefix("unix:").unwrap_or(SOCKET).to_owned(),
            socket: None,
        }
    }

    pub(super) async fn deliver(&mut self, messages: &[Message]) -> Result<(), String> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound().map_err(|error| error.to_string())?;
                socket
                    .connect(&self.path)
                    .map_err(|error| format!("{}: {error}", self.path))?;
                socket
            }
        };
        for message in messages {
            socket
                .send(datagram(message).as_bytes())
                .await
                .map_err(|error| format!("{}: {error}", self.path))?;
        }
        self.socket = Some(socket);
        Ok(())
    }
}

/// No value holds a line feed: types are ASCII words, JSON escapes.
fn datagram(message: &Message) -> String {
    format!(
        "MESSAGE={} {}\nPRIORITY={}\nSYSLOG_FACILITY=10\nSYSLOG_IDENTIFIER=sceau-server\nSCEAU_INDEX={}\nSCEAU_TYPE={}\nSCEAU_ENTRY={}\n",
        message.kind,
        message.index,
        message.severity.number(),
        message.index,
        message.kind,
        message.body
    )
}
