//! Instructions of leases.

use leasehold::{
    error::LeaseholdError::*,
    instructions::{OpenLeaseArgs, ReplaceNodeArgs},
    math::{sub, sub32},
    rules::{self, claim::due, extend::Allowance, replace::Wish},
    state::{Voucher, machine, machine_mut},
};

use super::{Done, Failure, Home, Native, board_address, key, require, run::require_claim, supplier_address};
use crate::model::{Action, LeaseId, Who, meter::receipts};

impl Native {
    pub(super) fn run_on_lease(&mut self, action: &Action) -> Done {
        use Action::*;
        let now = self.now;
        match *action {
            OpenLease { by, owner, board, ref args } => self.open_lease(by, owner, board, args)?,
            ExtendLease { by, payer, lease: id, rounds, max_deposit, max_leaving } => {
                let market = self.market.clone().ok_or(Failure::Missing)?;
                let (Home { board, slots, .. }, lease) = self.lease_at_home(id)?;
                require(lease.owner == key(by), WrongAuthority)?;
                let allowed = Allowance { max_deposit, max_leaving };
                let deposit =
                    rules::extend::apply(&market, board, slots, lease, now, rounds, allowed)?.deposit;
                self.take_payments(payer, id.board, deposit)?;
            }
            CancelLease { by, lease: id, ref contest } => {
                let (Home { board, slots, .. }, lease) = self.lease_at_home(id)?;
                require(lease.owner == key(by), WrongAuthority)?;
                rules::cancel::apply(board, slots, lease, contest, now)?;
            }
            TransferLease { by, lease: id, to } => {
                let (_, lease) = self.lease_at_home(id)?;
                require(lease.owner == key(by), WrongAuthority)?;
                rules::access::transfer(lease, key(to))?;
            }
            SetAccess { by, lease: id, access, wipe } => {
                let (_, lease) = self.lease_at_home(id)?;
                require(lease.owner == key(by), WrongAuthority)?;
                rules::access::set(lease, access, wipe, now)?;
            }
            ReplaceNode { by, payer, lease: id, ref args } => {
                let (Home { board, slots, .. }, lease) = self.lease_at_home(id)?;
                require(lease.owner == key(by), WrongAuthority)?;
                let &ReplaceNodeArgs { old_slot, max_deposit, contest, ref avoid, min_bond, hint } = args;
                let wish = Wish { old_slot, avoid, min_bond, hint, max_deposit, contest };
                let deposit = rules::replace::apply(board, slots, lease, &wish, now)?.deposit;
                self.take_payments(payer, id.board, deposit)?;
            }
            TopUpLease { by, lease: id, amount } => {
                let (home, lease) = self.lease_at_home(id)?;
                rules::meter::top_up(&mut home.board, lease, amount)?;
                self.take_payments(by, id.board, amount)?;
            }
            GiveNotice { by, lease: id, supplier } => {
                if supplier.is_some_and(|supplier| !self.suppliers.contains_key(&supplier)) {
                    return Err(Failure::Missing);
                }
                let (Home { board, slots, .. }, lease) = self.lease_at_home(id)?;
                let supplier = supplier.filter(|supplier| *supplier == by).map(supplier_address);
                let machine = rules::meter::machine(slots, lease)?;
                let ender = rules::meter::ender(lease, machine, &key(by), supplier);
                rules::meter::give_notice(board, slots, lease, ender, now)?;
            }
            RedeemVoucher { lease: id, slot, price } => {
                let (Home { board, slots, .. }, lease) = self.lease_at_home(id)?;
                rules::meter::payable(lease)?;
                let (seq, units) = receipts(price);
                let voucher = Voucher { seq, units, price, slot, ..bytemuck::Zeroable::zeroed() };
                machine(slots, slot)?;
                rules::meter::redeem(board, slots, lease, &voucher, now)?;
            }
            ProveEquivocation { lease: id, slot } => {
                let (Home { board, slots, .. }, lease) = self.lease_at_home(id)?;
                let machine = machine_mut(slots, slot).map_err(|_| WrongMachine)?;
                require(!machine.is(leasehold::state::SlotState::Barred), MachineBarred)?;
                require(now >= lease.begins(), OtherLease)?;
                rules::dispute::convict(board, machine, lease)?;
            }
            SettleLease { lease: id } => {
                let (Home { board, slots, .. }, lease) = self.lease_at_home(id)?;
                rules::settle::apply(board, slots, lease)?;
            }
            ClaimRefund { by, lease: id, to } => {
                let (home, lease) = self.lease_at_home(id)?;
                require_claim(by, &lease.owner.clone(), to)?;
                let amount = due(core::mem::take(&mut lease.refund_due))?;
                home.board.ledger.refunds = sub(home.board.ledger.refunds, amount)?;
                self.give_payments(to, id.board, amount)?;
            }
            CloseLease { lease: id, buyer } => {
                let (home, lease) = self.lease_at_home(id)?;
                require(lease.buyer == key(buyer), WrongAuthority)?;
                rules::lease::require_closable(&home.board, lease, now)?;
                home.board.leases = sub32(home.board.leases, 1)?;
                self.leases.remove(&id);
            }
            _ => unreachable!("{action:?} is not about a lease"),
        }
        Ok(())
    }

    fn open_lease(&mut self, by: Who, owner: Who, board: u32, args: &OpenLeaseArgs) -> Done {
        let now = self.now;
        let id = LeaseId { board, buyer: by, nonce: args.nonce };
        let taken = self.leases.contains_key(&id);
        let (market, boards, _) = self.parts()?;
        let Home { board: header, slots, .. } = boards.get_mut(&board).ok_or(Failure::Missing)?;
        if taken {
            return Err(Failure::Exists);
        }
        let opening = rules::open::apply(market, header, slots, now, args)?;
        let lease = opening.lease(
            &OpenLeaseArgs { owner: key(owner), ..args.clone() },
            board_address(board),
            key(by),
            0,
        );
        self.leases.insert(id, lease);
        self.take_payments(by, board, opening.deposit)
    }
}
