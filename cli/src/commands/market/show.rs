//! `leasehold market show`.

use std::fmt;

use serde::Serialize;
use solana_hash::Hash;

use leasehold_operate::{
    amount::percent,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::{
        MarketView,
        create::{abandoned, votes},
        params::ParamsFile,
    },
    table::labelled,
    time::rfc3339,
};

/// A market.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub address: String,
    pub id: String,
    pub paused: bool,
    pub authority: String,
    /// The wallet that it is offered to.
    pub pending_authority: Option<String>,
    pub payment_mint: String,
    pub payment_decimals: u8,
    /// Authority that may freeze accounts of the mint, vaults included.
    pub payment_freeze_authority: Option<String>,
    pub stake_mint: String,
    pub stake_decimals: u8,
    pub stake_freeze_authority: Option<String>,
    pub boards: u32,
    /// Number that the next board will have.
    pub next_board: u32,
    /// Suppliers and keepers.
    pub members: u32,
    pub timelock_secs: u32,
    pub round_secs: u32,
    pub submit_secs: u32,
    pub seats: u8,
    pub threshold: u8,
    pub abandon_rounds: u8,
    pub sla_bps: u16,
    /// True if its rounds are so short that it can only be a test.
    pub test: bool,
    /// Genesis hash of the cluster that its creator stated.
    pub genesis: String,
    /// As a file for `market propose` has them.
    pub params: ParamsFile,
    pub pending_params: Option<ParamsFile>,
    /// When those can be applied.
    pub pending_from: Option<String>,
    /// Until when.
    pub pending_until: Option<String>,
}

pub async fn run(chain: &Chain, args: MarketArgs) -> Result<(), Failure> {
    let market = chain.market(args.id.0).await?;
    chain.settings.output.print(&Shown::new(&market))
}

impl Shown {
    pub fn new(market: &MarketView) -> Self {
        let (account, rules) = (&market.account, &market.account.rules);
        let pending = account.pending_params.as_ref();
        Shown {
            address: market.reference.address.to_string(),
            id: account.id.to_string(),
            paused: account.paused,
            authority: account.authority.to_string(),
            pending_authority: account.pending_authority.map(|authority| authority.to_string()),
            payment_mint: market.payment.mint.to_string(),
            payment_decimals: market.payment.decimals,
            payment_freeze_authority: market.payment_freeze_authority.map(|authority| authority.to_string()),
            stake_mint: market.stake.mint.to_string(),
            stake_decimals: market.stake.decimals,
            stake_freeze_authority: market.stake_freeze_authority.map(|authority| authority.to_string()),
            boards: account.boards,
            next_board: account.next_board,
            members: account.members,
            timelock_secs: account.timelock_secs,
            round_secs: rules.round_secs,
            submit_secs: rules.submit_secs,
            seats: rules.seats,
            threshold: rules.threshold,
            abandon_rounds: rules.abandon_rounds,
            sla_bps: rules.sla_bps,
            test: rules.is_test(),
            genesis: Hash::new_from_array(account.genesis).to_string(),
            params: ParamsFile::of(market.payment, market.stake, &account.params),
            pending_params: pending
                .map(|pending| ParamsFile::of(market.payment, market.stake, &pending.params)),
            pending_from: pending.map(|pending| rfc3339(pending.effective_at)),
            pending_until: pending.map(|pending| rfc3339(pending.expires_at)),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let rounds = format!("{} seconds, votes within {} after", self.round_secs, self.submit_secs);
        let mint = |mint: &str, decimals: u8, freeze: &Option<String>| {
            let freeze = freeze.as_deref().unwrap_or("none");
            format!("mint {mint}, {decimals} decimals, freeze authority {freeze}")
        };
        let payments = mint(&self.payment_mint, self.payment_decimals, &self.payment_freeze_authority);
        let mut lines = vec![
            ("Market:", format!("{} ({})", self.id, self.address)),
            ("Paused:", if self.paused { "yes" } else { "no" }.to_owned()),
            ("Authority:", self.authority.clone()),
            ("Payments:", payments),
            ("Stake:", mint(&self.stake_mint, self.stake_decimals, &self.stake_freeze_authority)),
            ("Boards:", format!("{}, the next is {}", self.boards, self.next_board)),
            ("Suppliers and keepers:", self.members.to_string()),
            ("Rounds:", rounds),
            ("Votes:", votes(self.threshold, self.seats)),
            ("Abandoned:", abandoned(self.abandon_rounds)),
            ("SLA:", format!("up in {} of the rounds", percent(self.sla_bps))),
            ("Timelock:", format!("{} seconds", self.timelock_secs)),
        ];
        if let Some(authority) = &self.pending_authority {
            lines.insert(3, ("Offered to:", authority.clone()));
        }
        if self.test {
            lines.insert(1, ("TEST MARKET:", "its rounds are shorter than a minute".to_owned()));
        }
        lines.push(("Genesis hash:", self.genesis.clone()));
        lines.extend(people(&self.params));
        f.write_str(&labelled(lines))?;
        let pending =
            self.pending_params.as_ref().zip(self.pending_from.as_ref()).zip(self.pending_until.as_ref());
        if let Some(((params, from), until)) = pending {
            write!(
                f,
                "\n\nProposed; can be applied from {from} until {until}:\n{}",
                labelled(people(params))
            )?;
        }
        Ok(())
    }
}

/// Parameters for people.
fn people(params: &ParamsFile) -> impl Iterator<Item = (&'static str, String)> {
    params.lines().into_iter().map(|line| (line.label, line.text))
}

#[cfg(test)]
mod tests {
    use leasehold::state::{Params, PendingParams};
    use leasehold_client::sample;
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn a_market_shows_its_rules_and_what_will_change() {
        let mut market = view();
        let text = Shown::new(&market).to_string();
        assert!(text.contains("Votes:") && text.contains("2 of 3 votes call a machine down"), "{text}");
        assert!(text.contains("RTX 4090") && !text.contains("Proposed; "), "{text}");
        let freeze = sample::wallet(7);
        assert!(text.contains(&format!(", 6 decimals, freeze authority {freeze}\n")), "{text}");
        assert!(text.contains(", 2 decimals, freeze authority none\n"), "{text}");
        let json = serde_json::to_value(Shown::new(&market)).unwrap();
        assert_eq!(json["payment_freeze_authority"], freeze.to_string());
        assert_eq!(json["stake_freeze_authority"], serde_json::Value::Null);
        let params = Params { fee_bps: 77, ..market.account.params.clone() };
        market.account.pending_params =
            Some(PendingParams { params, effective_at: 600_000, expires_at: 600_060 });
        let shown = Shown::new(&market);
        assert!(
            shown
                .to_string()
                .contains("Proposed; can be applied from 1970-01-07T22:40:00Z until 1970-01-07T22:41:00Z:")
        );
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!((&json["id"], &json["pending_params"]["fee_bps"]), (&"7".into(), &77.into()));
        assert_eq!(json["params"]["bond_unit"], "1");
    }
}
