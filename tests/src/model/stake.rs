//! Accounts and stake of suppliers and keepers, rent of slots.

use leasehold::error::LeaseholdError::*;

use super::{Model, Outcome, Refusal, Rules, Who, market::claim};

/// Stake of a supplier or keeper outside slots and seats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stake {
    pub free: u64,
    pub unbonding: u64,
    pub unbonding_until: i64,
}

impl Stake {
    fn request(&mut self, amount: u64, until: i64) -> Outcome {
        let mut rules = Rules::default();
        rules.require(amount > 0, AmountIsZero);
        rules.require(amount <= self.free, InsufficientStake);
        rules.hold()?;
        self.free -= amount;
        self.unbonding += amount;
        self.unbonding_until = until;
        Ok(())
    }

    fn withdraw(&mut self, now: i64) -> Result<u64, Vec<Refusal>> {
        let mut rules = Rules::default();
        rules.require(self.unbonding > 0, NothingToWithdraw);
        rules.require(now >= self.unbonding_until, StakeStillUnbonding);
        rules.hold()?;
        Ok(std::mem::take(&mut self.unbonding))
    }

    fn is_empty(&self) -> bool {
        self.free == 0 && self.unbonding == 0
    }
}

fn deposit(amount: u64, free: u64, wallet: u64) -> Outcome {
    let mut rules = Rules::default();
    rules.require(amount > 0, AmountIsZero);
    rules.require(free.checked_add(amount).is_some(), MathOverflow);
    rules.require_or(amount <= wallet, Refusal::Tokens);
    rules.hold()
}

impl Model {
    pub(super) fn supplier_mut(&mut self, who: Who) -> Result<&mut Stake, Vec<Refusal>> {
        self.suppliers.get_mut(&who).ok_or_else(|| vec![Refusal::Missing])
    }

    pub(super) fn keeper_mut(&mut self, who: Who) -> Result<&mut Stake, Vec<Refusal>> {
        self.keepers.get_mut(&who).ok_or_else(|| vec![Refusal::Missing])
    }

    pub fn lamports_of_supplier(&self, who: Who) -> i64 {
        self.supplier_lamports.get(&who).copied().unwrap_or_default()
    }

    /// Pays the rent of a slot to the address of its former supplier's account, whether or not it exists.
    pub(super) fn give_rent(&mut self, supplier: Who) {
        *self.supplier_lamports.entry(supplier).or_default() += self.rents.slot;
    }

    pub(super) fn register_supplier(&mut self, by: Who) -> Outcome {
        if self.suppliers.insert(by, Stake::default()).is_some() {
            return Err(vec![Refusal::Exists]);
        }
        // Lamports at the address count towards the rent.
        let there = self.lamports_of_supplier(by);
        let rent = self.rents.supplier;
        self.wallet_mut(by).lamports -= (rent - there).max(0);
        self.supplier_lamports.insert(by, rent.max(there));
        Ok(())
    }

    pub(super) fn deposit_stake(&mut self, by: Who, amount: u64) -> Outcome {
        let wallet = self.wallet(by).stake;
        let supplier = self.supplier_mut(by)?;
        deposit(amount, supplier.free, wallet)?;
        supplier.free += amount;
        self.wallet_mut(by).stake -= amount;
        Ok(())
    }

    pub(super) fn request_unstake(&mut self, by: Who, amount: u64) -> Outcome {
        let until = self.now + i64::from(self.market.params.unbonding_secs);
        self.supplier_mut(by)?.request(amount, until)
    }

    pub(super) fn withdraw_stake(&mut self, by: Who, to: Who) -> Outcome {
        let now = self.now;
        let amount = self.supplier_mut(by)?.withdraw(now)?;
        self.wallet_mut(to).stake += amount;
        Ok(())
    }

    pub(super) fn claim_earnings(&mut self, by: Who, supplier: Who, board: u32, to: Who) -> Outcome {
        self.supplier_mut(supplier)?;
        let state = self.board_mut(board)?;
        let machines = state.slots.iter_mut().filter(|slot| slot.owner == supplier);
        let machines: Vec<_> = machines.filter_map(|slot| slot.machine.as_mut()).collect();
        let amount = machines.iter().map(|machine| machine.accrued).sum();
        claim(by, supplier, to, amount)?;
        for machine in machines {
            machine.accrued = 0;
        }
        self.wallet_mut(to).payments += amount;
        Ok(())
    }

    pub(super) fn reclaim_rent(&mut self, by: Who) -> Outcome {
        self.supplier_mut(by)?;
        let surplus = self.lamports_of_supplier(by) - self.rents.supplier;
        super::require(surplus > 0, NothingToWithdraw)?;
        self.supplier_lamports.insert(by, self.rents.supplier);
        self.wallet_mut(by).lamports += surplus;
        Ok(())
    }

    pub(super) fn close_supplier(&mut self, by: Who) -> Outcome {
        let stake = *self.supplier_mut(by)?;
        let mut rules = Rules::default();
        rules.require(self.machines_of(by) == 0, MachinesLeft);
        rules.require(stake.is_empty(), StakeLeft);
        rules.hold()?;
        self.suppliers.remove(&by);
        let lamports = self.supplier_lamports.remove(&by).unwrap_or_default();
        self.wallet_mut(by).lamports += lamports;
        Ok(())
    }

    pub(super) fn register_keeper(&mut self, by: Who) -> Outcome {
        if self.keepers.insert(by, Stake::default()).is_some() {
            return Err(vec![Refusal::Exists]);
        }
        let rent = self.rents.keeper;
        self.wallet_mut(by).lamports -= rent;
        Ok(())
    }

    pub(super) fn deposit_bond(&mut self, by: Who, amount: u64) -> Outcome {
        let wallet = self.wallet(by).stake;
        let keeper = self.keeper_mut(by)?;
        deposit(amount, keeper.free, wallet)?;
        keeper.free += amount;
        self.wallet_mut(by).stake -= amount;
        Ok(())
    }

    pub(super) fn request_unbond(&mut self, by: Who, amount: u64) -> Outcome {
        let until = self.now + i64::from(self.market.params.unbonding_secs);
        self.keeper_mut(by)?.request(amount, until)
    }

    pub(super) fn withdraw_bond(&mut self, by: Who, to: Who) -> Outcome {
        let now = self.now;
        let amount = self.keeper_mut(by)?.withdraw(now)?;
        self.wallet_mut(to).stake += amount;
        Ok(())
    }

    pub(super) fn close_keeper(&mut self, by: Who) -> Outcome {
        let stake = *self.keeper_mut(by)?;
        let mut rules = Rules::default();
        rules.require(self.seats_of(by).is_empty(), SeatsLeft);
        rules.require(stake.is_empty(), StakeLeft);
        rules.hold()?;
        self.keepers.remove(&by);
        let rent = self.rents.keeper;
        self.wallet_mut(by).lamports += rent;
        Ok(())
    }
}
