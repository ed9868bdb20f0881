//! Bounds in time and memory.

use super::*;
use leasehold_node::receipts::settings::Patience;
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(600);

fn patience(settings: ProxySettings, set: impl FnOnce(&mut Patience)) -> ProxySettings {
    let mut patience = Patience { connect: LONG, head: LONG, idle: LONG, whole: LONG };
    set(&mut patience);
    ProxySettings { patience, ..settings }
}

/// A hung server's answers end, and another request has credit.
async fn ends(proxied: &Proxied, script: Script, stream: bool, says: &str) {
    proxied.upstream.play(script);
    let response = proxied.chat(&asked(stream)).send().await.unwrap();
    if stream {
        assert!(response.text().await.is_err(), "the client must see that the answer is not whole");
    } else {
        let (status, answer) = read(response).await;
        assert_eq!((status, &answer["error"]["type"]), (504, &json!("server_error")));
        assert!(answer["error"]["message"].as_str().unwrap().contains(says), "{answer}");
    }
    proxied.upstream.until_open(0).await;
    proxied.upstream.play(Script::default());
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_hung_server_does_not_lock_a_lease_out() {
    // Credit for one answer at a time.
    let with = |set: fn(&mut Patience)| {
        Proxied::with(metered(1, 1_000), LIMIT, move |settings| patience(settings, set))
    };
    let part = "{\"choices\":";
    let proxied = with(|patience| patience.head = SHORT).await;
    ends(&proxied, Script::json("").hangs(Hangs::BeforeHead), false, "has not begun").await;
    let proxied = with(|patience| patience.idle = SHORT).await;
    ends(&proxied, Script::json(part).hangs(Hangs::AfterPieces), false, "has stopped").await;
    let proxied = with(|patience| patience.whole = SHORT).await;
    ends(&proxied, Script::json(part).hangs(Hangs::AfterPieces), false, "has not ended").await;
    // A stream's request is billed, so the buyer signs.
    for set in
        [|patience: &mut Patience| patience.idle = SHORT, |patience: &mut Patience| patience.whole = SHORT]
    {
        let proxied = with(set).await;
        proxied.pay(&metered(1, 1_000), 500).await;
        ends(&proxied, Script::stream(&[": begun\n\n"]).hangs(Hangs::AfterPieces), true, "").await;
    }
}

#[tokio::test]
async fn what_was_held_for_a_caller_who_has_gone_is_free_again() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.upstream.play(Script::json("").hangs(Hangs::BeforeHead));
    let request = tokio::spawn(proxied.chat(&asked(false)).send());
    proxied.upstream.until_open(1).await;
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 402);
    request.abort();
    let price = proxied.receipts(1).await;
    proxied.pay(&metered(1, 1_000), price).await;
    proxied.upstream.play(Script::default());
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 200);
}

/// Begins a request with a body of that length, and sends a part of it.
async fn begin(proxied: &Proxied, length: usize, part: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(proxied.service.receipts.public_addr().unwrap()).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {length}\r\n\r\n",
        proxied.api_key
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // The node may have answered and closed before all of it.
    let _ = socket.write_all(part).await;
    socket
}

async fn status(mut socket: TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut bytes = [0; 1_024];
        let count = socket.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8_lossy(&head).split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn nothing_is_kept_of_a_request_that_will_be_refused() {
    let proxied = Proxied::generous(|settings| ProxySettings { request_bytes: 1 << 20, ..settings }).await;
    // Each is refused before the rest arrives.
    assert_eq!(status(begin(&proxied, 1 << 30, b"").await).await, "413");
    assert_eq!(status(begin(&proxied, 1 << 20, br#"{"stream":false,"model":"huge","#).await).await, "404");
    proxied.service.feed.set_leases(of(&[]));
    assert_eq!(status(begin(&proxied, 1 << 20, b"").await).await, "409");
    proxied.service.feed.set_leases(of(&[(0, metered(2, 1_000))]));
    assert_eq!(status(begin(&proxied, 1 << 20, b"").await).await, "401");
    assert_eq!(proxied.upstream.count(), 0);
}

#[tokio::test]
async fn unfinished_requests_take_no_more_memory_than_they_may() {
    const SOME: usize = 64 << 10;
    let proxied = Proxied::generous(|settings| ProxySettings { memory: 8 * SOME, ..settings }).await;
    let text = vec![b' '; SOME];
    // One caller has half of it.
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(begin(&proxied, 10 * SOME, &text).await);
    }
    until(async || gauge(&proxied, "body_bytes") == 4 * SOME as u64).await;
    assert_eq!(status(begin(&proxied, 10 * SOME, &text).await).await, "503");
    let chat = async || proxied.chat(&asked(false)).send().await.unwrap().status();
    assert_eq!(chat().await, 503);
    // Another caller has room.
    let other = CallToken { expiry: now_ms() / 1_000 + 99, ..call_token(&metered(1, 1)) };
    let others = proxied.service.http.post(proxied.service.public("/v1/chat/completions"));
    let others = others.bearer_auth(SignedCall::sign(&spender(), other).encode()).json(&asked(false));
    assert_eq!(others.send().await.unwrap().status(), 200);
    // What the others held is free once they are gone.
    drop(open);
    until(async || chat().await == 200).await;
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not come to be");
}

/// Of that metric of the public server.
fn gauge(proxied: &Proxied, name: &str) -> u64 {
    let (text, name) =
        (proxied.service.receipts.metrics().to_string(), format!("leasehold_node_public_http_{name} "));
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// Or a few long answers to large requests keep everybody's vouchers out.
#[tokio::test]
async fn a_request_takes_no_room_once_its_answer_has_begun() {
    let proxied = Proxied::generous(|settings| settings).await;
    proxied.upstream.play(Script::stream(&[": begun\n\n"]).hangs(Hangs::AfterPieces));
    let mut large = asked(true);
    large["messages"][0]["content"] = "x".repeat(1 << 20).into();
    let mut stream = proxied.chat(&large).send().await.unwrap().bytes_stream();
    stream.next().await.unwrap().unwrap();
    assert_eq!((gauge(&proxied, "requests_in_flight"), gauge(&proxied, "body_bytes")), (1, 0));
}

/// Some servers take models of many gigabytes.
#[tokio::test]
async fn an_upload_under_a_lease_by_the_hour_takes_no_room_once_it_has_passed() {
    let proxied = Proxied::start(lease(1)).await;
    proxied.upstream.play(Script::raw(&[], &["begun"]).hangs(Hangs::AfterPieces));
    let upload = proxied.post("/api/blobs/1").body(vec![b'x'; 4 << 20]).send().await.unwrap();
    let mut answer = upload.bytes_stream();
    answer.next().await.unwrap().unwrap();
    assert_eq!((gauge(&proxied, "requests_in_flight"), gauge(&proxied, "body_bytes")), (1, 0));
}

#[tokio::test]
async fn requests_under_way_and_answers_are_bounded() {
    let proxied =
        Proxied::generous(|settings| ProxySettings { requests: 4, answer_bytes: 1_000, ..settings }).await;
    proxied.upstream.play(Script::json("").hangs(Hangs::BeforeHead));
    let requests: Vec<_> = (0..2).map(|_| tokio::spawn(proxied.chat(&asked(false)).send())).collect();
    proxied.upstream.until_open(2).await;
    let refused = proxied.chat(&asked(false)).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    requests.iter().for_each(|request| request.abort());
    proxied.receipts(2).await;
    proxied.upstream.play(Script::json("x".repeat(1_001)));
    let (status, answer) = read(proxied.chat(&asked(false)).send().await.unwrap()).await;
    assert!(status == 502 && answer.to_string().contains("more than 1000 bytes"), "{answer}");
    // Its caller has asked for it.
    proxied.receipts(3).await;
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_a_caller_who_has_gone() {
    let proxied = Proxied::with(metered(1, 1 << 40), 1 << 39, |settings| {
        patience(settings, |patience| patience.idle = SHORT)
    })
    .await;
    let mut asked = asked(true);
    asked["max_tokens"] = 9_000_000.into();
    // More than fits into the buffers of both sockets.
    let event = support::upstream::event(&json!({"choices": [{"delta": {"content": "x".repeat(500_000)}}]}));
    proxied.upstream.play(Script::stream(&vec![event.as_str(); 64]).hangs(Hangs::AfterPieces));
    let body = asked.to_string();
    let socket = begin(&proxied, body.len(), body.as_bytes()).await;
    proxied.receipts(1).await;
    proxied.upstream.until_open(0).await;
    drop(socket);
}
