//! Metered leases: what vouchers pay, and what they leave for the standby price.

use leasehold::{error::LeaseholdError::*, state::LeaseState};

use super::{LeaseId, Model, Outcome, Refusal, Rules, naive, require, settle::Pay};
use crate::model::Who;

/// Receipts, and compute units, that a voucher of a price says to pay for.
pub fn receipts(price: u64) -> (u64, u64) {
    (price / 100, price / 10)
}

impl Model {
    /// Standby price of all rounds of the machine until an hour from now, or until its end.
    pub fn reserve(&self, id: LeaseId, slot: u16) -> u128 {
        let Ok(lease) = self.lease(id) else { return 0 };
        let Ok(machine) = self.boards[&id.board].machine(slot) else { return 0 };
        let Some(stint) = machine.stint else { return 0 };
        let hour = self.round(id.board) + 1 + naive::rounds_in(lease.terms.round_secs, naive::HOUR);
        lease.gross(machine, hour.min(stint.until).saturating_sub(stint.from))
    }

    pub(super) fn top_up_lease(&mut self, by: Who, id: LeaseId, amount: u64) -> Outcome {
        let lease = self.lease(id)?;
        let mut rules = Rules::default();
        rules.require(lease.state == LeaseState::Open, LeaseNotOpen);
        rules.require(lease.meter.is_some(), LeaseNotMetered);
        rules.require(amount > 0, AmountIsZero);
        let escrow = self.board(id.board)?.escrow();
        let fits = lease.deposit.max(escrow).checked_add(amount).is_some();
        rules.require(fits, MathOverflow);
        rules.require_or(amount <= self.wallet(by).payments, Refusal::Tokens);
        rules.hold()?;
        self.wallet_mut(by).payments -= amount;
        self.lease_mut(id)?.deposit += amount;
        Ok(())
    }

    pub(super) fn redeem_voucher(&mut self, id: LeaseId, slot: u16, price: u64) -> Outcome {
        let lease = self.lease(id)?.clone();
        let mut rules = Rules::default();
        rules.require(lease.state != LeaseState::Settled, LeaseSettled);
        rules.require(lease.meter.is_some(), LeaseNotMetered);
        rules.hold()?;
        let machine = self.board(id.board)?.machine(slot)?;
        let serves = machine.stint.is_some_and(|stint| stint.serial == lease.serial);
        require(serves, NotInLease)?;
        let before = lease.meter.expect("metered").paid;
        let limit = u128::from(lease.deposit).saturating_sub(self.reserve(id, slot));
        let owed = u128::from(price).min(limit);
        require(owed > before.into(), VoucherRedeemed)?;
        let pay = Pay::between(before.into(), owed, lease.terms.fee_bps);
        let (seq, units) = receipts(price);
        let board = self.board_mut(id.board)?;
        board.machine_mut(slot).accrued += pay.net;
        board.book_pay((id.buyer, id.nonce), pay);
        let meter = self.lease_mut(id)?.meter.as_mut().expect("metered");
        meter.paid = naive::narrow(owed);
        (meter.seq, meter.units) = (meter.seq.max(seq), meter.units.max(units));
        Ok(())
    }

    /// The machine signed two receipts with the same number.
    pub(super) fn prove_equivocation(&mut self, id: LeaseId, slot: u16) -> Outcome {
        let lease = self.lease(id)?.clone();
        let machine = self.board(id.board)?.machine(slot).map_err(|_| vec![Refusal::Rule(WrongMachine)])?;
        let mut rules = Rules::default();
        // The receipts are signed now.
        rules.require(self.now >= self.round_begin(id.board, lease.from), OtherLease);
        rules.require(!machine.barred, MachineBarred);
        rules.hold()?;
        let board = self.board_mut(id.board)?;
        let machine = board.machine_mut(slot);
        let slashed = std::mem::take(&mut machine.bond);
        machine.barred = true;
        machine.suspended = false;
        machine.bound = None;
        machine.attested_from = None;
        board.slashed += slashed;
        self.lease_mut(id)?.slashed += slashed;
        Ok(())
    }
}
