//! Whoever waits for an RPC node says so, once, and when it is over.

use leasehold_client::rpc::{CallTimeout, connect};
use leasehold_client::sender::{SendError, Sender, SenderOptions};
use solana_commitment_config::CommitmentConfig;
use solana_keypair::Keypair;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn with(&self, text: &str) -> usize {
        let written = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        written.lines().filter(|line| line.contains(text)).count()
    }
}

/// Reads a request, and answers it with a genesis hash.
fn answer(stream: TcpStream) {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":"11111111111111111111111111111111"}"#;
    reply(stream, &format!("200 OK\r\ncontent-length: {}", body.len()), body);
}

/// Reads a request, and answers it.
fn reply(stream: TcpStream, head: &str, body: &str) {
    reply_by(stream, |_| (head.to_owned(), body.to_owned()));
}

/// Reads a request, and answers it by its body.
fn reply_by(stream: TcpStream, answer: impl Fn(&str) -> (String, String)) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut asked = vec![0; length];
    reader.read_exact(&mut asked).unwrap();
    let (head, body) = answer(&String::from_utf8(asked).unwrap());
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
    reader.get_mut().write_all((head + &body).as_bytes()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_and_recovery_are_told_once_each() {
    let lines = Lines::default();
    let logged = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(logged);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/k3y", listener.local_addr().unwrap());
    let timeout = CallTimeout::new(Duration::from_secs(15));
    let rpc = connect(&url, timeout.clone(), CommitmentConfig::confirmed());
    for _ in 0..3 {
        assert!(rpc.get_genesis_hash().await.is_err());
    }
    assert_eq!(lines.with("waiting for the RPC node: no answer for 5 s"), 1);
    assert_eq!(lines.with("answers again"), 0);

    tokio::time::resume();
    timeout.set(Duration::from_secs(60));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Those of the calls that ended may be closed.
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    for _ in 0..2 {
        assert!(rpc.get_genesis_hash().await.is_ok());
    }
    assert_eq!((lines.with("answers again"), lines.with("k3y")), (1, 0));
}

#[tokio::test]
async fn an_rpc_node_that_refuses_every_other_request_is_told_once_a_minute() {
    let lines = Lines::default();
    let logged = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(logged);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let rpc = connect(&url, CallTimeout::new(Duration::from_secs(60)), CommitmentConfig::confirmed());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            match number % 2 {
                0 => reply(stream.unwrap(), "429 Too Many Requests\r\ncontent-length: 0", ""),
                _ => answer(stream.unwrap()),
            }
        }
    });
    for _ in 0..4 {
        assert!(rpc.get_genesis_hash().await.is_ok());
    }
    assert_eq!((lines.with("waiting for the RPC node"), lines.with("answers again")), (1, 1));
}

#[tokio::test]
async fn a_node_that_reads_no_statuses_is_told_with_the_method() {
    let lines = Lines::default();
    let logged = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(logged);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let rpc = connect(&url, CallTimeout::new(Duration::from_secs(60)), CommitmentConfig::confirmed());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            reply_by(stream.unwrap(), |asked| {
                let answer = if asked.contains("getLatestBlockhash") {
                    r#""result":{"context":{"slot":1},"value":{"blockhash":"11111111111111111111111111111111","lastValidBlockHeight":9}}"#
                } else if asked.contains("sendTransaction") {
                    // As a proxy that answers for the RPC node.
                    r#""result":"accepted""#
                } else {
                    r#""error":{"code":-32601,"message":"Method not found"}"#
                };
                let body = format!(r#"{{"jsonrpc":"2.0","id":1,{answer}}}"#);
                (format!("200 OK\r\ncontent-length: {}", body.len()), body)
            });
        }
    });
    let options = SenderOptions {
        poll: Duration::from_millis(10),
        rebroadcast: Duration::from_millis(100),
        timeout: Duration::from_millis(300),
        ..SenderOptions::default()
    };
    let sender = Sender::with_options(Arc::new(rpc), Arc::new(Keypair::new()), options);
    let error = sender.send(&[], &[]).await.unwrap_err();
    assert!(matches!(error, SendError::Unconfirmed { .. }), "{error}");
    let told = "their ends can't be learned: the RPC node does not serve getBlockHeight (Method not found)";
    assert_eq!(lines.with(told), 1);
}
