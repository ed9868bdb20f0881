//! Proves a receipt: from the machine's signature through the log to supplier, market and lease.
//!
//! The archive gives the path and need not be trusted: it is checked against the log's account.

use std::{fmt, time::Duration};

use leasehold::state::{Lease, Market, Supplier};
use serde::Serialize;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;

use crate::{
    address,
    error::is_switched_off,
    fetch::{Fetch, FetchError, Fetched},
    http::{ArchiveClient, ArchiveError},
    record::{LogData, Proof, RecordError, SignedReceipt, Verified, cluster},
};

/// How often a proof is requested while log and archive change, and the pause before a request is repeated.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Why a receipt is not proved.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    #[error("{0}")]
    Record(#[from] RecordError),
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("the receipt is of another cluster: connect to an RPC node of its cluster")]
    OtherCluster,
    #[error("the archive gave the receipt of another inference: ask another archive")]
    OtherReceipt,
    #[error(
        "there is no compute log at {0}, which the archive names: ask another archive, or check the cluster"
    )]
    NoLog(Pubkey),
    #[error("the account {0}, which the archive names, is not a compute log: ask another archive")]
    NotALog(Pubkey),
    #[error("the batch's board is not in the supplier's market: ask another archive")]
    OtherBoard,
    #[error(
        "the receipt bills {named}, but {buyer} opened the lease: the machine lied, so pay nothing for it"
    )]
    OtherBuyer { named: Pubkey, buyer: Pubkey },
    #[error(
        "the receipt bills in mint {named}, but its market uses {mint}: the machine lied, so pay nothing for it"
    )]
    OtherMint { named: Pubkey, mint: Pubkey },
    #[error("the {body} is not the one that the receipt was signed for: check its file and the salt")]
    OtherBody { body: Body },
}

/// One step of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Subject of the check: `signature`, `request`, `response`, `cluster`, `log`, `supplier` or `lease`.
    pub step: &'static str,
    pub proved: bool,
    /// Sentence that says what was proved, or why it was not.
    pub detail: String,
}

/// The steps of a proof so far. The last one is not proved while it is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Steps(pub Vec<Step>);

impl Steps {
    fn begin(&mut self, step: &'static str) {
        self.0.push(Step { step, proved: false, detail: String::new() });
    }

    fn pass(&mut self, detail: String) {
        if let Some(step) = self.0.last_mut() {
            (step.proved, step.detail) = (true, detail);
        }
    }

    /// Notes why the step under way is not proved.
    pub fn fail(&mut self, error: &str) {
        if let Some(step) = self.0.last_mut().filter(|step| !step.proved) {
            error.clone_into(&mut step.detail);
        }
    }

    /// Checks the machine's signature, which needs nothing but the receipt.
    ///
    /// # Errors
    /// [`ProveError::Record`].
    pub fn signature(&mut self, signed: &SignedReceipt) -> Result<(), ProveError> {
        self.begin("signature");
        signed.verify()?;
        let key = Pubkey::new_from_array(signed.receipt.node_key);
        self.pass(format!("machine {key} signed the receipt"));
        Ok(())
    }

    /// Checks that the receipt was signed for a body, given its salted hash ([`crate::record::salted`]).
    ///
    /// # Errors
    /// [`ProveError::OtherBody`].
    pub fn body(&mut self, signed: &SignedReceipt, body: Body, hash: &[u8; 32]) -> Result<(), ProveError> {
        self.begin(body.name());
        if hash != body.hash(signed) {
            return Err(ProveError::OtherBody { body });
        }
        self.pass(format!("the receipt is for this {body}"));
        Ok(())
    }
}

/// One line per step.
impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|Step { step, proved, detail }| {
            writeln!(f, "{:<10} {step}: {detail}", if *proved { "proved" } else { "NOT PROVED" })
        })
    }
}

/// A text whose salted hash the receipt has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Request,
    Response,
}

impl Body {
    fn name(self) -> &'static str {
        match self {
            Body::Request => "request",
            Body::Response => "response",
        }
    }

    fn hash(self, signed: &SignedReceipt) -> &[u8; 32] {
        match self {
            Body::Request => &signed.receipt.request,
            Body::Response => &signed.receipt.response,
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A proved receipt.
#[derive(Clone, Debug)]
pub struct Proved {
    pub proof: Proof,
    pub verified: Verified,
    pub context: Context,
}

/// Accounts of the supplier, market and lease of a receipt.
#[derive(Clone, Debug)]
pub struct Context {
    /// `None` once the supplier has left the market; its log stays.
    pub supplier: Option<Fetched<Supplier>>,
    pub market: Option<Market>,
    /// `None` once the lease's account was closed, or if it was not looked for.
    pub lease_address: Option<Pubkey>,
    /// True if the RPC node does not serve the search for the lease: what the receipt says of it is not checked.
    pub lease_unread: bool,
    pub lease: Option<Lease>,
    /// Decimals of the mint that the receipt is billed in; `None` if there is no such mint.
    pub decimals: Option<u8>,
    /// Index of the board in its market.
    pub board_index: Option<u32>,
}

/// Proves receipts with one RPC node and one archive.
pub struct Prover<'a> {
    fetch: Fetch<'a>,
    archive: ArchiveClient,
}

impl<'a> Prover<'a> {
    /// A prover that reads accounts at the commitment of the RPC client.
    pub fn new(rpc: &'a RpcClient, archive: ArchiveClient) -> Self {
        Prover { fetch: Fetch::new(rpc), archive }
    }

    /// Proves `receipt`, or the receipt that the archive has for the id. Each step is noted in `steps`; after an error
    /// the last one is the step that failed. The signature of a given `receipt` is for [`Steps::signature`] to check
    /// first.
    ///
    /// # Errors
    /// Any [`ProveError`] but [`ProveError::OtherBody`].
    pub async fn prove(
        &self,
        id: [u8; 32],
        receipt: Option<SignedReceipt>,
        steps: &mut Steps,
    ) -> Result<Proved, ProveError> {
        let (signed, mut proof) = match receipt {
            Some(signed) => {
                self.cluster(&signed, steps).await?;
                steps.begin("log");
                (signed, self.archive.proof(&id, None).await?)
            }
            None => {
                let proof = self.archive.proof(&id, None).await?;
                if proof.receipt.id() != id {
                    return Err(ProveError::OtherReceipt);
                }
                steps.signature(&proof.receipt)?;
                self.cluster(&proof.receipt, steps).await?;
                steps.begin("log");
                (proof.receipt, proof)
            }
        };
        let verified = self.climb(&signed, &mut proof, steps).await?;
        let context = Context::read(&self.fetch, &signed, &verified).await?;
        context.check(&signed, &verified, steps)?;
        Ok(Proved { proof, verified, context })
    }

    async fn cluster(&self, signed: &SignedReceipt, steps: &mut Steps) -> Result<(), ProveError> {
        steps.begin("cluster");
        let genesis = self.fetch.genesis_hash().await?;
        if signed.receipt.cluster != cluster(&genesis) {
            return Err(ProveError::OtherCluster);
        }
        steps.pass(format!("the receipt is of the cluster with genesis hash {genesis}"));
        Ok(())
    }

    /// Checks the path from the receipt to the log as the chain holds it. Log and archive grow, and paths change with
    /// them: the proof is requested as of the log's number of batches until both agree.
    async fn climb(
        &self,
        signed: &SignedReceipt,
        proof: &mut Proof,
        steps: &mut Steps,
    ) -> Result<Verified, ProveError> {
        let mut attempt = 1;
        let verified = loop {
            // The archive's copy of the receipt does not count.
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
        steps.pass(format!(
            "it is number {} of the {} receipts in batch {} of slot {}, which is number {} of the {} batches in \
             log {}",
            proof.place, header.count, header.number, header.slot, proof.index, verified.batches, proof.log
        ));
        Ok(verified)
    }

    async fn log(&self, address: Pubkey) -> Result<LogData, ProveError> {
        match self.fetch.log(address).await {
            Ok(Some(log)) => Ok(log.account),
            Ok(None) => Err(ProveError::NoLog(address)),
            Err(FetchError::Decode { .. }) => Err(ProveError::NotALog(address)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Context {
    async fn read(
        fetch: &Fetch<'_>,
        signed: &SignedReceipt,
        verified: &Verified,
    ) -> Result<Self, FetchError> {
        let board = verified.header.board;
        let mint = Pubkey::new_from_array(signed.receipt.mint);
        let (supplier, lease, decimals) = tokio::try_join!(
            fetch.supplier_at(verified.supplier),
            lease_of(fetch, &board, verified.header.lease),
            decimals(fetch, mint)
        )?;
        let (lease, lease_unread) = lease;
        let market = match &supplier {
            Some(supplier) => Some(fetch.market(supplier.account.market).await?),
            None => None,
        };
        let index_in = |market: &Fetched<Market>| {
            (0..market.account.next_board).find(|index| address::board(&market.address, *index) == board)
        };
        Ok(Context {
            board_index: market.as_ref().and_then(index_in),
            supplier,
            market: market.map(|market| market.account),
            lease_address: lease.as_ref().map(|lease| lease.address),
            lease: lease.map(|lease| lease.account),
            lease_unread,
            decimals,
        })
    }

    /// Checks the receipt's claims about its supplier, market and lease, as far as these still exist.
    ///
    /// # Errors
    /// [`ProveError::OtherBoard`], [`ProveError::OtherMint`] or [`ProveError::OtherBuyer`].
    pub fn check(
        &self,
        signed: &SignedReceipt,
        verified: &Verified,
        steps: &mut Steps,
    ) -> Result<(), ProveError> {
        let receipt = &signed.receipt;
        steps.begin("supplier");
        if let (Some(supplier), Some(market)) = (&self.supplier, &self.market) {
            if self.board_index.is_none() {
                return Err(ProveError::OtherBoard);
            }
            let (named, mint) = (Pubkey::new_from_array(receipt.mint), market.payment_mint);
            if named != mint {
                return Err(ProveError::OtherMint { named, mint });
            }
            steps.pass(format!("the log is that of supplier {}", supplier.account.authority));
        } else {
            steps.pass(format!("the log is that of account {}, a supplier that has left", verified.supplier));
        }
        steps.begin("lease");
        if let Some(lease) = &self.lease {
            let named = Pubkey::new_from_array(receipt.buyer);
            if named != lease.buyer {
                return Err(ProveError::OtherBuyer { named, buyer: lease.buyer });
            }
            steps.pass(format!("lease {} was opened by {}, who is billed", lease.serial, lease.buyer));
        } else if self.lease_unread {
            steps.pass(format!(
                "the log holds it under lease {}, which was NOT looked up, since the RPC node does not serve \
                 getProgramAccounts: its buyer is as the machine says",
                receipt.lease
            ));
        } else {
            steps.pass(format!(
                "the log holds it under lease {}, whose account is closed: its buyer is as the machine says",
                receipt.lease
            ));
        }
        Ok(())
    }
}

/// A lease, and whether the RPC node does not serve the search for it. The proof holds without: the lease's account can be
/// closed at any time after its end.
async fn lease_of(
    fetch: &Fetch<'_>,
    board: &Pubkey,
    serial: u32,
) -> Result<(Option<Fetched<Lease>>, bool), FetchError> {
    match fetch.lease_of(board, serial).await {
        Err(FetchError::Rpc(error)) if is_switched_off(&error) => Ok((None, true)),
        lease => Ok((lease?, false)),
    }
}

async fn decimals(fetch: &Fetch<'_>, mint: Pubkey) -> Result<Option<u8>, FetchError> {
    match fetch.mint(mint).await {
        Ok(mint) => Ok(Some(mint.decimals)),
        // A machine may have signed anything.
        Err(FetchError::Missing { .. } | FetchError::Token { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{receipt, salted};

    #[test]
    fn bodies_are_checked_with_their_salt() {
        let salt = [3; 32];
        let mut unsigned = receipt::blank();
        (unsigned.request, unsigned.response) = (salted(&salt, b"request"), salted(&salt, b"response"));
        let signed = SignedReceipt { receipt: unsigned, signature: [0; 64] };
        let mut steps = Steps::default();
        steps.body(&signed, Body::Request, &salted(&salt, b"request")).unwrap();
        steps.body(&signed, Body::Response, &salted(&salt, b"response")).unwrap();
        assert!(steps.0.iter().all(|step| step.proved) && steps.0.len() == 2);
        let error = steps.body(&signed, Body::Response, &salted(&salt, b"other")).unwrap_err();
        assert!(error.to_string().starts_with("the response is not the one"), "{error}");
        steps.fail(&error.to_string());
        let Step { step, proved, detail } = steps.0.last().unwrap();
        assert_eq!((*step, *proved, detail), ("response", false, &error.to_string()));
        assert!(steps.body(&signed, Body::Request, &salted(&[0; 32], b"request")).is_err());
    }

    #[test]
    fn a_forged_signature_leaves_its_step_unproved() {
        let signed = SignedReceipt { receipt: receipt::blank(), signature: [0; 64] };
        let mut steps = Steps::default();
        assert!(matches!(steps.signature(&signed), Err(ProveError::Record(_))));
        assert_eq!(steps.0, [Step { step: "signature", proved: false, detail: String::new() }]);
    }
}
