//! What a market's authority may do, and whoever applies what it announced.

use std::path::Path;

use leasehold::error::LeaseholdError;
use leasehold_client::{error::Refusal, instruction};
use serde::de::DeserializeOwned;
use serde_json::Map;
use solana_pubkey::Pubkey;

use super::{
    AuthorityArgs, ProposeArgs,
    params::{Change, ParamsFile},
};
use crate::{
    act::act,
    chain::{Chain, MarketArgs, MarketView},
    failure::Failure,
    plan::Plan,
    text::toml_mistake,
    time::rfc3339,
};

pub async fn pause(chain: &Chain, args: MarketArgs, paused: bool) -> Result<(), Failure> {
    let market = chain.market(args.id.0).await?;
    act(chain, plan_pause(&market, chain.wallet()?, paused)?).await
}

pub async fn propose(chain: &Chain, args: ProposeArgs) -> Result<(), Failure> {
    let file: Option<ParamsFile> = args.file.as_deref().map(read).transpose()?;
    let market = chain.market(args.market.id.0).await?;
    let now = chain.fetch().now().await?;
    act(chain, plan_proposal(&market, chain.wallet()?, now, file.as_ref())?).await
}

pub async fn apply(chain: &Chain, args: MarketArgs) -> Result<(), Failure> {
    let (market, now) = (chain.market(args.id.0).await?, chain.fetch().now().await?);
    act(chain, plan_application(&market, now)?).await
}

pub async fn authority(chain: &Chain, args: AuthorityArgs) -> Result<(), Failure> {
    let (market, wallet) = (chain.market(args.market.id.0).await?, chain.wallet()?);
    let plan = if args.accept {
        plan_acceptance(&market, wallet)
    } else {
        plan_offer(&market, wallet, args.offered)
    };
    act(chain, plan?).await
}

/// Reads a file in TOML.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), error })?;
    toml::from_str(&text).map_err(|error| {
        Failure::Input(format!("{} can't be used: {}", path.display(), toml_mistake(&error, &text)))
    })
}

/// Refuses a wallet that is not the market's authority.
pub fn require_authority(market: &MarketView, wallet: &Pubkey) -> Result<(), Failure> {
    if market.account.authority != *wallet {
        let values = format!("it belongs to {}, and {wallet} signs", market.account.authority);
        return Err(Failure::rule(LeaseholdError::WrongAuthority, values));
    }
    Ok(())
}

fn about(market: &MarketView, what: &str) -> Plan {
    Plan::new(format!("{what} market {}", market.account.id)).fact(
        "Market:",
        "market",
        market.reference.address,
    )
}

fn plan_pause(market: &MarketView, wallet: Pubkey, paused: bool) -> Result<Plan, Failure> {
    require_authority(market, &wallet)?;
    let what = if paused { "Pause" } else { "Resume" };
    let effect = if paused {
        "no machines are listed and no leases opened or extended until it resumes"
    } else {
        "machines are listed and leases opened and extended again"
    };
    let pause = instruction::set_paused(&market.reference, wallet, paused);
    Ok(about(market, what).fact("Effect:", "effect", effect).step("set paused", vec![pause]))
}

/// Announces the parameters of a file, showing what they change, or takes back what was announced.
pub fn plan_proposal(
    market: &MarketView,
    wallet: Pubkey,
    now: i64,
    file: Option<&ParamsFile>,
) -> Result<Plan, Failure> {
    require_authority(market, &wallet)?;
    let Some(file) = file else {
        let withdraw = instruction::propose_params(&market.reference, wallet, None);
        return Ok(about(market, "Take back parameters announced for").step("propose params", vec![withdraw]));
    };
    let params = file.params(market.payment, market.stake)?;
    market.account.params.validate_successor(&params).map_err(Refusal::from)?;
    let old = ParamsFile::of(market.payment, market.stake, &market.account.params);
    let from = rfc3339(now.saturating_add(market.account.timelock_secs.into()));
    let mut plan = about(market, "Announce parameters for").fact("Can be applied:", "effective_from", from);
    let changes = file.changes(&old);
    if changes.is_empty() {
        return Err(Failure::Refused("nothing would change: the market has these parameters".to_owned()));
    }
    if let Some(pending) = &market.account.pending_params {
        let from = rfc3339(pending.effective_at);
        plan = plan.fact_as("Instead of:", "replaces_from", format!("those announced from {from} on"), from);
    }
    let propose = instruction::propose_params(&market.reference, wallet, Some(params));
    Ok(changed(plan, changes).step("propose params", vec![propose]))
}

/// Puts announced parameters into force, once their time has come.
pub fn plan_application(market: &MarketView, now: i64) -> Result<Plan, Failure> {
    let pending = market.account.pending_params.as_ref();
    let pending = pending.ok_or(Refusal::from(LeaseholdError::NothingProposed))?;
    if now < pending.effective_at {
        let from = rfc3339(pending.effective_at);
        return Err(Failure::rule(LeaseholdError::TimelockRunning, format!("that is {from}")));
    }
    let apply = instruction::apply_params(&market.reference);
    let [old, new] = [&market.account.params, &pending.params]
        .map(|params| ParamsFile::of(market.payment, market.stake, params));
    let plan = changed(about(market, "Apply parameters announced for"), new.changes(&old));
    Ok(plan.step("apply params", vec![apply]))
}

/// Adds what changes. Programs read what was before under `was`, by the same names.
fn changed(plan: Plan, changes: Vec<Change>) -> Plan {
    let names: Vec<_> = changes.iter().map(|change| change.line.name).collect();
    let text = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let was: Map<_, _> =
        changes.iter().map(|change| (change.line.name.to_owned(), change.was.clone())).collect();
    let plan = plan.fact_as("Changes:", "was", text, was);
    changes
        .into_iter()
        .fold(plan, |plan, Change { line, .. }| plan.fact_as(line.label, line.name, line.text, line.value))
}

fn plan_offer(market: &MarketView, wallet: Pubkey, offered: Option<Pubkey>) -> Result<Plan, Failure> {
    require_authority(market, &wallet)?;
    let propose = instruction::propose_authority(&market.reference, wallet, offered);
    let plan = match offered {
        Some(offered) => about(market, "Offer").fact("To:", "offered_to", offered),
        None => about(market, "Take back the offer of"),
    };
    Ok(plan.step("propose authority", vec![propose]))
}

fn plan_acceptance(market: &MarketView, wallet: Pubkey) -> Result<Plan, Failure> {
    if market.account.pending_authority != Some(wallet) {
        let offered = market.account.pending_authority;
        let offered = offered.map_or_else(|| "nobody".to_owned(), |offered| offered.to_string());
        let values = format!("it is offered to {offered}, and {wallet} signs");
        return Err(Failure::rule(LeaseholdError::WrongAuthority, values));
    }
    let accept = instruction::accept_authority(&market.reference, wallet);
    Ok(about(market, "Take over")
        .fact("From:", "former_authority", market.account.authority)
        .step("accept authority", vec![accept]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::{
        instruction as data,
        state::{Params, PendingParams},
    };
    use leasehold_client::sample::wallet;

    use super::*;
    use crate::{chain::tests::view, failure::tests::rule};

    /// The market's authority is wallet 8.
    const AUTHORITY: u8 = 8;

    fn starts(plan: &Plan, discriminator: &[u8]) -> bool {
        plan.steps.len() == 1 && plan.steps[0].instructions[0].data.starts_with(discriminator)
    }

    #[test]
    fn only_the_authority_pauses_offers_and_announces() {
        let market = view();
        let plan = plan_pause(&market, wallet(AUTHORITY), true).unwrap();
        assert!(starts(&plan, &[data::SetPaused::DISCRIMINATOR, &[1]].concat()));
        let resumed = plan_pause(&market, wallet(AUTHORITY), false).unwrap();
        assert!(starts(&resumed, &[data::SetPaused::DISCRIMINATOR, &[0]].concat()));
        assert_eq!(rule(plan_pause(&market, wallet(1), true).unwrap_err()), "WrongAuthority");
        assert_eq!(rule(plan_offer(&market, wallet(1), None).unwrap_err()), "WrongAuthority");
        assert_eq!(rule(plan_proposal(&market, wallet(1), 0, None).unwrap_err()), "WrongAuthority");
    }

    #[test]
    fn a_proposal_shows_what_changes_and_from_when() {
        let market = view();
        let same = ParamsFile::of(market.payment, market.stake, &market.account.params);
        let unchanged = plan_proposal(&market, wallet(AUTHORITY), 0, Some(&same)).unwrap_err();
        assert_eq!(unchanged.code(), 3);
        let file = ParamsFile { bond_unit: "2.5".to_owned(), ..same.clone() };
        let plan = plan_proposal(&market, wallet(AUTHORITY), 0, Some(&file)).unwrap();
        assert!(starts(&plan, data::ProposeParams::DISCRIMINATOR));
        assert_eq!(plan.details()["effective_from"], "1970-01-01T00:01:00Z");
        let expected = "2.5 for a GPU of weight 10000 (was 1 for a GPU of weight 10000)";
        assert_eq!((plan.facts[2].text.as_str(), plan.facts[3].text.as_str()), ("bond_unit", expected));
        assert_eq!(plan.details()["bond_unit"], "2.5", "as the market shows it");
        assert_eq!(plan.details()["was"], serde_json::json!({ "bond_unit": "1" }));
        assert_eq!(plan.facts.len(), 4, "what stays is not repeated");
        let mut announced = view();
        let params = Params { fee_bps: 77, ..announced.account.params.clone() };
        announced.account.pending_params = Some(PendingParams { params, effective_at: 600_000 });
        let plan = plan_proposal(&announced, wallet(AUTHORITY), 0, Some(&file)).unwrap();
        assert_eq!(plan.facts[2].text, "those announced from 1970-01-07T22:40:00Z on");
        assert_eq!(plan.details()["replaces_from"], "1970-01-07T22:40:00Z");
        let withdrawn = plan_proposal(&market, wallet(AUTHORITY), 0, None).unwrap();
        assert!(starts(&withdrawn, &[data::ProposeParams::DISCRIMINATOR, &[0]].concat()));
    }

    #[test]
    fn parameters_are_applied_when_their_time_has_come() {
        let mut market = view();
        assert_eq!(rule(plan_application(&market, 0).unwrap_err()), "NothingProposed");
        let params: Params = market.account.params.clone();
        market.account.pending_params = Some(PendingParams { params, effective_at: 60 });
        let early = plan_application(&market, 59).unwrap_err();
        assert!(
            early.code() == 3 && early.to_string().ends_with("(that is 1970-01-01T00:01:00Z)"),
            "{early}"
        );
        let same = plan_application(&market, 60).unwrap();
        assert!(starts(&same, data::ApplyParams::DISCRIMINATOR));
        assert_eq!(
            (same.facts[1].text.as_str(), &same.details()["was"]),
            ("nothing", &serde_json::json!({}))
        );
        let mut other = market.account.params.clone();
        other.sla_bps = 9_000;
        market.account.pending_params = Some(PendingParams { params: other, effective_at: 60 });
        let plan = plan_application(&market, 60).unwrap();
        let sla = &plan.facts[2].text;
        assert!(sla.starts_with("up in 9000 bps of the rounds (was up in "), "{sla}");
        assert_eq!(
            (&plan.details()["sla_bps"], &plan.details()["was"]["sla_bps"]),
            (&9_000.into(), &9_900.into())
        );
    }

    #[test]
    fn a_market_is_taken_over_by_whom_it_was_offered_to() {
        let mut market = view();
        let plan = plan_offer(&market, wallet(AUTHORITY), Some(wallet(5))).unwrap();
        assert!(starts(&plan, data::ProposeAuthority::DISCRIMINATOR));
        assert_eq!(plan.details()["offered_to"], wallet(5).to_string());
        assert_eq!(rule(plan_acceptance(&market, wallet(5)).unwrap_err()), "WrongAuthority");
        market.account.pending_authority = Some(wallet(5));
        assert!(starts(&plan_acceptance(&market, wallet(5)).unwrap(), data::AcceptAuthority::DISCRIMINATOR));
    }
}
