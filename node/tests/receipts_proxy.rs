//! The proxy in front of a real server with OpenAI's API.

mod support;

use futures::StreamExt;
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_client::record::{CallToken, SignedCall, SignedReceipt, salted};
use leasehold_node::leases::RunningLease;
use leasehold_node::receipts::Settings;
use serde_json::{Value, json};
use std::time::Duration;
use support::answers::{client_text, receipt_in, split};
use support::upstream::{Upstream, WORDS};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An exposure limit for one such answer at a time, and no other once it has cost its 23.
const LIMIT: u64 = 130;

struct Proxied {
    _folder: tempfile::TempDir,
    upstream: Upstream,
    service: Service,
    /// Of the lease that runs at the start.
    api_key: String,
}

impl Proxied {
    async fn start(lease: RunningLease) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start().await;
        let proxy = Some(proxy_settings(upstream.address));
        let api_key = api_key(&lease);
        let settings = Settings { proxy, exposure_limit: LIMIT, ..settings(folder.path()) };
        let service = Service::start(settings, &[(0, lease)]).await;
        Self { _folder: folder, upstream, service, api_key }
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.service.http.post(self.service.public(path)).bearer_auth(&self.api_key)
    }

    fn chat(&self, asked: &Value) -> reqwest::RequestBuilder {
        self.post("/v1/chat/completions").json(asked)
    }

    /// Has the buyer sign for that price.
    async fn pay(&self, lease: &RunningLease, price: u64) {
        self.service.receipts.store().put_voucher(signed_voucher(lease, price)).await.unwrap();
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
    json!({"model": "tiny", "stream": stream, "temperature": 0.1, "max_tokens": 6, "messages": messages})
}

/// Payment units held for a request: one for each byte, and two for each token of its limit.
fn held(asked: &Value) -> u64 {
    asked.to_string().len() as u64 + 2 * asked["max_tokens"].as_u64().unwrap()
}

#[tokio::test]
async fn an_answer_has_its_receipt_in_the_headers() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let body = asked(false).to_string();
    let request = proxied.post("/v1/chat/completions?a=b").header("content-type", "application/json");
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
    let sent: Value = serde_json::from_slice(&proxied.upstream.last().2).unwrap();
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
    let stream =
        proxied.chat(&asked(true)).header("x-usage", "none").send().await.unwrap().text().await.unwrap();
    let (signed, _, _, rest) = split(&stream);
    assert!(rest.starts_with(": leasehold-counted estimate\n\n"));
    let request = asked(true).to_string().len().div_ceil(4) as u32;
    assert_eq!((signed.receipt.tokens_in, signed.receipt.tokens_out), (request, WORDS.len() as u32));

    proxied.pay(&metered(1, 1_000), 500).await;
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

    proxied.pay(&metered(1, 1_000), 500).await;
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
    let request = proxied.post("/v1/embeddings").json(&body);
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
    // Requests that the inference server refuses, too.
    let response = proxied.chat(&asked(false)).header("x-key", "wrong").send().await.unwrap();
    assert!(!response.headers().contains_key("leasehold-receipt"));
    assert_eq!(read(response).await, (401, json!({"error": {"message": "wrong key"}})));
    assert!(proxied.service.receipts.store().tab(&key(0), 1).await.unwrap().is_none());
}

#[tokio::test]
async fn an_answer_whose_client_hangs_up_is_billed_all_the_same() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let sent = proxied.chat(&asked(false)).header("x-pace", "900").timeout(Duration::from_millis(300));
    assert!(sent.send().await.unwrap_err().is_timeout());
    assert_eq!(proxied.receipts(1).await, 23);
}

#[tokio::test]
async fn a_stream_far_beyond_its_limit_is_cut() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let response = proxied.chat(&asked(true)).header("x-times", "20").send().await.unwrap();
    let (mut chunks, mut stream, mut broken) = (response.bytes_stream(), Vec::new(), false);
    while let Some(bytes) = chunks.next().await {
        match bytes {
            Ok(bytes) => stream.extend_from_slice(&bytes),
            Err(_) => broken = true,
        }
    }
    let stream = String::from_utf8(stream).unwrap();
    assert!(broken && !stream.contains("[DONE]"), "{stream}");
    // Twice its six and some, of eighty.
    assert_eq!(split(&stream).0.receipt.tokens_out, 29);
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
    let requests = (0..20).map(|_| proxied.chat(&asked(false)).header("x-pace", "200").send());
    let statuses = futures::future::join_all(requests).await.into_iter().map(|sent| sent.unwrap().status());
    assert_eq!(statuses.filter(|status| *status == 200).count(), 1);
    assert_eq!(proxied.receipts(1).await, 23);
    // The amount held for it is free again.
    proxied.pay(&metered(1, 1_000), 23).await;
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_a_request_may_cost_is_not_its_callers_to_choose() {
    let lease = metered(1, 100_000);
    let proxied = Proxied::start(lease.clone()).await;
    let changed = |name: &str, value: Value| {
        let mut asked = asked(false);
        asked[name] = value;
        asked
    };
    let unlimited = changed("max_tokens", Value::Null);
    let dear = [
        changed("max_tokens", 60.into()),
        changed("max_completion_tokens", 60.into()),
        changed("n", 10.into()),
        changed("best_of", 10.into()),
        changed("prompt", json!(["a", "b", "c", "d", "e"])),
        unlimited.clone(),
    ];
    for asked in dear {
        assert_eq!(proxied.chat(&asked).send().await.unwrap().status(), 402, "{asked}");
    }
    for limit in [json!(-1), json!(0), json!("6")] {
        let (status, answer) = read(proxied.chat(&changed("max_tokens", limit)).send().await.unwrap()).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("malformed")));
    }
    assert_eq!(proxied.upstream.count(), 0);

    // A buyer that signs ahead may use more; the inference server gets the limit.
    proxied.pay(&lease, 5_000).await;
    assert_eq!(proxied.chat(&unlimited).send().await.unwrap().status(), 200);
    assert_eq!(proxied.upstream.last().2, changed("max_tokens", 1_024.into()).to_string());
    // Of two fields with one name it gets the one that was read.
    let twice = asked(false).to_string().replace("\"max_tokens\"", "\"max_tokens\":90000,\"max_tokens\"");
    assert_eq!(proxied.post("/v1/chat/completions").body(twice).send().await.unwrap().status(), 200);
    assert_eq!(proxied.upstream.last().2, asked(false).to_string());
}

#[tokio::test]
async fn only_the_spender_of_a_metered_lease_is_answered() {
    let lease = metered(1, 1_000);
    let proxied = Proxied::start(lease.clone()).await;
    let chat = |key: &str| {
        let request = proxied.service.http.post(proxied.service.public("/v1/chat/completions"));
        let request = request.json(&asked(false));
        if key.is_empty() { request } else { request.bearer_auth(key) }
    };
    let good = call_token(&lease);
    let by = |key: &SigningKey, token| SignedCall::sign(key, token).encode();
    let signed = |token| by(&spender(), token);
    let refused = [
        (String::new(), "call token"),
        ("sk-123".to_owned(), "call token"),
        ("leasehold:!".to_owned(), "is malformed"),
        (signed(CallToken { lease: Pubkey::new_from_array([8; 32]), ..good }), "another lease"),
        (signed(CallToken { from: lease.from - 1, ..good }), "another lease"),
        (signed(CallToken { expiry: now_ms() / 1_000, ..good }), "expired"),
        (by(&SigningKey::from_bytes(&[12; 32]), good), "not signed"),
        (by(&machine(0).key, good), "not signed"),
    ];
    for (key, sentence) in refused {
        let response = chat(&key).send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (status, answer) = read(response).await;
        assert_eq!((status, &answer["error"]["code"]), (401, &json!("invalid_api_key")), "{key}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(sentence), "{answer}");
    }
    // A path that a URL spells otherwise is no way around it.
    let mut raw =
        tokio::net::TcpStream::connect(proxied.service.receipts.public_addr().unwrap()).await.unwrap();
    let request =
        b"POST /v1/chat\\completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    raw.write_all(request).await.unwrap();
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(proxied.upstream.count(), 0);

    // The inference server does not see the token, on no path.
    assert_eq!(chat(&signed(good)).send().await.unwrap().status(), 200);
    assert!(!proxied.upstream.last().1.contains_key("authorization"));
    proxied.post("/v1/echo").send().await.unwrap();
    assert!(!proxied.upstream.last().1.contains_key("authorization"));
}

#[tokio::test]
async fn nothing_is_served_without_a_lease() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.service.feed.set_leases(of(&[]));
    let (status, answer) = read(proxied.chat(&asked(false)).send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("no_lease")));
    assert_eq!(proxied.upstream.count(), 0);
    // Requests that are free of charge are still served.
    let echo = proxied.service.http.get(proxied.service.public("/v1/echo")).send().await.unwrap();
    assert_eq!(echo.status(), 418);
}

#[tokio::test]
async fn a_lease_by_the_hour_pays_nothing_more() {
    let proxied = Proxied::start(lease(1)).await;
    // It needs no token, and names no limit but its own.
    let mut unlimited = asked(false);
    unlimited.as_object_mut().unwrap().remove("max_tokens");
    let request = proxied.service.http.post(proxied.service.public("/v1/chat/completions")).json(&unlimited);
    assert_eq!(request.bearer_auth("key").send().await.unwrap().status(), 200);
    let (_, headers, seen) = proxied.upstream.last();
    assert_eq!(
        (headers["authorization"].as_bytes(), seen),
        ("Bearer key".as_bytes(), unlimited.to_string().into())
    );
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
    let request = proxied.post("/v1/chat/completions").body("{");
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

#[tokio::test]
async fn a_paused_tenant_is_refused_until_its_machine_is_up_again() {
    let lease = lease(1);
    let proxied = Proxied::start(lease.clone()).await;
    let paused = RunningLease { paused: true, ..lease.clone() };
    // An answer under way goes on, and gets its receipt.
    let under_way = proxied.chat(&asked(true)).header("x-pace", "50").send().await.unwrap();
    proxied.service.feed.set_leases(of(&[(0, paused)]));

    let seen = proxied.upstream.count();
    for request in
        [proxied.chat(&asked(false)), proxied.service.http.get(proxied.service.public("/v1/models"))]
    {
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], ROUND_SECS.to_string().as_str());
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["error"]["code"], "paused");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("was not up in two rounds in a row"), "{message}");
    }
    assert_eq!(proxied.upstream.count(), seen, "nothing reached the inference server");
    let (status, body) = proxied.service.get(&proxied.service.public("/v1/status")).await;
    assert_eq!((status, &body["machines"][0]["paused"]), (200, &json!(true)));
    assert_eq!(body["machines"][0]["lease"], 1);
    let stream = under_way.text().await.unwrap();
    split(&stream).0.verify().unwrap();
    assert_eq!(client_text(&stream), WORDS.concat());

    proxied.service.feed.set_leases(of(&[(0, lease)]));
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 200);
    let (_, body) = proxied.service.get(&proxied.service.public("/v1/status")).await;
    assert_eq!(body["machines"][0]["paused"], false);
}
