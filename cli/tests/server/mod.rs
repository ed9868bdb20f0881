//! An RPC node and an archive in one, which answer as a test has it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;

/// Answer of the archive to one request.
#[derive(Clone)]
pub struct Response {
    status: &'static str,
    body: String,
}

impl Response {
    pub fn ok(body: &Value) -> Self {
        Response { status: "200 OK", body: body.to_string() }
    }

    pub fn refused(status: &'static str) -> Self {
        Response { status, body: json!({ "error": "not yet" }).to_string() }
    }
}

/// Serves until the test ends.
pub struct Server {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Data of the log's account; there are no others.
    log: Vec<u8>,
    log_address: Option<String>,
    genesis: String,
    /// False if the RPC node's provider switched `getProgramAccounts` off.
    searches: bool,
    /// Answers that the archive will give, the next one first, and the paths that it was asked for.
    answers: Vec<Response>,
    asked: Vec<String>,
}

impl Server {
    pub fn start(log: Vec<u8>, genesis: [u8; 32], answers: Vec<Response>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let genesis = Pubkey::new_from_array(genesis).to_string();
        let state = State { log, log_address: None, genesis, searches: true, answers, asked: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &shared);
            }
        });
        Server { url, state }
    }

    /// Switches `getProgramAccounts` off.
    pub fn without_searches(self) -> Self {
        self.state.lock().unwrap().searches = false;
        self
    }

    /// Questions to the archive, in their order.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

/// Answers one request, and ends the connection.
fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let Response { status, body } = state.lock().unwrap().respond(&method, path, &body);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    reader.get_mut().write_all((head + &body).as_bytes()).unwrap();
}

impl State {
    fn respond(&mut self, method: &str, path: String, body: &[u8]) -> Response {
        if method == "POST" {
            return Response::ok(&self.rpc(&serde_json::from_slice(body).unwrap()));
        }
        self.asked.push(path);
        assert!(!self.answers.is_empty(), "the archive is asked once too often");
        self.answers.remove(0)
    }

    fn rpc(&mut self, request: &Value) -> Value {
        let result = match request["method"].as_str().unwrap() {
            "getGenesisHash" => json!(self.genesis),
            "getAccountInfo" => {
                let address = request["params"][0].as_str().unwrap().to_owned();
                // The log is the first account that is read.
                let is_log = *self.log_address.get_or_insert_with(|| address.clone()) == address;
                json!({ "context": { "slot": 1 }, "value": is_log.then(|| self.account()) })
            }
            "getProgramAccounts" if !self.searches => {
                let error = json!({ "code": -32_601, "message": "Method not found" });
                return json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            }
            // No lease is left.
            "getProgramAccounts" => json!([]),
            method => panic!("{method} is not served"),
        };
        json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
    }

    fn account(&self) -> Value {
        json!({
            "data": [STANDARD.encode(&self.log), "base64"],
            "executable": false,
            "lamports": 1,
            "owner": leasehold::ID.to_string(),
            "rentEpoch": 0,
            "space": self.log.len(),
        })
    }
}
