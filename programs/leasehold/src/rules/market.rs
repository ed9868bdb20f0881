//! Markets: how one is created and closed, and when its parameters change.

use anchor_lang::prelude::*;
use anchor_spl::{token::spl_token, token_2022::spl_token_2022};

use crate::{
    constants::{PROPOSAL_SECS, TIMELOCK_SECS},
    error::LeaseholdError,
    state::{Market, Params, PendingParams},
};

/// Refuses a market whose timelock is out of range, whose two mints are the same, or one of whose mints is wrapped SOL, which
/// can't be burned.
pub fn require_creatable(timelock_secs: u32, payment_mint: &Pubkey, stake_mint: &Pubkey) -> Result<()> {
    require!(TIMELOCK_SECS.contains(&timelock_secs), LeaseholdError::TimelockOutOfRange);
    require_keys_neq!(*payment_mint, *stake_mint, LeaseholdError::SameMint);
    let native = [spl_token::native_mint::ID, spl_token_2022::native_mint::ID];
    let burnable = !native.contains(stake_mint) && !native.contains(payment_mint);
    require!(burnable, LeaseholdError::NativeMint);
    Ok(())
}

/// Refuses to close a market that has boards, suppliers or keepers.
pub fn require_closable(market: &Market) -> Result<()> {
    require!(market.boards == 0 && market.members == 0, LeaseholdError::MarketInUse);
    Ok(())
}

/// The proposal of `params` at Unix time `now`: it can be applied in the two weeks after the market's timelock. Refuses parameters out of
/// range, and those that may not follow the market's.
pub fn proposal(market: &Market, params: Params, now: i64) -> Result<PendingParams> {
    market.params.validate_successor(&market.rules, &params)?;
    let effective_at =
        now.checked_add(i64::from(market.timelock_secs)).ok_or(LeaseholdError::MathOverflow)?;
    let expires_at = effective_at.checked_add(PROPOSAL_SECS).ok_or(LeaseholdError::MathOverflow)?;
    Ok(PendingParams { params, effective_at, expires_at })
}

/// The pending proposal. Refused if there is none, its timelock still runs at Unix time `now`, or it has expired.
pub fn applicable(market: &Market, now: i64) -> Result<&PendingParams> {
    let pending = market.pending_params.as_ref().ok_or(LeaseholdError::NothingProposed)?;
    require!(now >= pending.effective_at, LeaseholdError::TimelockRunning);
    require!(now <= pending.expires_at, LeaseholdError::ProposalExpired);
    Ok(pending)
}

/// Puts the proposed parameters in force.
pub fn apply_params(market: &mut Market, now: i64) -> Result<()> {
    market.params = applicable(market, now)?.params.clone();
    market.pending_params = None;
    Ok(())
}
