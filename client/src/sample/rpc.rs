//! An RPC node for tests: it serves accounts from memory over real sockets, and counts what it is asked and what it sends.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anchor_lang::AccountSerialize;
use base64::{Engine, engine::general_purpose::STANDARD};
use leasehold::state::Market;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;

use super::GENESIS;
use crate::{clock, invariants::Snapshot};

/// A request, and the bytes of its answer, HTTP's headers included.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub method: String,
    pub params: Value,
    pub path: String,
    pub answered: usize,
}

impl Asked {
    /// The address that it asked for, if it asked for one account.
    pub fn address(&self) -> Option<Pubkey> {
        self.params.get(0)?.as_str()?.parse().ok()
    }

    /// Bytes of an account that it asked for; `None`: all.
    pub fn slice(&self) -> Option<u64> {
        self.params.get(1)?.get("dataSlice")?.get("length")?.as_u64()
    }
}

/// An answer in HTTP.
#[derive(Clone, Debug)]
pub struct Reply {
    /// "200 OK".
    pub status: String,
    /// Lines of more headers, each with its end.
    pub headers: String,
    pub body: String,
}

impl Reply {
    pub fn status(status: &str) -> Self {
        Reply { status: status.to_owned(), headers: String::new(), body: String::new() }
    }

    pub fn result(result: &Value) -> Self {
        let body = json!({ "jsonrpc": "2.0", "result": result, "id": 1 }).to_string();
        Reply { body, ..Reply::status("200 OK") }
    }

    pub fn error(code: i64, message: &str) -> Self {
        let error = json!({ "code": code, "message": message });
        let body = json!({ "jsonrpc": "2.0", "error": error, "id": 1 }).to_string();
        Reply { body, ..Reply::status("200 OK") }
    }
}

/// Decides on a request before the accounts do.
type Hook = Box<dyn FnMut(&str, &Value) -> Option<Reply> + Send>;

#[derive(Default)]
struct State {
    accounts: BTreeMap<Pubkey, (Pubkey, Vec<u8>)>,
    genesis: [u8; 32],
    slot: u64,
    asked: Vec<Asked>,
    hook: Option<Hook>,
}

/// Serves until the test ends.
pub struct RpcServer {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl RpcServer {
    /// Serves the accounts of a market and a clock.
    pub fn start(snapshot: &Snapshot, now: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = shared.clone();
                // A client that leaves ends its thread only.
                thread::spawn(move || serve(stream.unwrap(), &state));
            }
        });
        let server = RpcServer { url, state };
        server.state().genesis = GENESIS;
        server.set_now(now);
        server.set(snapshot.address, leasehold::ID, data::<Market>(&snapshot.market));
        for mint in [snapshot.market.payment_mint, snapshot.market.stake_mint] {
            let mut mint_data = vec![0; 82];
            (mint_data[44], mint_data[45]) = (6, 1); // decimals, initialized
            server.set(mint, anchor_spl::token::ID, mint_data);
        }
        for (address, supplier) in &snapshot.suppliers {
            server.set(*address, leasehold::ID, data(supplier));
        }
        for (address, keeper) in &snapshot.keepers {
            server.set(*address, leasehold::ID, data(keeper));
        }
        for board in &snapshot.boards {
            server.set(board.address, leasehold::ID, board.data.bytes().to_vec());
            for (address, lease) in &board.leases {
                server.set(*address, leasehold::ID, data(lease));
            }
        }
        server
    }

    pub fn set(&self, address: Pubkey, owner: Pubkey, data: Vec<u8>) {
        let mut state = self.state();
        state.slot += 1;
        state.accounts.insert(address, (owner, data));
    }

    /// Unix time of the clock.
    pub fn set_now(&self, now: i64) {
        let data = [[0u8; 8]; 4].concat();
        self.set(
            clock::ADDRESS,
            anchor_lang::system_program::ID,
            [data, now.to_le_bytes().to_vec()].concat(),
        );
    }

    pub fn set_genesis(&self, genesis: [u8; 32]) {
        self.state().genesis = genesis;
    }

    /// What the hook answers is sent; `None` asks the accounts.
    pub fn hook(&self, hook: impl FnMut(&str, &Value) -> Option<Reply> + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    /// Requests so far; forgets them.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An account's data.
pub fn data<T: AccountSerialize>(account: &T) -> Vec<u8> {
    let mut data = Vec::new();
    account.try_serialize(&mut data).unwrap();
    data
}

/// Answers requests of one connection until it is closed.
fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = request(&mut reader) {
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let method = request["method"].as_str().unwrap_or_default().to_owned();
        let params = request["params"].clone();
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let hooked = state.hook.as_mut().and_then(|hook| hook(&method, &params));
        let Reply { status, headers, body } = hooked.unwrap_or_else(|| state.answer(&method, &params));
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        let answer = head + &body;
        state.asked.push(Asked { method, params, path, answered: answer.len() });
        drop(state);
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Path and body of the next request; `None` if there is none.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|read| *read > 0)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

impl State {
    fn answer(&self, method: &str, params: &Value) -> Reply {
        let context = json!({ "apiVersion": "3.1.14", "slot": 300_000_000 + self.slot });
        let address = |name: &Value| name.as_str().and_then(|name| name.parse::<Pubkey>().ok()).unwrap();
        match method {
            "getGenesisHash" => Reply::result(&json!(Pubkey::new_from_array(self.genesis).to_string())),
            "getAccountInfo" => {
                let value = self.account(&address(&params[0]), &params[1]);
                Reply::result(&json!({ "context": context, "value": value }))
            }
            "getMultipleAccounts" => {
                let names = params[0].as_array().unwrap().iter();
                let value: Vec<_> = names.map(|name| self.account(&address(name), &params[1])).collect();
                Reply::result(&json!({ "context": context, "value": value }))
            }
            "getProgramAccounts" => {
                let found = self.accounts.iter().filter(|(_, (owner, data))| {
                    *owner == leasehold::ID
                        && params[1]["filters"].as_array().unwrap().iter().all(|filter| matches(data, filter))
                });
                let value: Vec<_> = found
                    .map(|(key, _)| json!({ "pubkey": key.to_string(), "account": self.account(key, &params[1]) }))
                    .collect();
                Reply::result(&json!(value))
            }
            method => Reply::error(-32_601, &format!("Method not found: {method}")),
        }
    }

    /// An account as an RPC node gives it.
    fn account(&self, address: &Pubkey, config: &Value) -> Value {
        let Some((owner, data)) = self.accounts.get(address) else { return Value::Null };
        let at =
            |name: &str| config["dataSlice"][name].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
        let start = at("offset").unwrap_or(0).min(data.len());
        let end = at("length").map_or(data.len(), |length| (start + length).min(data.len()));
        let (part, encoding) = match config["encoding"].as_str() {
            Some("base64+zstd") => (zstd::encode_all(&data[start..end], 0).unwrap(), "base64+zstd"),
            _ => (data[start..end].to_vec(), "base64"),
        };
        json!({
            "data": [STANDARD.encode(part), encoding],
            "executable": false,
            "lamports": 12_345_678_901u64,
            "owner": owner.to_string(),
            "rentEpoch": u64::MAX,
            "space": data.len(),
        })
    }
}

fn matches(data: &[u8], filter: &Value) -> bool {
    let memcmp = &filter["memcmp"];
    let offset = memcmp["offset"].as_u64().and_then(|offset| usize::try_from(offset).ok()).unwrap();
    let bytes = bs58::decode(memcmp["bytes"].as_str().unwrap()).into_vec().unwrap();
    data.get(offset..).is_some_and(|data| data.starts_with(&bytes))
}

/// In every part of [`RpcServer::secret_url`] that may hold a key.
pub const SECRET: &str = "k3yThatNobodyPrints";

impl RpcServer {
    /// The URL with a key in its user name, path and query.
    pub fn secret_url(&self) -> String {
        let host = self.url.trim_start_matches("http://");
        format!("http://{SECRET}:{SECRET}@{host}/v2/{SECRET}?api-key={SECRET}")
    }

    /// Answers the first requests in the ways in which providers fail, one after the other, with URLs in their texts.
    /// Requests that follow a redirect would come to `elsewhere`.
    pub fn misbehave(&self, elsewhere: &str) {
        let text = format!("see https://provider.example/{SECRET}: upgrade");
        let forbidden = Reply { status: "403 Forbidden".to_owned(), ..Reply::error(-32_000, &text) };
        let redirect = Reply {
            headers: format!("location: {elsewhere}/{SECRET}\r\n"),
            ..Reply::status("307 Temporary Redirect")
        };
        let often =
            Reply { headers: "retry-after: 0\r\n".to_owned(), ..Reply::status("429 Too Many Requests") };
        let page = Reply {
            body: format!("<a href=\"https://provider.example/{SECRET}\">"),
            ..Reply::status("200 OK")
        };
        let broken = Reply { body: text, ..Reply::status("500 Internal Server Error") };
        let mut replies = vec![broken, page, redirect, forbidden, often];
        let mut off = Some(Reply::error(-32_601, "Method not found"));
        self.hook(move |method, _| match method {
            "getProgramAccounts" => off.take(),
            _ => replies.pop(),
        });
    }

    /// Runs a daemon until it made so many calls, once more so many after SIGHUP, and then stops it by SIGTERM. Returns its exit
    /// code, and all that it wrote.
    pub fn run(&self, command: &mut Command, calls: usize) -> (Option<i32>, String) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let outputs = outputs.map(|mut output| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                output.read_to_end(&mut bytes).unwrap();
                String::from_utf8_lossy(&bytes).into_owned()
            })
        });
        let id = child.id().to_string();
        for signal in ["-HUP", "-TERM"] {
            let (mut made, since) = (0, Instant::now());
            while made < calls && since.elapsed() < Duration::from_secs(120) {
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                made += self.take().len();
                thread::sleep(Duration::from_millis(20));
            }
            let _ = Command::new("kill").args([signal, &id]).status().unwrap();
        }
        let code = child.wait().unwrap().code();
        (code, outputs.map(|output| output.join().unwrap()).concat())
    }
}
