//! Parts of the proxy's answers: receipts, salts and text.

use leasehold_client::record::SignedReceipt;
use serde_json::Value;

/// The receipt in the headers.
pub fn receipt_in(response: &reqwest::Response) -> SignedReceipt {
    SignedReceipt::from_base64(response.headers()["leasehold-receipt"].to_str().unwrap()).unwrap()
}

/// Receipt and salt of a stream, and the text before and after them.
pub fn split(stream: &str) -> (SignedReceipt, [u8; 32], &str, &str) {
    let (before, rest) = stream.split_once(": leasehold-receipt ").unwrap();
    let (comment, rest) = rest.split_once('\n').unwrap();
    let (receipt, salt) = comment.split_once(' ').unwrap();
    let mut bytes = [0; 32];
    hex::decode_to_slice(salt, &mut bytes).unwrap();
    let signed = SignedReceipt::from_base64(receipt).unwrap();
    signed.verify().unwrap();
    (signed, bytes, before, rest)
}

/// The text that a client of OpenAI's API sees in a stream, which leaves comments alone and takes a choice
/// from every chunk.
pub fn client_text(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks =
        data.take_while(|data| *data != "[DONE]").map(|data| serde_json::from_str::<Value>(data).unwrap());
    chunks
        .map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned())
        .collect()
}
