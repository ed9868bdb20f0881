//! Receives a request's body: as much of it as is needed.

use super::memory::Place;
use crate::receipts::refusal::Refusal;
use crate::receipts::settings::Settings;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use leasehold_daemon::http::body_refusal;

/// The longest key or value in which the model's name is looked for.
const NAME: usize = 1 << 10;

/// Receives a body. Refuses it as soon as it names a model that the node does not offer, or is too large.
pub(super) async fn receive(
    headers: &HeaderMap,
    body: Body,
    place: &mut Place,
    settings: &Settings,
    limit: usize,
) -> Result<Bytes, Refusal> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > limit) {
        return Err(too_large(limit));
    }
    let (mut pieces, mut whole, mut name) = (body.into_data_stream(), Vec::new(), ModelName::default());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| match body_refusal(&error) {
            Some(refused) => Refusal::Request(refused.status(), refused.to_string()),
            None => Refusal::malformed("the request broke off"),
        })?;
        if whole.len().saturating_add(piece.len()) > limit {
            return Err(too_large(limit));
        }
        place.grow(piece.len())?;
        whole.extend_from_slice(&piece);
        if let Some(name) = name.find(&piece)
            && settings.model(Some(&name)).is_none()
        {
            return Err(Refusal::NotFound("this node does not offer the model"));
        }
    }
    Ok(whole.into())
}

fn too_large(limit: usize) -> Refusal {
    Refusal::Request(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has {limit} bytes at most"))
}

/// Finds the model's name in a request before all of it has arrived. What it finds in something that is not JSON does not
/// matter: that is refused in the end.
#[derive(Debug, Default)]
struct ModelName {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// True if a string here is a key.
    at_key: bool,
    /// True if the value here is the model's.
    is_model: bool,
    text: Vec<u8>,
}

impl ModelName {
    /// The name, if it ends in these bytes.
    fn find(&mut self, bytes: &[u8]) -> Option<String> {
        bytes.iter().find_map(|byte| self.next(*byte))
    }

    fn next(&mut self, byte: u8) -> Option<String> {
        if self.in_string {
            return self.in_string(byte);
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.text.clear();
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.at_key = self.depth == 1;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' if self.depth == 1 => (self.at_key, self.is_model) = (true, false),
            _ => {}
        }
        None
    }

    fn in_string(&mut self, byte: u8) -> Option<String> {
        let ends = byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\' && !self.escaped;
        if !ends {
            if self.depth == 1 && self.text.len() < NAME {
                self.text.push(byte);
            }
            return None;
        }
        self.in_string = false;
        if self.depth != 1 {
            return None;
        }
        let text = [b"\"", self.text.as_slice(), b"\""].concat();
        let text = serde_json::from_slice::<String>(&text).ok();
        if self.at_key {
            self.at_key = false;
            self.is_model = text.as_deref() == Some("model");
            return None;
        }
        text.filter(|_| self.is_model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_name_is_found_before_the_end() {
        let found = |text: &str| ModelName::default().find(text.as_bytes());
        for text in [
            r#"{"model":"a\"b","#,
            r#"{ "m\u006fdel" : "a\"b" "#,
            r#"{"messages":[{"model":"x","a":[1,{"model":"y"}]},"model"],"k":"model","model":"a\"b""#,
        ] {
            assert_eq!(found(text).as_deref(), Some("a\"b"), "{text}");
            let mut name = ModelName::default();
            assert_eq!(text.bytes().find_map(|byte| name.find(&[byte])).as_deref(), Some("a\"b"));
        }
        for text in [
            "",
            "{",
            r#"{"model":"#,
            r#"{"model":["a"],"b":"c"}"#,
            r#"{"model":1,"a":"b"}"#,
            r#"["model","a"]"#,
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
