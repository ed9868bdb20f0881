//! Reads HTTP requests for servers that answer as a test wants.

use std::io::BufRead;

/// A request's first line and its body; `None` if the client is gone.
pub fn read_request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).ok().filter(|bytes| *bytes > 0)?;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok().filter(|bytes| *bytes > 0)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((first, body))
}
