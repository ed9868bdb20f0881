//! Redeems the best voucher of each metered lease, at intervals and before the lease ends.

use super::tools::{TaskError, Tools};
use crate::leases::{View, ViewReceiver};
use crate::receipts::store::DueVoucher;
use leasehold::constants::NOTICE_ROUNDS;
use leasehold::rules::{meter, round};
use leasehold::state::{Lease, Voucher};
use leasehold_client::{fetch::Fetch, instruction, sender::SendError};
use leasehold_daemon::backoff::{Backoff, Backoffs};
use solana_pubkey::Pubkey;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

/// Decision about a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It can't be redeemed any more.
    Forget,
    Wait,
    Redeem,
}

/// Decides about the best voucher of a lease at Unix second `now`. `since`: time since the last redemption in this lease,
/// `None` if there was none. `every`: time between two redemptions.
pub fn decide(
    voucher: &Voucher,
    lease: Option<&Lease>,
    now: i64,
    since: Option<Duration>,
    every: Duration,
) -> Decision {
    // The lease was looked up by the address that the voucher names.
    let address = Pubkey::new_from_array(voucher.lease);
    let ours = |lease: &&Lease| meter::is_for(voucher, &address, lease) && meter::payable(lease).is_ok();
    let Some(lease) = lease.filter(ours) else {
        return Decision::Forget;
    };
    // An empty deposit may still be topped up.
    if lease.redeem(voucher.price).is_err() {
        return Decision::Wait;
    }
    let start = |round| round::start(lease.terms.round_secs, round);
    let last_rounds = lease.until.saturating_sub(NOTICE_ROUNDS).saturating_sub(1);
    // Once notice was given, no more rounds than these are left.
    let closing = now >= start(last_rounds);
    // From its last round on, the lease may be settled before the next redemption.
    let ending = now >= start(lease.until.saturating_sub(1));
    let pause = match (ending, closing) {
        (true, _) => Duration::ZERO,
        (false, true) => every.min(Duration::from_secs(u64::from(lease.terms.round_secs)) / 2),
        (false, false) => every,
    };
    if since.is_none_or(|since| since >= pause) { Decision::Redeem } else { Decision::Wait }
}

/// How long the account of a lease must be missing to count as closed: RPC nodes may lag behind.
const GONE_AFTER: Duration = Duration::from_secs(600);

/// State of the task between two views.
#[derive(Default)]
struct Redeemer {
    /// Leases whose accounts are missing, and since when.
    missing: HashMap<Pubkey, Instant>,
    /// Time of the last redemption, by lease.
    redeemed: HashMap<Pubkey, Instant>,
    /// Leases whose vouchers could not be redeemed.
    failures: Backoffs<Pubkey>,
}

/// Redeems until `stop` is true.
pub(super) async fn run(tools: Arc<Tools>, mut views: ViewReceiver, mut stop: watch::Receiver<bool>) {
    let (mut redeemer, mut backoff) = (Redeemer::default(), Backoff::default());
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            changed = views.changed() => if changed.is_err() { return },
        }
        let Some(view) = views.borrow_and_update().clone() else { continue };
        match redeemer.redeem(&tools, &view).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                let wait = backoff.fail(&error);
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

impl Redeemer {
    async fn redeem(&mut self, tools: &Tools, view: &View) -> Result<(), TaskError> {
        for due in tools.store.vouchers_due().await? {
            let voucher = &due.signed.voucher;
            let address = Pubkey::new_from_array(voucher.lease);
            let read;
            let lease = match view.accounts.get(&address) {
                Some(lease) => Some(lease),
                // The lease is over, or its machine has left the configuration.
                None => {
                    read = Fetch::new(&tools.rpc).lease(address).await?;
                    read.as_ref().map(|fetched| &fetched.account)
                }
            };
            if lease.is_some() {
                self.missing.remove(&address);
            } else if self.missing.entry(address).or_insert_with(Instant::now).elapsed() < GONE_AFTER {
                continue;
            }
            let since = self.redeemed.get(&address).map(Instant::elapsed);
            match decide(voucher, lease, view.now, since, tools.settings.redeem) {
                Decision::Wait => {}
                Decision::Forget => {
                    let lost = voucher.price - due.redeemed;
                    warn!(lease = %address, lost, "the lease is over: its last voucher can't be redeemed");
                    tools.store.mark_redeemed(&address, voucher.from, voucher.price).await?;
                }
                Decision::Redeem => {
                    if let Some(lease) = lease.filter(|_| !self.failures.is_paused(&address)) {
                        self.send(tools, view, &due, address, lease).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn send(
        &mut self,
        tools: &Tools,
        view: &View,
        due: &DueVoucher,
        address: Pubkey,
        lease: &Lease,
    ) -> Result<(), TaskError> {
        let voucher = &due.signed.voucher;
        let slot = view.slots.iter().find(|((of, _), slot)| *of == lease.board && slot.lease == lease.serial);
        let (Some(meter), Some(board), Some(((_, slot), _))) =
            (lease.meter, view.boards.get(&lease.board), slot)
        else {
            let error = format!(
                "lease {address}: its machine is not in the configuration: add it again, or its last voucher is not \
                 redeemed"
            );
            self.failures.fail(address, &error);
            return Ok(());
        };
        let instructions = [
            due.signed.instruction(&meter.spender),
            instruction::redeem_voucher(&board.board, address, *slot),
        ];
        match tools.sender.send(&instructions, &[]).await {
            Ok(_) => {
                self.failures.reset(&address);
                self.redeemed.insert(address, Instant::now());
                let paid = voucher.price.min(lease.deposit);
                tools.store.mark_redeemed(&address, voucher.from, paid).await?;
                tools.metrics.redeemed();
                tools.poll_now.notify_one();
                info!(lease = %address, paid, "voucher redeemed");
                Ok(())
            }
            Err(error) => {
                tools.metrics.send_failed();
                let program = matches!(error, SendError::Program { .. });
                let error = TaskError::Send {
                    what: format!("the voucher of lease {address} was not redeemed"),
                    error: Box::new(error),
                };
                if !program {
                    return Err(error);
                }
                // One lease's voucher must not block those of others.
                self.failures.fail(address, &error);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::metered;
    use super::*;
    use leasehold::state::LeaseState;
    use leasehold_client::record::voucher::blank;

    const EVERY: Duration = Duration::from_secs(3_600);

    fn voucher(price: u64) -> Voucher {
        Voucher { from: 1_000, price, ..blank() }
    }

    fn at(lease: &Lease, price: u64, now: i64, since: Option<u64>) -> Decision {
        decide(&voucher(price), Some(lease), now, since.map(Duration::from_secs), EVERY)
    }

    #[test]
    fn vouchers_are_redeemed_at_intervals() {
        let lease = metered();
        let now = 1_010 * 600;
        assert_eq!(at(&lease, 500, now, None), Decision::Redeem);
        assert_eq!(at(&lease, 500, now, Some(3_599)), Decision::Wait);
        assert_eq!(at(&lease, 500, now, Some(3_600)), Decision::Redeem);
        assert_eq!(at(&lease, 100, now, None), Decision::Wait, "no more than was paid");
        assert_eq!(at(&lease, 101, now, None), Decision::Redeem);
    }

    #[test]
    fn the_last_vouchers_do_not_wait() {
        let lease = metered();
        let closing = (i64::from(lease.until) - 7) * 600;
        assert_eq!(at(&lease, 500, closing - 1, Some(300)), Decision::Wait);
        assert_eq!(at(&lease, 500, closing, Some(300)), Decision::Redeem);
        assert_eq!(at(&lease, 500, closing, Some(299)), Decision::Wait, "not for each answer");
        // Notice was given: the end is six rounds after the next.
        let noticed = Lease { state: LeaseState::Cancelled, until: 1_010 + 7, ..metered() };
        assert_eq!(at(&noticed, 500, 1_010 * 600, Some(300)), Decision::Redeem);
        let over = i64::from(lease.until) * 600 + 10_000;
        assert_eq!(at(&lease, 500, over, None), Decision::Redeem, "until the lease is settled");
    }

    #[test]
    fn at_the_end_of_a_lease_each_better_voucher_is_redeemed_at_once() {
        let lease = metered();
        let ending = (i64::from(lease.until) - 1) * 600;
        assert_eq!(at(&lease, 500, ending - 1, Some(0)), Decision::Wait);
        assert_eq!(at(&lease, 500, ending, Some(0)), Decision::Redeem);
        assert_eq!(at(&lease, 500, ending + 1_200, Some(0)), Decision::Redeem, "after it as well");
        assert_eq!(at(&lease, 100, ending, Some(0)), Decision::Wait, "no more than was paid");
    }

    #[test]
    fn vouchers_of_closed_leases_are_forgotten() {
        let now = 1_010 * 600;
        assert_eq!(decide(&voucher(500), None, now, None, EVERY), Decision::Forget);
        let settled = Lease { state: LeaseState::Settled, ..metered() };
        assert_eq!(at(&settled, 500, now, None), Decision::Forget);
        let other = Lease { from: 1_001, ..metered() };
        assert_eq!(at(&other, 500, now, None), Decision::Forget, "another lease with the same address");
        let hourly = Lease { meter: None, ..metered() };
        assert_eq!(at(&hourly, 500, now, None), Decision::Forget);
        let used_up = Lease { deposit: 100, ..metered() };
        assert_eq!(at(&used_up, 500, now, None), Decision::Wait, "it may be topped up");
    }
}
