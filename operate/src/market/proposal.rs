//! Proposing and applying a market's parameters.

use leasehold::rules;
use leasehold_client::{error::Refusal, instruction};
use serde_json::Map;
use solana_pubkey::Pubkey;

use super::{
    MarketView, about,
    params::{Change, ParamsFile},
    require_authority,
};
use crate::{failure::Failure, plan::Plan, time::rfc3339};

/// Proposes the parameters of a file, showing what they change, or withdraws the proposed ones.
pub fn plan_proposal(
    market: &MarketView,
    wallet: Pubkey,
    now: i64,
    file: Option<&ParamsFile>,
) -> Result<Plan, Failure> {
    require_authority(market, &wallet)?;
    let Some(file) = file else {
        let withdraw = instruction::propose_params(&market.reference, wallet, None);
        return Ok(
            about(market, "Withdraw the proposed parameters of").step("propose params", vec![withdraw])
        );
    };
    let params = file.params(&market.account.rules, market.payment, market.stake)?;
    let proposal = rules::market::proposal(&market.account, params, now).map_err(Refusal::from)?;
    let old = ParamsFile::of(market.payment, market.stake, &market.account.params);
    let [from, expires] = [proposal.effective_at, proposal.expires_at].map(rfc3339);
    let mut plan = about(market, "Propose parameters for")
        .fact("Can be applied:", "effective_from", from)
        .fact("Expires:", "expires", expires);
    let changes = file.changes(&old);
    if changes.is_empty() {
        return Err(Failure::Refused("nothing changes: the market has these parameters".to_owned()));
    }
    if let Some(pending) = &market.account.pending_params {
        let from = rfc3339(pending.effective_at);
        plan = plan.fact_as("Instead of:", "replaces_from", format!("those proposed from {from} on"), from);
    }
    let propose = instruction::propose_params(&market.reference, wallet, Some(proposal.params));
    Ok(changed(plan, changes).step("propose params", vec![propose]))
}

/// Applies proposed parameters after the timelock.
pub fn plan_application(market: &MarketView, now: i64) -> Result<Plan, Failure> {
    let pending = rules::market::applicable(&market.account, now).map_err(|error| {
        match &market.account.pending_params {
            None => Refusal::from(error).into(),
            Some(pending) => {
                let [from, until] = [pending.effective_at, pending.expires_at].map(rfc3339);
                Failure::rule(error, format!("from {from} to {until}"))
            }
        }
    })?;
    let apply = instruction::apply_params(&market.reference);
    let [old, new] = [&market.account.params, &pending.params]
        .map(|params| ParamsFile::of(market.payment, market.stake, params));
    let plan = changed(about(market, "Apply the proposed parameters of"), new.changes(&old));
    Ok(plan.step("apply params", vec![apply]))
}

/// Adds the changes. JSON has the values before in `was`, by the same names.
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

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::{
        instruction as data,
        state::{Params, PendingParams},
    };
    use leasehold_client::sample::wallet;

    use super::*;
    use crate::sample::{rule, view};

    /// The market's authority is wallet 8.
    const AUTHORITY: u8 = 8;

    fn starts(plan: &Plan, discriminator: &[u8]) -> bool {
        plan.steps.len() == 1 && plan.steps[0].instructions[0].data.starts_with(discriminator)
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
        assert_eq!(plan.details()["effective_from"], "1970-01-03T00:00:00Z");
        let expected = "2.5 for a GPU of weight 10000 (was 1 for a GPU of weight 10000)";
        assert_eq!((plan.facts[3].text.as_str(), plan.facts[4].text.as_str()), ("bond_unit", expected));
        assert_eq!(plan.details()["expires"], "1970-01-17T00:00:00Z", "two weeks later");
        assert_eq!(plan.details()["bond_unit"], "2.5", "as the market shows it");
        assert_eq!(plan.details()["was"], serde_json::json!({ "bond_unit": "1" }));
        assert_eq!(plan.facts.len(), 5, "unchanged parameters are not repeated");
        let mut proposed = view();
        let params = Params { fee_bps: 77, ..proposed.account.params.clone() };
        proposed.account.pending_params =
            Some(PendingParams { params, effective_at: 600_000, expires_at: 700_000 });
        let plan = plan_proposal(&proposed, wallet(AUTHORITY), 0, Some(&file)).unwrap();
        assert_eq!(plan.facts[3].text, "those proposed from 1970-01-07T22:40:00Z on");
        assert_eq!(plan.details()["replaces_from"], "1970-01-07T22:40:00Z");
        assert_eq!(rule(plan_proposal(&market, wallet(1), 0, None).unwrap_err()), "WrongAuthority");
        let withdrawn = plan_proposal(&market, wallet(AUTHORITY), 0, None).unwrap();
        assert!(starts(&withdrawn, &[data::ProposeParams::DISCRIMINATOR, &[0]].concat()));
    }

    #[test]
    fn parameters_are_applied_when_their_time_has_come() {
        let mut market = view();
        assert_eq!(rule(plan_application(&market, 0).unwrap_err()), "NothingProposed");
        let params: Params = market.account.params.clone();
        market.account.pending_params = Some(PendingParams { params, effective_at: 60, expires_at: 120 });
        let early = plan_application(&market, 59).unwrap_err();
        assert!(
            early.code() == 3
                && early.to_string().ends_with("(from 1970-01-01T00:01:00Z to 1970-01-01T00:02:00Z)"),
            "{early}"
        );
        let same = plan_application(&market, 60).unwrap();
        assert!(starts(&same, data::ApplyParams::DISCRIMINATOR));
        assert_eq!(
            (same.facts[1].text.as_str(), &same.details()["was"]),
            ("nothing", &serde_json::json!({}))
        );
        let mut other = market.account.params.clone();
        other.hold_bps = 3_000;
        market.account.pending_params =
            Some(PendingParams { params: other, effective_at: 60, expires_at: 120 });
        let plan = plan_application(&market, 60).unwrap();
        let kept = &plan.facts[2].text;
        assert!(
            kept.starts_with(
                "30 percent of a machine's pay, two hours of it at least, until it leaves its lease (was 20 "
            ),
            "{kept}"
        );
        assert_eq!(
            (&plan.details()["hold_bps"], &plan.details()["was"]["hold_bps"]),
            (&3_000.into(), &2_000.into())
        );
        let late = plan_application(&market, 121).unwrap_err();
        assert!(late.to_string().ends_with("(from 1970-01-01T00:01:00Z to 1970-01-01T00:02:00Z)"), "{late}");
        assert_eq!(rule(late), "ProposalExpired");
    }
}
