//! Instructions of markets, suppliers, boards and keepers.

use bytemuck::Zeroable;
use leasehold::{
    constants::INITIAL_SCORE,
    error::LeaseholdError::*,
    instructions::{Machine, Offer},
    math::{add32, rounds, sub, sub32},
    rules::{self, claim::due, seat::Leaver},
    state::{Board, PendingParams, Slot, SlotState, machine_mut},
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

    fn create_board(&mut self, by: Who) -> Done {
        let now = self.now;
        let (market, boards, _) = self.parts()?;
        let mut board: Box<Board> = Box::new(Board::zeroed());
        board.creator = key(by);
        board.genesis = market.genesis;
        board.index = market.next_board;
        board.phase_secs = rounds::phase(market.next_board, market.rules.round_secs);
        board.next_serial = 1;
        board.adopt(&market.rules);
        board.up_votes = market.params.up_votes;
        board.next_round = board.round_at(now)?;
        boards.insert(market.next_board, Home { board, slots: vec![], vault: 0 });
        market.next_board = add32(market.next_board, 1)?;
        market.boards = add32(market.boards, 1)?;
        Ok(())
    }

    /// Applies a rule to machines of one supplier.
    fn each_own(
        &mut self,
        by: Who,
        board: u32,
        indices: &[u16],
        rule: impl Fn(&Board, &mut Slot) -> anchor_lang::Result<()>,
    ) -> Done {
        if !self.suppliers.contains_key(&by) {
            return Err(Failure::Missing);
        }
        let Home { board, slots, .. } = self.home(board)?;
        require(!indices.is_empty(), NoMachines)?;
        for index in indices {
            let slot = machine_mut(slots, *index)?;
            require(slot.supplier == supplier_address(by), WrongSupplier)?;
            rule(board, slot)?;
        }
        Ok(())
    }

    fn reprice_machines(&mut self, by: Who, board: u32, offers: &[Offer]) -> Done {
        let now = self.now;
        let (market, boards, suppliers) = self.parts()?;
        let supplier = suppliers.get_mut(&by).ok_or(Failure::Missing)?;
        let Home { board, slots, .. } = boards.get_mut(&board).ok_or(Failure::Missing)?;
        require(!offers.is_empty(), NoMachines)?;
        let next_round = board.round_after(now)?;
        for offer in offers {
            let slot = machine_mut(slots, offer.slot)?;
            require(slot.supplier == supplier_address(by), WrongSupplier)?;
            rules::machine::reprice(market, board, slot, supplier, offer, next_round)?;
        }
        Ok(())
    }

    fn list_machines(
        &mut self,
        by: Who,
        board: u32,
        until: u32,
        machines: &[Machine],
        former: &[Who],
    ) -> Done {
        let now = self.now;
        let (market, boards, suppliers) = self.parts()?;
        let supplier = suppliers.get_mut(&by).ok_or(Failure::Missing)?;
        let Home { board, slots, .. } = boards.get_mut(&board).ok_or(Failure::Missing)?;
        rules::machine::require_listing(market, machines.len())?;
        let (round, next_round) = (board.round_at(now)?, board.round_after(now)?);
        board.require_commitment(until, next_round, market.params.max_rounds)?;
        let old_slots = slots.len();
        let added = machines.iter().filter(|machine| machine.slot.is_none()).count();
        if added > 0 {
            slots.resize(old_slots + added, Slot::zeroed());
            board.resize(round, u32::try_from(slots.len()).expect("few"));
        }
        let (mut next, mut former) = (old_slots, former.iter());
        for machine in machines {
            rules::machine::require_listable(machine)?;
            let bond = rules::machine::bond(&market.params, &machine.traits, machine.bond)?;
            let index = machine.slot.map_or(next, usize::from);
            require(machine.slot.is_none() || index < old_slots, NoSuchSlot)?;
            let mut generation = board.fresh_generation;
            if machine.slot.is_some() {
                rules::machine::require_vacant(&slots[index])?;
                let owner = slots[index].supplier;
                let owed = owner == supplier_address(by)
                    || former.next().is_some_and(|former| supplier_address(*former) == owner);
                require(owed, FormerSupplierMissing)?;
                generation = slots[index].generation;
            } else {
                next += 1;
            }
            slots[index] = Slot {
                node_key: machine.node_key,
                supplier: supplier_address(by),
                traits: machine.traits,
                price: machine.price,
                endpoint: machine.endpoint,
                generation,
                score: INITIAL_SCORE,
                state: SlotState::Idle as u8,
                committed_until: until,
                attested_from: next_round,
                bond,
                profile: machine.profile.unwrap_or(Slot::NO_PROFILE),
                turnaround: machine.turnaround,
                ..Slot::zeroed()
            };
            rules::machine::count_listed(board, supplier, bond)?;
        }
        require(former.next().is_none(), StrayAccount)
    }

    fn retire_machines(&mut self, by: Who, supplier: Who, board: u32, indices: &[u16]) -> Done {
        let now = self.now;
        let (_, boards, suppliers) = self.parts()?;
        let account = suppliers.get_mut(&supplier).ok_or(Failure::Missing)?;
        let home = boards.get_mut(&board).ok_or(Failure::Missing)?;
        require(!indices.is_empty(), NoMachines)?;
        let round = home.board.round_at(now)?;
        for index in indices {
            let slot = machine_mut(&mut home.slots, *index)?;
            require(slot.supplier == supplier_address(supplier), WrongSupplier)?;
            rules::machine::retire(&mut home.board, slot, account, by == supplier, now, round)?;
        }
        while home.cut(supplier, now)? {}
        Ok(())
    }
}

impl Home {
    /// Removes the last slot, if it is vacant and its rent is owed to that supplier.
    fn cut(&mut self, supplier: Who, now: i64) -> Done<bool> {
        let round = self.board.round_at(now)?;
        let theirs = |slot: &&Slot| slot.is(SlotState::Vacant) && slot.supplier == supplier_address(supplier);
        let Some(generation) = self.slots.last().filter(theirs).map(|slot| slot.generation) else {
            return Ok(false);
        };
        self.board.outgrow(generation);
        self.slots.pop();
        self.board.resize(round, u32::try_from(self.slots.len()).expect("few"));
        Ok(true)
    }
}
