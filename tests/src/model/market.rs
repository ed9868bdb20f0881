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

/// Collects the rules that parameters break.
fn lawful(params: &Params, rules: &mut Rules) {
    rules.require(params.unbonding_secs <= 90 * 86_400, UnbondingTooLong);
    rules.require(params.min_rounds >= 1 && params.min_rounds <= params.max_rounds, LeaseRoundsOutOfRange);
    rules.require(params.fee_bps <= 3_000, FeeTooHigh);
    rules.require(params.keeper_share_bps <= 10_000 && params.sla_bps <= 10_000, RateAboveWhole);
    let split = &params.split;
    let parts = [split.buyer_bps, split.burn_bps, split.market_bps, split.caller_bps];
    let whole: u32 = parts.iter().map(|part| u32::from(*part)).sum();
    rules.require(whole == 10_000 && split.burn_bps >= 1_000, SplitNotWhole);
    rules.require((1..=32).contains(&params.classes.len()), ClassesOutOfRange);
}

impl Model {
    fn require_authority(&self, by: Who, rules: &mut Rules) {
        rules.require(by == self.market.authority, WrongAuthority);
    }

    pub(super) fn propose_params(&mut self, by: Who, params: Option<&Params>) -> Outcome {
        let mut rules = Rules::default();
        self.require_authority(by, &mut rules);
        if let Some(params) = params {
            rules.require(params.classes.len() >= self.market.params.classes.len(), ClassDropped);
            lawful(params, &mut rules);
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
        let is_empty = state.slots.iter().all(|slot| slot.machine.is_none()) && state.leases.is_empty();
        let amount = state.fees + if is_empty { state.keeper_pool } else { 0 };
        claim(by, authority, to, amount)?;
        state.fees = 0;
        if is_empty {
            state.keeper_pool = 0;
        }
        self.wallet_mut(to).payments += amount;
        Ok(())
    }

    pub(super) fn withdraw_market_stake(&mut self, by: Who, board: u32, to: Who) -> Outcome {
        let authority = self.market.authority;
        let state = self.board_mut(board)?;
        let amount = state.market_stake;
        claim(by, authority, to, amount)?;
        state.market_stake = 0;
        self.wallet_mut(to).stake += amount;
        Ok(())
    }

    pub(super) fn burn_slashed(&mut self, board: u32) -> Outcome {
        let state = self.board_mut(board)?;
        let amount = state.to_burn;
        require(amount > 0, NothingToWithdraw)?;
        state.to_burn = 0;
        self.burned += amount;
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
