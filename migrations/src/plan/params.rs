//! Parameters of a market that exists: proposed, waited for, applied.

use leasehold::rules::market::applicable;
use leasehold_operate::{
    failure::Failure,
    market::{
        MarketView,
        file::MarketFile,
        params::ParamsFile,
        proposal::{plan_application, plan_proposal},
    },
    plan::Plan,
    time::rfc3339,
};

use super::{Deployment, count_of_classes, require_authority};
use crate::{
    report::{Finding, State},
    snapshot::Snapshot,
};

/// Plans the change of a market's parameters into those of the file.
pub fn update(
    deployment: &mut Deployment,
    file: &MarketFile,
    market: &MarketView,
    snapshot: &Snapshot,
) -> Result<(), Failure> {
    let asked = file.params.params(&market.account.rules, market.payment, market.stake)?;
    let Snapshot { now, wallet, .. } = *snapshot;
    let market_params = &market.account.params;
    let pending = market.account.pending_params.as_ref();
    let (state, detail, plan) = match pending {
        Some(pending) if pending.params == asked && asked != *market_params => {
            let from = rfc3339(pending.effective_at);
            if now > pending.expires_at {
                require_authority(market, &wallet)?;
                let until = rfc3339(pending.expires_at);
                let asked = ParamsFile::of(market.payment, market.stake, &asked);
                let proposal = plan_proposal(market, wallet, now, Some(&asked))?;
                let detail = format!("{}, again: the proposal expired at {until}", changes(&proposal));
                extend(deployment, State::Proposed, detail, proposal);
                return Ok(());
            }
            if applicable(&market.account, now).is_err() {
                let detail = format!("proposed as in the file: run it again from {from} on to apply them");
                deployment.findings.push(Finding::new("parameters", State::Waiting, detail));
                let plan = std::mem::take(&mut deployment.plan);
                deployment.plan = plan.fact("Can be applied:", "effective_from", from);
                return Ok(());
            }
            // Anybody may: the authority has proposed them.
            (State::Updated, format!("proposed as in the file, to be applied from {from} on"), {
                plan_application(market, now)?
            })
        }
        None if asked == *market_params => {
            unchanged(deployment, file);
            return Ok(());
        }
        Some(pending) if asked == *market_params && pending.params == asked => {
            unchanged(deployment, file);
            return Ok(());
        }
        Some(_) if asked == *market_params => {
            require_authority(market, &wallet)?;
            let detail = "as in the file, but others were proposed, which are withdrawn".to_owned();
            (State::Withdrawn, detail, plan_proposal(market, wallet, now, None)?)
        }
        pending => {
            require_authority(market, &wallet)?;
            // Amounts as they are printed, so that no other spelling looks like a change.
            let asked = ParamsFile::of(market.payment, market.stake, &asked);
            let proposal = plan_proposal(market, wallet, now, Some(&asked))?;
            let detail = changes(&proposal);
            let instead = if pending.is_some() { ", instead of those proposed before" } else { "" };
            (State::Proposed, format!("{detail}{instead}: run it again after the timelock"), proposal)
        }
    };
    extend(deployment, state, detail, plan);
    Ok(())
}

/// Adds a plan that is about the parameters.
fn extend(deployment: &mut Deployment, state: State, detail: String, plan: Plan) {
    deployment.next("parameters", state, detail);
    let Plan { facts, steps, .. } = plan;
    // The plan that these join names the market already.
    deployment.plan.facts.extend(facts.into_iter().filter(|fact| fact.name != Some("market")));
    deployment.plan.steps.extend(steps);
}

fn unchanged(deployment: &mut Deployment, file: &MarketFile) {
    let detail = count_of_classes(file.params.classes.len());
    deployment.findings.push(Finding::new("parameters", State::Unchanged, detail));
}

/// Changes of a proposal, and the time from which they apply, in one line.
fn changes(proposal: &Plan) -> String {
    let names = proposal.facts.iter().filter_map(|fact| fact.name);
    let names: Vec<_> = names
        .filter(|name| !["market", "effective_from", "expires", "replaces_from", "was"].contains(name))
        .collect();
    let from = proposal.facts.iter().find(|fact| fact.name == Some("effective_from"));
    let from = from.map(|fact| format!(" from {} on", fact.text)).unwrap_or_default();
    format!("other {}{from}", names.join(", "))
}
