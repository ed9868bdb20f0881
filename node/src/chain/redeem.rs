//! Redeems the best voucher of each metered lease, at intervals and before the lease ends.

use super::tools::{TaskError, Tools};
use crate::leases::{View, ViewReceiver};
use crate::receipts::store::DueVoucher;
use leasehold::constants::NOTICE_SECS;
use leasehold::rules::meter;
use leasehold::state::{Board, Lease, Meter, Slot, Voucher};
use leasehold_client::{BoardRef, fetch::Fetch, instruction, sender::SendError};
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
    /// Vouchers have then paid so many payment units in all.
    Redeem {
        paid: u64,
    },
}

/// A machine in its metered lease, as the chain has them.
#[derive(Clone, Copy, Debug)]
pub struct Leased<'a> {
    pub board: &'a Board,
    pub lease: &'a Lease,
    pub machine: &'a Slot,
}

/// Decides about the best voucher of a lease at Unix second `now`. `since`: time since the last redemption in this lease,
/// `None` if there was none. A payment of less than `terms.least` waits until the lease ends, since its fee may exceed it.
pub fn decide(
    voucher: &Voucher,
    leased: Option<Leased<'_>>,
    now: i64,
    since: Option<Duration>,
    terms: Terms,
) -> Decision {
    // The lease was looked up by the address that the voucher names, the machine by its slot.
    let address = Pubkey::new_from_array(voucher.lease);
    let ours = |leased: &Leased| {
        meter::is_for(voucher, &address, leased.lease, leased.machine, &leased.board.genesis)
            && meter::payable(leased.lease).is_ok()
    };
    let Some(Leased { board, lease, machine }) = leased.filter(ours) else {
        return Decision::Forget;
    };
    // An empty deposit may still be topped up.
    let Some((paid, adds)) = paid(board, lease, machine, voucher.price, now) else { return Decision::Wait };
    let closing = now >= board.round_end(lease.until.saturating_sub(2)).saturating_sub(NOTICE_SECS.into());
    // From its last round on, the lease may be settled before the next redemption.
    let ending = now >= board.round_end(lease.until.saturating_sub(2));
    let over = now >= board.round_end(lease.until.saturating_sub(1));
    let half_round = Duration::from_secs(u64::from(board.round_secs)) / 2;
    let pause = match (over, ending, closing) {
        _ if adds < terms.least => match (over, ending) {
            // The buyer must not make the node spend more on fees than it gets.
            (true, _) => LAST.min(half_round),
            (false, true) => half_round,
            (false, false) => return Decision::Wait,
        },
        (_, true, _) => Duration::ZERO,
        (_, false, true) => terms.every.min(half_round),
        (_, false, false) => terms.every,
    };
    if since.is_none_or(|since| since >= pause) { Decision::Redeem { paid } } else { Decision::Wait }
}

/// Payment units that vouchers have paid in all once one for `price` is redeemed, and what it adds; `None` if it adds
/// nothing now.
fn paid(board: &Board, lease: &Lease, machine: &Slot, price: u64, now: i64) -> Option<(u64, u64)> {
    let before = meter::payable(lease).ok()?.paid;
    let adds = meter::payment(board, lease, machine, price, now).ok()?.gross().ok()?;
    Some((before.checked_add(adds)?, adds))
}

/// When vouchers are redeemed.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Time between two redemptions in one lease.
    pub every: Duration,
    /// Payment units that are worth a transaction.
    pub least: u64,
}

/// Time between two redemptions of little, after the end of a lease: some fit into the time until it can be settled.
const LAST: Duration = Duration::from_secs(60);

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
            let Some(lease) = lease.filter(|lease| meter::payable(lease).is_ok()) else {
                self.forget(tools, due).await?;
                continue;
            };
            let board = view.boards.get(&lease.board);
            let Some((board, machine)) = board.zip(view.slots.get(&(lease.board, voucher.slot))) else {
                self.failures.fail(
                    address,
                    &format!(
                        "lease {address}: its machine is not in the configuration: add it again, or its last voucher is \
                         not redeemed"
                    ),
                );
                continue;
            };
            let since = self.redeemed.get(&address).map(Instant::elapsed);
            let leased = Leased { board: &board.header, lease, machine };
            let terms = Terms { every: tools.settings.redeem, least: tools.settings.redeem_least };
            match decide(voucher, Some(leased), view.now, since, terms) {
                Decision::Wait => {}
                Decision::Forget => self.forget(tools, due).await?,
                Decision::Redeem { paid } => {
                    if let Some(meter) = lease.meter.filter(|_| !self.failures.is_paused(&address)) {
                        self.send(tools, &board.board, &due, &meter, paid).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn forget(&self, tools: &Tools, due: DueVoucher) -> Result<(), TaskError> {
        let voucher = &due.signed.voucher;
        let address = Pubkey::new_from_array(voucher.lease);
        let lost = voucher.price.saturating_sub(due.redeemed);
        warn!(lease = %address, lost, "the lease is over: its last voucher can't be redeemed");
        Ok(tools.store.mark_redeemed(&address, voucher.from, voucher.price).await?)
    }

    async fn send(
        &mut self,
        tools: &Tools,
        board: &BoardRef,
        due: &DueVoucher,
        meter: &Meter,
        paid: u64,
    ) -> Result<(), TaskError> {
        let voucher = &due.signed.voucher;
        let address = Pubkey::new_from_array(voucher.lease);
        let instructions =
            [due.signed.instruction(&meter.spender), instruction::redeem_voucher(board, address)];
        match tools.sender.send(&instructions, &[]).await {
            Ok(_) => {
                self.failures.reset(&address);
                self.redeemed.insert(address, Instant::now());
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
    use super::super::sample::{BOARD, PLACE, metered, view};
    use super::*;
    use leasehold::state::LeaseState;
    use leasehold_client::record::{receipt::prefix, voucher::blank};

    const TERMS: Terms = Terms { every: Duration::from_secs(3_600), least: 0 };

    /// A voucher of the sample's lease. Its address is not the sample's: the lease is looked up by it.
    fn voucher(price: u64) -> Voucher {
        let machine = view().slots[&PLACE];
        Voucher {
            cluster: [0; 8],
            node_key: machine.node_key,
            supplier: prefix(&machine.supplier),
            generation: machine.generation,
            slot: PLACE.1,
            from: 1_000,
            price,
            ..blank()
        }
    }

    fn decided(voucher: &Voucher, lease: &Lease, now: i64, since: Option<u64>) -> Decision {
        let view = view();
        let leased = Leased { board: &view.boards[&BOARD].header, lease, machine: &view.slots[&PLACE] };
        decide(voucher, Some(leased), now, since.map(Duration::from_secs), TERMS)
    }

    fn at(lease: &Lease, price: u64, now: i64, since: Option<u64>) -> Decision {
        decided(&voucher(price), lease, now, since)
    }

    const REDEEM: Decision = Decision::Redeem { paid: 500 };

    #[test]
    fn vouchers_are_redeemed_at_intervals() {
        let lease = metered();
        let now = 1_010 * 600;
        assert_eq!(at(&lease, 500, now, None), REDEEM);
        assert_eq!(at(&lease, 500, now, Some(3_599)), Decision::Wait);
        assert_eq!(at(&lease, 500, now, Some(3_600)), REDEEM);
        assert_eq!(at(&lease, 100, now, None), Decision::Wait, "no more than was paid");
        assert_eq!(at(&lease, 101, now, None), Decision::Redeem { paid: 101 });
        assert_eq!(
            at(&lease, 5_000, now, None),
            Decision::Redeem { paid: 1_000 },
            "as far as the deposit reaches"
        );
    }

    #[test]
    fn the_next_hours_standby_price_is_not_paid_by_vouchers() {
        let (mut view, lease, now) = (view(), metered(), 1_010 * 600);
        // 60 a round; 17 rounds from the first until an hour from now, of which a tenth is for standing by.
        let machine = view.slots.get_mut(&PLACE).unwrap();
        (machine.price, machine.traits.gpus) = (180, 2);
        let leased =
            Leased { board: &view.boards[&BOARD].header, lease: &lease, machine: &view.slots[&PLACE] };
        let decision = decide(&voucher(5_000), Some(leased), now, None, TERMS);
        assert_eq!(decision, Decision::Redeem { paid: 1_000 - 102 });
    }

    #[test]
    fn the_last_vouchers_do_not_wait() {
        let lease = metered();
        let closing = (i64::from(lease.until) - 7) * 600;
        assert_eq!(at(&lease, 500, closing - 1, Some(300)), Decision::Wait);
        assert_eq!(at(&lease, 500, closing, Some(300)), REDEEM);
        assert_eq!(at(&lease, 500, closing, Some(299)), Decision::Wait, "not for each answer");
        // Notice was given: the end is six rounds after the next.
        let noticed = Lease { state: LeaseState::Cancelled, until: 1_010 + 7, ..metered() };
        assert_eq!(at(&noticed, 500, 1_010 * 600, Some(300)), REDEEM);
        let over = i64::from(lease.until) * 600 + 10_000;
        assert_eq!(at(&lease, 500, over, None), REDEEM, "until the lease is settled");
    }

    #[test]
    fn at_the_end_of_a_lease_each_better_voucher_is_redeemed_at_once() {
        let lease = metered();
        let ending = (i64::from(lease.until) - 1) * 600;
        assert_eq!(at(&lease, 500, ending - 1, Some(0)), Decision::Wait);
        assert_eq!(at(&lease, 500, ending, Some(0)), REDEEM);
        assert_eq!(at(&lease, 500, ending + 1_200, Some(0)), REDEEM, "after it as well");
        assert_eq!(at(&lease, 100, ending, Some(0)), Decision::Wait, "no more than was paid");
    }

    #[test]
    fn what_is_not_worth_its_fee_waits_for_the_end_and_is_redeemed_then() {
        let (view, lease) = (view(), metered());
        let leased =
            Leased { board: &view.boards[&BOARD].header, lease: &lease, machine: &view.slots[&PLACE] };
        let at = |price, now, since: Option<u64>| {
            let terms = Terms { least: 50, ..TERMS };
            decide(&voucher(price), Some(leased), now, since.map(Duration::from_secs), terms)
        };
        let (now, until) = (1_010 * 600, i64::from(lease.until) * 600);
        assert_eq!(at(149, now, None), Decision::Wait, "it adds 49");
        assert_eq!(at(150, now, None), Decision::Redeem { paid: 150 });
        assert_eq!(at(149, until - 601, None), Decision::Wait);
        // The last round, and after it: always, but not for each answer.
        let redeem = Decision::Redeem { paid: 149 };
        assert_eq!((at(149, until - 600, None), at(149, until - 600, Some(299))), (redeem, Decision::Wait));
        assert_eq!((at(149, until, Some(59)), at(149, until, Some(60))), (Decision::Wait, redeem));
        assert_eq!(at(101, until + 1_000, Some(60)), Decision::Redeem { paid: 101 }, "however little it is");
        assert_eq!(at(150, until - 600, Some(0)), Decision::Redeem { paid: 150 });
    }

    #[test]
    fn vouchers_of_closed_leases_and_other_machines_are_forgotten() {
        let now = 1_010 * 600;
        assert_eq!(decide(&voucher(500), None, now, None, TERMS), Decision::Forget);
        let settled = Lease { state: LeaseState::Settled, ..metered() };
        assert_eq!(at(&settled, 500, now, None), Decision::Forget);
        let other = Lease { from: 1_001, ..metered() };
        assert_eq!(at(&other, 500, now, None), Decision::Forget, "another lease with the same address");
        let hourly = Lease { meter: None, ..metered() };
        assert_eq!(at(&hourly, 500, now, None), Decision::Forget);
        let used_up = Lease { deposit: 100, ..metered() };
        assert_eq!(at(&used_up, 500, now, None), Decision::Wait, "it may be topped up");
        let good = voucher(500);
        for other in [
            Voucher { cluster: [1; 8], ..good },
            Voucher { generation: 3, ..good },
            Voucher { node_key: [1; 32], ..good },
            Voucher { supplier: [1; 8], ..good },
        ] {
            assert_eq!(decided(&other, &metered(), now, None), Decision::Forget);
        }
    }
}
