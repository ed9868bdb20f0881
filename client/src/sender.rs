//! Sends transactions: simulates, sets the compute budget, signs, broadcasts until confirmed, and signs expired
//! transactions again if a duplicate is harmless. Keepers, tools, tests and the demo all send through it.

mod blockhash;
mod budget;
mod confirm;
mod error;
mod flight;
mod order;

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use solana_commitment_config::CommitmentConfig;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signature::Signature;
use solana_signer::Signer;

use self::{blockhash::Blockhashes, confirm::Confirmer, order::Order};
pub use self::{budget::Price, error::SendError};
use crate::instruction::is_idempotent;

/// Anything that can sign: a keypair in memory or a hardware wallet.
pub type AnySigner = dyn Signer + Send + Sync;

/// Settings of a [`Sender`].
#[derive(Clone, Debug)]
pub struct SenderOptions {
    /// Commitment at which a transaction counts as confirmed.
    pub commitment: CommitmentConfig,
    /// Pause between two polls for the status of pending transactions.
    pub poll: Duration,
    /// How long to wait for a transaction before broadcasting it again.
    pub rebroadcast: Duration,
    /// How many times an idempotent transaction is signed at most: again if it expired, or if it needed more compute
    /// units than its simulation. Any other transaction is signed once, whatever is set here.
    pub attempts: u32,
    /// How long to wait for the end of a signed transaction while the RPC node gives no useful answer.
    pub timeout: Duration,
    /// Compute units requested on top of what the simulation used, in percent; more after each time they did not
    /// suffice.
    pub headroom: u32,
    /// Price of each requested compute unit.
    pub price: Price,
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            commitment: CommitmentConfig::confirmed(),
            poll: Duration::from_millis(500),
            rebroadcast: Duration::from_secs(2),
            attempts: 3,
            timeout: Duration::from_secs(120),
            headroom: 10,
            price: Price::Fixed(0),
        }
    }
}

/// A transaction that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Identifies the transaction on the chain.
    pub signature: Signature,
    /// The Solana slot that includes it.
    pub slot: u64,
    /// Serialized length in bytes, signatures included.
    pub bytes: usize,
    /// Compute units used; `None` if the RPC node has not kept the transaction.
    pub cu: Option<u64>,
    /// Lamports charged to the payer, for signatures and compute units; `None` if the RPC node has not kept the
    /// transaction.
    pub fee: Option<u64>,
}

/// Callback with the signature of each copy of a transaction, before the RPC node is offered it.
pub type OnSigned<'a> = dyn Fn(Signature) + Send + Sync + 'a;

/// A transaction to send.
#[derive(Clone)]
pub struct Job {
    /// Executed in this order, all or nothing.
    pub instructions: Vec<Instruction>,
    /// Signers besides the payer.
    pub signers: Vec<Arc<AnySigner>>,
    /// Pays instead of the sender's payer.
    pub payer: Option<Arc<AnySigner>>,
    /// Compute units to request; `None` requests what a simulation used, and some more.
    pub units: Option<u32>,
    /// Tables that shorten the transaction. Without any it is a legacy transaction, else one of version 0.
    pub lookup_tables: Vec<AddressLookupTableAccount>,
}

impl Job {
    /// A transaction that only its payer signs.
    pub fn new(instructions: Vec<Instruction>) -> Self {
        Self { instructions, signers: Vec::new(), payer: None, units: None, lookup_tables: Vec::new() }
    }

    /// Adds a signer.
    pub fn signer(mut self, signer: Arc<AnySigner>) -> Self {
        self.signers.push(signer);
        self
    }

    /// Sets another payer than the sender's.
    pub fn payer(mut self, payer: Arc<AnySigner>) -> Self {
        self.payer = Some(payer);
        self
    }

    /// Requests this many compute units and skips the simulation: a failure then happens on the chain and costs
    /// its fee.
    pub fn units(mut self, units: u32) -> Self {
        self.units = Some(units);
        self
    }

    /// Adds a lookup table, as [`crate::fetch::Fetch::lookup_table`] reads it. The message has version 0 then: it
    /// names accounts that are in a table by one byte each instead of 32.
    pub fn lookup_table(mut self, table: AddressLookupTableAccount) -> Self {
        self.lookup_tables.push(table);
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

    /// A sender with the given options.
    pub fn with_options(rpc: Arc<RpcClient>, payer: Arc<AnySigner>, options: SenderOptions) -> Self {
        Self {
            confirmer: Confirmer::new(Arc::clone(&rpc), options.commitment, options.poll),
            blockhashes: Arc::new(Blockhashes::new(Arc::clone(&rpc), options.commitment)),
            rpc,
            payer,
            options,
        }
    }

    /// The same sender with another payer.
    pub fn with_payer(&self, payer: Arc<AnySigner>) -> Self {
        Self { payer, ..self.clone() }
    }

    /// The wallet that pays and signs first.
    pub fn payer(&self) -> Pubkey {
        self.payer.pubkey()
    }

    /// The RPC node this sender uses.
    pub fn rpc(&self) -> &Arc<RpcClient> {
        &self.rpc
    }

    /// How many times a transaction with these instructions is signed at most: once, unless a duplicate of it is
    /// harmless.
    pub fn attempts(&self, instructions: &[Instruction]) -> u32 {
        if is_idempotent(instructions) { self.options.attempts.max(1) } else { 1 }
    }

    /// Simulates the instructions, sends them as one transaction and waits until it is confirmed.
    /// `signers` may omit the payer, may name a signer twice and may contain unneeded ones.
    ///
    /// # Errors
    /// Any [`SendError`]. After [`SendError::Expired`] or [`SendError::Unconfirmed`] the transaction may still take
    /// effect: look up its signature before sending the instructions again, unless they are idempotent.
    pub async fn send(
        &self,
        instructions: &[Instruction],
        signers: &[&AnySigner],
    ) -> Result<Confirmation, SendError> {
        let (signers, payer) = (signers.to_vec(), &*self.payer);
        let order = Order { instructions, signers, payer, units: None, lookup_tables: &[], on_signed: None };
        self.deliver(&order).await
    }

    /// Like [`Sender::send`] for a prepared transaction.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_job(&self, job: &Job) -> Result<Confirmation, SendError> {
        self.deliver(&self.order(job)).await
    }

    /// Like [`Sender::send_job`], and calls `on_signed` with the signature of each copy before the RPC node is
    /// offered it: the signatures are known even if this future is dropped.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send_observed(
        &self,
        job: &Job,
        on_signed: &OnSigned<'_>,
    ) -> Result<Confirmation, SendError> {
        self.deliver(&Order { on_signed: Some(on_signed), ..self.order(job) }).await
    }

    /// Sends many transactions that don't depend on each other, at most `in_flight` at a time, and yields each
    /// result as it arrives, with the caller's tag. A failure stops nothing.
    pub fn send_all<T>(
        &self,
        jobs: impl Stream<Item = (T, Job)>,
        in_flight: usize,
    ) -> impl Stream<Item = (T, Result<Confirmation, SendError>)> {
        jobs.map(move |(tag, job)| async move { (tag, self.send_job(&job).await) })
            .buffer_unordered(in_flight.max(1))
    }

    /// Like [`Sender::send_all`], but prepares and broadcasts each transaction only after the RPC node has
    /// accepted the one before it, without waiting for confirmation. A single node that executes transactions on
    /// arrival, as a local network does, thereby keeps their order. A cluster may reorder them: there, transactions
    /// that build on each other must be confirmed one by one.
    pub fn send_in_order<T>(
        &self,
        jobs: impl Stream<Item = (T, Job)>,
        in_flight: usize,
    ) -> impl Stream<Item = (T, Result<Confirmation, SendError>)> {
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

    /// Simulates the instructions at the price at which they would be sent, and returns the compute units they use.
    /// Needs no signature.
    ///
    /// # Errors
    /// As [`Sender::send`], without those that follow a broadcast.
    pub async fn simulate(&self, instructions: &[Instruction]) -> Result<u64, SendError> {
        self.simulate_job(&Job::new(instructions.to_vec())).await
    }

    /// Like [`Sender::simulate`] for a prepared transaction.
    ///
    /// # Errors
    /// As [`Sender::simulate`].
    pub async fn simulate_job(&self, job: &Job) -> Result<u64, SendError> {
        let order = self.order(job);
        let price = self.price(&order).await?;
        self.used_units(&order, price).await
    }

    fn order<'a>(&'a self, job: &'a Job) -> Order<'a> {
        Order {
            instructions: &job.instructions,
            signers: job.signers.iter().map(|signer| &**signer).collect(),
            payer: &**job.payer.as_ref().unwrap_or(&self.payer),
            units: job.units,
            lookup_tables: &job.lookup_tables,
            on_signed: None,
        }
    }

    async fn deliver(&self, order: &Order<'_>) -> Result<Confirmation, SendError> {
        let flight = self.launch(order).await?;
        self.land(order, flight).await
    }
}
