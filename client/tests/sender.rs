//! The sender against an RPC node that lies: it reports transactions as expired or failed, and keeps every copy.

mod support;

use std::{
    io::{BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use leasehold::rules::extend::Allowance;
use leasehold_client::{
    BoardRef, MarketRef, instruction,
    packet::PACKET_BYTES,
    sender::{Job, SendError, Sender, SenderOptions},
};
use serde_json::{Value, json};
use solana_instruction::{AccountMeta, Instruction};
use solana_keypair::Keypair;
use solana_message::{AddressLookupTableAccount, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use support::read_request;

/// Claim of an RPC node about every transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Its blockhash expired.
    Expired,
    /// It failed since it used all of its compute units.
    OutOfUnits,
    /// It landed, so long ago that only the history has it.
    Old,
}

/// An RPC node that makes one claim about every transaction, and could let any copy take effect later.
#[derive(Clone)]
struct LyingNode {
    claim: Claim,
    /// Every distinct copy that it was sent.
    copies: Arc<Mutex<Vec<VersionedTransaction>>>,
}

impl LyingNode {
    fn start(claim: Claim) -> (Self, Sender) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let node = LyingNode { claim, copies: Arc::default() };
        let shared = node.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let node = shared.clone();
                thread::spawn(move || node.serve(&stream.unwrap()));
            }
        });
        let options =
            SenderOptions { poll: Duration::from_millis(1), attempts: 5, ..SenderOptions::default() };
        let rpc = Arc::new(RpcClient::new(url));
        (node, Sender::with_options(rpc, Arc::new(Keypair::new_from_array([3; 32])), options))
    }

    fn copies(&self) -> Vec<VersionedTransaction> {
        self.copies.lock().unwrap().clone()
    }

    fn signatures(&self) -> Vec<Signature> {
        self.copies().iter().map(|copy| copy.signatures[0]).collect()
    }

    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((_, body)) = read_request(&mut reader) {
            let request: Value = serde_json::from_slice(&body).unwrap();
            let mut answer = json!({ "jsonrpc": "2.0", "id": request["id"] });
            match self.answer(request["method"].as_str().unwrap(), &request["params"]) {
                Some(result) => answer["result"] = result,
                None => answer["error"] = json!({ "code": -32000, "message": "no" }),
            }
            let body = answer.to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
            if write!(stream, "{head} {}\r\n\r\n{body}", body.len()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, params: &Value) -> Option<Value> {
        let with = |value: Value| Some(json!({ "context": { "slot": 1 }, "value": value }));
        let error = json!({ "InstructionError": [0, "ProgramFailedToComplete"] });
        match method {
            "simulateTransaction" => {
                let bytes = STANDARD.decode(params[0].as_str().unwrap()).unwrap();
                assert!(bytes.len() <= PACKET_BYTES);
                with(json!({ "err": null, "logs": [], "unitsConsumed": 100 }))
            }
            "getLatestBlockhash" => {
                let blockhash = Pubkey::new_from_array([1 + self.copies().len() as u8; 32]).to_string();
                with(json!({ "blockhash": blockhash, "lastValidBlockHeight": 0 }))
            }
            "getBlockHeight" => Some(json!(1_000_000)),
            "sendTransaction" => {
                let bytes = STANDARD.decode(params[0].as_str().unwrap()).unwrap();
                let copy: VersionedTransaction = bincode::deserialize(&bytes).unwrap();
                let signature = copy.signatures[0];
                let mut copies = self.copies.lock().unwrap();
                if !copies.contains(&copy) {
                    copies.push(copy);
                }
                Some(signature.to_string().into())
            }
            "getSignatureStatuses" => {
                let in_history = params[1]["searchTransactionHistory"] == true;
                let status = match self.claim {
                    Claim::Old if in_history => json!({
                        "slot": 7, "confirmations": null, "err": null, "status": { "Ok": null },
                        "confirmationStatus": "finalized",
                    }),
                    Claim::Expired | Claim::Old => Value::Null,
                    Claim::OutOfUnits => json!({
                        "slot": 7, "confirmations": null, "err": error, "status": { "Err": error },
                        "confirmationStatus": "finalized",
                    }),
                };
                with(params[0].as_array().unwrap().iter().map(|_| status.clone()).collect())
            }
            "getTransaction" if self.claim == Claim::OutOfUnits => {
                let copies = self.copies();
                let copy = copies.iter().find(|copy| params[0] == copy.signatures[0].to_string())?;
                Some(json!({
                    "slot": 7, "blockTime": null, "transaction": ["", "base64"], "version": "legacy",
                    "meta": {
                        "err": error, "status": { "Err": error }, "fee": 5_000, "preBalances": [],
                        "postBalances": [], "computeUnitsConsumed": requested_units(copy),
                    },
                }))
            }
            _ => None,
        }
    }
}

/// The compute units that a transaction requests, from its instruction `SetComputeUnitLimit`.
fn requested_units(transaction: &VersionedTransaction) -> u32 {
    let instructions = transaction.message.instructions().iter();
    let mut limits = instructions.filter_map(|instruction| instruction.data.strip_prefix(&[2]));
    let limit = limits.find_map(|data| data.try_into().ok());
    u32::from_le_bytes(limit.expect("a limit"))
}

fn board() -> BoardRef {
    MarketRef::new(7, Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32])).board(0)
}

fn extend(owner: Pubkey) -> Instruction {
    let wallet = board().market.payment_account(&owner);
    let allowed = Allowance { max_deposit: 1_000, max_leaving: 0 };
    instruction::extend_lease(&board(), owner, owner, board().lease(&owner, 1), wallet, 6, allowed)
}

fn cancel(owner: Pubkey) -> Instruction {
    instruction::cancel_lease(&board(), owner, board().lease(&owner, 1), vec![])
}

#[tokio::test]
async fn an_extension_is_signed_once_whatever_the_rpc_node_claims() {
    let (node, sender) = LyingNode::start(Claim::Expired);
    let error = sender.send(&[extend(sender.payer())], &[]).await.unwrap_err();
    let [copy] = node.signatures()[..] else { panic!("a second copy could pay twice") };
    assert!(matches!(error, SendError::Expired { signature } if signature == copy), "{error}");
    assert!(error.to_string().contains("look it up"), "{error}");

    let (node, sender) = LyingNode::start(Claim::OutOfUnits);
    let error = sender.send(&[extend(sender.payer())], &[]).await.unwrap_err();
    assert!(matches!(error, SendError::Refused { .. }), "{error}");
    assert_eq!(node.copies().len(), 1, "the failure may be a lie as well");
}

#[tokio::test]
async fn an_idempotent_transaction_is_signed_again() {
    for claim in [Claim::Expired, Claim::OutOfUnits] {
        let (node, sender) = LyingNode::start(claim);
        let observed = Mutex::new(Vec::new());
        let job = Job::new(vec![cancel(sender.payer())]);
        let on_signed = |signature| observed.lock().unwrap().push(signature);
        assert!(sender.send_observed(&job, &on_signed).await.is_err());
        assert_eq!(node.copies().len(), 5, "as many copies as the options allow");
        assert_eq!(observed.into_inner().unwrap(), node.signatures(), "each is reported before it is sent");
    }
}

#[tokio::test]
async fn a_transaction_that_landed_while_the_computer_slept_is_found_and_not_signed_again() {
    let (node, sender) = LyingNode::start(Claim::Old);
    let confirmation = sender.send(&[cancel(sender.payer())], &[]).await.unwrap();
    assert_eq!((confirmation.slot, node.signatures()), (7, vec![confirmation.signature]));
}

#[tokio::test]
async fn one_instruction_that_repeats_makes_the_whole_transaction_one_to_sign_once() {
    let (node, sender) = LyingNode::start(Claim::Expired);
    let settle = instruction::settle_lease(&board(), board().lease(&sender.payer(), 1));
    assert!(sender.send(&[settle, extend(sender.payer())], &[]).await.is_err());
    assert_eq!(node.copies().len(), 1);
}

#[tokio::test]
async fn a_lookup_table_lets_a_transaction_fit_that_is_too_large_without() {
    let addresses: Vec<_> = (1..=40).map(|byte| Pubkey::new_from_array([byte; 32])).collect();
    let accounts = addresses.iter().map(|address| AccountMeta::new(*address, false)).collect();
    let large = Instruction { program_id: Pubkey::new_from_array([90; 32]), accounts, data: vec![7; 8] };
    let table = AddressLookupTableAccount { key: Pubkey::new_from_array([91; 32]), addresses };

    let (node, sender) = LyingNode::start(Claim::Expired);
    let job = Job::new(vec![large]);
    let error = sender.send_job(&job).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge { bytes: 1_233.., limit: PACKET_BYTES }), "{error}");
    assert!(matches!(sender.simulate_job(&job).await, Err(SendError::TooLarge { .. })));

    let job = job.lookup_table(table.clone());
    assert_eq!(sender.simulate_job(&job).await.unwrap(), 100);
    assert!(matches!(sender.send_job(&job).await, Err(SendError::Expired { .. })));
    let [copy] = &node.copies()[..] else { panic!("one copy") };
    let VersionedMessage::V0(message) = &copy.message else { panic!("{copy:?}") };
    assert_eq!(message.address_table_lookups[0].account_key, table.key);
    assert_eq!(message.account_keys[0], sender.payer());
    assert!(copy.verify_with_results().iter().all(|valid| *valid), "signed as version 0");
}

#[tokio::test]
async fn a_transaction_without_lookup_tables_is_a_legacy_one() {
    let (node, sender) = LyingNode::start(Claim::Expired);
    assert!(sender.send(&[extend(sender.payer())], &[]).await.is_err());
    assert!(matches!(node.copies()[0].message, VersionedMessage::Legacy(_)));
}
