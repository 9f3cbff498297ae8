//! The event-stream format (WHATWG HTML §9.2.6), as far as the inbox uses it: `event` and `data` fields. Pure and bounded; nothing in an
//! event is trusted.

/// The longest line, and the most data of one event: an action document is at most 64 KiB.
pub const MAX_EVENT: usize = 192 * 1024;

/// A stream that does not end its lines or events within the bounds, or is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A line or an event is longer than [`MAX_EVENT`].
    #[error("an event of the inbox is too long")]
    TooLong,
    /// Not UTF-8.
    #[error("the inbox is not UTF-8")]
    NotText,
}

/// One event, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event` field, `message` when there was none.
    pub name: String,
    /// The `data` fields, joined by line feeds.
    pub data: String,
}

/// Cuts a byte stream into events.
#[derive(Default)]
pub struct Parser {
    line: Vec<u8>,
    after_return: bool,
    name: String,
    data: Option<String>,
}

impl Parser {
    /// Takes the next bytes, however they are cut, and returns the events that they complete. After an error the stream is of no use.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, StreamError> {
        let mut events = Vec::new();
        for &byte in bytes {
            // Lines end in CR LF, LF or CR.
            let line_feed_of_pair = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                _ if line_feed_of_pair => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_line(&line)?);
                }
                _ if self.line.len() >= MAX_EVENT => return Err(StreamError::TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<Option<Event>, StreamError> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let name = if name.is_empty() {
                "message".to_owned()
            } else {
                name
            };
            return Ok(self.data.take().map(|data| Event { name, data }));
        }
        let text = std::str::from_utf8(line).map_err(|_| StreamError::NotText)?;
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => {
                if self.data.as_ref().map_or(0, String::len) + value.len() > MAX_EVENT {
                    return Err(StreamError::TooLong);
                }
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                }
            }
            // Comments (empty field), id, retry: not ours.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event {
            name: name.into(),
            data: data.into(),
        }
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let stream = ": hello\r\nevent: action\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent:settled\ndata:é\n\nid: 3\n\ndata\n\nevent: x\r\r";
        let expected = vec![
            event("action", "{\"a\":\n1}"),
            event("settled", "é"),
            event("message", ""),
        ];
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let events: Vec<Event> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| parser.push(chunk).unwrap())
                .collect();
            assert_eq!(events, expected, "cut every {size} bytes");
        }
    }

    #[test]
    fn endless_line_and_endless_event_are_refused() {
        assert_eq!(
            Parser::default().push(&vec![b'a'; MAX_EVENT + 1]),
            Err(StreamError::TooLong)
        );
        let line = format!("data: {}\n", "a".repeat(1000));
        let mut parser = Parser::default();
        assert!((0..1000).any(|_| parser.push(line.as_bytes()) == Err(StreamError::TooLong)));
        assert_eq!(
            Parser::default().push(b"data: \xff\n"),
            Err(StreamError::NotText)
        );
    }
}
