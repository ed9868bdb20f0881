//! Splits a byte stream into server-sent events.

/// Longest event in bytes; a longer one passes unparsed.
const EVENT_LIMIT: usize = 4 << 20;

/// Bytes that are not a whole event yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    /// Bytes of the buffer that are known to hold no end of an event.
    searched: usize,
}

impl Events {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event, with the empty line that ends it.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let end = match event_end(&self.buffer, self.searched) {
            Some(end) => end,
            None if self.buffer.len() > EVENT_LIMIT => self.buffer.len(),
            None => {
                // The end may begin within the last three bytes.
                self.searched = self.buffer.len().saturating_sub(3);
                return None;
            }
        };
        self.searched = 0;
        let rest = self.buffer.split_off(end);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// The remaining bytes, at the end of the stream.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }
}

/// Lines end with LF or CR LF. (A lone CR is allowed too, and no server sends it.)
fn event_end(bytes: &[u8], from: usize) -> Option<usize> {
    let ends = |at: usize| match bytes.get(at..)? {
        [b'\n', b'\n', ..] => Some(at + 2),
        [b'\n', b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    };
    (from..bytes.len()).find_map(ends)
}

/// The data of an event, its lines joined.
pub(super) fn data(event: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(event).ok()?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let lines: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_bytes_arrive() {
        let stream = b"data: {\"a\":1}\n\n: note\n\ndata: x\r\ndata: y\r\n\r\ndata: [DONE]\n\nrest";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for bytes in stream.chunks(size) {
                events.push(bytes);
                found.extend(std::iter::from_fn(|| events.next()));
            }
            let datas: Vec<_> = found.iter().map(|event| data(event)).collect();
            let expected = [Some("{\"a\":1}".into()), None, Some("x\ny".into()), Some("[DONE]".into())];
            assert_eq!(datas, expected, "in pieces of {size}");
            assert_eq!(events.rest(), b"rest");
            assert_eq!([found.concat(), b"rest".to_vec()].concat(), stream);
        }
    }
}
