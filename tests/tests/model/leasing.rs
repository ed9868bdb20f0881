//! Steps about leases.

use leasehold::{
    instructions::{MeterArgs, ReplaceNodeArgs},
    math::matching::Criteria,
    state::LeaseState,
};
use leasehold_tests::{
    model::{Action, BUYERS, CAST, Lease, LeaseId, Model, Request, Who, naive},
    public, spender,
};

use crate::{
    picks::{self, *},
    specs::{BOND, criteria},
    steps::{Pick, Step},
};

impl Step {
    /// The instruction of a step about a lease. `None` if there is nothing that it could name.
    pub fn leasing(&self, model: &Model) -> Option<Action> {
        // Open, and not in its last round.
        let is_open = |id: LeaseId, lease: &Lease| {
            lease.state == LeaseState::Open && lease.until > model.round(id.board) + 1
        };
        let is_metered =
            |_: LeaseId, lease: &Lease| lease.meter.is_some() && lease.state != LeaseState::Settled;
        Some(match self {
            Step::Open { .. } => return self.open(model),
            Step::OpenMetered { board, buyer, rounds, deposit } => {
                return Some(open_metered(model, *board, *buyer, *rounds, *deposit));
            }
            Step::Extend { lease, by, rounds, limit, leaving } => {
                let (id, owner) = lease_of(model, *lease, is_open);
                let rounds = u32::from(*rounds) / 2;
                let max_deposit = picks::limit(model.extension(id, rounds).2, *limit);
                let by = someone(*by, owner);
                let payer = if limit % 8 == 1 { Who(limit % CAST) } else { by };
                let max_leaving = (*leaving).into();
                Action::ExtendLease { by, payer, lease: id, rounds, max_deposit, max_leaving }
            }
            Step::Cancel { lease, by, contest } => {
                let (id, owner) = lease_of(model, *lease, is_open);
                let slots = replaceable(model, id);
                let chosen = |place: &usize| contest >> (place % 8) & 1 == 1;
                let contest = (0..slots.len()).filter(chosen).map(|place| slots[place]).collect();
                Action::CancelLease { by: someone(*by, owner), lease: id, contest }
            }
            Step::Transfer { lease, by, to } => {
                let (id, owner) = lease_of(model, *lease, |_, _| true);
                Action::TransferLease { by: someone(*by, owner), lease: id, to: Who(to % CAST) }
            }
            Step::SetAccess { lease, by, key, wipe } => {
                let (id, owner) = lease_of(model, *lease, |_, lease| lease.state != LeaseState::Settled);
                let access = (*key > 0).then_some([*key; 32]);
                Action::SetAccess { by: someone(*by, owner), lease: id, access, wipe: *wipe }
            }
            Step::Replace { lease, by, slot, limit, hint, avoid, bond, contest } => {
                let (id, owner) = lease_of(model, *lease, |id, lease| {
                    is_open(id, lease) && lease.meter.is_none() && !replaceable(model, id).is_empty()
                });
                let slot = one_to_replace(model, id, *slot);
                let avoid = picks::avoid(*avoid);
                let min_bond = match bond % 16 {
                    0 => BOND,
                    1 => BOND + 1,
                    _ => 0,
                };
                let new = model.replacement(id, slot, &avoid, min_bond);
                let rounds =
                    model.lease(id).map_or(0, |lease| lease.until.saturating_sub(model.round(id.board) + 1));
                let cost = new.map_or(0, |new| model.cost(id.board, &[new], rounds));
                let by = someone(*by, owner);
                Action::ReplaceNode {
                    by,
                    payer: if limit % 8 == 1 { Who(limit % CAST) } else { by },
                    lease: id,
                    args: ReplaceNodeArgs {
                        old_slot: slot,
                        max_deposit: picks::limit(cost, *limit),
                        contest: *contest,
                        avoid,
                        min_bond,
                        hint: picks::hint(model, id.board, new, *hint),
                    },
                }
            }
            Step::TopUp { lease, by, amount } => {
                let (id, owner) = lease_of(model, *lease, is_metered);
                let amount = match amount {
                    250.. => 0,
                    _ => u64::from(*amount) * 1_000,
                };
                Action::TopUpLease { by: someone(*by, owner), lease: id, amount }
            }
            Step::Notice { lease, by } => {
                let (id, owner) = lease_of(model, *lease, |id, lease| {
                    is_metered(id, lease) && lease.state == LeaseState::Open
                });
                let board = model.boards.get(&id.board)?;
                let slot = slot_of(model, id).unwrap_or_default();
                let supplier = board.slots.get(usize::from(slot)).map_or(owner, |slot| slot.owner);
                let (by, supplier) = match by {
                    0..80 => (owner, None),
                    80..180 => (supplier, Some(supplier)),
                    180..220 => (Who(by % CAST), None),
                    _ => (supplier, None),
                };
                Action::GiveNotice { by, lease: id, supplier }
            }
            Step::Redeem { lease, price, flaw } => {
                let (id, _) = lease_of(model, *lease, is_metered);
                let deposit = model.lease(id).map_or(1_000, |lease| lease.deposit);
                let slot = slot_of(model, id).unwrap_or_default();
                let slot = if *flaw > 0 { u16::from(flaw % 30) } else { slot };
                let price = u64::try_from(u128::from(deposit) * u128::from(*price) / 200).unwrap_or(u64::MAX);
                // A key that can't have signed is no machine of a lease.
                Action::RedeemVoucher { lease: id, slot, price }
            }
            Step::Convict { lease, slot } => {
                let (id, _) = lease_of(model, *lease, |_, lease| lease.state != LeaseState::Settled);
                let slots: Vec<u16> = model
                    .boards
                    .get(&id.board)?
                    .leased(model.lease(id).ok()?.serial)
                    .map(|(index, _, _)| index)
                    .collect();
                let slot = *slots.get(usize::from(*slot) % slots.len().max(1))?;
                Action::ProveEquivocation { lease: id, slot }
            }
            Step::Settle { lease } => {
                let unsettled = |_: LeaseId, lease: &Lease| lease.state != LeaseState::Settled;
                Action::SettleLease { lease: lease_of(model, *lease, unsettled).0 }
            }
            Step::ClaimRefund { lease, by, to } => {
                let (id, owner) = lease_of(model, *lease, |_, lease| lease.refund_due > 0);
                Action::ClaimRefund { by: someone(*by, owner), lease: id, to: someone(*to, owner) }
            }
            Step::CloseLease { lease, buyer } => {
                let (id, _) = lease_of(model, *lease, |_, lease| {
                    lease.state == LeaseState::Settled && lease.refund_due == 0
                });
                let opened_by = model.lease(id).map_or(BUYERS[0], |lease| lease.buyer);
                Action::CloseLease { lease: id, buyer: someone(*buyer, opened_by) }
            }
            _ => return None,
        })
    }

    fn open(&self, model: &Model) -> Option<Action> {
        let Step::Open { board, buyer, gpus, rounds, criteria: wanted, limit, hint, avoid, flaw } = self
        else {
            return None;
        };
        let board = board_of(model, *board);
        let by = usually(*buyer, &BUYERS);
        let mut args = args(model, board, by, (*gpus).into(), rounds_of(model, *rounds));
        args.criteria = criteria(*wanted);
        args.avoid = picks::avoid(*avoid);
        let slots = model.choose(board, &Request::of(model, board, &args)).unwrap_or_default();
        let deposit = if slots.is_empty() { 0 } else { model.cost(board, &slots, args.rounds) };
        args.max_deposit = picks::limit(deposit, *limit);
        args.group = (*limit % 3 == 1).then_some(7);
        args.access = (*limit % 4 == 1).then_some([*limit; 32]);
        args.hint = picks::hint(model, board, slots.last().copied(), *hint);
        match flaw % 5 {
            _ if *flaw == 0 => {}
            0 => args.nonce = args.nonce.saturating_sub(1),
            1 => args.criteria.metered = true,
            2 => args.gpus = 0,
            3 => args.gpus = 1_000,
            _ => args.rounds = u32::from(*flaw) * 100,
        }
        let owner = if *limit % 7 == 3 { Who(limit % CAST) } else { by };
        Some(Action::OpenLease { by, owner, board, args: Box::new(args) })
    }
}

/// A metered lease, whose deposit is often near the least one.
fn open_metered(model: &Model, board: Pick, buyer: Pick, rounds: u8, deposit: Pick) -> Action {
    let board = board_of(model, board);
    let by = usually(buyer, &BUYERS);
    let mut args = args(model, board, by, 1, rounds_of(model, rounds));
    args.criteria = Criteria { metered: true, allow_unseen: deposit.is_multiple_of(5), ..criteria(0) };
    let slots = model.choose(board, &Request::of(model, board, &args)).unwrap_or_default();
    let hourly =
        slots.first().map_or(0, |slot| model.boards[&board].machine(*slot).map_or(0, |m| m.hourly()));
    let secs = u128::from(model.market.rules.round_secs.max(naive::HOUR));
    let least = naive::cost_ceil(naive::part(hourly, model.market.params.standby_bps), secs);
    let amount = match deposit {
        0..40 => least.saturating_sub(u128::from(deposit % 2)),
        _ => least * u128::from(deposit) / 20,
    };
    let deposit = u64::try_from(amount).unwrap_or(u64::MAX);
    args.meter = Some(MeterArgs { spender: public(&spender()), deposit });
    Action::OpenLease { by, owner: by, board, args: Box::new(args) }
}
