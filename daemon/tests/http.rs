//! The HTTP server against callers that are slow, many, or never finish. Over real sockets.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use leasehold_daemon::http::{Gate, Limits, body_refusal, listen, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// For what must happen: longer than any limit of these tests.
const PATIENCE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);
const MEGABYTE: usize = 1 << 20;

struct Server {
    address: SocketAddr,
    gate: Arc<Gate>,
    /// Requests to `/held` are answered one for each permit.
    held: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Answers with the length of the body, which it keeps whole.
async fn length(request: Request) -> axum::response::Response {
    match to_bytes(request.into_body(), usize::MAX).await {
        Ok(bytes) => bytes.len().to_string().into_response(),
        Err(error) => {
            let refused = body_refusal(&error).unwrap();
            (refused.status(), refused.to_string()).into_response()
        }
    }
}

async fn server(limits: Limits) -> Server {
    let held = Arc::new(Semaphore::new(0));
    let waiting = held.clone();
    let router = Router::new()
        .route("/length", post(length))
        .route("/hello", get(async || "hello"))
        .route("/held", get(async move || waiting.acquire().await.map(|permit| permit.forget()).unwrap()))
        .route("/endless", get(async || Body::from_stream(futures_endless())));
    let (listener, address) = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let gate = Gate::new("test", limits);
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, router, gate.clone(), stopped));
    Server { address, gate, held, stop, task }
}

/// A stream without end.
fn futures_endless() -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    futures::stream::repeat_with(|| Ok(Bytes::from_static(&[7; 65_536])))
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection from 127.0.0.`host`.
    async fn connect_from(&self, host: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn until(&self, mut happened: impl FnMut(&Gate) -> bool) {
        let waits = async {
            while !happened(&self.gate) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waits).await.expect("it does not happen");
    }

    fn metric(&self, line: &str) -> u64 {
        let text = self.gate.to_string();
        let found = text.lines().find_map(|found| found.strip_prefix(line));
        found.unwrap_or_else(|| panic!("{line} in {text}")).trim().parse().unwrap()
    }
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset counts as an end.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is not closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head and what came with it.
async fn answer(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4_096];
    let length = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("no answer").unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

const HELLO: &str = "GET /hello HTTP/1.1\r\nhost: here\r\n\r\n";
const HELD: &str = "GET /held HTTP/1.1\r\nhost: here\r\n\r\n";
const CLOSE: &str = "GET /hello HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";

fn post_of(length: usize) -> String {
    format!("POST /length HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_head_that_does_not_end_and_an_idle_connection_are_closed() {
    let server = server(Limits { head: SHORT, ..Limits::default() }).await;
    let (mut silent, mut drop_by_drop, mut idle) =
        (server.connect().await, server.connect().await, server.connect().await);
    send(&mut drop_by_drop, "GET /hello HTTP/1.1\r\nhost: ").await;
    send(&mut idle, HELLO).await;
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(rest(&mut silent).await, "");
    assert!(!rest(&mut drop_by_drop).await.contains(" 200 "));
    server.until(|gate| gate.connections() == 0).await;
    assert_eq!(server.metric("test_refused_total{reason=\"head_timeout\"}"), 3);
}

#[tokio::test]
async fn a_body_that_pauses_or_never_ends_is_cut_off() {
    let limits = Limits { body_idle: SHORT, ..Limits::default() };
    let idle = server(limits).await;
    let mut stream = idle.connect().await;
    send(&mut stream, &post_of(10)).await;
    send(&mut stream, "12345").await;
    let refused = rest(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 408 ") && refused.contains("without pauses"), "{refused}");
    assert_eq!(idle.metric("test_refused_total{reason=\"body_timeout\"}"), 1);

    // Each byte is in time, and the whole never is.
    let slow = server(Limits { body: SHORT, ..Limits::default() }).await;
    let mut stream = slow.connect().await;
    send(&mut stream, &post_of(1 << 30)).await;
    let (mut reader, mut writer) = stream.split();
    let mut refused = Vec::new();
    let drip = async {
        while writer.write_all(b"1").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        () = drip => {}
        end = timeout(PATIENCE, reader.read_to_end(&mut refused)) => drop(end.expect("it is not cut off")),
    }
    let refused = String::from_utf8_lossy(&refused);
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 408 "), "{refused}");
    slow.until(|gate| gate.body_bytes() == 0 && gate.requests() == 0).await;
    assert_eq!(slow.metric("test_refused_total{reason=\"body_timeout\"}"), 1);
}

#[tokio::test]
async fn unfinished_requests_take_no_more_memory_than_their_budget() {
    let limits = Limits { body_bytes: 4 * MEGABYTE, body_bytes_each: 2 * MEGABYTE, ..Limits::default() };
    let server = server(Limits { spare_loopback: false, ..limits }).await;
    let mut streams = Vec::new();
    for host in 2..26 {
        let mut stream = server.connect_from(host).await;
        send(&mut stream, &post_of(64 * MEGABYTE)).await;
        streams.push(tokio::spawn(async move {
            // Until it is refused.
            while stream.write_all(&[7; 65_536]).await.is_ok() {}
            stream
        }));
    }
    server.until(|gate| gate.refusals() >= 23).await;
    assert!(server.gate.body_bytes() <= 4 * MEGABYTE);
    // Requests without bodies are served meanwhile, and all is released in the end.
    let mut stream = server.connect_from(99).await;
    send(&mut stream, CLOSE).await;
    assert!(rest(&mut stream).await.ends_with("hello"));
    for stream in streams {
        stream.abort();
    }
    server.until(|gate| gate.body_bytes() == 0 && gate.connections() == 0).await;
    let mut stream = server.connect_from(2).await;
    send(&mut stream, &post_of(MEGABYTE)).await;
    stream.write_all(&vec![7; MEGABYTE]).await.unwrap();
    assert!(answer(&mut stream).await.ends_with(&MEGABYTE.to_string()));
}

#[tokio::test]
async fn one_caller_cannot_take_the_memory_of_all() {
    let limits = Limits { body_bytes: 8 * MEGABYTE, body_bytes_each: MEGABYTE, ..Limits::default() };
    let server = server(Limits { spare_loopback: false, ..limits }).await;
    let mut greedy = server.connect_from(2).await;
    send(&mut greedy, &post_of(2 * MEGABYTE)).await;
    let _ = greedy.write_all(&vec![7; 2 * MEGABYTE]).await;
    let refused = answer(&mut greedy).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("try again later"), "{refused}");
    assert_eq!(server.metric("test_refused_total{reason=\"memory\"}"), 1);
}

#[tokio::test]
async fn connections_are_bounded_for_each_caller_and_in_all() {
    let limits = Limits { connections: 3, connections_each: 2, spare_loopback: false, ..Limits::default() };
    let server = server(limits).await;
    let (mut first, mut second) = (server.connect_from(2).await, server.connect_from(2).await);
    for stream in [&mut first, &mut second] {
        send(stream, HELD).await;
    }
    server.until(|gate| gate.requests() == 2).await;
    assert_eq!(rest(&mut server.connect_from(2).await).await, "", "the caller has its two");
    let mut other = server.connect_from(3).await;
    send(&mut other, HELLO).await;
    assert!(answer(&mut other).await.starts_with("HTTP/1.1 200 "));
    send(&mut other, HELD).await;
    server.until(|gate| gate.requests() == 3).await;
    assert_eq!(rest(&mut server.connect_from(4).await).await, "", "three are open");
    assert_eq!(server.metric("test_refused_total{reason=\"connections\"}"), 2);
    drop(other);
    server.until(|gate| gate.connections() == 2).await;
    let mut again = server.connect_from(4).await;
    send(&mut again, HELLO).await;
    assert!(answer(&mut again).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn idle_connections_give_way_to_new_ones_the_oldest_first() {
    let limits = Limits { connections: 3, connections_each: 2, ..Limits::default() };
    let server = server(limits).await;
    let mut held = server.connect().await;
    send(&mut held, HELD).await;
    server.until(|gate| gate.requests() == 1).await;
    // It has sent no head, the other one keeps its connection alive.
    let (mut silent, mut idle) = (server.connect().await, server.connect().await);
    server.until(|gate| gate.connections() == 3).await;
    send(&mut silent, "GET /hello HTTP/1.1\r\nhost: ").await;
    send(&mut idle, HELLO).await;
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200 "));
    let mut new = server.connect().await;
    send(&mut new, CLOSE).await;
    assert!(rest(&mut new).await.ends_with("hello"));
    assert_eq!(rest(&mut silent).await, "");
    send(&mut idle, HELLO).await;
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200 "), "it was not the oldest");
    assert_eq!(server.metric("test_refused_total{reason=\"idle\"}"), 1);
    server.held.add_permits(1);
    assert!(answer(&mut held).await.starts_with("HTTP/1.1 200 "), "a request under way is not cut off");
}

#[tokio::test]
async fn a_caller_with_its_share_of_connections_closes_its_own() {
    let limits = Limits { connections: 9, connections_each: 2, spare_loopback: false, ..Limits::default() };
    let server = server(limits).await;
    let mut other = server.connect_from(3).await;
    server.until(|gate| gate.connections() == 1).await;
    let (mut first, _second) = (server.connect_from(2).await, server.connect_from(2).await);
    server.until(|gate| gate.connections() == 3).await;
    let mut third = server.connect_from(2).await;
    send(&mut third, HELLO).await;
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(rest(&mut first).await, "");
    send(&mut other, HELLO).await;
    assert!(answer(&mut other).await.starts_with("HTTP/1.1 200 "), "another caller's stays");
}

#[tokio::test]
async fn requests_under_way_are_bounded_and_callers_on_this_host_are_one() {
    let limits = Limits { requests: 2, requests_each: 1, ..Limits::default() };
    let server = server(limits).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        send(&mut stream, HELD).await;
        held.push(stream);
    }
    server.until(|gate| gate.requests() == 2).await;
    let mut third = server.connect().await;
    send(&mut third, HELLO).await;
    let refused = answer(&mut third).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"), "{refused}");
    server.held.add_permits(2);
    for stream in &mut held {
        assert!(answer(stream).await.starts_with("HTTP/1.1 200 "));
    }
    server.until(|gate| gate.requests() == 0).await;
}

#[tokio::test]
async fn a_caller_who_takes_nothing_of_the_answer_is_cut_off() {
    let server = server(Limits { write_idle: SHORT, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    send(&mut stream, "GET /endless HTTP/1.1\r\nhost: here\r\n\r\n").await;
    server.until(|gate| gate.requests() == 1).await;
    server.until(|gate| gate.requests() == 0 && gate.connections() == 0).await;
}

#[tokio::test]
async fn a_server_that_stops_finishes_what_is_under_way() {
    let server = server(Limits::default()).await;
    let (mut idle, mut held) = (server.connect().await, server.connect().await);
    send(&mut held, "GET /held HTTP/1.1\r\nhost: here\r\n\r\n").await;
    server.until(|gate| gate.requests() == 1 && gate.connections() == 2).await;
    server.stop.send_replace(true);
    assert_eq!(rest(&mut idle).await, "");
    assert!(!server.task.is_finished());
    server.held.add_permits(1);
    let answered = rest(&mut held).await;
    assert!(answered.starts_with(&format!("HTTP/1.1 {}", StatusCode::OK)), "{answered}");
    timeout(PATIENCE, server.task).await.expect("it does not stop").unwrap();
}
