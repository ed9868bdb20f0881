//! The market that the figures are for, from a market file such as `migrations/example.toml`.

use std::path::Path;

use anchor_lang::prelude::Pubkey;
use anyhow::{Context, Result, anyhow, bail, ensure};
use leasehold::{
    rules::market::require_creatable,
    state::{HardwareClass, Market, Params, RoundRules},
};
use serde::Deserialize;

use super::money::{PAYMENT_DECIMALS, STAKE_DECIMALS};

/// The parts of a market file that money depends on. `deploy` reads the same file, and checks the rest of it; its crate brings an
/// RPC client along, so it is not used here.
#[derive(Deserialize)]
struct File {
    timelock_secs: u32,
    rules: Rules,
    params: Parameters,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    round_secs: u32,
    submit_secs: u32,
    seats: u8,
    threshold: u8,
    abandon_rounds: u8,
    sla_bps: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    up_votes: u8,
    bond_unit: String,
    keeper_bond: String,
    keeper_fee: String,
    keeper_fee_max: String,
    ask_fee: u64,
    unbonding_secs: u32,
    min_rounds: u32,
    max_rounds: u32,
    fee_bps: u16,
    keeper_share_bps: u16,
    hold_bps: u16,
    standby_bps: u16,
    slash_multiplier_bps: u32,
    classes: Vec<Class>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    name: String,
    weight_bps: u32,
}

/// Reads a market file, and checks it by the program's rules.
pub fn read(path: &Path) -> Result<Market> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Market> {
    let File { timelock_secs, rules, params } = toml::from_str(text)?;
    let Rules { round_secs, submit_secs, seats, threshold, abandon_rounds, sla_bps } = rules;
    let rules = RoundRules { round_secs, submit_secs, seats, threshold, abandon_rounds, sla_bps };
    rules.validate().map_err(refusal)?;
    ensure!(
        submit_secs < round_secs,
        "submit_secs must be less than round_secs, or nobody knows a round's verdicts in the next one"
    );
    let params = params.params()?;
    params.validate(&rules).map_err(refusal)?;
    let secs = |rounds: u32| u64::from(rounds) * u64::from(round_secs);
    ensure!(
        secs(params.max_rounds) >= 30 * 86_400,
        "max_rounds must allow leases of 30 days: attacks are computed for those"
    );
    ensure!(
        secs(params.min_rounds) <= 3_600,
        "min_rounds must allow leases of an hour: attacks are computed for those"
    );
    let [payment_mint, stake_mint] = [1, 2].map(|byte| Pubkey::new_from_array([byte; 32]));
    require_creatable(timelock_secs, &payment_mint, &stake_mint).map_err(refusal)?;
    Ok(Market {
        version: Market::VERSION,
        bump: 0,
        stake_vault_bump: 0,
        paused: false,
        id: 1,
        genesis: [0; 32],
        authority: Pubkey::default(),
        pending_authority: None,
        payment_mint,
        stake_mint,
        next_board: 1,
        boards: 1,
        members: 0,
        timelock_secs,
        rules,
        params,
        pending_params: None,
        reserved: [0; 64],
    })
}

impl Parameters {
    fn params(&self) -> Result<Params> {
        let class = |class: &Class| {
            let mut name = [0; 16];
            let bytes = class.name.as_bytes();
            let place = name.get_mut(..bytes.len());
            place.with_context(|| format!("class name {:?} is too long", class.name))?.copy_from_slice(bytes);
            Ok(HardwareClass { name, weight_bps: class.weight_bps })
        };
        Ok(Params {
            bond_unit: units(&self.bond_unit, STAKE_DECIMALS)?,
            keeper_bond: units(&self.keeper_bond, STAKE_DECIMALS)?,
            keeper_fee: units(&self.keeper_fee, PAYMENT_DECIMALS)?,
            keeper_fee_max: units(&self.keeper_fee_max, PAYMENT_DECIMALS)?,
            ask_fee: self.ask_fee,
            unbonding_secs: self.unbonding_secs,
            min_rounds: self.min_rounds,
            max_rounds: self.max_rounds,
            fee_bps: self.fee_bps,
            keeper_share_bps: self.keeper_share_bps,
            hold_bps: self.hold_bps,
            standby_bps: self.standby_bps,
            slash_multiplier_bps: self.slash_multiplier_bps,
            up_votes: self.up_votes,
            classes: self.classes.iter().map(class).collect::<Result<_>>()?,
        })
    }
}

/// A decimal amount of tokens, in base units.
fn units(text: &str, decimals: u32) -> Result<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.len() as u32;
    if digits > decimals || !(whole.chars().chain(part.chars())).all(|digit| digit.is_ascii_digit()) {
        bail!("invalid amount {text:?}: give digits, with {decimals} after the point at most");
    }
    let number: u64 = format!("{whole}{part}").parse().with_context(|| format!("invalid amount {text:?}"))?;
    number.checked_mul(10u64.pow(decimals - digits)).with_context(|| format!("amount {text} is too large"))
}

fn refusal(error: anchor_lang::error::Error) -> anyhow::Error {
    anyhow!("{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_market_that_the_program_accepts() {
        let market = read(&crate::root().join(super::super::EXAMPLE)).unwrap();
        assert_eq!(market.params.bond_unit, 200_000_000_000);
        assert_eq!((market.params.keeper_fee, market.params.keeper_fee_max), (10_000, 100_000));
        assert_eq!(market.params.up_votes, market.rules.least_up_votes());
    }

    #[test]
    fn a_file_that_the_program_would_refuse_is_refused() {
        let text = std::fs::read_to_string(crate::root().join(super::super::EXAMPLE)).unwrap();
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from));
            format!("{:#}", parse(&text.replace(from, to)).err().unwrap())
        };
        assert!(refused("up_votes = 5", "up_votes = 4").contains("UpVotesOutOfRange"));
        assert!(refused("timelock_secs = 172800", "timelock_secs = 60").contains("TimelockOutOfRange"));
        assert!(refused("\"0.1\"", "\"0.1000000\"").contains("invalid amount"));
        assert!(refused("up_votes = 5", "up_votes = 5\nsplit = 1").contains("split"));
    }
}
