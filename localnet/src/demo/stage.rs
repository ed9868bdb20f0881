//! The network and the market of the demo, and the functions that read and send.

use std::{pin::pin, sync::Arc};

use anyhow::{Result, anyhow};
use futures::{Stream, StreamExt, stream};
use leasehold_client::{
    MarketRef,
    fetch::{Fetch, FetchedBoard},
    sender::{AnySigner, Confirmation, Job, SendError},
};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use tokio::time::Duration;

use super::{
    costs::Costs,
    progress::{Bar, Progress},
};
use crate::network::{IN_FLIGHT, Network};

/// Interval at which the chain is polled.
pub const POLL: Duration = Duration::from_millis(300);

pub struct Stage {
    pub network: Network,
    pub market: MarketRef,
    pub round_secs: u32,
    pub costs: Costs,
    pub progress: Progress,
}

impl Stage {
    pub fn fetch(&self) -> Fetch<'_> {
        Fetch::new(self.network.rpc())
    }

    pub async fn boards(&self) -> Result<Vec<FetchedBoard>> {
        Ok(self.fetch().boards(&self.market.address).await?)
    }

    /// Sends one transaction and waits until it is confirmed.
    pub async fn send(&self, kind: &'static str, job: &Job) -> Result<()> {
        let end = self.network.sender().send_job(job).await;
        self.costs.note(kind, &end.map_err(|error| refused(kind, &error))?);
        Ok(())
    }

    /// Sends transactions that do not depend on each other.
    pub async fn send_all(&self, kind: &'static str, bar: &Bar, jobs: Vec<Job>) -> Result<()> {
        self.gather(kind, bar, self.network.sender().send_all(tagged(jobs), IN_FLIGHT)).await
    }

    /// Sends transactions that must be executed in order.
    pub async fn send_in_order(&self, kind: &'static str, bar: &Bar, jobs: Vec<Job>) -> Result<()> {
        self.gather(kind, bar, self.network.sender().send_in_order(tagged(jobs), IN_FLIGHT)).await
    }

    async fn gather(
        &self,
        kind: &'static str,
        bar: &Bar,
        ends: impl Stream<Item = ((), Result<Confirmation, SendError>)>,
    ) -> Result<()> {
        let mut ends = pin!(ends);
        while let Some(((), end)) = ends.next().await {
            self.costs.note(kind, &end.map_err(|error| refused(kind, &error))?);
            bar.advance();
        }
        Ok(())
    }
}

fn tagged(jobs: Vec<Job>) -> impl Stream<Item = ((), Job)> {
    stream::iter(jobs.into_iter().map(|job| ((), job)))
}

/// A transaction that `wallet` signs and pays for.
pub fn by(wallet: &Arc<Keypair>, instructions: Vec<Instruction>) -> Job {
    let signer: Arc<AnySigner> = wallet.clone();
    Job::new(instructions).payer(signer)
}

fn refused(kind: &str, error: &SendError) -> anyhow::Error {
    anyhow!("{kind} failed: {}", error.explain())
}
