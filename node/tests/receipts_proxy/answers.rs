//! Answers and their receipts, and the exposure limit.

use super::*;
use std::time::Duration;

#[tokio::test]
async fn an_answer_has_its_receipt_in_the_headers() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let body = asked(false).to_string();
    proxied.upstream.play(Script { pace: Duration::from_millis(30), ..Script::default() });
    let request = proxied.post("/v1/chat/completions?a=b").header("content-type", "application/json");
    let response = request.body(body.clone()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let signed = SignedReceipt::from_base64(&header("leasehold-receipt")).unwrap();
    signed.verify().unwrap();
    assert_eq!(header("leasehold-id"), hex::encode(signed.id()));
    assert_eq!(header("leasehold-counted"), "usage");
    let mut salt = [0; 32];
    hex::decode_to_slice(header("leasehold-salt"), &mut salt).unwrap();

    let answer = response.bytes().await.unwrap();
    let receipt = signed.receipt;
    assert_eq!(receipt.request, salted(&salt, body.as_bytes()));
    assert_eq!(receipt.response, salted(&salt, &answer));
    assert_eq!((receipt.tokens_in, receipt.tokens_out, receipt.price), (11, 6, 23));
    assert_eq!(receipt.model, MODEL);
    // Eight GPUs for at least 30 milliseconds.
    assert!((240..80_000).contains(&receipt.units), "{}", receipt.units);
    assert!(receipt.end_ms - receipt.start_ms >= 29);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], WORDS.concat());

    let (_, path, headers, seen) = proxied.upstream.last();
    assert_eq!((path.as_str(), seen.as_ref()), ("/v1/chat/completions", body.as_bytes()));
    assert_eq!(headers["host"], proxied.upstream.address.to_string());
    // Salts are never used twice.
    proxied.pay(&metered(1, 1_000), 23).await;
    let again = proxied.chat(&asked(false)).send().await.unwrap();
    assert_ne!(again.headers()["leasehold-salt"], hex::encode(salt));
}

#[tokio::test]
async fn a_stream_has_its_receipt_before_its_end() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let body = asked(true).to_string();
    let request = proxied.post("/v1/chat/completions").header("content-type", "application/json");
    let request = request.body(body.clone());
    let stream = request.send().await.unwrap().text().await.unwrap();
    let (signed, salt, before, rest) = split(&stream);
    assert_eq!(rest, ": leasehold-counted usage\n\ndata: [DONE]\n\n");
    assert_eq!(signed.receipt.request, salted(&salt, body.as_bytes()));
    assert_eq!(signed.receipt.response, salted(&salt, before.as_bytes()));
    assert_eq!((signed.receipt.tokens_in, signed.receipt.tokens_out, signed.receipt.price), (11, 6, 23));
    assert_eq!(client_text(&stream), WORDS.concat());
    // The server was asked for the usage; the client was not bothered with it.
    let sent: Value = serde_json::from_slice(&proxied.upstream.last().3).unwrap();
    let mut expected = asked(true);
    expected["stream_options"] = json!({"include_usage": true});
    assert_eq!(sent, expected);
    assert!(!stream.contains("usage\":"), "{stream}");
}

#[tokio::test]
async fn a_client_that_asks_for_the_usage_gets_it() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.pay(&metered(1, 1_000), 500).await;
    let mut asked = asked(true);
    asked["stream_options"] = json!({"include_usage": true});
    let stream = proxied.chat(&asked).send().await.unwrap().text().await.unwrap();
    let (signed, _, before, _) = split(&stream);
    assert!(before.contains("\"completion_tokens\":6"));
    assert_eq!(signed.receipt.tokens_out, 6);
}

#[tokio::test]
async fn without_usage_tokens_are_estimated_and_that_is_said() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.upstream.play(Script { usage: None, ..Script::default() });
    let stream = proxied.chat(&asked(true)).send().await.unwrap().text().await.unwrap();
    let (signed, _, _, rest) = split(&stream);
    assert!(rest.starts_with(": leasehold-counted estimate\n\n"));
    let request = asked(true).to_string().len().div_ceil(4) as u32;
    assert_eq!((signed.receipt.tokens_in, signed.receipt.tokens_out), (request, WORDS.len() as u32));

    proxied.pay(&metered(1, 1_000), 500).await;
    let response = proxied.chat(&asked(false)).send().await.unwrap();
    assert_eq!(response.headers()["leasehold-counted"], "estimate");
    let signed = receipt_in(&response);
    assert_eq!(signed.receipt.tokens_out, WORDS.concat().len().div_ceil(4) as u32);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_signed_for_as_far_as_it_went() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.upstream.play(Script { end: End::Bare, ..Script::default() });
    let bare = proxied.chat(&asked(true)).send().await.unwrap().text().await.unwrap();
    let (signed, salt, before, rest) = split(&bare);
    assert_eq!(signed.receipt.response, salted(&salt, before.as_bytes()));
    assert_eq!(rest, ": leasehold-counted usage\n\n");

    proxied.pay(&metered(1, 1_000), 500).await;
    proxied.upstream.play(Script { end: End::Cut, ..Script::default() });
    let mut cut = proxied.chat(&asked(true)).send().await.unwrap().bytes_stream();
    let (mut stream, mut broken) = (Vec::new(), false);
    while let Some(bytes) = cut.next().await {
        match bytes {
            Ok(bytes) => stream.extend_from_slice(&bytes),
            Err(_) => broken = true,
        }
    }
    assert!(broken, "the client must see that the answer is not whole");
    let stream = String::from_utf8(stream).unwrap();
    let (signed, salt, before, _) = split(&stream);
    assert_eq!(signed.receipt.response, salted(&salt, before.as_bytes()));
}

#[tokio::test]
async fn embeddings_are_counted_too() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let body = json!({"model": "tiny", "input": "Hi"});
    let request = proxied.post("/v1/embeddings").json(&body);
    let response = request.send().await.unwrap();
    let signed = receipt_in(&response);
    assert_eq!((signed.receipt.tokens_in, signed.receipt.tokens_out, signed.receipt.price), (9, 0, 9));
}

#[tokio::test]
async fn nothing_is_served_beyond_the_exposure_limit() {
    let hold = held(&asked(false));
    assert!(hold <= LIMIT && LIMIT < hold + 22, "{hold}");
    let lease = metered(1, hold + 45);
    let proxied = Proxied::start(lease.clone()).await;
    let status = async || proxied.chat(&asked(false)).send().await.unwrap().status().as_u16();
    // Each costs 23: after one, another might exceed the rest of the limit.
    assert_eq!(status().await, 200);
    let (refused, answer) = read(proxied.chat(&asked(true)).send().await.unwrap()).await;
    assert_eq!((refused, &answer["error"]["type"]), (402, &json!("insufficient_quota")));
    assert!(answer["error"]["message"].as_str().unwrap().contains("send a voucher"), "{answer}");
    assert_eq!(proxied.upstream.count(), 1);

    proxied.pay(&lease, 23).await;
    assert_eq!(status().await, 200);
    // The rest of the deposit is one unit too small.
    proxied.pay(&lease, 46).await;
    assert_eq!(status().await, 402);
}

#[tokio::test]
async fn many_requests_at_once_stay_within_the_limit() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.upstream.play(Script { pace: Duration::from_millis(200), ..Script::default() });
    let requests = (0..20).map(|_| proxied.chat(&asked(false)).send());
    let statuses = futures::future::join_all(requests).await.into_iter().map(|sent| sent.unwrap().status());
    assert_eq!(statuses.filter(|status| *status == 200).count(), 1);
    assert_eq!(proxied.receipts(1).await, 23);
    // The amount held for it is free again.
    proxied.pay(&metered(1, 1_000), 23).await;
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 200);
}
