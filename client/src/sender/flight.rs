//! A transaction's way from the caller to its receipt: signed, broadcast, and once more where it is lost.

use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::{Message, VersionedMessage};
use solana_rpc_client_api::{
    client_error::{Error as RpcError, ErrorKind},
    config::{RpcSendTransactionConfig, RpcTransactionConfig},
    custom_error::{
        JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED, JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY,
    },
    request::RpcError as Answer,
};
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_status_client_types::{
    UiTransactionEncoding, UiTransactionStatusMeta, option_serializer::OptionSerializer,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{
    AnySigner, Note, Receipt, SendError, Sender,
    budget::{Budgeted, packed},
    confirm::Outcome,
    error::is_unreachable,
};

/// How many times a finished transaction is looked up before its cost is reported as unknown.
const LOOKUPS: u32 = 5;

/// What the caller wants done.
pub(super) struct Order<'a> {
    pub instructions: &'a [Instruction],
    pub signers: Vec<&'a AnySigner>,
    pub payer: &'a AnySigner,
    pub units: Option<u32>,
    /// How many times it is signed at most.
    pub attempts: u32,
    pub note: Option<&'a Note<'a>>,
}

/// A signed transaction that the node has been offered.
pub(super) struct Flight {
    /// For the case that it must be signed anew.
    budgeted: Budgeted,
    transaction: VersionedTransaction,
    signature: Signature,
    bytes: usize,
    end: oneshot::Receiver<Outcome>,
    /// Whether the node may have it.
    sent: bool,
    deadline: Instant,
}

impl Sender {
    /// Prepares a transaction and offers it to the node once.
    pub(super) async fn launch(&self, order: &Order<'_>) -> Result<Flight, SendError> {
        let budgeted = self.budgeted(order, self.options.headroom).await?;
        self.sign_and_offer(order, budgeted).await
    }

    /// Sees a transaction through to its end.
    pub(super) async fn land(&self, order: &Order<'_>, mut flight: Flight) -> Result<Receipt, SendError> {
        let mut headroom = self.options.headroom;
        let mut attempts_left = order.attempts.saturating_sub(1);
        loop {
            let Flight { signature, bytes, .. } = flight;
            let budgeted = match self.outcome(&mut flight).await? {
                Outcome::Expired if attempts_left == 0 => return Err(SendError::Expired { signature }),
                Outcome::Expired => flight.budgeted,
                Outcome::Landed { slot, error } => {
                    let record = self.record(signature).await;
                    let Some(error) = error else {
                        let (cu, fee) = (record.as_ref().and_then(Record::cu), record.map(|r| r.0.fee));
                        return Ok(Receipt { signature, slot, bytes, cu, fee });
                    };
                    // What it met on the chain may be more work than what the simulation met.
                    let units = Some(u64::from(flight.budgeted.units));
                    let ran_out = record.as_ref().and_then(Record::cu) == units;
                    if !ran_out || order.units.is_some() || attempts_left == 0 {
                        let logs = record.map(Record::logs).unwrap_or_default();
                        return Err(SendError::failed(error, logs, Some(signature)));
                    }
                    headroom = headroom.saturating_mul(3).saturating_add(10);
                    self.budgeted(order, headroom).await?
                }
            };
            tracing::debug!("transaction {signature} is signed anew");
            attempts_left -= 1;
            flight = self.sign_and_offer(order, budgeted).await?;
        }
    }

    async fn sign_and_offer(&self, order: &Order<'_>, budgeted: Budgeted) -> Result<Flight, SendError> {
        let sign = |blockhash: &Hash| signed(&budgeted.instructions, order, blockhash);
        let (transaction, last_valid) = self.blockhashes.sign(sign).await?;
        let bytes = packed(&transaction)?;
        let signature = transaction.signatures.first().copied().unwrap_or_default();
        if let Some(note) = order.note {
            note(signature);
        }
        let end = self.confirmer.watch(signature, last_valid);
        let deadline = Instant::now() + self.options.patience;
        let mut flight = Flight { budgeted, transaction, signature, bytes, end, sent: false, deadline };
        self.offer(&mut flight).await?;
        Ok(flight)
    }

    /// Waits for the end of a transaction, and offers it again now and then.
    async fn outcome(&self, flight: &mut Flight) -> Result<Outcome, SendError> {
        loop {
            if let Ok(Ok(outcome)) = timeout(self.options.rebroadcast, &mut flight.end).await {
                return Ok(outcome);
            }
            if flight.sent && Instant::now() >= flight.deadline {
                return Err(SendError::Unconfirmed { signature: flight.signature });
            }
            self.offer(flight).await?;
        }
    }

    /// Offers a transaction to the node. Fails only where it is certain that the node does not have it, and
    /// useless to go on.
    async fn offer(&self, flight: &mut Flight) -> Result<(), SendError> {
        let config = RpcSendTransactionConfig {
            skip_preflight: true,
            preflight_commitment: Some(self.options.commitment.commitment),
            max_retries: Some(0),
            ..Default::default()
        };
        let Err(error) = self.rpc.send_transaction_with_config(&flight.transaction, config).await else {
            flight.sent = true;
            return Ok(());
        };
        tracing::debug!("transaction {} was not taken: {error}", flight.signature);
        if flight.sent {
            // A node that has the transaction may refuse it the second time.
            return Ok(());
        }
        if is_refusal(&error) || (is_unreachable(&error) && Instant::now() >= flight.deadline) {
            return Err(SendError::Rpc(error));
        }
        // An answer may be lost where the question was not.
        flight.sent = !is_unreachable(&error);
        Ok(())
    }

    /// What the chain recorded about a finished transaction, if the node has it.
    async fn record(&self, signature: Signature) -> Option<Record> {
        let config = RpcTransactionConfig {
            encoding: Some(UiTransactionEncoding::Base64),
            commitment: Some(self.options.commitment),
            max_supported_transaction_version: Some(0),
        };
        for _ in 0..LOOKUPS {
            match self.rpc.get_transaction_with_config(&signature, config).await {
                Ok(found) => return found.transaction.meta.map(Record),
                // Nodes write their history a little after they confirm.
                Err(error) => tracing::debug!("no record of transaction {signature} yet: {error}"),
            }
            sleep(self.options.poll).await;
        }
        None
    }
}

/// What the chain recorded about a transaction.
struct Record(UiTransactionStatusMeta);

impl Record {
    /// Compute units used.
    fn cu(&self) -> Option<u64> {
        match self.0.compute_units_consumed {
            OptionSerializer::Some(units) => Some(units),
            _ => None,
        }
    }

    fn logs(self) -> Vec<String> {
        Option::from(self.0.log_messages).unwrap_or_default()
    }
}

fn signed(
    instructions: &[Instruction],
    order: &Order<'_>,
    blockhash: &Hash,
) -> Result<VersionedTransaction, SendError> {
    let message = Message::new_with_blockhash(instructions, Some(&order.payer.pubkey()), blockhash);
    let needed = message.account_keys.iter().take(usize::from(message.header.num_required_signatures));
    let present = needed
        .filter_map(|key| {
            let mut all = std::iter::once(order.payer).chain(order.signers.iter().copied());
            all.find(|signer| signer.pubkey() == *key).map(|signer| signer as &dyn Signer)
        })
        .collect::<Vec<_>>();
    Ok(VersionedTransaction::try_new(VersionedMessage::Legacy(message), &present)?)
}

/// Whether the node understood the transaction and will not have it, however often it is asked. Being
/// behind is told in other ways.
fn is_refusal(error: &RpcError) -> bool {
    match error.kind() {
        ErrorKind::RpcError(Answer::RpcResponseError { code, .. }) => {
            *code != JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY
                && *code != JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED
        }
        _ => false,
    }
}
