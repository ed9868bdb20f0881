use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use anchor_lang::Discriminator;
use base64::{Engine, engine::general_purpose::STANDARD};
use leasehold::instruction::{DepositStake, OpenLease, TopUpLease};
use leasehold_client::sender::{Price, SenderOptions};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;

use super::*;

/// Status that a node gives for a copy that it was sent, by its number from 0. The flag: the history is searched.
type Says = fn(usize, bool) -> Value;

/// A node that says of every copy that it has expired. `says`: its status, with and without the history.
#[derive(Clone)]
struct Liar {
    copies: Arc<Signatures>,
    /// Transactions that were simulated.
    tried: Arc<Mutex<Vec<String>>>,
    refuses: bool,
    says: Says,
}

impl Liar {
    fn start(says: Says, refuses: bool) -> (Self, Arc<RpcClient>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let liar = Liar { copies: Arc::default(), tried: Arc::default(), refuses, says };
        let shared = liar.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let liar = shared.clone();
                thread::spawn(move || while liar.answer(stream.as_ref().unwrap()).is_some() {});
            }
        });
        (liar, Arc::new(RpcClient::new(url)))
    }

    fn copies(&self) -> Vec<Signature> {
        self.copies.lock().clone()
    }

    /// Answers one request. `None` if the connection is closed.
    fn answer(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::with_capacity(1, stream);
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).ok()? == 0 {
                return None;
            }
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let question: Value = serde_json::from_slice(&body).unwrap();
        let mut answer = json!({ "jsonrpc": "2.0", "id": question["id"] });
        match self.say(question["method"].as_str().unwrap(), &question["params"]) {
            Some(result) => answer["result"] = result,
            None => answer["error"] = json!({ "code": -32000, "message": "no" }),
        }
        let body = answer.to_string();
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        write!(stream, "{head} {length}\r\n\r\n{body}").ok()
    }

    fn say(&self, method: &str, params: &Value) -> Option<Value> {
        let with = |value: Value| Some(json!({ "context": { "slot": 1 }, "value": value }));
        match method {
            "simulateTransaction" => {
                self.tried.lock().unwrap().push(params[0].as_str().unwrap().to_owned());
                with(json!({ "err": null, "logs": [], "unitsConsumed": 100 }))
            }
            "getLatestBlockhash" => {
                let bytes = [1 + u8::try_from(self.copies().len()).unwrap(); 32];
                let blockhash = Pubkey::new_from_array(bytes).to_string();
                with(json!({ "blockhash": blockhash, "lastValidBlockHeight": 0 }))
            }
            "getBlockHeight" => Some(json!(1_000_000)),
            "sendTransaction" => {
                let bytes = STANDARD.decode(params[0].as_str().unwrap()).unwrap();
                let signature = Signature::try_from(&bytes[1..65]).unwrap();
                let mut copies = self.copies.lock();
                if !copies.contains(&signature) {
                    copies.push(signature);
                }
                (!self.refuses).then(|| signature.to_string().into())
            }
            "getSignatureStatuses" => {
                let history = params[1]["searchTransactionHistory"] == true;
                let place = |asked: &Value| {
                    let place = self.copies().iter().position(|copy| asked == &copy.to_string());
                    place.map_or(Value::Null, |place| (self.says)(place, history))
                };
                with(params[0].as_array().unwrap().iter().map(place).collect())
            }
            _ => None,
        }
    }
}

fn status(err: Value) -> Value {
    let status = if err.is_null() { json!({ "Ok": null }) } else { json!({ "Err": err }) };
    json!({ "slot": 7, "confirmations": null, "err": err, "status": status, "confirmationStatus": "finalized" })
}

fn nothing(_: usize, _: bool) -> Value {
    Value::Null
}

fn instruction(name: &[u8]) -> Instruction {
    Instruction { program_id: leasehold::ID, accounts: vec![], data: name.to_vec() }
}

/// Result of one transaction, and the copies that the node has of it.
async fn sent(name: &[u8], says: Says, refuses: bool) -> (Result<Confirmation, Failure>, Vec<Signature>) {
    let (liar, rpc) = Liar::start(says, refuses);
    let options = SenderOptions { poll: Duration::from_millis(1), ..SenderOptions::default() };
    let commitment = options.commitment;
    let sender = Sender::with_options(rpc.clone(), Arc::new(Keypair::new()), options);
    let node = RpcExecutor::new(sender, Fetch::new(&rpc), commitment);
    let end = node.send(&[instruction(name)]).await;
    let open = match &end {
        Err(Failure::Unknown { copies }) => copies.clone(),
        _ => vec![],
    };
    assert_eq!(node.offered(), open, "whose end is not known");
    (end, liar.copies())
}

#[tokio::test]
async fn what_can_take_effect_again_is_signed_once_whatever_a_node_says() {
    for name in [DepositStake::DISCRIMINATOR, TopUpLease::DISCRIMINATOR] {
        let (end, copies) = sent(name, nothing, false).await;
        let failure = end.unwrap_err();
        assert_eq!((failure.code(), copies.len()), (5, 1), "{failure}");
        assert!(failure.to_string().contains(&copies[0].to_string()), "{failure}");
    }
}

#[tokio::test]
async fn an_idempotent_step_is_signed_again_and_all_copies_are_reported() {
    let (end, copies) = sent(OpenLease::DISCRIMINATOR, nothing, false).await;
    assert_eq!(copies.len(), 3);
    let Err(Failure::Unknown { copies: told }) = end else { panic!("{end:?}") };
    assert_eq!(told, copies);
}

#[tokio::test]
async fn a_copy_that_came_late_is_found() {
    let late = |_, history: bool| if history { status(Value::Null) } else { Value::Null };
    let (end, copies) = sent(DepositStake::DISCRIMINATOR, late, false).await;
    let receipt = end.unwrap();
    assert_eq!((receipt.signature, receipt.slot, copies.len()), (copies[0], 7, 1));
}

#[tokio::test]
async fn a_refusal_of_the_last_copy_tells_nothing_of_the_one_before() {
    // The second is refused, as it must be where the first has taken effect.
    let refused = |place: usize, _| match place {
        1 => status(json!({ "InstructionError": [0, { "Custom": 6_000 }] })),
        _ => Value::Null,
    };
    let (end, copies) = sent(OpenLease::DISCRIMINATOR, refused, false).await;
    assert_eq!(copies.len(), 2);
    let Err(Failure::Unknown { copies: told }) = end else { panic!("{end:?}") };
    assert_eq!(told, copies[..1]);
    // Where the first is known to have failed as well, nothing changed.
    let both = |_, _| status(json!({ "InstructionError": [0, { "Custom": 6_000 }] }));
    assert_eq!(sent(OpenLease::DISCRIMINATOR, both, false).await.0.unwrap_err().code(), 3);
}

#[tokio::test]
async fn a_node_that_refuses_a_transaction_has_it_all_the_same() {
    let (end, copies) = sent(DepositStake::DISCRIMINATOR, nothing, true).await;
    let failure = end.unwrap_err();
    assert_eq!((failure.code(), copies.len()), (5, 1), "{failure}");
}

#[tokio::test]
async fn a_node_that_is_not_reached_was_sent_nothing() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rpc = Arc::new(RpcClient::new(format!("http://{free}")));
    let options = SenderOptions::default();
    let commitment = options.commitment;
    let sender = Sender::with_options(rpc.clone(), Arc::new(Keypair::new()), options);
    let node = RpcExecutor::new(sender, Fetch::new(&rpc), commitment);
    let failure = node.send(&[instruction(DepositStake::DISCRIMINATOR)]).await.unwrap_err();
    assert_eq!((failure.code(), node.offered().len()), (2, 0), "{failure}");
}

#[tokio::test]
async fn a_dry_run_tries_the_transaction_that_is_sent() {
    let (liar, rpc) = Liar::start(nothing, false);
    let (poll, price) = (Duration::from_millis(1), Price::Fixed(7));
    let options = SenderOptions { poll, price, ..SenderOptions::default() };
    let commitment = options.commitment;
    let sender = Sender::with_options(rpc.clone(), Arc::new(Keypair::new()), options);
    let node = RpcExecutor::new(sender, Fetch::new(&rpc), commitment);
    let instructions = [instruction(DepositStake::DISCRIMINATOR)];
    assert_eq!(node.simulate(&instructions).await.unwrap(), 100);
    assert!(node.send(&instructions).await.is_err());
    let tried = liar.tried.lock().unwrap().clone();
    assert_eq!((tried.len(), &tried[0]), (2, &tried[1]), "its price included");
}
