//! The file that describes a market.

use std::path::Path;

use leasehold::state::RoundRules;
use leasehold_client::{MarketRef, fetch::MintInfo};
use serde::{Deserialize, de::DeserializeOwned};
use solana_pubkey::Pubkey;

use super::params::ParamsFile;
use crate::{failure::Failure, text::toml_mistake};

/// Reads a TOML file.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), error })?;
    toml::from_str(&text)
        .map_err(|error| Failure::Input(format!("{}: {}", path.display(), toml_mistake(&error, &text))))
}

/// Description of a market in TOML, which `market create` and `deploy` read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketFile {
    /// Number of the market, any that is not taken.
    pub id: u64,
    /// Wallet that is the market's authority [default: whoever creates it or deploys to it]
    #[serde(default)]
    pub authority: Option<String>,
    /// Addresses of the mints.
    pub payment_mint: String,
    pub stake_mint: String,
    /// Seconds between proposing parameters and applying them.
    pub timelock_secs: u32,
    /// Fewest boards: `deploy` creates missing ones, `market create` creates no boards.
    #[serde(default)]
    pub boards: u32,
    pub rules: Rules,
    pub params: ParamsFile,
}

impl MarketFile {
    /// The wallet that the file names as the market's authority.
    pub fn authority(&self) -> Result<Option<Pubkey>, Failure> {
        let wrong =
            |text: &String| Failure::Input(format!("invalid authority {text:?}: give a wallet's address"));
        self.authority.as_ref().map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    /// Addresses of the mints for payments and for stake.
    pub fn mints(&self) -> Result<[Pubkey; 2], Failure> {
        Ok([mint(&self.payment_mint)?, mint(&self.stake_mint)?])
    }

    /// The market, with the token programs of its mints.
    pub fn reference(&self, payments: &MintInfo, stakes: &MintInfo) -> Result<MarketRef, Failure> {
        let [payment, stake] = self.mints()?;
        let market = MarketRef::new(self.id, payment, stake);
        Ok(market.with_token_programs(payments.token_program, stakes.token_program))
    }
}

impl From<Rules> for RoundRules {
    fn from(rules: Rules) -> Self {
        let Rules { round_secs, submit_secs, seats, threshold, abandon_rounds, sla_bps } = rules;
        RoundRules { round_secs, submit_secs, seats, threshold, abandon_rounds, sla_bps }
    }
}

/// Rules of rounds and votes, which never change.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub round_secs: u32,
    pub submit_secs: u32,
    pub seats: u8,
    pub threshold: u8,
    /// Rounds down, of the last 64 of its promise, from which a machine is abandoned.
    pub abandon_rounds: u8,
    /// Part of its rounds in which a machine promises to be up.
    pub sla_bps: u16,
}

fn mint(text: &str) -> Result<Pubkey, Failure> {
    text.parse().map_err(|_| Failure::Input(format!("invalid mint {text:?}: give its address")))
}
