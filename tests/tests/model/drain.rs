//! Everybody leaves and withdraws their tokens.

use leasehold_tests::{
    PAYMENTS, STAKES,
    model::{AUTHORITY, Action, CAST, Program, STRANGER, SUPPLIERS, Who, everybody, naive},
};
use proptest::prelude::Strategy;

use crate::play::Play;

/// The wallet that has vanished.
pub fn absent() -> impl Strategy<Value = Who> {
    (0..CAST).prop_map(Who)
}

/// Invariant 16: everybody but `absent` withdraws their tokens. Every instruction of it must succeed.
pub fn leave(play: &mut Play<impl Program>, absent: Option<Who>) -> Result<(), String> {
    let mut leaving = Leaving { play, absent };
    leaving.end_leases()?;
    leaving.settle_leases()?;
    let boards: Vec<u32> = leaving.play.model.boards.keys().copied().collect();
    for board in boards {
        leaving.clear_machines(board)?;
        leaving.clear_seats(board)?;
        leaving.clear_ledger(board)?;
        let creator = leaving.play.model.boards[&board].creator;
        if Some(creator) != absent {
            leaving.play.must(Action::CloseBoard { by: creator, board })?;
        }
    }
    leaving.withdraw_stakes()?;
    leaving.reclaim_rents()?;
    leaving.close_market()?;
    leaving.check_end()
}

struct Leaving<'a, P> {
    play: &'a mut Play<P>,
    absent: Option<Who>,
}

impl<P: Program> Leaving<'_, P> {
    fn is_here(&self, who: Who) -> bool {
        self.absent != Some(who)
    }

    /// Sends the instructions that anybody may send.
    fn anybody(&self) -> Who {
        if self.is_here(STRANGER) { STRANGER } else { SUPPLIERS[0] }
    }

    /// The signer of a claim for `who`.
    fn for_whom(&self, who: Who) -> Who {
        if self.is_here(who) { who } else { self.anybody() }
    }

    fn end_leases(&mut self) -> Result<(), String> {
        let model = &self.play.model;
        let rounds = naive::rounds_in(model.market.rules.round_secs, naive::DAY);
        let leases = model.leases().into_iter();
        let ends = leases.filter_map(|id| Some((id.board, model.lease(id).ok()?.until)));
        // Not before the end of the running round, so that its votes are counted.
        let running = model.boards.keys().map(|board| (*board, model.round(*board)));
        // The end of the dispute window, and of the time in which machines are bound.
        let ends = ends.chain(running).map(|(board, last)| model.submit_end(board, last + rounds) + 1);
        let end = ends.max().unwrap_or_default() + i64::from(naive::WEEK);
        self.play.pass_to(end);
        let boards: Vec<u32> = self.play.model.boards.keys().copied().collect();
        for board in boards {
            while self.play.act(Action::CloseRound { board })?.is_ok() {}
        }
        Ok(())
    }

    fn settle_leases(&mut self) -> Result<(), String> {
        for id in self.play.model.leases() {
            let lease = |play: &Play<P>| play.model.lease(id).cloned().map_err(|rules| format!("{rules:?}"));
            if lease(self.play)?.state != leasehold::state::LeaseState::Settled {
                self.play.must(Action::SettleLease { lease: id })?;
            }
            let settled = lease(self.play)?;
            let (by, to) = (self.for_whom(settled.owner), settled.owner);
            if settled.refund_due > 0 {
                self.play.must(Action::ClaimRefund { by, lease: id, to })?;
            }
            self.play.must(Action::CloseLease { lease: id, buyer: settled.buyer })?;
        }
        Ok(())
    }

    fn clear_machines(&mut self, board: u32) -> Result<(), String> {
        let suppliers: Vec<Who> = self.play.model.suppliers.keys().copied().collect();
        for supplier in suppliers {
            let state = &self.play.model.boards[&board];
            let theirs = || state.machines().filter(|(_, slot, _)| slot.owner == supplier);
            let slots: Vec<u16> = theirs().map(|(index, _, _)| index).collect();
            let earned = theirs().any(|(_, _, machine)| machine.accrued > 0);
            let committed = theirs().map(|(_, _, machine)| machine.committed_until).max().unwrap_or_default();
            // Settling may have bound some.
            let bound = theirs().filter(|(_, _, machine)| machine.bound.is_some());
            let bound = bound.map(|(_, _, machine)| machine.committed_until).max().unwrap_or_default();
            let free = self.play.model.round_begin(board, bound);
            let evictable = self.play.model.round_begin(board, committed) + 30 * 86_400 + 1;
            let by = self.for_whom(supplier);
            if earned {
                self.play.must(Action::ClaimEarnings { by, supplier, board, to: supplier })?;
            }
            if slots.is_empty() {
                continue;
            }
            self.play.pass_to(if self.is_here(supplier) { free } else { evictable });
            self.play.must(Action::RetireMachines { by, supplier, board, slots })?;
        }
        while let Some(slot) = self.play.model.boards[&board].slots.last() {
            let suppliers = vec![slot.owner];
            self.play.must(Action::TrimBoard { board, suppliers })?;
        }
        Ok(())
    }

    fn clear_seats(&mut self, board: u32) -> Result<(), String> {
        let seats = self.play.model.boards[&board].seats.clone();
        for (seat, held) in (0u8..).zip(seats) {
            let Some(held) = held else { continue };
            let by = self.for_whom(held.keeper);
            if held.earned > 0 {
                self.play.must(Action::ClaimKeeperFees { by, board, seat, to: held.keeper })?;
            }
            if !self.is_here(held.keeper) {
                let idle = self.play.model.idle_from(board, &held) + 1;
                self.play.pass_to(idle);
            }
            self.play.must(Action::LeaveSeat {
                by,
                keeper: held.keeper,
                board,
                seat,
                forfeit_fees: false,
            })?;
        }
        Ok(())
    }

    fn clear_ledger(&mut self, board: u32) -> Result<(), String> {
        let state = self.play.model.boards[&board].clone();
        let to = self.play.model.market.authority;
        let by = self.for_whom(to);
        if state.fees > 0 {
            self.play.must(Action::WithdrawFees { by, board, to })?;
        }
        let creator = Some(state.creator).filter(|creator| self.is_here(*creator));
        if state.burning > 0 || (creator.is_some() && state.keeper_pool > 0) {
            self.play.must(Action::BurnPayments { board, creator })?;
        }
        if state.slashed > 0 {
            self.play.must(Action::BurnSlashed { board })?;
        }
        Ok(())
    }

    fn withdraw_stakes(&mut self) -> Result<(), String> {
        let here = |stakes: &std::collections::BTreeMap<Who, _>| {
            stakes.keys().copied().filter(|who| self.is_here(*who)).collect::<Vec<_>>()
        };
        let (suppliers, keepers) = (here(&self.play.model.suppliers), here(&self.play.model.keepers));
        for by in &suppliers {
            let amount = self.play.model.suppliers[by].free;
            if amount > 0 {
                self.play.must(Action::RequestUnstake { by: *by, amount })?;
            }
        }
        for by in &keepers {
            let amount = self.play.model.keepers[by].free;
            if amount > 0 {
                self.play.must(Action::RequestUnbond { by: *by, amount })?;
            }
        }
        let model = &self.play.model;
        let stakes = model.suppliers.values().chain(model.keepers.values());
        let free = stakes.map(|stake| stake.unbonding_until).max().unwrap_or_default();
        self.play.pass_to(free);
        for by in suppliers {
            if self.play.model.suppliers[&by].unbonding > 0 {
                self.play.must(Action::WithdrawStake { by, to: by })?;
            }
            // One supplier reclaims its rent first; the others get it by closing.
            let surplus = self.play.model.lamports_of_supplier(by) > self.play.model.rents.supplier;
            if surplus && by == SUPPLIERS[0] {
                self.play.must(Action::ReclaimRent { by })?;
            }
            self.play.must(Action::CloseSupplier { by })?;
        }
        for by in keepers {
            if self.play.model.keepers[&by].unbonding > 0 {
                self.play.must(Action::WithdrawBond { by, to: by })?;
            }
            self.play.must(Action::CloseKeeper { by })?;
        }
        Ok(())
    }

    /// Suppliers that closed their accounts get rent that came to the address later.
    fn reclaim_rents(&mut self) -> Result<(), String> {
        for by in everybody() {
            let waits = self.play.model.lamports_of_supplier(by) > 0;
            if waits && !self.play.model.suppliers.contains_key(&by) && self.is_here(by) {
                self.play.must(Action::RegisterSupplier { by })?;
                self.play.must(Action::CloseSupplier { by })?;
            }
        }
        Ok(())
    }

    fn close_market(&mut self) -> Result<(), String> {
        let model = &self.play.model;
        let by = model.market.authority;
        let is_empty = model.boards.is_empty() && model.suppliers.is_empty() && model.keepers.is_empty();
        if is_empty && self.is_here(by) {
            self.play.must(Action::CloseMarket { by })?;
        }
        Ok(())
    }

    /// Checks that only accounts and tokens of the absent wallet are left, and that no token is missing.
    fn check_end(&self) -> Result<(), String> {
        let model = &self.play.model;
        let require = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let mut members = model.suppliers.keys().chain(model.keepers.keys());
        require(members.all(|who| !self.is_here(*who)), "an account of somebody present is left")?;
        require(
            model.boards.values().all(|board| !self.is_here(board.creator)),
            "a board of somebody present is left",
        )?;
        let left = model.suppliers.len() + model.keepers.len() + model.boards.len();
        let left = left + usize::from(!model.market.is_closed);
        require(self.play.remaining_accounts() == left, "accounts are left that the model does not know")?;
        require(self.absent.is_some() || left == 0, "accounts are left, though nobody is absent")?;

        let sum =
            |amount: fn(&leasehold_tests::model::Wallet) -> u64| model.wallets.values().map(amount).sum();
        let (payments, stake): (u64, u64) = (sum(|wallet| wallet.payments), sum(|wallet| wallet.stake));
        // Whoever created a board and vanished leaves its keepers' pool.
        let pools: u64 = model.boards.values().map(|board| board.payment_vault()).sum();
        let all = payments + pools + model.burned_payments;
        require(all == u64::from(CAST) * PAYMENTS, "payments are missing")?;
        let left_behind = model.suppliers.values().chain(model.keepers.values());
        let left_behind: u64 = left_behind.map(|stake| stake.free + stake.unbonding).sum();
        require(model.stake_vault() == left_behind, "stake is left that nobody can withdraw")?;
        require(stake + left_behind + model.burned == u64::from(CAST) * STAKES, "stake is missing")?;
        if !model.market.is_closed || self.absent.is_some() {
            return Ok(());
        }
        // All rent came back to who paid it; that of the market goes to its last authority.
        for who in everybody() {
            let rent = model.rents.market + model.rents.vault;
            let paid = if who == AUTHORITY { -rent } else { 0 };
            let gained = if who == model.market.authority { rent } else { 0 };
            let wallet = model.wallet(who);
            require(wallet.lamports == paid + gained + wallet.given, &format!("rent of {who:?} is missing"))?;
        }
        Ok(())
    }
}
