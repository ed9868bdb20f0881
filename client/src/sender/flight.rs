//! One transaction from signing to confirmation: signed, broadcast, rebroadcast, and signed again if it expired.

use solana_hash::Hash;
use solana_instruction::Instruction;
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
    Confirmation, SendError, Sender,
    budget::{Budgeted, packed},
    confirm::Outcome,
    error::is_unreachable,
    order::Order,
};
use crate::{
    error::{is_switched_off, reason},
    packet,
};

/// How many times a finished transaction is looked up before its cost is reported as `None`.
const LOOKUPS: u32 = 5;

/// A signed transaction that was offered to the RPC node.
pub(super) struct Flight {
    /// Kept for signing it again.
    budgeted: Budgeted,
    transaction: VersionedTransaction,
    signature: Signature,
    bytes: usize,
    end: oneshot::Receiver<Outcome>,
    /// True if the RPC node may have it.
    sent: bool,
    deadline: Instant,
}

impl Sender {
    /// Prepares a transaction and offers it to the RPC node once.
    pub(super) async fn launch(&self, order: &Order<'_>) -> Result<Flight, SendError> {
        let budgeted = self.budgeted(order, self.options.headroom).await?;
        self.sign_and_offer(order, budgeted).await
    }

    /// Waits until a transaction is confirmed or has failed.
    pub(super) async fn land(
        &self,
        order: &Order<'_>,
        mut flight: Flight,
    ) -> Result<Confirmation, SendError> {
        let mut headroom = self.options.headroom;
        let mut attempts_left = self.attempts(order.instructions).saturating_sub(1);
        loop {
            let Flight { signature, bytes, .. } = flight;
            let budgeted = match self.outcome(&mut flight).await? {
                Outcome::Expired if attempts_left == 0 => return Err(SendError::Expired { signature }),
                Outcome::Expired => flight.budgeted,
                Outcome::Landed { slot, error } => {
                    let record = self.record(signature).await;
                    let Some(error) = error else {
                        let (cu, fee) = (record.as_ref().and_then(Record::cu), record.map(|r| r.0.fee));
                        return Ok(Confirmation { signature, slot, bytes, cu, fee });
                    };
                    // On the chain it may have needed more units than in the simulation.
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
            tracing::debug!("signing transaction {signature} again");
            attempts_left -= 1;
            flight = self.sign_and_offer(order, budgeted).await?;
        }
    }

    async fn sign_and_offer(&self, order: &Order<'_>, budgeted: Budgeted) -> Result<Flight, SendError> {
        let sign = |blockhash: &Hash| signed(&budgeted.instructions, order, blockhash);
        let (transaction, last_valid) = self.blockhashes.sign(sign).await?;
        let bytes = packed(&transaction)?;
        let signature = transaction.signatures.first().copied().unwrap_or_default();
        if let Some(on_signed) = order.on_signed {
            on_signed(signature);
        }
        let end = self.confirmer.watch(signature, last_valid);
        let deadline = Instant::now() + self.options.timeout;
        let mut flight = Flight { budgeted, transaction, signature, bytes, end, sent: false, deadline };
        self.offer(&mut flight).await?;
        Ok(flight)
    }

    /// Waits for the outcome of a transaction and rebroadcasts it meanwhile.
    async fn outcome(&self, flight: &mut Flight) -> Result<Outcome, SendError> {
        loop {
            match timeout(self.options.rebroadcast, &mut flight.end).await {
                Ok(Ok(outcome)) => return Ok(outcome),
                // Another copy with the same signature took over the watch.
                Ok(Err(_)) => return Err(SendError::Unconfirmed { signature: flight.signature }),
                Err(_) => {}
            }
            if flight.sent && Instant::now() >= flight.deadline {
                return Err(SendError::Unconfirmed { signature: flight.signature });
            }
            self.offer(flight).await?;
        }
    }

    /// Offers a transaction to the RPC node. Fails only if the node certainly does not have it and retrying is
    /// useless.
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
        tracing::debug!("the RPC node did not accept transaction {}: {}", flight.signature, reason(&error));
        if flight.sent {
            // A node that already has the transaction may refuse it the second time.
            return Ok(());
        }
        if is_refusal(&error) || (is_unreachable(&error) && Instant::now() >= flight.deadline) {
            return Err(SendError::Rpc(error));
        }
        // The request may have arrived though the response was lost.
        flight.sent = !is_unreachable(&error);
        Ok(())
    }

    /// The record of a finished transaction; `None` if the RPC node does not have it.
    async fn record(&self, signature: Signature) -> Option<Record> {
        let config = RpcTransactionConfig {
            encoding: Some(UiTransactionEncoding::Base64),
            commitment: Some(self.options.commitment),
            max_supported_transaction_version: Some(0),
        };
        for _ in 0..LOOKUPS {
            match self.rpc.get_transaction_with_config(&signature, config).await {
                Ok(found) => return found.transaction.meta.map(Record),
                Err(error) if is_switched_off(&error) => return None,
                // RPC nodes write their history a little after they confirm.
                Err(error) => tracing::debug!("no record of transaction {signature} yet: {}", reason(&error)),
            }
            sleep(self.options.poll).await;
        }
        None
    }
}

/// The chain's record of a transaction.
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
    let message = packet::message(&order.payer.pubkey(), instructions, order.lookup_tables, *blockhash)?;
    let signers = usize::from(message.header().num_required_signatures);
    let needed = message.static_account_keys().iter().take(signers);
    let present = needed
        .filter_map(|key| {
            let mut all = std::iter::once(order.payer).chain(order.signers.iter().copied());
            all.find(|signer| signer.pubkey() == *key).map(|signer| signer as &dyn Signer)
        })
        .collect::<Vec<_>>();
    Ok(VersionedTransaction::try_new(message, &present)?)
}

/// True if the RPC node understood the transaction and refuses it for good. A node that is merely behind or
/// unhealthy answers with other codes.
fn is_refusal(error: &RpcError) -> bool {
    match error.kind() {
        ErrorKind::RpcError(Answer::RpcResponseError { code, .. }) => {
            *code != JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY
                && *code != JSON_RPC_SERVER_ERROR_MIN_CONTEXT_SLOT_NOT_REACHED
        }
        _ => false,
    }
}
