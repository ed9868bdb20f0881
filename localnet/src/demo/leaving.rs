//! Leaving machines early: a buyer replaces a machine of the large lease, another cancels a lease. Both contest a machine
//! that, they say, never let them in.

use anyhow::{Context, Result};
use leasehold::rules::replace::Wish;
use leasehold_client::{
    instruction,
    quote::{self, reasons},
};
use solana_signer::Signer;

use super::{
    faults::{Faults, Place},
    leases::{Course, Opened},
    stage::{Stage, by},
};

/// Replaces one machine and cancels one lease. `kept`: a machine that must stay.
pub async fn leave(stage: &Stage, leases: &mut [Opened], faults: &Faults, kept: Place) -> Result<()> {
    let large = leases.iter_mut().find(|lease| lease.course == Course::Large);
    replace(stage, large.context("there is no large lease")?, faults, kept).await?;
    let cancelled = leases.iter().find(|lease| lease.course == Course::Cancelled);
    cancel(stage, cancelled.context("there is no lease to cancel")?).await
}

async fn replace(stage: &Stage, lease: &mut Opened, faults: &Faults, kept: Place) -> Result<()> {
    let account = lease.read(stage).await?;
    let fetched = stage.fetch().board(lease.board.address).await?;
    let (view, now) = (fetched.view()?, stage.network.time().await?);
    let stays = |slot: &&u16| {
        let place = (lease.board.address, **slot);
        place != kept && !faults.dark.contains(&place) && !faults.forfeited.contains(&place)
    };
    // A large machine may be without a substitute.
    let quotes = lease.slots.iter().filter(stays);
    let contest = |slot: u16| Wish { contest: true, ..Wish::any(slot) };
    let mut quotes = quotes.map(|slot| quote::replacement(&view, now, &account, &contest(*slot)));
    let first = quotes.next().context("every machine of the large lease fails")?;
    let replacement = first.or_else(|refusal| quotes.find_map(Result::ok).ok_or(refusal))?;

    let (key, old) = (lease.buyer.pubkey(), replacement.old.slot);
    let from = lease.board.market.payment_account(&key);
    let args = replacement.args(replacement.deposit);
    let replace = instruction::replace_node(&lease.board, key, key, lease.address, from, args);
    stage.send("replace_node", &by(&lease.buyer, vec![replace])).await?;
    for slot in &mut lease.slots {
        if *slot == old {
            *slot = replacement.slot;
        }
    }
    lease.replaced.push(old);
    let line = format!("a buyer replaces and contests slot {old}; slot {} takes over", replacement.slot);
    stage.progress.print_line(&line);
    Ok(())
}

async fn cancel(stage: &Stage, lease: &Opened) -> Result<()> {
    let account = lease.read(stage).await?;
    let fetched = stage.fetch().board(lease.board.address).await?;
    let now = stage.network.time().await?;
    let contest = lease.slots.first().copied().context("the lease has no machines")?;
    let cancellation = quote::cancellation(&fetched.view()?, now, &account, &[contest])?;
    let cancel = instruction::cancel_lease(&lease.board, lease.buyer.pubkey(), lease.address, vec![contest]);
    stage.send("cancel_lease", &by(&lease.buyer, vec![cancel])).await?;
    stage.progress.print_line(&format!(
        "a buyer cancels its lease and contests slot {contest}; of payments are burned"
    ));
    for (amount, reason) in reasons(&cancellation.burned) {
        stage.progress.print_line(&format!("  {amount:>10} {reason}"));
    }
    Ok(())
}
