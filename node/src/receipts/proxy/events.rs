//! Splits a byte stream into server-sent events (WHATWG HTML, section 9.2).

/// Longest event in bytes; a longer one passes in pieces, unparsed.
const EVENT_LIMIT: usize = 1 << 20;

/// Bytes that are not a whole event yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    /// Bytes of the buffer that are known to hold no end of an event.
    searched: usize,
    /// True if a part of the event has passed already.
    is_long: bool,
}

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole event, with the empty line that ends it.
    Event(Vec<u8>),
    /// A part of an event that is too long.
    Part(Vec<u8>),
}

impl Events {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event, or a part of one that is too long.
    pub(super) fn next(&mut self) -> Option<Piece> {
        let end = match event_end(&self.buffer, self.searched) {
            Some(end) => end,
            None if self.buffer.len() > EVENT_LIMIT => {
                self.is_long = true;
                return Some(Piece::Part(self.rest()));
            }
            None => {
                // The end may begin within the last three bytes.
                self.searched = self.buffer.len().saturating_sub(3);
                return None;
            }
        };
        self.searched = 0;
        let rest = self.buffer.split_off(end);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        Some(if std::mem::take(&mut self.is_long) { Piece::Part(bytes) } else { Piece::Event(bytes) })
    }

    /// The remaining bytes, at the end of the stream.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.searched = 0;
        std::mem::take(&mut self.buffer)
    }
}

/// End of the first empty line. Lines end with CR LF, LF or CR; after a CR at the end an LF may follow.
fn event_end(bytes: &[u8], from: usize) -> Option<usize> {
    let line_end = |at: usize| match bytes.get(at..)? {
        [b'\r', b'\n', ..] => Some(at.saturating_add(2)),
        [b'\n', ..] | [b'\r', _, ..] => Some(at.saturating_add(1)),
        _ => None,
    };
    // Only at the end of a line: the LF of a CR LF is none by itself.
    let begins = |at: &usize| {
        !(bytes.get(*at) == Some(&b'\n') && at.checked_sub(1).and_then(|at| bytes.get(at)) == Some(&b'\r'))
    };
    (from..bytes.len()).filter(begins).find_map(|at| line_end(line_end(at)?))
}

/// The data of an event, its lines joined; `None` if it has none, or is no text.
pub(super) fn data(event: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(event).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let lines: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datas(stream: &[u8], size: usize) -> (Vec<Option<String>>, Vec<u8>, Vec<u8>) {
        let mut events = Events::default();
        let mut found = Vec::new();
        for bytes in stream.chunks(size) {
            events.push(bytes);
            while let Some(Piece::Event(event)) = events.next() {
                found.push(event);
            }
        }
        let datas = found.iter().map(|event| data(event)).collect();
        (datas, found.concat(), events.rest())
    }

    #[test]
    fn events_are_found_however_the_bytes_arrive_and_lines_end() {
        for line_end in ["\n", "\r\n", "\r"] {
            let stream = "data: {\"a\":1}\n\n: note\n\nevent: x\ndata: x\ndata:y\n\ndata: [DONE]\n\nrest";
            let stream = stream.replace('\n', line_end);
            for size in 1..stream.len() {
                let (datas, passed, rest) = datas(stream.as_bytes(), size);
                let expected = [Some("{\"a\":1}".into()), None, Some("x\ny".into()), Some("[DONE]".into())];
                assert_eq!(datas, expected, "in pieces of {size} with {line_end:?}");
                assert_eq!([passed, rest].concat(), stream.as_bytes());
            }
        }
    }

    #[test]
    fn an_event_that_is_too_long_passes_in_parts() {
        let mut events = Events::default();
        events.push(&vec![b'x'; EVENT_LIMIT]);
        assert_eq!(events.next(), None);
        events.push(b"xx");
        assert_eq!(events.next(), Some(Piece::Part(vec![b'x'; EVENT_LIMIT + 2])));
        events.push(b"\n\ndata: 1\n\n");
        assert_eq!(events.next(), Some(Piece::Part(b"\n\n".to_vec())));
        assert_eq!(events.next(), Some(Piece::Event(b"data: 1\n\n".to_vec())));
    }
}
