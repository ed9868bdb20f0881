//! A running network with two mints and a payer.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use leasehold_client::{
    clock,
    sender::{AnySigner, Job, Sender, SenderOptions},
};
use solana_commitment_config::CommitmentConfig;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signer::Signer;
use tokio::time::{Instant, sleep};

pub use crate::{
    error::NetworkError,
    options::{Grant, Options, Program},
};
use crate::{surfnet::Surfnet, tokens};

/// Decimal places of the payment mint, as USDC has them.
pub const PAYMENT_DECIMALS: u8 = 6;

/// Decimal places of the stake mint; different from the payment mint, so that mixed-up amounts show.
pub const STAKE_DECIMALS: u8 = 9;

/// Lamports of the payer at the start: half of the amount that surfpool can give.
const PAYER_LAMPORTS: u64 = 500_000 * 1_000_000_000;

/// Time within which a block with the new time must come.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Transactions in flight at a time. The network executes thousands a second, one by one; most of the time is spent
/// waiting for the next block.
pub const IN_FLIGHT: usize = 64;

/// A running network. Dropping it closes its ports and ends its threads.
pub struct Network {
    surfnet: Surfnet,
    rpc_url: String,
    ws_url: String,
    rpc: Arc<RpcClient>,
    sender: Sender,
    payer: Arc<Keypair>,
    faucet: Arc<Keypair>,
    payment_mint: Pubkey,
    stake_mint: Pubkey,
}

impl Network {
    /// Starts a network on loopback, with the program, a payer and two mints.
    pub async fn start(mut options: Options) -> Result<Self, NetworkError> {
        let payer = Arc::new(options.payer.take().unwrap_or_else(Keypair::new));
        let address = payer.pubkey();
        let surfnet = tokio::task::spawn_blocking(move || Surfnet::start(&options, address, PAYER_LAMPORTS))
            .await
            .map_err(|error| NetworkError::Start(error.to_string()))??;

        let rpc_url = format!("http://127.0.0.1:{}", surfnet.rpc_port);
        let ws_url = format!("ws://127.0.0.1:{}", surfnet.ws_port);
        let rpc = Arc::new(RpcClient::new_with_commitment(rpc_url.clone(), CommitmentConfig::confirmed()));
        let signer: Arc<AnySigner> = payer.clone();
        let sender = Sender::with_options(Arc::clone(&rpc), signer, sender_options());
        let faucet = Arc::new(Keypair::new());
        let [payment_mint, stake_mint] = create_mints(&sender, &faucet.pubkey()).await?;
        Ok(Self { surfnet, rpc_url, ws_url, rpc, sender, payer, faucet, payment_mint, stake_mint })
    }

    /// URL of JSON-RPC.
    pub fn rpc_url(&self) -> &str {
        &self.rpc_url
    }

    /// URL of the websockets.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// An RPC client of this network, at commitment `confirmed`.
    pub fn rpc(&self) -> &Arc<RpcClient> {
        &self.rpc
    }

    /// A sender with [`sender_options`]; the payer pays.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The payer, who is also the program's upgrade authority.
    pub fn payer(&self) -> &Arc<Keypair> {
        &self.payer
    }

    /// Mint authority of both tokens.
    pub fn faucet(&self) -> &Arc<Keypair> {
        &self.faucet
    }

    /// The payment mint: classic SPL, [`PAYMENT_DECIMALS`], no freeze authority.
    pub fn payment_mint(&self) -> Pubkey {
        self.payment_mint
    }

    /// The stake mint: classic SPL, [`STAKE_DECIMALS`], no freeze authority.
    pub fn stake_mint(&self) -> Pubkey {
        self.stake_mint
    }

    /// Gives one wallet lamports and tokens, in one transaction.
    pub async fn fund(&self, grant: Grant) -> Result<(), NetworkError> {
        self.fund_all([grant]).await
    }

    /// Gives wallets lamports and tokens, one transaction each. All are sent; the first failure is returned.
    pub async fn fund_all(&self, grants: impl IntoIterator<Item = Grant>) -> Result<(), NetworkError> {
        let mints = [self.payment_mint, self.stake_mint];
        let job = |grant: Grant| {
            let faucet: Arc<AnySigner> = self.faucet.clone();
            let instructions = tokens::grant(&grant, &self.payer.pubkey(), &faucet.pubkey(), mints)?;
            Ok(((), Job::new(instructions).signer(faucet)))
        };
        let jobs = grants.into_iter().map(job).collect::<Result<Vec<_>, NetworkError>>()?;
        let ends = self.sender.send_all(stream::iter(jobs), IN_FLIGHT).collect::<Vec<_>>().await;
        ends.into_iter().try_for_each(|((), end)| end.map(drop)).map_err(NetworkError::Prepare)
    }

    /// The chain's time in Unix seconds.
    pub async fn time(&self) -> Result<i64, NetworkError> {
        let data = self.rpc.get_account_data(&clock::ADDRESS).await?;
        clock::unix_time(&data).ok_or(NetworkError::Clock)
    }

    /// Advances the chain's time and waits for a block with the new time. Returns that time in Unix seconds.
    pub async fn advance(&self, by: Duration) -> Result<i64, NetworkError> {
        let seconds = i64::try_from(by.as_secs()).map_err(|_| NetworkError::Clock)?;
        let target = self.time().await?.saturating_add(seconds);
        self.surfnet.ticker.advance(by);
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            let time = self.time().await?;
            if time >= target {
                return Ok(time);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(NetworkError::Clock)
    }

    /// Halts the cluster, or lets it go on: no block comes and its clock stands still, while RPC goes on answering.
    pub fn set_halted(&self, halted: bool) {
        self.surfnet.ticker.set_halted(halted);
    }
}

/// Options of a sender for a network with many blocks a second.
pub fn sender_options() -> SenderOptions {
    SenderOptions {
        poll: Duration::from_millis(50),
        rebroadcast: Duration::from_secs(1),
        timeout: Duration::from_secs(60),
        ..SenderOptions::default()
    }
}

/// Creates the payment mint and the stake mint. Their addresses are the same on every local network; their keypairs are
/// public, but of no use after the creation.
async fn create_mints(sender: &Sender, authority: &Pubkey) -> Result<[Pubkey; 2], NetworkError> {
    let rent = sender.rpc().get_minimum_balance_for_rent_exemption(tokens::MINT_BYTES).await?;
    let [payment, stake] = [1, 2].map(|byte| Keypair::new_from_array([byte; 32]));
    let mut instructions = Vec::new();
    for (mint, decimals) in [(&payment, PAYMENT_DECIMALS), (&stake, STAKE_DECIMALS)] {
        let create = tokens::create_mint(&sender.payer(), &mint.pubkey(), authority, decimals, rent)?;
        instructions.extend(create);
    }
    sender.send(&instructions, &[&payment, &stake]).await?;
    Ok([payment.pubkey(), stake.pubkey()])
}
