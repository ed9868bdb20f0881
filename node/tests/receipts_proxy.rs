//! The proxy in front of a real server with OpenAI's API.

mod support;

use futures::StreamExt;
use leasehold_client::record::{SignedReceipt, salted};
use leasehold_node::receipts::{RunningLease, Settings};
use serde_json::{Value, json};
use std::time::Duration;
use support::answers::{client_text, receipt_in, split};
use support::upstream::{Upstream, WORDS};
use support::*;

struct Proxied {
    _folder: tempfile::TempDir,
    upstream: Upstream,
    service: Service,
}

impl Proxied {
    async fn start(lease: RunningLease) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start().await;
        let proxy = Some(proxy_settings(upstream.address));
        let settings = Settings { proxy, exposure_limit: 40, ..settings(folder.path()) };
        let service = Service::start(settings, &[(0, lease)]).await;
        Self { _folder: folder, upstream, service }
    }

    fn chat(&self, asked: &Value) -> reqwest::RequestBuilder {
        self.service.http.post(self.service.public("/v1/chat/completions")).json(asked)
    }

    /// Waits for the receipt of an answer that nobody waits for.
    async fn receipts(&self, count: u64) -> u64 {
        for _ in 0..200 {
            let tab = self.service.receipts.store().tab(&key(0), 1).await.unwrap();
            if let Some(tab) = tab.filter(|tab| tab.seq == count) {
                return tab.price;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("there are not {count} receipts");
    }
}

fn asked(stream: bool) -> Value {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    json!({"model": "tiny", "stream": stream, "temperature": 0.1, "messages": messages})
}

#[tokio::test]
async fn an_answer_has_its_receipt_in_the_headers() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let body = asked(false).to_string();
    let request = proxied.service.http.post(proxied.service.public("/v1/chat/completions?a=b"));
    let request = request.header("authorization", "Bearer key").header("content-type", "application/json");
    let response = request.header("x-pace", "30").body(body.clone()).send().await.unwrap();
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

    let (path, headers, seen) = proxied.upstream.last();
    assert_eq!((path.as_str(), seen.as_ref()), ("/v1/chat/completions?a=b", body.as_bytes()));
    assert_eq!(headers["authorization"], "Bearer key");
    assert_eq!(headers["host"], proxied.upstream.address.to_string());
    // Salts are never used twice.
    let again = proxied.chat(&asked(false)).send().await.unwrap();
    assert_ne!(again.headers()["leasehold-salt"], hex::encode(salt));
}

#[tokio::test]
async fn a_stream_has_its_receipt_before_its_end() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let body = asked(true).to_string();
    let request = proxied.service.http.post(proxied.service.public("/v1/chat/completions"));
    let request = request.header("content-type", "application/json").body(body.clone());
    let stream = request.send().await.unwrap().text().await.unwrap();
    let (signed, salt, before, rest) = split(&stream);
    assert_eq!(rest, ": leasehold-counted usage\n\ndata: [DONE]\n\n");
    assert_eq!(signed.receipt.request, salted(&salt, body.as_bytes()));
    assert_eq!(signed.receipt.response, salted(&salt, before.as_bytes()));
    assert_eq!((signed.receipt.tokens_in, signed.receipt.tokens_out, signed.receipt.price), (11, 6, 23));
    assert_eq!(client_text(&stream), WORDS.concat());
    // The server was asked for the usage; the client was not bothered with it.
    let sent: Value = serde_json::from_slice(&proxied.upstream.last().2).unwrap();
    let mut expected = asked(true);
    expected["stream_options"] = json!({"include_usage": true});
    assert_eq!(sent, expected);
    assert!(!stream.contains("usage\":"), "{stream}");
}

#[tokio::test]
async fn a_client_that_asks_for_the_usage_gets_it() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
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
    let stream =
        proxied.chat(&asked(true)).header("x-usage", "none").send().await.unwrap().text().await.unwrap();
    let (signed, _, _, rest) = split(&stream);
    assert!(rest.starts_with(": leasehold-counted estimate\n\n"));
    let request = asked(true).to_string().len().div_ceil(4) as u32;
    assert_eq!((signed.receipt.tokens_in, signed.receipt.tokens_out), (request, WORDS.len() as u32));

    let voucher = signed_voucher(&metered(1, 1_000), 500);
    proxied.service.receipts.store().put_voucher(voucher).await.unwrap();
    let response = proxied.chat(&asked(false)).header("x-usage", "none").send().await.unwrap();
    assert_eq!(response.headers()["leasehold-counted"], "estimate");
    let signed = receipt_in(&response);
    assert_eq!(signed.receipt.tokens_out, WORDS.concat().len().div_ceil(4) as u32);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_signed_for_as_far_as_it_went() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let bare = proxied.chat(&asked(true)).header("x-end", "bare").send().await.unwrap().text().await.unwrap();
    let (signed, salt, before, rest) = split(&bare);
    assert_eq!(signed.receipt.response, salted(&salt, before.as_bytes()));
    assert_eq!(rest, ": leasehold-counted usage\n\n");

    let voucher = signed_voucher(&metered(1, 1_000), 500);
    proxied.service.receipts.store().put_voucher(voucher).await.unwrap();
    let mut cut = proxied.chat(&asked(true)).header("x-end", "cut").send().await.unwrap().bytes_stream();
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
async fn a_client_that_hangs_up_before_the_receipt_still_owes() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let response = proxied.chat(&asked(true)).header("x-pace", "100").send().await.unwrap();
    let mut stream = response.bytes_stream();
    for _ in 0..3 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    let price = proxied.receipts(1).await;
    let tokens_in = asked(true).to_string().len().div_ceil(4) as u64;
    let tokens_out = (price - tokens_in) / 2;
    assert!((1..=3).contains(&tokens_out), "{tokens_out}");
}

#[tokio::test]
async fn embeddings_are_counted_too() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let body = json!({"model": "tiny", "input": "Hi"});
    let request = proxied.service.http.post(proxied.service.public("/v1/embeddings")).json(&body);
    let response = request.send().await.unwrap();
    let signed = receipt_in(&response);
    assert_eq!((signed.receipt.tokens_in, signed.receipt.tokens_out, signed.receipt.price), (9, 0, 9));
}

#[tokio::test]
async fn everything_else_passes_untouched() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let request = proxied.service.http.put(proxied.service.public("/v1/echo?x=%20y")).header("x-own", "1");
    let response = request.body("anything").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-upstream"]),
        (418, &"yes".parse().unwrap())
    );
    assert!(!response.headers().contains_key("leasehold-receipt"));
    assert_eq!(response.text().await.unwrap(), "anything");
    let (path, headers, _) = proxied.upstream.last();
    assert_eq!((path.as_str(), &headers["x-own"]), ("/v1/echo?x=%20y", &"1".parse().unwrap()));
    // Also what the inference server refuses.
    let response = proxied.chat(&asked(false)).header("x-key", "wrong").send().await.unwrap();
    assert!(!response.headers().contains_key("leasehold-receipt"));
    assert_eq!(read(response).await, (401, json!({"error": {"message": "wrong key"}})));
    assert!(proxied.service.receipts.store().tab(&key(0), 1).await.unwrap().is_none());
}

#[tokio::test]
async fn nothing_is_served_beyond_the_exposure_limit() {
    let lease = metered(1, 60);
    let proxied = Proxied::start(lease.clone()).await;
    let status = async || proxied.chat(&asked(false)).send().await.unwrap().status().as_u16();
    // Each costs 23, of 40 without a voucher: what is begun within the limit may end beyond it.
    assert_eq!((status().await, status().await), (200, 200));
    let (refused, answer) = read(proxied.chat(&asked(true)).send().await.unwrap()).await;
    assert_eq!((refused, &answer["error"]["type"]), (402, &json!("insufficient_quota")));
    assert!(answer["error"]["message"].as_str().unwrap().contains("send a voucher"), "{answer}");
    assert_eq!(proxied.upstream.count(), 2);

    proxied.service.receipts.store().put_voucher(signed_voucher(&lease, 46)).await.unwrap();
    assert_eq!(status().await, 200);
    // The deposit is used up.
    proxied.service.receipts.store().put_voucher(signed_voucher(&lease, 69)).await.unwrap();
    assert_eq!(status().await, 402);
}

#[tokio::test]
async fn many_requests_at_once_exceed_the_limit_by_one_answer_at_most() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let requests = (0..20).map(|_| proxied.chat(&asked(false)).header("x-pace", "200").send());
    let statuses = futures::future::join_all(requests).await.into_iter().map(|sent| sent.unwrap().status());
    assert_eq!(statuses.filter(|status| *status == 200).count(), 1);
    assert_eq!(proxied.receipts(1).await, 23);
    // What was held for it is free again.
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn nothing_is_served_without_a_lease() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.service.feed.set_leases(of(&[]));
    let (status, answer) = read(proxied.chat(&asked(false)).send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("no_lease")));
    assert_eq!(proxied.upstream.count(), 0);
    // What is free of charge stays within reach.
    let echo = proxied.service.http.get(proxied.service.public("/v1/echo")).send().await.unwrap();
    assert_eq!(echo.status(), 418);
}

#[tokio::test]
async fn a_lease_by_the_hour_pays_nothing_more() {
    let proxied = Proxied::start(lease(1)).await;
    for _ in 0..5 {
        let response = proxied.chat(&asked(false)).send().await.unwrap();
        let signed = receipt_in(&response);
        assert_eq!((signed.receipt.price, signed.receipt.tokens_out), (0, 6));
    }
}

#[tokio::test]
async fn mistakes_have_the_form_that_clients_know() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let mut unknown = asked(false);
    unknown["model"] = "huge".into();
    let (status, answer) = read(proxied.chat(&unknown).send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")));
    let request = proxied.service.http.post(proxied.service.public("/v1/chat/completions")).body("{");
    let (status, answer) = read(request.send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["type"]), (400, &json!("invalid_request_error")));
    assert_eq!(proxied.upstream.count(), 0);

    // A port that nobody listens on.
    let folder = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = Settings { proxy: Some(proxy_settings(nobody)), ..settings(folder.path()) };
    let service = Service::start(settings, &[(0, lease(1))]).await;
    let (status, answer) = service.post(&service.url("/v1/chat/completions"), &asked(false)).await;
    assert_eq!((status, &answer["error"]["type"]), (502, &json!("server_error")));
    assert!(!answer.to_string().contains(&nobody.to_string()), "{answer}");
}
