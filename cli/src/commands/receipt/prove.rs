//! The chain of proof, from the receipt to the state of the cluster.

use std::time::Duration;

use leasehold_client::{
    fetch::{Fetch, FetchError},
    record::{LogData, Proof, RecordError, SignedReceipt, Verified, cluster},
};
use leasehold_operate::{
    archive::{Archive, ArchiveError},
    failure::{Failure, Unproved},
};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;

use super::{
    chain::Surroundings,
    report::{Found, Report},
    signature,
};

/// How often a proof is asked for while log and archive move, and how long to wait in between.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);

pub struct Prover<'a> {
    rpc: &'a RpcClient,
    fetch: Fetch<'a>,
    archive: Archive,
}

impl<'a> Prover<'a> {
    pub fn new(rpc: &'a RpcClient, archive: Archive) -> Self {
        Prover { rpc, fetch: Fetch::new(rpc), archive }
    }

    /// Proves the receipt with that id, which is `receipt` or what the archive has. Every step is noted in the
    /// report.
    pub async fn prove(
        &self,
        id: [u8; 32],
        receipt: Option<SignedReceipt>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let (signed, mut proof) = match receipt {
            Some(signed) => {
                self.cluster(&signed, report).await?;
                report.begin("log");
                (signed, self.archive.proof(&id, None).await?)
            }
            None => {
                let proof = self.archive.proof(&id, None).await?;
                if proof.receipt.id() != id {
                    return Err(Unproved::OtherReceipt.into());
                }
                signature(&proof.receipt, report)?;
                self.cluster(&proof.receipt, report).await?;
                report.begin("log");
                (proof.receipt, proof)
            }
        };
        let verified = self.climb(&signed, &mut proof, report).await?;
        let around = Surroundings::read(&self.fetch, &signed, &verified).await?;
        around.check(&signed, &verified, report)?;
        report.found = Some(Found::new(&signed, &proof, &verified, &around));
        Ok(())
    }

    async fn cluster(&self, signed: &SignedReceipt, report: &mut Report) -> Result<(), Failure> {
        report.begin("cluster");
        let genesis = self.rpc.get_genesis_hash().await.map_err(FetchError::from)?;
        if signed.receipt.cluster != cluster(&genesis) {
            return Err(Unproved::OtherCluster.into());
        }
        report.pass(format!("the receipt is of the cluster with genesis hash {genesis}"));
        Ok(())
    }

    /// Climbs from the receipt to the log as the cluster holds it. Log and archive move, and paths with them:
    /// the proof is asked for as of the batches that the log has, until both agree.
    async fn climb(
        &self,
        signed: &SignedReceipt,
        proof: &mut Proof,
        report: &mut Report,
    ) -> Result<Verified, Failure> {
        let mut attempt = 1;
        let verified = loop {
            // Nothing that the archive says of the receipt itself counts.
            proof.receipt = *signed;
            let log = self.log(proof.log).await?;
            let batches = match proof.verify(log.bytes()) {
                Ok(verified) => break verified,
                Err(RecordError::NotInLog { batches }) if attempt < ATTEMPTS => batches,
                Err(error) => return Err(error.into()),
            };
            attempt = attempt.saturating_add(1);
            match self.archive.proof(&signed.id(), Some(batches)).await {
                Ok(renewed) => *proof = renewed,
                Err(ArchiveError::Behind { .. }) if attempt < ATTEMPTS => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        };
        let header = &proof.header;
        report.pass(format!(
            "it is number {} of the {} receipts in batch {} of slot {}, which is number {} of the {} batches in \
             log {}",
            proof.place, header.count, header.number, header.slot, proof.index, verified.batches, proof.log
        ));
        Ok(verified)
    }

    async fn log(&self, address: Pubkey) -> Result<LogData, Failure> {
        match self.fetch.log(address).await {
            Ok(Some(log)) => Ok(log.account),
            Ok(None) => Err(Unproved::NoLog(address).into()),
            Err(FetchError::Decode { .. }) => Err(Unproved::NotALog(address).into()),
            Err(error) => Err(error.into()),
        }
    }
}
