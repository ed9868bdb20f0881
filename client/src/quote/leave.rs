//! Effect of leaving machines before the time agreed on: of cancelling a lease, and of replacing a machine.

use leasehold::{
    error::LeaseholdError,
    instructions::ReplaceNodeArgs,
    math::{
        matching::CutOff,
        pricing::Span,
        settlement::{self, Burned, Outcome},
        sub,
    },
    rules::{cancel, meter, replace, settle},
    state::{Lease, Slot},
};

use super::{Settlement, sum as burns, trial::Trial};
use crate::{board::BoardView, error::Refusal};

/// How a machine leaves a lease that its owner leaves early, if it is up in every round until then that is not closed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    pub slot: u16,
    /// First round that it does not serve any more.
    pub until: u32,
    /// True if its owner contests it.
    pub contested: bool,
    /// Payment units that its owner owes for leaving it: paid to a blameless machine that is not contested and was left by
    /// cancelling or ending the lease, else burned.
    pub exit: u64,
    /// What it is paid besides what it was paid already, what is burned because of it, and what it loses of its bond.
    pub outcome: Outcome,
    /// Effect of contesting it, whether or not its owner does.
    pub contest: Contest,
}

/// Effect of contesting a machine when it is left, in payment units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contest {
    /// Payment units that the machine loses, before the market's fee: pay that is contested, and `exit` if it would get that.
    /// All of it is burned.
    pub machine_loses: u64,
    /// Payment units that its owner pays besides: half of that, rounded up; burned, too.
    pub owner_pays: u64,
}

impl Departure {
    fn new(lease: &Lease, index: u16, slot: &Slot) -> Result<Self, Refusal> {
        let service = lease.service(slot)?;
        let contested = |contested| {
            let flags = slot.flags & !Slot::CONTESTED | if contested { Slot::CONTESTED } else { 0 };
            settle::outcome(lease, &Slot { flags, ..*slot })
        };
        let (without, with) = (contested(false)?, contested(true)?);
        let exit_secs = settlement::exit_secs(&service, &lease.terms);
        Ok(Departure {
            slot: index,
            until: slot.lease_until,
            contested: service.contested,
            exit: Span::of_secs(exit_secs).cost_floor(service.price)?,
            outcome: if service.contested { with } else { without },
            contest: Contest {
                machine_loses: sub(without.payment.gross()?, with.payment.gross()?)?,
                owner_pays: with.burned.penalty,
            },
        })
    }
}

/// Effect of cancelling a lease by the hour, if its machines are up in every round until then that is not closed yet. More
/// comes back where one is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// First round after the lease then, and how many rounds earlier that is.
    pub until: u32,
    pub rest: u32,
    /// Most seconds of machine time that are owed for leaving a machine.
    pub exit_secs: u64,
    /// Each machine that serves the lease now.
    pub machines: Vec<Departure>,
    /// Payments, refund, burned payment units and slashed stake units of all settlements from now on.
    pub settlement: Settlement,
    /// The burned payment units by reason.
    pub burned: Burned,
}

impl Cancellation {
    /// Payment units that come back to the owner.
    pub fn refund(&self) -> u64 {
        self.settlement.refunded
    }
}

/// Effect of cancelling a lease by the hour now and contesting the machines in the slots `contest`, or the rule that forbids
/// it.
pub fn cancellation(
    board: &BoardView,
    now: i64,
    lease: &Lease,
    contest: &[u16],
) -> Result<Cancellation, Refusal> {
    let serving: Vec<_> = board.leased(lease.serial).filter(|(_, slot)| slot.serves(lease.serial)).collect();
    let mut trial = Trial::new(board, lease);
    let cancelled = trial.apply(|board, slots, lease| cancel::apply(board, slots, lease, contest, now))?;
    trial.close_rounds();
    let left = |(index, _): &(u16, &Slot)| serving.iter().any(|(serving, _)| serving == index);
    let machines = trial.machines().filter(left);
    let machines = machines.map(|(index, slot)| Departure::new(trial.lease(), index, slot));
    let machines = machines.collect::<Result<Vec<_>, _>>()?;
    let all = trial.machines().map(|(_, slot)| Ok(settle::outcome(trial.lease(), slot)?.burned));
    let burned =
        all.into_iter().try_fold(Burned::default(), |all, one: Result<_, Refusal>| burns(all, one?))?;
    let cancel::Cancellation { until, rest, exit_secs, .. } = cancelled;
    Ok(Cancellation { until, rest, exit_secs, machines, settlement: trial.settlement()?, burned })
}

/// Effect of ending a metered lease early, if its machine is up in every round until then that is not closed yet, and no
/// voucher is redeemed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// First round after the lease then.
    pub until: u32,
    /// How its machine leaves it: `exit` is the rest of the first hour, which its owner owes.
    pub machine: Departure,
    /// Payments, refund, burned payment units and slashed stake units of all settlements from now on.
    pub settlement: Settlement,
}

/// Effect of a notice by `ender` now, or the rule that forbids it.
pub fn notice(board: &BoardView, now: i64, lease: &Lease, ender: meter::Ender) -> Result<Notice, Refusal> {
    let mut trial = Trial::new(board, lease);
    let until = trial.apply(|board, slots, lease| meter::give_notice(board, slots, lease, ender, now))?;
    trial.close_rounds();
    let (index, slot) = trial.machines().next().ok_or(LeaseholdError::NotInLease)?;
    let machine = Departure::new(trial.lease(), index, slot)?;
    Ok(Notice { until, machine, settlement: trial.settlement()? })
}

/// Effect of replacing a machine, if it is up in every round until then that is not closed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The slot that takes over, and the hint that saves the search.
    pub slot: u16,
    pub hint: CutOff,
    /// First round of the new machine.
    pub from: u32,
    /// Payment units that the owner pays in for the new machine, and those paid in for the lease in all then.
    pub deposit: u64,
    pub total: u64,
    /// How the old machine leaves the lease.
    pub old: Departure,
    /// Payment units of the old machine's deposit that come back when it is settled.
    pub refund: u64,
    /// Slots that were not to be picked.
    pub avoid: Vec<u16>,
    /// Least bond that was asked for, in stake units a GPU.
    pub min_bond: u64,
}

impl Replacement {
    /// Arguments to replace the machine with, for at most `max_deposit` payment units.
    pub fn args(&self, max_deposit: u64) -> ReplaceNodeArgs {
        ReplaceNodeArgs {
            old_slot: self.old.slot,
            max_deposit,
            contest: self.old.contested,
            avoid: self.avoid.clone(),
            min_bond: self.min_bond,
            hint: Some(self.hint),
        }
    }
}

/// Effect of replacing a machine now, or the rule that forbids it.
pub fn replacement(
    board: &BoardView,
    now: i64,
    lease: &Lease,
    wish: &replace::Wish,
) -> Result<Replacement, Refusal> {
    let &replace::Wish { old_slot, avoid, min_bond, .. } = wish;
    let mut trial = Trial::new(board, lease);
    let replaced = trial.apply(|board, slots, lease| replace::apply(board, slots, lease, wish, now))?;
    trial.close_rounds();
    let old = trial.machines().find(|(index, _)| *index == old_slot);
    let (_, old) = old.ok_or(LeaseholdError::NotInLease)?;
    let old = Departure::new(trial.lease(), old_slot, old)?;
    let refund = trial.settlement_of(old_slot)?.refunded;
    let replace::Replacement { slot, hint, from, deposit, total, .. } = replaced;
    Ok(Replacement { slot, hint, from, deposit, total, old, refund, avoid: avoid.to_vec(), min_bond })
}
