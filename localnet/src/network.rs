//! A running network with two mints and somebody who pays.

use std::{io, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use leasehold_client::sender::{AnySigner, Job, SendError, Sender, SenderOptions};
use solana_commitment_config::CommitmentConfig;
use solana_keypair::Keypair;
use solana_pubkey::{Pubkey, pubkey};
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::client_error::Error as RpcError;
use solana_signer::Signer;
use tokio::time::{Instant, sleep};

use crate::{surfnet::Surfnet, tokens};

/// Decimal places of the payment mint, as USDC has them.
pub const PAYMENT_DECIMALS: u8 = 6;

/// Decimal places of the stake mint: not the payment mint's, so that amounts are not mistaken.
pub const STAKE_DECIMALS: u8 = 9;

/// Lamports the payer starts with: half of what surfpool has to give.
const PAYER_LAMPORTS: u64 = 500_000 * 1_000_000_000;

/// The account that holds the chain's clock, and where in it the Unix time is.
const CLOCK: (Pubkey, std::ops::Range<usize>) =
    (pubkey!("SysvarC1ock11111111111111111111111111111111"), 32..40);

/// How long a block with the new time may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Transactions on their way at a time when many are sent. The network executes thousands a second, one by
/// one; what takes time is the wait for the next block.
pub const IN_FLIGHT: usize = 64;

/// A compiled program and where it lives.
#[derive(Clone)]
pub struct Program {
    /// Its address.
    pub id: Pubkey,
    /// The shared object.
    pub bytes: Vec<u8>,
}

/// What kind of network to start.
pub struct Options {
    /// The JSON-RPC port; `None` takes a free one.
    pub rpc_port: Option<u16>,
    /// The websocket port; `None` takes a free one.
    pub ws_port: Option<u16>,
    /// Time between two blocks. A blockhash lives for 150 of them.
    pub slot: Duration,
    /// The program to start with; the payer may upgrade it.
    pub program: Option<Program>,
    /// Who is rich from the start; `None` makes somebody up.
    pub payer: Option<Keypair>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rpc_port: None, ws_port: None, slot: Duration::from_millis(100), program: None, payer: None }
    }
}

/// Why the network does not run.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A port can't be opened.
    #[error("port {port} can't be opened ({reason}): choose another, or 0 for any free one")]
    Port {
        /// The port asked for.
        port: u16,
        /// The system's reason.
        reason: io::Error,
    },
    /// The compiled program can't be read.
    #[error("the compiled program is not there ({0}): make it with `cargo xtask build`")]
    Program(io::Error),
    /// The embedded machine did not start.
    #[error("the local network did not start: {0}")]
    Start(String),
    /// It did not answer or refused to prepare the mints or a wallet.
    #[error("the local network could not be prepared: {0}")]
    Prepare(SendError),
    /// A question went unanswered.
    #[error("the local network does not answer: {0}")]
    Rpc(RpcError),
    /// The chain's time can't be read or did not move as told.
    #[error("the local network's clock stands still")]
    Clock,
}

// Not by `#[from]`: that would make the cause a source as well, and have it told twice.
impl From<SendError> for NetworkError {
    fn from(error: SendError) -> Self {
        Self::Prepare(error)
    }
}

impl From<RpcError> for NetworkError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

/// What a wallet is to be given.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// Who gets it. Tokens go to the associated token accounts, which are created.
    pub wallet: Pubkey,
    /// Lamports.
    pub lamports: u64,
    /// Base units of the payment mint; 0 creates no account.
    pub payment: u64,
    /// Base units of the stake mint; 0 creates no account.
    pub stake: u64,
}

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
    /// Starts a network on loopback, with the program in place, a rich payer and two mints.
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

    /// Where JSON-RPC is answered.
    pub fn rpc_url(&self) -> &str {
        &self.rpc_url
    }

    /// Where subscriptions are served.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// A client of this network, at commitment `confirmed`.
    pub fn rpc(&self) -> &Arc<RpcClient> {
        &self.rpc
    }

    /// Sends transactions that the payer pays for, with [`sender_options`].
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Who is rich from the start and may upgrade the program.
    pub fn payer(&self) -> &Arc<Keypair> {
        &self.payer
    }

    /// Who may mint both tokens.
    pub fn faucet(&self) -> &Arc<Keypair> {
        &self.faucet
    }

    /// The mint leases are paid in: classic SPL, [`PAYMENT_DECIMALS`], no freeze authority.
    pub fn payment_mint(&self) -> Pubkey {
        self.payment_mint
    }

    /// The mint stake is bonded in: classic SPL, [`STAKE_DECIMALS`], no freeze authority.
    pub fn stake_mint(&self) -> Pubkey {
        self.stake_mint
    }

    /// Gives one wallet lamports and tokens, in one transaction.
    pub async fn fund(&self, grant: Grant) -> Result<(), NetworkError> {
        self.fund_all([grant]).await
    }

    /// Gives many wallets lamports and tokens, a transaction each. All are tried; the first failure is
    /// returned.
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
        let (address, place) = CLOCK;
        let data = self.rpc.get_account_data(&address).await?;
        let bytes = data.get(place).and_then(|bytes| bytes.try_into().ok()).ok_or(NetworkError::Clock)?;
        Ok(i64::from_le_bytes(bytes))
    }

    /// Sets the chain's time ahead and waits for a block with the new time, which is returned in Unix
    /// seconds. Time never goes back.
    pub async fn advance(&self, by: Duration) -> Result<i64, NetworkError> {
        let seconds = i64::try_from(by.as_secs()).map_err(|_| NetworkError::Clock)?;
        let aim = self.time().await?.saturating_add(seconds);
        self.surfnet.ticker.advance(by);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let time = self.time().await?;
            if time >= aim {
                return Ok(time);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(NetworkError::Clock)
    }
}

/// What suits a network whose blocks come many times a second.
pub fn sender_options() -> SenderOptions {
    SenderOptions {
        poll: Duration::from_millis(50),
        rebroadcast: Duration::from_secs(1),
        timeout: Duration::from_secs(60),
        ..SenderOptions::default()
    }
}

/// Makes the payment mint and the stake mint. Their addresses are the same on every local network, so that
/// what is written down for one holds for the next; who knows their keys can do nothing with the mints.
async fn create_mints(sender: &Sender, authority: &Pubkey) -> Result<[Pubkey; 2], NetworkError> {
    let rent = sender.rpc().get_minimum_balance_for_rent_exemption(tokens::MINT_BYTES).await?;
    let [payment, stake] = [1, 2].map(|byte| Keypair::new_from_array([byte; 32]));
    let mut instructions = Vec::new();
    for (mint, decimals) in [(&payment, PAYMENT_DECIMALS), (&stake, STAKE_DECIMALS)] {
        let made = tokens::create_mint(&sender.payer(), &mint.pubkey(), authority, decimals, rent)?;
        instructions.extend(made);
    }
    sender.send(&instructions, &[&payment, &stake]).await?;
    Ok([payment.pubkey(), stake.pubkey()])
}
