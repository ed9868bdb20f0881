//! Cache of a recent blockhash, shared by many transactions.

use std::{collections::HashSet, sync::Arc, time::Duration};

use solana_commitment_config::CommitmentConfig;
use solana_hash::Hash;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::SendError;

/// A blockhash younger than this is reused. It is valid for 150 blocks: a minute on a public cluster, some seconds on
/// a local network with short Solana slots.
const FRESH: Duration = Duration::from_secs(1);

/// Pause between two requests for another blockhash than the last.
const PAUSE: Duration = Duration::from_millis(50);

struct Current {
    blockhash: Hash,
    last_valid: u64,
    fetched: Instant,
    /// Signatures made with it.
    signatures: HashSet<Signature>,
}

pub(super) struct Blockhashes {
    rpc: Arc<RpcClient>,
    commitment: CommitmentConfig,
    current: Mutex<Option<Current>>,
}

impl Blockhashes {
    pub(super) fn new(rpc: Arc<RpcClient>, commitment: CommitmentConfig) -> Self {
        Self { rpc, commitment, current: Mutex::default() }
    }

    /// Signs with a recent blockhash, and returns the last block height at which the result is valid.
    ///
    /// Signing the same instructions twice with one blockhash gives the same transaction, which takes effect once
    /// though the caller meant two. So a repeated signature waits for the next blockhash.
    pub(super) async fn sign(
        &self,
        sign: impl Fn(&Hash) -> Result<VersionedTransaction, SendError>,
    ) -> Result<(VersionedTransaction, u64), SendError> {
        loop {
            let mut current = self.current.lock().await;
            if current.as_ref().is_none_or(|current| current.fetched.elapsed() >= FRESH) {
                self.refresh(&mut current).await?;
            }
            if let Some(current) = current.as_mut() {
                let transaction = sign(&current.blockhash)?;
                let signature = transaction.signatures.first().copied().unwrap_or_default();
                if current.signatures.insert(signature) {
                    return Ok((transaction, current.last_valid));
                }
            }
            self.refresh(&mut current).await?;
            drop(current);
            sleep(PAUSE).await;
        }
    }

    async fn refresh(&self, current: &mut Option<Current>) -> Result<(), SendError> {
        let (blockhash, last_valid) = self.rpc.get_latest_blockhash_with_commitment(self.commitment).await?;
        let signatures = match current.take() {
            Some(last) if last.blockhash == blockhash => last.signatures,
            _ => HashSet::new(),
        };
        *current = Some(Current { blockhash, last_valid, fetched: Instant::now(), signatures });
        Ok(())
    }
}
