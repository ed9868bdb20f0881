//! Leaving machines early: cancelling, replacing, and the end of a metered lease.

use leasehold::{error::LeaseholdError::*, instructions::ReplaceNodeArgs, state::LeaseState};

use super::{LeaseId, Left, Model, Outcome, Request, Rules, Stint, Who, naive, require};

/// First round that a machine does not serve any more which is left while round `running` runs: it serves that round, or
/// its first.
fn left_until(running: u32, stint: &Stint) -> u32 {
    running.max(stint.from) + 1
}

impl Model {
    /// Leaves a machine; it may be contested.
    fn leave(&mut self, id: LeaseId, slot: u16, until: u32, left: Left) {
        let machine = self.boards.get_mut(&id.board).expect("exists").machine_mut(slot);
        let stint = machine.stint.as_mut().expect("serves");
        stint.until = until;
        stint.left = Some(left);
    }

    fn contest(&mut self, id: LeaseId, slot: u16) {
        let machine = self.boards.get_mut(&id.board).expect("exists").machine_mut(slot);
        machine.stint.as_mut().expect("serves").contested = true;
    }

    pub(super) fn cancel_lease(&mut self, by: Who, id: LeaseId, contest: &[u16]) -> Outcome {
        let running = self.round(id.board);
        let lease = self.lease(id)?.clone();
        // The first round is owed even if it has not begun.
        let next = running.max(lease.from) + 1;
        let serving: Vec<(u16, Stint)> =
            self.board(id.board)?.serving(lease.serial).map(|(index, _, stint)| (index, stint)).collect();
        let mut rules = Rules::default();
        rules.require(by == lease.owner, WrongAuthority);
        rules.require(lease.state == LeaseState::Open, LeaseNotOpen);
        rules.require(lease.meter.is_none(), LeaseMetered);
        rules.require(lease.until > next, LeaseOver);
        let serves = |slot: &u16| serving.iter().any(|(index, _)| index == slot);
        rules.require(contest.iter().all(serves), NotInLease);
        let is_left = |slot: &u16| {
            let stint = serving.iter().find(|(index, _)| index == slot).map(|(_, stint)| stint);
            stint.is_none_or(|stint| left_until(running, stint) < stint.until)
        };
        rules.require(contest.iter().all(is_left), LeaseOver);
        rules.hold()?;
        let mut until = next;
        for (index, stint) in serving {
            let end = left_until(running, &stint);
            if end < stint.until {
                self.leave(id, index, end, Left::Ended);
            }
            until = until.max(end.min(stint.until));
        }
        for slot in contest {
            self.contest(id, *slot);
        }
        let lease = self.lease_mut(id)?;
        lease.state = LeaseState::Cancelled;
        lease.until = until;
        Ok(())
    }

    /// The slot that takes over from another one, if one fits.
    pub fn replacement(&self, id: LeaseId, slot: u16, avoid: &[u16], min_bond: u64) -> Option<u16> {
        let lease = self.lease(id).ok()?;
        let board = self.board(id.board).ok()?;
        let old = board.machine(slot).ok()?;
        let request = Request::to_replace(self, id.board, lease, old, avoid, min_bond);
        self.choose(id.board, &request).ok()?.first().copied()
    }

    pub(super) fn replace_node(
        &mut self,
        by: Who,
        payer: Who,
        id: LeaseId,
        args: &ReplaceNodeArgs,
    ) -> Outcome {
        let &ReplaceNodeArgs { old_slot: slot, max_deposit: most, contest, ref avoid, min_bond, .. } = args;
        let lease = self.lease(id)?.clone();
        let running = self.round(id.board);
        let from = running + 1;
        let board = self.board(id.board)?;
        let mut rules = Rules::default();
        rules.require(by == lease.owner, WrongAuthority);
        rules.require(lease.state == LeaseState::Open, LeaseNotOpen);
        rules.require(lease.meter.is_none(), LeaseMetered);
        rules.require(avoid.len() <= 16, AvoidsTooMany);
        rules.hold()?;
        let old = board.machine(slot)?;
        let stint = old.stint.filter(|stint| stint.serial == lease.serial && stint.left.is_none());
        require(stint.is_some(), NotInLease)?;
        let stint = stint.expect("checked");
        let old_until = left_until(running, &stint);
        require(old_until < stint.agreed && from < lease.until, LeaseOver)?;
        let request = Request::to_replace(self, id.board, &lease, old, avoid, min_bond);
        let new = self.choose(id.board, &request)?[0];
        let (old_price, new_price) = (old.hourly(), board.machine(new)?.hourly());
        let generation = board.slots[usize::from(slot)].generation;
        let cost = naive::cost_ceil(new_price, lease.secs(lease.until - from));
        let deposit = self.pay_in(payer, id.board, cost, most)?;

        let cheaper = u128::from(old_price.saturating_sub(new_price)) * 65_536 / u128::from(old_price);
        let cheaper = u16::try_from(cheaper).expect("the new one costs something");
        self.leave(id, slot, old_until, Left::Replaced { cheaper });
        if contest {
            self.contest(id, slot);
        }
        self.board_mut(id.board)?.machine_mut(new).begin(lease.serial, from, lease.until);
        let lease = self.lease_mut(id)?;
        // Machines that leave before the lease's end are not counted.
        lease.machines += u32::from(stint.until < lease.until);
        lease.deposit += deposit;
        lease.replaced.push((slot, generation));
        // The lease's account grows; its rent goes to the buyer, whoever paid.
        let rent = self.rents.replaced;
        let wallet = self.wallet_mut(payer);
        wallet.lamports -= rent;
        wallet.given -= rent;
        self.wallet_mut(id.buyer).given += rent;
        Ok(())
    }

    pub(super) fn give_notice(&mut self, by: Who, id: LeaseId, supplier: Option<Who>) -> Outcome {
        let running = self.round(id.board);
        let lease = self.lease(id)?.clone();
        if let Some(supplier) = supplier {
            self.supplier_mut(supplier)?;
        }
        let mut rules = Rules::default();
        rules.require(lease.state == LeaseState::Open, LeaseNotOpen);
        rules.require(lease.meter.is_some(), LeaseNotMetered);
        let board = self.board(id.board)?;
        let found = board.leased(lease.serial).next();
        rules.require(found.is_some(), NotInLease);
        rules.hold()?;
        let (slot, machine, stint) = found.expect("checked");
        let owner_of_machine = board.slots[usize::from(slot)].owner;
        let is_supplier = supplier == Some(by) && by == owner_of_machine;
        let meter = lease.meter.expect("checked");
        let standby = lease.gross(machine, machine.count(stint.from, stint.until).up);
        let is_unused = is_supplier && u128::from(meter.paid) < standby;
        let is_short = u128::from(lease.deposit - meter.paid) < self.reserve(id, slot);
        let at_once = is_unused || is_short;
        let until = if at_once {
            let first_hour = stint.from + naive::rounds_in(lease.terms.round_secs, naive::HOUR);
            let anybody = !is_supplier && by != lease.owner;
            left_until(running, &stint).max(if anybody { first_hour } else { 0 })
        } else {
            running + 1 + naive::rounds_in(lease.terms.round_secs, naive::HOUR)
        };
        let mut rules = Rules::default();
        rules.require(at_once || is_supplier || by == lease.owner, StandbyCovered);
        rules.require(until < lease.until, NoticeTooLate);
        rules.hold()?;
        if is_supplier {
            let stint = self.board_mut(id.board)?.machine_mut(slot).stint.as_mut().expect("leased");
            (stint.until, stint.agreed) = (until, until);
        } else {
            self.leave(id, slot, until, Left::Ended);
        }
        let lease = self.lease_mut(id)?;
        lease.meter.as_mut().expect("metered").owes_hour = !is_supplier;
        lease.state = LeaseState::Cancelled;
        lease.until = until;
        Ok(())
    }
}
