//! The client's sender on a running network: a transaction takes effect once, and each failure has its own error.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use leasehold_client::{
    fetch::Fetch,
    sender::{AnySigner, Job, SendError, Sender},
};
use leasehold_localnet::{Grant, Network, Options, network::sender_options};
use solana_address_lookup_table_interface::instruction as lookup_table;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rpc_client::{
    http_sender::HttpSender,
    nonblocking::rpc_client::RpcClient,
    rpc_client::RpcClientConfig,
    rpc_sender::{RpcSender, RpcTransportStats},
};
use solana_rpc_client_api::{
    client_error::{Error, ErrorKind, Result},
    request::RpcRequest,
};
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;

/// A network and a wallet with a million lamports.
async fn network() -> (Network, Pubkey) {
    start(Options::default()).await
}

/// The same with Solana slots so short that blockhashes expire within seconds.
async fn network_with_short_slots() -> (Network, Pubkey) {
    start(Options { slot: Duration::from_millis(10), ..Options::default() }).await
}

async fn start(options: Options) -> (Network, Pubkey) {
    let network = Network::start(options).await.expect("a network");
    let wallet = Keypair::new().pubkey();
    network.fund(grant(wallet, 1_000_000)).await.expect("funding");
    (network, wallet)
}

fn grant(wallet: Pubkey, lamports: u64) -> Grant {
    Grant { wallet, lamports, payment: 0, stake: 0 }
}

async fn balance(network: &Network, wallet: &Pubkey) -> u64 {
    network.rpc().get_balance(wallet).await.expect("balance")
}

#[tokio::test]
async fn a_refused_instruction_is_reported_by_its_index_and_code() {
    let (network, _) = network().await;
    let poor = Arc::new(Keypair::new());
    network.fund(grant(poor.pubkey(), 2_000_000)).await.expect("funding");
    let payer = network.payer().pubkey();
    let instructions = [transfer(&payer, &poor.pubkey(), 1), transfer(&poor.pubkey(), &payer, 3_000_000)];

    let simulated = network.sender().send(&instructions, &[&*poor]).await.expect_err("too much");
    let SendError::Program { instruction: 1, code: 1, signature: None, .. } = simulated else {
        panic!("{simulated:?}");
    };
    // Without a simulation the chain refuses it, and charges the fee.
    let signer: Arc<AnySigner> = poor.clone();
    let job = Job::new(instructions.to_vec()).signer(signer).units(1_000);
    let landed = network.sender().send_job(&job).await.expect_err("too much");
    let SendError::Program { instruction: 1, code: 1, signature: Some(_), logs } = &landed else {
        panic!("{landed:?}");
    };
    assert!(logs.iter().any(|line| line.contains("insufficient lamports")), "{logs:?}");
    assert_eq!(balance(&network, &poor.pubkey()).await, 2_000_000);
}

#[tokio::test]
async fn equal_transactions_sent_at_once_all_take_effect() {
    let (network, wallet) = network().await;
    let payer = network.payer().pubkey();
    let jobs = (0..5).map(|number| (number, Job::new(vec![transfer(&payer, &wallet, 10)])));
    let mut ends = network.sender().send_all(stream::iter(jobs), 5).collect::<Vec<_>>().await;
    ends.sort_by_key(|(number, _)| *number);
    for (position, (number, confirmation)) in ends.iter().enumerate() {
        assert_eq!(*number, position);
        let confirmation = confirmation.as_ref().expect("a confirmation");
        // Both the transfer and the compute budget's instruction cost 150 units. Bytes: signature 1 + 64,
        // header 3, keys 1 + 4 * 32, blockhash 32, instructions 1 + 17 + 8.
        assert_eq!((confirmation.cu, confirmation.fee, confirmation.bytes), (Some(300), Some(5_000), 255));
    }
    assert_eq!(balance(&network, &wallet).await, 1_000_050);
}

#[tokio::test]
async fn transactions_in_order_build_on_each_other() {
    let (network, _) = network().await;
    // Each wallet passes on what it got from the one before.
    let wallets = (0..40).map(|_| Arc::new(Keypair::new())).collect::<Vec<_>>();
    let first = wallets.first().expect("wallets");
    network.fund(grant(first.pubkey(), 5_000_000)).await.expect("funding");
    let jobs = wallets.windows(2).map(|pair| {
        let [from, to] = pair else { unreachable!("windows of two") };
        let signer: Arc<AnySigner> = from.clone();
        ((), Job::new(vec![transfer(&from.pubkey(), &to.pubkey(), 5_000_000)]).signer(signer))
    });
    let jobs = stream::iter(jobs.collect::<Vec<_>>());
    let ends = network.sender().send_in_order(jobs, 64).collect::<Vec<_>>().await;
    assert!(ends.iter().all(|((), end)| end.is_ok()), "{ends:?}");
    let last = wallets.last().expect("wallets");
    assert_eq!(balance(&network, &last.pubkey()).await, 5_000_000);
}

#[tokio::test]
async fn send_fails_before_sending_when_a_transaction_is_too_large() {
    let (network, _) = network().await;
    let payer = network.payer().pubkey();
    let transfers = (0..40).map(|_| transfer(&payer, &Keypair::new().pubkey(), 1_000_000));
    let instructions = transfers.collect::<Vec<_>>();
    let error = network.sender().send(&instructions, &[]).await.expect_err("too large");
    let SendError::TooLarge { limit: 1_232, bytes: 1_233.. } = error else {
        panic!("{error:?}");
    };
}

#[tokio::test]
async fn a_lookup_table_lets_a_transaction_land_that_is_too_large_without() {
    let (network, _) = network().await;
    let (payer, rpc) = (network.payer().pubkey(), network.rpc());
    let wallets = (0..40).map(|_| Keypair::new().pubkey()).collect::<Vec<_>>();
    let slot = rpc.get_slot().await.expect("a slot");
    let (create, table) = lookup_table::create_lookup_table(payer, payer, slot.saturating_sub(1));
    network.sender().send(&[create], &[]).await.expect("a table");
    for addresses in wallets.chunks(20) {
        let extend = lookup_table::extend_lookup_table(table, payer, Some(payer), addresses.to_vec());
        network.sender().send(&[extend], &[]).await.expect("a longer table");
    }
    let table = Fetch::new(rpc).lookup_table(table).await.expect("the table");
    assert_eq!(table.addresses, wallets);
    // Addresses can be looked up from the Solana slot after the one that added them.
    let extended = rpc.get_slot().await.expect("a slot");
    while rpc.get_slot().await.expect("a slot") <= extended {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let transfers = wallets.iter().map(|wallet| transfer(&payer, wallet, 1_000_000)).collect();
    let job = Job::new(transfers).lookup_table(table);
    let confirmation = network.sender().send_job(&job).await.expect("a confirmation");
    assert!(confirmation.bytes <= 1_232 && confirmation.cu.is_some(), "{confirmation:?}");
    for wallet in &wallets {
        assert_eq!(balance(&network, wallet).await, 1_000_000);
    }
}

#[tokio::test]
async fn send_fails_when_a_signature_is_missing() {
    let (network, wallet) = network().await;
    let transfer = transfer(&wallet, &network.payer().pubkey(), 1);
    let error = network.sender().send(&[transfer], &[]).await.expect_err("unsigned");
    assert!(matches!(error, SendError::Signing(_)), "{error:?}");
}

/// Creates the payer's own account for payments if it is missing, which is idempotent.
fn create_account(network: &Network) -> [Instruction; 1] {
    let payer = network.payer().pubkey();
    let token_program = spl_token_interface::ID;
    [create_associated_token_account_idempotent(&payer, &payer, &network.payment_mint(), &token_program)]
}

#[tokio::test]
async fn a_lost_transaction_is_signed_again_if_it_is_idempotent() {
    let (network, _) = network_with_short_slots().await;
    let (sender, offers) = lossy(&network, Loss::Requests);
    let confirmation = sender.send(&create_account(&network), &[]).await.expect("a confirmation");
    assert!(confirmation.cu.is_some());
    assert!(offers.load(Ordering::Relaxed) >= 2, "the first copy was lost, another one arrived");
}

#[tokio::test]
async fn a_lost_transfer_is_reported_and_not_signed_again() {
    let (network, wallet) = network_with_short_slots().await;
    let (sender, _) = lossy(&network, Loss::Requests);
    let transfer = transfer(&sender.payer(), &wallet, 7);
    let error = sender.send(&[transfer], &[]).await.expect_err("it expired");
    assert!(matches!(error, SendError::Expired { .. }), "{error:?}");
    assert_eq!(balance(&network, &wallet).await, 1_000_000, "a second copy would have arrived");
}

#[tokio::test]
async fn a_transaction_whose_answer_is_lost_takes_effect_once() {
    let (network, wallet) = network().await;
    let (sender, _) = lossy(&network, Loss::Answers);
    sender.send(&[transfer(&sender.payer(), &wallet, 7)], &[]).await.expect("a confirmation");
    assert_eq!(balance(&network, &wallet).await, 1_000_007);
}

#[tokio::test]
async fn a_transaction_that_needs_more_units_than_its_simulation_said_is_signed_again() {
    let (network, _) = network().await;
    let (sender, offers) = lossy(&network, Loss::Units);
    let confirmation = sender.send(&create_account(&network), &[]).await.expect("a confirmation");
    assert!(confirmation.cu.is_some());
    assert_eq!(offers.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn send_fails_when_the_network_is_gone() {
    let (network, wallet) = network().await;
    let sender = network.sender().clone();
    drop(network);
    let error = sender.send(&[transfer(&sender.payer(), &wallet, 1)], &[]).await.expect_err("nobody there");
    assert!(matches!(error, SendError::Rpc(_)) && error.is_transient(), "{error:?}");
}

/// The part of the first transaction that the connection loses.
enum Loss {
    /// The transaction itself, every time it is sent.
    Requests,
    /// The RPC node's answer.
    Answers,
    /// Half of the compute units that its simulation used.
    Units,
}

/// An RPC connection that loses something.
struct Line {
    http: HttpSender,
    loss: Loss,
    /// The first transaction that was sent.
    first: OnceLock<String>,
    offers: Arc<AtomicUsize>,
}

fn lossy(network: &Network, loss: Loss) -> (Sender, Arc<AtomicUsize>) {
    let offers = Arc::new(AtomicUsize::new(0));
    let http = HttpSender::new(network.rpc_url());
    let line = Line { http, loss, first: OnceLock::new(), offers: Arc::clone(&offers) };
    let rpc = RpcClient::new_sender(line, RpcClientConfig::default());
    let payer: Arc<AnySigner> = network.payer().clone();
    (Sender::with_options(Arc::new(rpc), payer, sender_options()), offers)
}

#[async_trait]
impl RpcSender for Line {
    async fn send(&self, request: RpcRequest, params: serde_json::Value) -> Result<serde_json::Value> {
        match (request, &self.loss) {
            (RpcRequest::SendTransaction, loss) => {
                self.offers.fetch_add(1, Ordering::Relaxed);
                let transaction = params[0].to_string();
                let is_first = *self.first.get_or_init(|| transaction.clone()) == transaction;
                match loss {
                    Loss::Requests if is_first => Err(lost()),
                    Loss::Answers => self.http.send(request, params).await.and(Err(lost())),
                    _ => self.http.send(request, params).await,
                }
            }
            (RpcRequest::SimulateTransaction, Loss::Units) if self.first.get().is_none() => {
                let mut answer = self.http.send(request, params).await?;
                let units = &mut answer["value"]["unitsConsumed"];
                *units = (units.as_u64().expect("units") / 2).into();
                Ok(answer)
            }
            _ => self.http.send(request, params).await,
        }
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        self.http.get_transport_stats()
    }

    fn url(&self) -> String {
        self.http.url()
    }
}

fn lost() -> Error {
    ErrorKind::Custom("lost".to_owned()).into()
}
