//! Creating a market.

use anchor_lang::Space;
use leasehold::{
    rules::market::require_creatable,
    state::{Market, RoundRules},
};
use leasehold_client::{error::Refusal, fetch::MintInfo, instruction};
use serde_json::json;
use solana_hash::Hash;
use solana_pubkey::Pubkey;

use super::{file::MarketFile, params::Line};
use crate::{
    amount::{Token, percent},
    failure::Failure,
    plan::{Plan, VAULT},
    table::count,
};

/// Creates the market, without boards, on the cluster with that genesis hash.
pub fn plan(
    file: &MarketFile,
    genesis: Hash,
    payments: &MintInfo,
    stakes: &MintInfo,
    wallet: Pubkey,
) -> Result<Plan, Failure> {
    let market = file.reference(payments, stakes)?;
    let payment = Token { mint: market.payment_mint, decimals: payments.decimals };
    let stake = Token { mint: market.stake_mint, decimals: stakes.decimals };
    let rules = RoundRules::from(file.rules);
    rules.validate().map_err(Refusal::from)?;
    require_creatable(file.timelock_secs, &payment.mint, &stake.mint).map_err(Refusal::from)?;
    if let Some(authority) = file.authority()?.filter(|authority| *authority != wallet) {
        return Err(Failure::Refused(format!(
            "the creator of a market becomes its authority: the file names {authority}, but {wallet} signs"
        )));
    }
    let params = file.params.params(&rules, payment, stake)?;
    let create =
        instruction::create_market(&market, wallet, genesis.to_bytes(), file.timelock_secs, rules, params);
    let plan = Plan::new(format!("Create market {}", market.id))
        .fact("Market:", "market", market.address)
        .fact("Authority:", "authority", wallet)
        .fact("Genesis hash:", "genesis", genesis)
        .fact("Payments:", "payment_mint", payment.mint);
    let plan = freeze(plan, "payment_freeze_authority", payments).fact("Stake:", "stake_mint", stake.mint);
    let mut plan = fixed(freeze(plan, "stake_freeze_authority", stakes), file.timelock_secs, rules);
    for Line { label, name, text, value } in file.params.lines() {
        plan = plan.fact_as(label, name, text, value);
    }
    Ok(plan.creates(8 + Market::INIT_SPACE).creates(VAULT).step("create market", vec![create]))
}

/// Adds the mint's freeze authority, which can freeze vaults too.
fn freeze(plan: Plan, name: &'static str, mint: &MintInfo) -> Plan {
    let authority = mint.freeze_authority.map(|authority| authority.to_string());
    let text = authority.clone().unwrap_or_else(|| "none".to_owned());
    plan.fact_as("Freeze authority:", name, text, authority)
}

/// Votes that it takes, in words.
pub fn votes(threshold: u8, seats: u8) -> String {
    format!("{threshold} of {} {} a machine down", count(seats.into(), "vote"), calls(threshold))
}

fn calls(votes: u8) -> &'static str {
    if votes == 1 { "calls" } else { "call" }
}

/// When a machine has abandoned its lease, in words.
pub fn abandoned(rounds: u8) -> String {
    format!("down in {rounds} of its last 64 rounds")
}

/// Adds timelock and rules, which can't be changed later.
fn fixed(plan: Plan, timelock_secs: u32, rules: RoundRules) -> Plan {
    let RoundRules { round_secs, submit_secs, seats, threshold, abandon_rounds, sla_bps } = rules;
    let value = json!({
        "round_secs": round_secs,
        "submit_secs": submit_secs,
        "seats": seats,
        "threshold": threshold,
        "abandon_rounds": abandon_rounds,
        "sla_bps": sla_bps,
    });
    let rounds =
        format!("{round_secs} seconds, votes within {submit_secs} seconds after the end (can't be changed)");
    plan.fact_as("Rounds:", "rules", rounds, value)
        .note("Votes:", format!("{} (can't be changed)", votes(threshold, seats)))
        .note("Abandoned:", format!("{} (can't be changed)", abandoned(abandon_rounds)))
        .note("SLA:", format!("up in {} of the rounds (can't be changed)", percent(sla_bps)))
        .fact_as(
            "Timelock:",
            "timelock_secs",
            format!("{timelock_secs} seconds (can't be changed)"),
            timelock_secs,
        )
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold::{instruction::CreateMarket, instructions::CreateMarketArgs};
    use leasehold_client::sample::{self, wallet};

    use super::{
        super::{file::Rules, params::ParamsFile},
        *,
    };
    use crate::sample::{mints, view};

    fn planned(file: &MarketFile) -> Result<Plan, Failure> {
        let [payments, stakes] = mints();
        plan(file, Hash::new_from_array(sample::GENESIS), &payments, &stakes, wallet(8))
    }

    #[test]
    fn what_is_fixed_for_good_is_shown_and_who_may_freeze() {
        let plan = planned(&file()).unwrap();
        let text = |label: &str| {
            let facts = plan.facts.iter().filter(|fact| fact.label == label);
            facts.map(|fact| fact.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            text("Rounds:"),
            ["600 seconds, votes within 300 seconds after the end (can't be changed)"]
        );
        assert_eq!(text("Votes:"), ["2 of 3 votes call a machine down (can't be changed)"]);
        assert_eq!(text("Abandoned:"), ["down in 4 of its last 64 rounds (can't be changed)"]);
        assert_eq!(text("Timelock:"), ["172800 seconds (can't be changed)"]);
        assert_eq!(text("Freeze authority:"), [wallet(7).to_string(), "none".to_owned()]);
        let details = plan.details();
        let rules = json!({
            "round_secs": 600, "submit_secs": 300, "seats": 3, "threshold": 2, "abandon_rounds": 4,
            "sla_bps": 9_900
        });
        assert_eq!((&details["rules"], &details["timelock_secs"]), (&rules, &172_800.into()));
        assert_eq!(details["payment_freeze_authority"], wallet(7).to_string());
        assert_eq!(details["stake_freeze_authority"], serde_json::Value::Null);
    }

    fn file() -> MarketFile {
        let market = view();
        let params = ParamsFile::of(market.payment, market.stake, &market.account.params);
        let text = format!(
            "id = 7\npayment_mint = \"{}\"\nstake_mint = \"{}\"\ntimelock_secs = 172800\n[rules]\nround_secs = 600\n\
             submit_secs = 300\nseats = 3\nthreshold = 2\nabandon_rounds = 4\nsla_bps = 9900\n",
            market.payment.mint, market.stake.mint
        );
        let params = toml::Value::try_from(params).unwrap();
        let mut table: toml::Table = toml::from_str(&text).unwrap();
        table.insert("params".to_owned(), params);
        toml::from_str(&toml::to_string(&table).unwrap()).unwrap()
    }

    #[test]
    fn a_market_is_created_as_the_file_has_it() {
        let plan = planned(&file()).unwrap();
        let data = &plan.steps[0].instructions[0].data;
        assert!(data.starts_with(CreateMarket::DISCRIMINATOR));
        let args = CreateMarketArgs::try_from_slice(&data[8..]).unwrap();
        assert_eq!((args.id, args.timelock_secs, args.rules), (7, 172_800, sample::rules()));
        assert_eq!((args.params, args.genesis), (sample::params(), sample::GENESIS));
        assert_eq!(plan.details()["market"], sample::market().address.to_string());
        assert_eq!(plan.growths.len(), 2);
        let shown = ParamsFile::of(view().payment, view().stake, &sample::params());
        assert_eq!(plan.details()["bond_unit"], shown.bond_unit);
        assert_eq!(plan.details()["classes"], json!(shown.classes));
    }

    #[test]
    fn rules_that_the_program_refuses_are_refused_at_once() {
        let refused = |file: MarketFile| planned(&file).unwrap_err().code();
        let rules = Rules { threshold: 1, ..file().rules };
        assert_eq!(refused(MarketFile { rules, ..file() }), 3);
        assert_eq!(refused(MarketFile { timelock_secs: 172_799, ..file() }), 3);
        assert_eq!(refused(MarketFile { stake_mint: file().payment_mint, ..file() }), 3);
        let wrapped_sol = "So11111111111111111111111111111111111111112".to_owned();
        assert_eq!(refused(MarketFile { stake_mint: wrapped_sol.clone(), ..file() }), 3);
        assert_eq!(refused(MarketFile { payment_mint: wrapped_sol, ..file() }), 3);
        assert_eq!(refused(MarketFile { stake_mint: "x".to_owned(), ..file() }), 2);
    }
}
