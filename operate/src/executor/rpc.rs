//! Executes plans on an RPC node.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use leasehold::state::Lease;
use leasehold_client::{
    fetch::{Fetch, FetchError},
    sender::{Confirmation, Job, SendError, Sender},
};
use solana_commitment_config::CommitmentConfig;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use tokio::time::sleep;

use super::{Executor, failed};
use crate::{failure::Failure, text::print_stderr};

/// An RPC node and the wallet that signs.
pub struct RpcExecutor<'a> {
    sender: Sender,
    fetch: Fetch<'a>,
    commitment: CommitmentConfig,
    offered: Signatures,
}

/// Signed copies that the RPC node was offered and whose end is unknown.
#[derive(Default)]
struct Signatures(Mutex<Vec<Signature>>);

impl Signatures {
    fn lock(&self) -> MutexGuard<'_, Vec<Signature>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> RpcExecutor<'a> {
    pub fn new(sender: Sender, fetch: Fetch<'a>, commitment: CommitmentConfig) -> Self {
        RpcExecutor { sender, fetch, commitment, offered: Signatures::default() }
    }

    /// Signed copies that the RPC node was offered and whose end is unknown.
    pub fn offered(&self) -> Vec<Signature> {
        self.offered.lock().clone()
    }

    /// End of a transaction that was not seen to take effect, by the statuses of its signed copies.
    async fn end(
        &self,
        instructions: &[Instruction],
        copies: &[Signature],
        error: SendError,
    ) -> Result<Confirmation, Failure> {
        let mut error = error;
        let settled = match &error {
            SendError::Program { signature, .. } | SendError::Refused { signature, .. } => *signature,
            // The RPC node never got the only copy.
            error if error.is_unreachable() && self.sender.attempts(instructions) == 1 => {
                copies.last().copied()
            }
            _ => None,
        };
        let open: Vec<_> = copies.iter().copied().filter(|copy| Some(*copy) != settled).collect();
        if open.is_empty() {
            return Err(failed(instructions, error));
        }
        // A copy may have arrived late, or at another node.
        let statuses = self.sender.rpc().get_signature_statuses_with_history(&open).await;
        let statuses = statuses.map(|statuses| statuses.value).unwrap_or_else(|error| {
            // Why the end is unknown.
            print_stderr(FetchError::from(error).to_string());
            Vec::new()
        });
        let mut ends = statuses.into_iter();
        let mut unknown = Vec::new();
        for signature in open {
            let status = ends.next().flatten();
            match status.filter(|status| status.satisfies_commitment(self.commitment)) {
                Some(status) => match status.err {
                    None => {
                        // Nobody asks for its length.
                        let (slot, bytes) = (status.slot, 0);
                        return Ok(Confirmation { signature, slot, bytes, cu: None, fee: None });
                    }
                    Some(refused) => error = SendError::failed(refused, Vec::new(), Some(signature)),
                },
                None => unknown.push(signature),
            }
        }
        if unknown.is_empty() {
            return Err(failed(instructions, error));
        }
        if !matches!(error, SendError::Unconfirmed { .. } | SendError::Expired { .. }) {
            print_stderr(failed(instructions, error).to_string());
        }
        Err(Failure::Unknown { copies: unknown })
    }
}

impl Executor for RpcExecutor<'_> {
    async fn simulate(&self, instructions: &[Instruction]) -> Result<u64, Failure> {
        self.sender.simulate(instructions).await.map_err(|error| failed(instructions, error))
    }

    async fn send(&self, instructions: &[Instruction]) -> Result<Confirmation, Failure> {
        let signed = Signatures::default();
        let note = |signature| {
            signed.lock().push(signature);
            self.offered.lock().push(signature);
        };
        let sent = self.sender.send_observed(&Job::new(instructions.to_vec()), &note).await;
        let copies = signed.lock().clone();
        let end = match sent {
            Ok(confirmation) => Ok(confirmation),
            Err(error) => self.end(instructions, &copies, error).await,
        };
        let open = match &end {
            Err(Failure::Unknown { copies }) => &copies[..],
            _ => &[],
        };
        self.offered.lock().retain(|copy| open.contains(copy) || !copies.contains(copy));
        end
    }

    async fn lease(&self, address: Pubkey) -> Result<Option<Lease>, FetchError> {
        Ok(self.fetch.lease(address).await?.map(|lease| lease.account))
    }

    async fn pause(&self) {
        sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(test)]
mod tests;
