//! Instructions of markets, suppliers, boards and keepers.

use leasehold::{
    error::LeaseholdError::*,
    math::{sub, sub32},
    rules::{self, claim::due, seat::Leaver},
    state::PendingParams,
};

use super::{Done, Failure, Home, Native, key, new_keeper, new_supplier, require, supplier_address};
use crate::model::{Action, Who};

/// Refuses a claim to an account that is neither its owner's nor its owner's choice.
pub(super) fn require_claim(by: Who, owner: &solana_pubkey::Pubkey, to: Who) -> Done {
    require(key(by) == *owner || key(to) == *owner, WrongDestination)
}

impl Native {
    pub(super) fn run(&mut self, action: &Action) -> Done {
        use Action::*;
        let now = self.now;
        match *action {
            CreateMarket { .. } => return Err(Failure::Exists),
            ProposeParams { by, ref params } => {
                let market = self.market_mut()?;
                require(market.authority == key(by), WrongAuthority)?;
                let proposal =
                    |params: &leasehold::state::Params| rules::market::proposal(market, params.clone(), now);
                let pending: Option<PendingParams> = params.as_deref().map(proposal).transpose()?;
                market.pending_params = pending;
            }
            ApplyParams => rules::market::apply_params(self.market_mut()?, now)?,
            ProposeAuthority { by, to } => {
                let market = self.market_mut()?;
                require(market.authority == key(by), WrongAuthority)?;
                market.pending_authority = to.map(key);
            }
            AcceptAuthority { by } => {
                let market = self.market_mut()?;
                require(market.pending_authority == Some(key(by)), WrongAuthority)?;
                market.authority = key(by);
                market.pending_authority = None;
            }
            SetPaused { by, paused } => {
                let market = self.market_mut()?;
                require(market.authority == key(by), WrongAuthority)?;
                market.paused = paused;
            }
            WithdrawFees { by, board, to } => {
                let authority = self.market_mut()?.authority;
                self.home(board)?;
                require_claim(by, &authority, to)?;
                let fees = due(rules::board::take_fees(&mut self.home(board)?.board))?;
                self.give_payments(to, board, fees)?;
            }
            BurnSlashed { board } => {
                let amount = due(core::mem::take(&mut self.home(board)?.board.ledger.slashed))?;
                self.stake_vault = self.stake_vault.checked_sub(amount).ok_or(Failure::Tokens)?;
            }
            BurnPayments { board, creator } => {
                let home = self.home(board)?;
                let by_creator = creator.map(key) == Some(home.board.creator);
                let amount = due(rules::board::take_burnable(&mut home.board, by_creator)?)?;
                home.vault = home.vault.checked_sub(amount).ok_or(Failure::Tokens)?;
            }
            CloseMarket { by } => {
                let market = self.market_mut()?;
                require(market.authority == key(by), WrongAuthority)?;
                rules::market::require_closable(market)?;
                self.market = None;
            }
            RegisterSupplier { by } => {
                if self.suppliers.insert(by, new_supplier(by)).is_some() {
                    return Err(Failure::Exists);
                }
                self.join()?;
            }
            DepositStake { by, amount } => {
                self.suppliers.get_mut(&by).ok_or(Failure::Missing)?.stake.deposit(amount)?;
                self.take_stake(by, amount)?;
            }
            RequestUnstake { by, amount } => {
                let (market, _, suppliers) = self.parts()?;
                let stake = &mut suppliers.get_mut(&by).ok_or(Failure::Missing)?.stake;
                stake.request(amount, now, market.params.unbonding_secs)?;
            }
            WithdrawStake { by, to } => {
                let amount = self.suppliers.get_mut(&by).ok_or(Failure::Missing)?.stake.withdraw(now)?;
                self.give_stake(to, amount)?;
            }
            ClaimEarnings { by, supplier, board, to } => {
                let owner = self.suppliers.get(&supplier).ok_or(Failure::Missing)?.authority;
                self.home(board)?;
                require_claim(by, &owner, to)?;
                let Home { board: header, slots, .. } = self.home(board)?;
                let theirs = slots.iter_mut().filter(|slot| slot.supplier == supplier_address(supplier));
                let amount = due(theirs.map(|slot| core::mem::take(&mut slot.accrued)).sum())?;
                header.ledger.accrued = sub(header.ledger.accrued, amount)?;
                self.give_payments(to, board, amount)?;
            }
            ReclaimRent { by } => {
                let known = self.suppliers.contains_key(&by);
                return Err(if known { NothingToWithdraw.into() } else { Failure::Missing });
            }
            CloseSupplier { by } => {
                rules::supplier::require_closable(
                    self.suppliers.get(&by).ok_or(Failure::Missing)?,
                    false,
                    false,
                )?;
                self.suppliers.remove(&by);
                let market = self.market_mut()?;
                market.members = sub32(market.members, 1)?;
            }
            CreateBoard { by } => self.create_board(by)?,
            ListMachines { by, board, until, ref machines, ref former } => {
                self.list_machines(by, board, until, machines, former)?;
            }
            RepriceMachines { by, board, ref offers } => self.reprice_machines(by, board, offers)?,
            WithholdMachines { by, board, ref slots } => {
                self.each_own(by, board, slots, |board, slot| {
                    rules::machine::withhold(slot, board.round_at(now)?)
                })?;
            }
            MoveMachines { by, board, ref moves } => {
                for at in moves {
                    self.each_own(by, board, &[at.slot], |_, slot| {
                        rules::machine::relocate(slot, at.endpoint)
                    })?;
                }
                require(!moves.is_empty(), NoMachines)?;
            }
            ForfeitMachines { by, board, ref slots } => {
                self.each_own(by, board, slots, |board, slot| {
                    rules::machine::forfeit(slot, board.round_at(now)?)
                })?;
            }
            RetireMachines { by, supplier, board, ref slots } => {
                self.retire_machines(by, supplier, board, slots)?;
            }
            TrimBoard { board, ref suppliers } => {
                self.home(board)?;
                require(!suppliers.is_empty(), FormerSupplierMissing)?;
                for supplier in suppliers {
                    require(self.home(board)?.cut(*supplier, now)?, StrayAccount)?;
                }
            }
            CloseBoard { by, board } => {
                let home = self.home(board)?;
                require(home.board.creator == key(by), WrongAuthority)?;
                rules::board::require_closable(&home.board)?;
                require(home.vault == 0, BoardInUse)?;
                self.boards.remove(&board);
                let market = self.market_mut()?;
                market.boards = sub32(market.boards, 1)?;
            }
            RegisterKeeper { by } => {
                if self.keepers.insert(by, new_keeper(by)).is_some() {
                    return Err(Failure::Exists);
                }
                self.join()?;
            }
            DepositBond { by, amount } => {
                self.keepers.get_mut(&by).ok_or(Failure::Missing)?.stake.deposit(amount)?;
                self.take_stake(by, amount)?;
            }
            RequestUnbond { by, amount } => {
                let unbonding_secs = self.market_mut()?.params.unbonding_secs;
                let keeper = self.keepers.get_mut(&by).ok_or(Failure::Missing)?;
                keeper.stake.request(amount, now, unbonding_secs)?;
            }
            WithdrawBond { by, to } => {
                let amount = self.keepers.get_mut(&by).ok_or(Failure::Missing)?.stake.withdraw(now)?;
                self.give_stake(to, amount)?;
            }
            TakeSeat { by, board, seat } => {
                let bond = self.market_mut()?.params.keeper_bond;
                let keeper = self.keepers.get_mut(&by).ok_or(Failure::Missing)?;
                let home = self.boards.get_mut(&board).ok_or(Failure::Missing)?;
                rules::seat::take(&mut home.board, keeper, seat, bond, now)?;
            }
            LeaveSeat { by, keeper, board, seat, forfeit_fees } => {
                let leaver = match by == keeper {
                    true => Leaver::Keeper { forfeits_fees: forfeit_fees },
                    false => Leaver::Anybody { now },
                };
                let keeper = self.keepers.get_mut(&keeper).ok_or(Failure::Missing)?;
                let home = self.boards.get_mut(&board).ok_or(Failure::Missing)?;
                rules::seat::leave(&mut home.board, keeper, seat, leaver)?;
            }
            FundKeepers { by, board, amount } => {
                rules::round::fund(&mut self.home(board)?.board, amount)?;
                self.take_payments(by, board, amount)?;
            }
            SubmitRound { by, board, seat, round, ref bitmap } => {
                let header = &mut self.home(board)?.board;
                require(header.seat(seat)?.keeper == key(by), WrongKeeper)?;
                rules::round::submit(header, seat, round, [1; 32], bitmap, now)?;
            }
            CloseRound { board } => {
                let (market, boards, _) = self.parts()?;
                let home = boards.get_mut(&board).ok_or(Failure::Missing)?;
                rules::round::close(&mut home.board, &mut home.slots, &market.params, now)?;
            }
            ClaimKeeperFees { by, board, seat, to } => {
                let header = &mut self.home(board)?.board;
                let held = header.seat_mut(seat)?;
                require_claim(by, &held.keeper.clone(), to)?;
                let amount = due(core::mem::take(&mut held.earned))?;
                header.ledger.keeper_fees = sub(header.ledger.keeper_fees, amount)?;
                self.give_payments(to, board, amount)?;
            }
            CloseKeeper { by } => {
                rules::keeper::require_closable(self.keepers.get(&by).ok_or(Failure::Missing)?)?;
                self.keepers.remove(&by);
                let market = self.market_mut()?;
                market.members = sub32(market.members, 1)?;
            }
            _ => self.run_on_lease(action)?,
        }
        Ok(())
    }
}
