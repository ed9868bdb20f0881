//! Settlement: the design's formulas on the lists of verdicts.

use leasehold::{error::LeaseholdError::*, state::LeaseState};

use super::{Board, Bound, Lease, LeaseId, Left, Machine, Model, Outcome, Stint, Who, naive, require};

/// Payment units to a supplier, and for fees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pay {
    pub net: u64,
    pub fee: u64,
}

impl Pay {
    /// Of `owed` in all, after `before` is paid.
    pub fn between(before: u128, owed: u128, fee_bps: u16) -> Pay {
        let fee = naive::part_of(owed, fee_bps) - naive::part_of(before, fee_bps);
        Pay { net: naive::narrow(owed - before - fee), fee: naive::narrow(fee) }
    }
}

/// What the end of a machine's stint is worth in all, whatever was paid before, in payment units; `slash` in stake units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reckoning {
    /// To the supplier, fee included.
    pub owed: u128,
    pub damages: u128,
    pub contested: u128,
    pub exit: u128,
    pub penalty: u128,
    pub slash: u64,
    /// Rounds from its end on for which it is bound.
    pub bound: u32,
}

impl Reckoning {
    pub fn burned(&self) -> u128 {
        self.damages + self.contested + self.exit + self.penalty
    }
}

impl Lease {
    /// Payment units that a machine is owed in mid-term: of its rounds up, a part and the first two hours are kept.
    pub fn owed_so_far(&self, machine: &Machine, up: u32) -> u128 {
        let gross = self.gross(machine, up);
        gross - self.kept(machine, gross)
    }

    fn kept(&self, machine: &Machine, gross: u128) -> u128 {
        naive::part_of(gross, self.terms.hold_bps).max(gross.min(self.two_hours(machine)))
    }

    fn two_hours(&self, machine: &Machine) -> u128 {
        naive::cost_floor(self.price(machine), 2 * 3_600)
    }

    /// Payment units that the machine has got for its rounds up already.
    fn paid_before(&self, machine: &Machine, stint: &Stint) -> u128 {
        match self.meter {
            None => self.owed_so_far(machine, stint.settled),
            // All that the one machine got but by vouchers.
            Some(meter) => u128::from(self.paid) + u128::from(self.fees) - u128::from(meter.paid),
        }
    }

    /// Payment due in mid-term.
    fn interim(&self, machine: &Machine, stint: &Stint) -> Pay {
        let up = machine.count(stint.from, stint.until).up;
        let before = self.paid_before(machine, stint);
        let owed = self.owed_so_far(machine, up).min(self.most()).max(before);
        Pay::between(before, owed, self.terms.fee_bps)
    }

    /// What the machines can get at most: the deposit, less what vouchers took.
    fn most(&self) -> u128 {
        u128::from(self.deposit - self.meter.map_or(0, |meter| meter.paid))
    }

    /// The end of a machine's stint, with its rounds all closed.
    pub fn reckon(&self, machine: &Machine, stint: &Stint) -> Reckoning {
        let terms = &self.terms;
        let gross = |rounds: u32| self.gross(machine, rounds);
        let count = machine.count(stint.from, stint.until);
        let (closed, agreed) = (stint.until - stint.from, stint.agreed - stint.from);
        let promised = agreed.max(terms.min_rounds);
        let served = if stint.left.is_some() { closed } else { promised };
        let gone = machine.suspended || machine.barred;
        let broke = gone || stint.abandoned;
        let down = if gone { closed - count.up } else { count.down };
        let over = down.saturating_sub(naive::allow(served, terms.sla_bps));
        let rest = agreed - closed;

        let pay = gross(count.up);
        let damages = naive::part_of(pay, terms.hold_bps).min(gross(over));
        let contests = stint.contested && !gone;
        let contested = match contests {
            true => (self.kept(machine, pay) - damages).min(self.two_hours(machine)).min(gross(rest)),
            false => 0,
        };
        let blameless = !broke && over == 0 && !self.was_dark(machine, stint);
        let cheaper = match stint.left {
            Some(Left::Replaced { cheaper }) => Some(self.secs(rest) * u128::from(cheaper) / 65_536),
            _ => None,
        };
        let leaving = naive::exit_secs(self.secs(terms.rounds), self.secs(rest));
        let most = match (stint.left, self.meter) {
            (None, _) => 0,
            (Some(_), Some(meter)) if meter.owes_hour => 3_600u128.saturating_sub(self.secs(closed)),
            (Some(_), Some(_)) => 0,
            (Some(_), None) => leaving.min(cheaper.unwrap_or(leaving)),
        };
        let is_owed = count.up > 0 && !broke;
        let owed = if is_owed { most.saturating_sub(self.secs(over)) } else { 0 };
        let exit = naive::cost_floor(self.price(machine), owed);
        // What a cheaper machine saves is paid to nobody.
        let earned_exit = if blameless && cheaper.is_none() { exit } else { 0 };
        let paid_exit = if contests { 0 } else { earned_exit };
        let slash = match broke {
            true => machine.bond,
            false => {
                let over = count.down.saturating_sub(naive::allow(promised, terms.sla_bps));
                let least = naive::rounds_in(terms.round_secs, 3 * naive::DAY);
                naive::slash(machine.bond, over, promised.max(least), terms.slash_multiplier_bps)
            }
        };
        let bound = match stint.left {
            Some(_) if !broke && (!blameless || stint.contested) => {
                count.up.min(rest).min(naive::rounds_in(terms.round_secs, naive::WEEK))
            }
            _ => 0,
        };
        let void = self.void(closed, count, gone);
        let reckoning = Reckoning {
            owed: gross(count.up + void) - damages - contested + paid_exit,
            // What a forfeiture takes goes back to the owner.
            damages: if gone && !machine.barred { 0 } else { damages },
            contested,
            exit: exit - paid_exit,
            penalty: if contests { (contested + earned_exit).div_ceil(2) } else { 0 },
            slash,
            bound,
        };
        self.within(reckoning)
    }

    /// Void rounds that are paid for.
    fn void(&self, closed: u32, count: super::Count, gone: bool) -> u32 {
        let judged = count.up + count.down + count.unseen;
        if gone || count.up == 0 || 2 * judged < closed {
            return 0;
        }
        let paid = u64::from(closed - judged) * u64::from(count.up) / u64::from(judged);
        u32::try_from(paid).expect("no more than the void rounds")
    }

    /// True if the machine was down in the hour before its owner left, or in its last 64 rounds if that is less.
    fn was_dark(&self, machine: &Machine, stint: &Stint) -> bool {
        let hour = naive::rounds_in(self.terms.round_secs, naive::HOUR).min(64);
        let first = stint.until.saturating_sub(hour).max(stint.from);
        stint.left.is_some() && machine.count(first, stint.until).down > 0
    }

    /// The same where the deposit of a metered lease does not reach.
    fn within(&self, reckoning: Reckoning) -> Reckoning {
        if self.meter.is_none() {
            return reckoning;
        }
        let owed = reckoning.owed.min(self.most());
        let damages = reckoning.damages.min(self.most() - owed);
        let exit = reckoning.exit.min(self.most() - owed - damages);
        Reckoning { owed, damages, exit, ..reckoning }
    }

    /// Rounds after its end in which the last voucher can be redeemed.
    pub fn voucher_rounds(&self) -> u32 {
        self.meter.map_or(0, |_| naive::rounds_in(self.terms.round_secs, 1_200))
    }
}

impl Machine {
    /// Ends its stint.
    fn leave(&mut self, pay: Pay, reckoning: &Reckoning) {
        self.accrued += pay.net;
        self.bond -= reckoning.slash;
        let stint = self.stint.take().expect("leased");
        self.last = Some(stint);
        let gone = stint.abandoned || stint.faded || self.suspended || self.barred;
        if gone {
            self.bound = None;
        } else if reckoning.bound > 0 {
            let until = stint.until + reckoning.bound;
            let bound = self.bound.map_or(Bound { from: stint.until, until }, |before| Bound {
                until: before.until.max(until),
                ..before
            });
            self.committed_until = bound.until;
            self.bound = Some(bound);
        }
        // A bound machine stays on the market with what is left of its bond.
        let slashed = reckoning.slash > 0 && (self.bond == 0 || self.bound.is_none());
        self.suspended = !self.barred && (gone || slashed);
    }
}

impl Board {
    /// Books a payment out of a lease's escrow.
    pub(super) fn book_pay(&mut self, lease: (Who, u64), pay: Pay) {
        let lease = self.leases.get_mut(&lease).expect("exists");
        let share = lease.terms.keeper_share_bps;
        let before = naive::part(lease.fees, share);
        lease.paid += pay.net;
        lease.fees += pay.fee;
        let keepers = naive::part(lease.fees, share) - before;
        self.keeper_pool += keepers;
        self.fees += pay.fee - keepers;
    }
}

impl Model {
    pub(super) fn settle_lease(&mut self, id: LeaseId) -> Outcome {
        let lease = self.lease(id)?.clone();
        require(lease.state != LeaseState::Settled, LeaseSettled)?;
        let board = self.board_mut(id.board)?;
        let (key, next_round) = ((id.buyer, id.nonce), board.next_round);
        let slots: Vec<(u16, Stint)> =
            board.leased(lease.serial).map(|(index, _, stint)| (index, stint)).collect();
        let mut left = slots.len();
        for (slot, stint) in slots {
            let machine = board.machine_mut(slot);
            if next_round < stint.until + lease.voucher_rounds() {
                let pay = lease.interim(machine, &stint);
                machine.accrued += pay.net;
                let settled = machine.count(stint.from, stint.until).up;
                machine.stint = Some(Stint { settled, ..stint });
                board.book_pay(key, pay);
                continue;
            }
            left -= 1;
            let reckoning = lease.reckon(machine, &stint);
            let before = lease.paid_before(machine, &stint);
            let pay = Pay::between(before, reckoning.owed.max(before), lease.terms.fee_bps);
            let deposit = naive::cost_ceil(machine.hourly(), lease.secs(stint.agreed - stint.from));
            machine.leave(pay, &reckoning);
            board.book_pay(key, pay);
            let burned = naive::narrow(reckoning.burned());
            board.burning += burned;
            board.slashed += reckoning.slash;
            let lease = board.leases.get_mut(&key).expect("exists");
            lease.burned += burned;
            lease.slashed += reckoning.slash;
            if stint.left.is_some() && lease.meter.is_none() {
                // What the machine's own deposit leaves comes back.
                let back = naive::narrow(deposit - reckoning.owed - reckoning.burned());
                lease.refunded += back;
                lease.refund_due += back;
            }
        }
        if left == 0 {
            let lease = self.lease_mut(id)?;
            let rest = lease.remaining();
            lease.refunded += rest;
            lease.refund_due += rest;
            lease.state = LeaseState::Settled;
        }
        Ok(())
    }
}
