//! Sends transactions: sets their compute budget, signs, broadcasts until they are confirmed, and signs
//! anew what expired. The one place that does so for keepers, tools, tests and the demo.

mod blockhash;
mod budget;
mod confirm;
mod error;
mod flight;

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use solana_commitment_config::CommitmentConfig;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signature::Signature;
use solana_signer::Signer;

use self::{blockhash::Blockhashes, confirm::Confirmer, flight::Order};
pub use self::{budget::Price, error::SendError};

/// Whoever can sign: a keypair in memory or a device.
pub type AnySigner = dyn Signer + Send + Sync;

/// How a [`Sender`] goes about it.
#[derive(Clone, Debug)]
pub struct SenderOptions {
    /// What a transaction must reach to count as done.
    pub commitment: CommitmentConfig,
    /// Pause between two looks at the pending transactions.
    pub poll: Duration,
    /// How long to wait for a transaction before broadcasting it once more.
    pub rebroadcast: Duration,
    /// How many times a transaction is signed: anew where it expired, or used more compute units than its
    /// simulation.
    pub attempts: u32,
    /// How long to go on with a signed transaction while the node gives no useful answer.
    pub patience: Duration,
    /// Compute units requested on top of what the simulation used, in percent; more each time they did not
    /// suffice.
    pub headroom: u32,
    /// What is paid for each requested unit.
    pub price: Price,
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            commitment: CommitmentConfig::confirmed(),
            poll: Duration::from_millis(500),
            rebroadcast: Duration::from_secs(2),
            attempts: 3,
            patience: Duration::from_secs(120),
            headroom: 10,
            price: Price::Fixed(0),
        }
    }
}

/// What a transaction that took effect came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Names the transaction on the chain.
    pub signature: Signature,
    /// The slot that includes it.
    pub slot: u64,
    /// Serialized length in bytes, signatures included.
    pub bytes: usize,
    /// Compute units used; `None` where the node has not kept the transaction.
    pub cu: Option<u64>,
    /// Lamports charged to the payer, signatures and price together; `None` as above.
    pub fee: Option<u64>,
}

/// Is told the signature of each copy of a transaction before the node is offered it.
pub type Note<'a> = dyn Fn(Signature) + Send + Sync + 'a;

/// A transaction to be sent.
#[derive(Clone)]
pub struct Job {
    /// What to do, in this order, all or nothing.
    pub instructions: Vec<Instruction>,
    /// Who must sign besides the payer.
    pub signers: Vec<Arc<AnySigner>>,
    /// Who pays instead of the sender's payer.
    pub payer: Option<Arc<AnySigner>>,
    /// Compute units to request; `None`: as many as a simulation used, and some more.
    pub units: Option<u32>,
}

impl Job {
    /// A transaction that only its payer signs.
    pub fn new(instructions: Vec<Instruction>) -> Self {
        Self { instructions, signers: Vec::new(), payer: None, units: None }
    }

    /// Adds a signer.
    pub fn signer(mut self, signer: Arc<AnySigner>) -> Self {
        self.signers.push(signer);
        self
    }

    /// Has somebody else pay.
    pub fn payer(mut self, payer: Arc<AnySigner>) -> Self {
        self.payer = Some(payer);
        self
    }

    /// Requests this many compute units and does without the simulation: what fails then fails on the
    /// chain, and costs its fee.
    pub fn units(mut self, units: u32) -> Self {
        self.units = Some(units);
        self
    }
}

/// Sends transactions over one RPC node. Clones share the blockhash and the polling; a sender must stay
/// within the tokio runtime that used it first.
#[derive(Clone)]
pub struct Sender {
    rpc: Arc<RpcClient>,
    payer: Arc<AnySigner>,
    options: SenderOptions,
    confirmer: Arc<Confirmer>,
    blockhashes: Arc<Blockhashes>,
}

impl Sender {
    /// A sender with the default options.
    pub fn new(rpc: Arc<RpcClient>, payer: Arc<AnySigner>) -> Self {
        Self::with_options(rpc, payer, SenderOptions::default())
    }

    /// A sender with options of its own.
    pub fn with_options(rpc: Arc<RpcClient>, payer: Arc<AnySigner>, options: SenderOptions) -> Self {
        Self {
            confirmer: Confirmer::new(Arc::clone(&rpc), options.commitment, options.poll),
            blockhashes: Arc::new(Blockhashes::new(Arc::clone(&rpc), options.commitment)),
            rpc,
            payer,
            options,
        }
    }

    /// The same sender with somebody else paying.
    pub fn with_payer(&self, payer: Arc<AnySigner>) -> Self {
        Self { payer, ..self.clone() }
    }

    /// Who pays and signs first.
    pub fn payer(&self) -> Pubkey {
        self.payer.pubkey()
    }

    /// The node this sender talks to.
    pub fn rpc(&self) -> &Arc<RpcClient> {
        &self.rpc
    }

    /// Simulates the instructions, sends them as one transaction and waits until it is confirmed.
    /// `signers` need not name the payer, may name somebody twice and may be more than needed.
    pub async fn send(
        &self,
        instructions: &[Instruction],
        signers: &[&AnySigner],
    ) -> Result<Receipt, SendError> {
        let signers = signers.to_vec();
        let attempts = self.options.attempts;
        let payer = &*self.payer;
        self.deliver(&Order { instructions, signers, payer, units: None, attempts, note: None }).await
    }

    /// Like [`Sender::send`] for what only the payer signs, at most `attempts` times, whatever the options say:
    /// once where a second copy that takes effect as well would do harm. A node can hold back a copy that it
    /// tells has expired.
    pub async fn send_noted(
        &self,
        instructions: &[Instruction],
        attempts: u32,
        note: &Note<'_>,
    ) -> Result<Receipt, SendError> {
        let (signers, payer) = (Vec::new(), &*self.payer);
        self.deliver(&Order { instructions, signers, payer, units: None, attempts, note: Some(note) }).await
    }

    /// Like [`Sender::send`] for a prepared transaction.
    pub async fn send_job(&self, job: &Job) -> Result<Receipt, SendError> {
        self.deliver(&self.order(job)).await
    }

    /// Sends many transactions that don't depend on each other, at most `in_flight` at a time, and reports
    /// each as it ends. The caller's tag tells which it was. A failure stops nothing.
    pub fn send_all<T>(
        &self,
        jobs: impl Stream<Item = (T, Job)>,
        in_flight: usize,
    ) -> impl Stream<Item = (T, Result<Receipt, SendError>)> {
        jobs.map(move |(tag, job)| async move { (tag, self.send_job(&job).await) })
            .buffer_unordered(in_flight.max(1))
    }

    /// Like [`Sender::send_all`], but prepares and broadcasts each transaction only after the node has
    /// accepted the one before it, without waiting for confirmation. One node that executes what it is
    /// sent at once, as a local network does, thereby keeps their order. A cluster need not: there,
    /// transactions that build on each other must be confirmed one by one.
    pub fn send_in_order<T>(
        &self,
        jobs: impl Stream<Item = (T, Job)>,
        in_flight: usize,
    ) -> impl Stream<Item = (T, Result<Receipt, SendError>)> {
        jobs.then(move |(tag, job)| async move {
            let flight = self.launch(&self.order(&job)).await;
            (tag, job, flight)
        })
        .map(move |(tag, job, flight)| async move {
            let end = match flight {
                Ok(flight) => self.land(&self.order(&job), flight).await,
                Err(error) => Err(error),
            };
            (tag, end)
        })
        .buffer_unordered(in_flight.max(1))
    }

    /// Runs the instructions, at the price at which they would be sent, without sending them, and returns the
    /// compute units they use. Needs no signature.
    pub async fn simulate(&self, instructions: &[Instruction]) -> Result<u64, SendError> {
        let payer = self.payer.pubkey();
        let price = self.price(instructions, &payer).await?;
        self.used_units(instructions, &payer, price).await
    }

    fn order<'a>(&'a self, job: &'a Job) -> Order<'a> {
        Order {
            instructions: &job.instructions,
            signers: job.signers.iter().map(|signer| &**signer).collect(),
            payer: &**job.payer.as_ref().unwrap_or(&self.payer),
            units: job.units,
            attempts: self.options.attempts,
            note: None,
        }
    }

    async fn deliver(&self, order: &Order<'_>) -> Result<Receipt, SendError> {
        let flight = self.launch(order).await?;
        self.land(order, flight).await
    }
}
