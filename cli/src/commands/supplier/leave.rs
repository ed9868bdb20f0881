//! `leasehold supplier rent` and `close`.

use anchor_lang::Space;
use leasehold::{error::LeaseholdError, rules, state::Supplier};
use leasehold_client::{address, error::Refusal, fetch::Fetched, instruction};
use leasehold_operate::{
    act::act,
    amount::sol,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
    plan::Plan,
};

pub async fn rent(chain: &Chain, args: MarketArgs) -> Result<(), Failure> {
    let (market, supplier) = found(chain, args).await?;
    let own = chain.rent(8 + Supplier::INIT_SPACE).await?;
    act(chain, plan_rent(&market, &supplier, own)?).await
}

pub async fn close(chain: &Chain, args: MarketArgs) -> Result<(), Failure> {
    let (market, supplier) = found(chain, args).await?;
    let fetch = chain.fetch();
    let log = fetch.log(address::log(&supplier.address)).await?.is_some();
    let profiles = fetch.profiles(&supplier.address).await?.is_some();
    act(chain, plan_close(&market, &supplier, log, profiles)?).await
}

async fn found(chain: &Chain, args: MarketArgs) -> Result<(MarketView, Fetched<Supplier>), Failure> {
    let (market, wallet) = (chain.market(args.id.0).await?, chain.wallet()?);
    let supplier = chain.fetch().supplier(&market.reference.address, &wallet).await?;
    let supplier = supplier.ok_or_else(|| super::missing(&wallet))?;
    Ok((market, supplier))
}

/// `own`: lamports that the supplier's account must keep.
fn plan_rent(market: &MarketView, supplier: &Fetched<Supplier>, own: u64) -> Result<Plan, Failure> {
    let surplus = rules::claim::due(supplier.lamports.saturating_sub(own)).map_err(Refusal::from)?;
    let wallet = supplier.account.authority;
    Ok(Plan::new("Reclaim the rent of slots")
        .fact("Supplier:", "supplier", supplier.address)
        .fact_as("Paid out:", "lamports", sol(surplus), surplus.to_string())
        .fact("To:", "to", wallet)
        .step("reclaim rent", vec![instruction::reclaim_rent(&market.reference, wallet)]))
}

/// `log`: true if the supplier has a compute log. Its `profiles`, if it has any, are closed too.
fn plan_close(
    market: &MarketView,
    supplier: &Fetched<Supplier>,
    log: bool,
    profiles: bool,
) -> Result<Plan, Failure> {
    let Supplier { authority: wallet, machines, stake, .. } = supplier.account;
    rules::supplier::require_closable(&supplier.account, log, false).map_err(|error| {
        let refusal = Refusal::from(error);
        let values = match refusal.error() {
            Some(LeaseholdError::MachinesLeft) => format!("machines: {machines}"),
            Some(LeaseholdError::StakeLeft) => {
                let [free, unbonding] =
                    [stake.free, stake.unbonding].map(|amount| market.stake.number(amount));
                format!("free: {free}, unbonding: {unbonding}")
            }
            _ => return refusal.into(),
        };
        Failure::rule(refusal, values)
    })?;
    let mut instructions = Vec::new();
    if profiles {
        instructions.push(instruction::close_profiles(&market.reference, wallet));
    }
    instructions.push(instruction::close_supplier(&market.reference, wallet));
    Ok(Plan::new("Close a supplier's account")
        .fact("Supplier:", "supplier", supplier.address)
        .fact_as("Paid out:", "lamports", sol(supplier.lamports), supplier.lamports.to_string())
        .fact("To:", "to", wallet)
        .step("close supplier", instructions))
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::{instruction as data, state::StakeLedger};
    use leasehold_client::sample::snapshot;
    use leasehold_operate::sample::view;

    use super::*;

    fn supplier(machines: u32, stake: StakeLedger) -> Fetched<Supplier> {
        let (address, account) = snapshot().suppliers.remove(0);
        Fetched { address, lamports: 3_000_000, account: Supplier { machines, stake, ..account } }
    }

    #[test]
    fn what_is_above_the_accounts_own_rent_is_paid_out() {
        let supplier = supplier(2, StakeLedger::default());
        let plan = plan_rent(&view(), &supplier, 2_999_999).unwrap();
        assert_eq!(plan.details()["lamports"], "1");
        assert!(plan.steps[0].instructions[0].data.starts_with(data::ReclaimRent::DISCRIMINATOR));
        assert_eq!(plan_rent(&view(), &supplier, 3_000_000).unwrap_err().code(), 3);
    }

    #[test]
    fn a_supplier_closes_its_account_when_nothing_is_left() {
        let empty = StakeLedger::default();
        let plan = plan_close(&view(), &supplier(0, empty), false, false).unwrap();
        assert!(plan.steps[0].instructions[0].data.starts_with(data::CloseSupplier::DISCRIMINATOR));
        let both = plan_close(&view(), &supplier(0, empty), false, true).unwrap();
        assert!(both.steps[0].instructions[0].data.starts_with(data::CloseProfiles::DISCRIMINATOR));
        assert_eq!(both.steps[0].instructions.len(), 2);
        let refused = |machines, stake, log| {
            let failure = plan_close(&view(), &supplier(machines, stake), log, false).unwrap_err();
            assert_eq!(failure.code(), 3);
            failure.to_string()
        };
        assert!(refused(0, empty, true).contains("close the log first"));
        assert!(refused(2, empty, false).ends_with("(machines: 2)"));
        let unbonding = StakeLedger { unbonding: 150, ..empty };
        assert!(refused(0, unbonding, false).ends_with("(free: 0, unbonding: 1.5)"));
    }
}
