//! The market: parameters, authority, pause, fees.

use leasehold::{
    error::LeaseholdError::*,
    state::{Params, RoundRules},
};

use super::{Model, Outcome, Refusal, Rules, Who, require};

/// A market. Its earnings are on its boards.
#[derive(Clone, Debug)]
pub struct Market {
    pub rules: RoundRules,
    pub timelock_secs: u32,
    pub params: Params,
    pub pending: Option<(Params, i64)>,
    pub authority: Who,
    pub offered_to: Option<Who>,
    pub paused: bool,
    pub next_board: u32,
    pub is_closed: bool,
}

/// Collects the rules that parameters break, for a market with those round rules.
fn lawful(params: &Params, market: &RoundRules, rules: &mut Rules) {
    rules.require(params.bond_unit > 0 && params.keeper_bond > 0, BondIsZero);
    rules.require(params.keeper_fee <= params.keeper_fee_max, KeeperFeeOutOfRange);
    rules.require((100_000..=1_000_000_000).contains(&params.ask_fee), AskFeeOutOfRange);
    rules.require((86_400..=90 * 86_400).contains(&params.unbonding_secs), UnbondingOutOfRange);
    rules.require(params.min_rounds >= 1 && params.min_rounds <= params.max_rounds, LeaseRoundsOutOfRange);
    let longest = u64::from(params.max_rounds) * u64::from(market.round_secs);
    rules.require(longest <= 366 * 86_400, LeaseTooLong);
    rules.require(params.fee_bps <= 3_000, FeeTooHigh);
    rules.require(params.keeper_share_bps <= 10_000, RateAboveWhole);
    rules.require((1_000..=5_000).contains(&params.hold_bps), HoldOutOfRange);
    rules.require((100..=10_000).contains(&params.standby_bps), StandbyOutOfRange);
    rules.require((1_000..=100_000).contains(&params.slash_multiplier_bps), MultiplierOutOfRange);
    // u + k > n, and at most half of the seats.
    let least = (market.seats - market.threshold + 1).max(if market.seats >= 7 { 3 } else { 0 });
    let most = market.seats.div_ceil(2);
    rules.require((least..=most).contains(&params.up_votes), UpVotesOutOfRange);
    rules.require((1..=32).contains(&params.classes.len()), ClassesOutOfRange);
    let weighed = params.classes.iter().all(|class| (1..=10_000_000).contains(&class.weight_bps));
    rules.require(weighed, WeightOutOfRange);
}

impl Model {
    fn require_authority(&self, by: Who, rules: &mut Rules) {
        rules.require(by == self.market.authority, WrongAuthority);
    }

    pub(super) fn propose_params(&mut self, by: Who, params: Option<&Params>) -> Outcome {
        let mut rules = Rules::default();
        self.require_authority(by, &mut rules);
        if let Some(params) = params {
            let classes = &self.market.params.classes;
            rules.require(params.classes.len() >= classes.len(), ClassDropped);
            let named = classes.iter().zip(&params.classes).all(|(class, next)| class.name == next.name);
            rules.require(named, ClassRenamed);
            lawful(params, &self.market.rules, &mut rules);
        }
        rules.hold()?;
        let effective_at = self.now + i64::from(self.market.timelock_secs);
        self.market.pending = params.map(|params| (params.clone(), effective_at));
        Ok(())
    }

    pub(super) fn apply_params(&mut self) -> Outcome {
        let Some((params, effective_at)) = self.market.pending.clone() else {
            return Err(vec![Refusal::Rule(NothingProposed)]);
        };
        require(self.now >= effective_at, TimelockRunning)?;
        require(self.now <= effective_at + 14 * 86_400, ProposalExpired)?;
        self.market.params = params;
        self.market.pending = None;
        Ok(())
    }

    pub(super) fn propose_authority(&mut self, by: Who, to: Option<Who>) -> Outcome {
        require(by == self.market.authority, WrongAuthority)?;
        self.market.offered_to = to;
        Ok(())
    }

    pub(super) fn accept_authority(&mut self, by: Who) -> Outcome {
        require(self.market.offered_to == Some(by), WrongAuthority)?;
        self.market.authority = by;
        self.market.offered_to = None;
        Ok(())
    }

    pub(super) fn set_paused(&mut self, by: Who, paused: bool) -> Outcome {
        require(by == self.market.authority, WrongAuthority)?;
        self.market.paused = paused;
        Ok(())
    }

    pub(super) fn withdraw_fees(&mut self, by: Who, board: u32, to: Who) -> Outcome {
        let authority = self.market.authority;
        let state = self.board_mut(board)?;
        let amount = state.fees;
        claim(by, authority, to, amount)?;
        state.fees = 0;
        self.wallet_mut(to).payments += amount;
        Ok(())
    }

    pub(super) fn burn_slashed(&mut self, board: u32) -> Outcome {
        let state = self.board_mut(board)?;
        let amount = state.slashed;
        require(amount > 0, NothingToWithdraw)?;
        state.slashed = 0;
        self.burned += amount;
        Ok(())
    }

    pub(super) fn burn_payments(&mut self, board: u32, creator: Option<Who>) -> Outcome {
        let state = self.board_mut(board)?;
        let by_creator = creator == Some(state.creator);
        let unused = if by_creator && state.is_unused() { state.keeper_pool } else { 0 };
        let amount = state.burning + unused;
        require(amount > 0, NothingToWithdraw)?;
        state.burning = 0;
        state.keeper_pool -= unused;
        self.burned_payments += amount;
        Ok(())
    }

    pub(super) fn close_market(&mut self, by: Who) -> Outcome {
        let mut rules = Rules::default();
        self.require_authority(by, &mut rules);
        let is_empty = self.boards.is_empty() && self.suppliers.is_empty() && self.keepers.is_empty();
        rules.require(is_empty, MarketInUse);
        rules.hold()?;
        self.market.is_closed = true;
        self.wallet_mut(by).lamports += self.rents.market + self.rents.vault;
        Ok(())
    }
}

/// Rules of every claim: the owner may have any account paid, others only the owner's.
pub(super) fn claim(by: Who, owner: Who, to: Who, amount: u64) -> Outcome {
    let mut rules = Rules::default();
    rules.require(by == owner || to == owner, WrongDestination);
    rules.require(amount > 0, NothingToWithdraw);
    rules.hold()
}
