//! `leasehold receipt enforce`: a demand that nobody answered costs a machine its bond.

use std::str::FromStr;

use clap::Args;
use leasehold::{error::LeaseholdError, rules::dispute::enforcement, state::Demand};
use leasehold_client::{address, board::BoardView, error::Refusal, fetch::Fetched, instruction};
use leasehold_operate::{
    act::act, amount::sol, chain::Chain, failure::Failure, market::MarketView, plan::Plan, time::rfc3339,
};
use solana_pubkey::Pubkey;

use super::Hash;

#[derive(Args)]
pub struct EnforceArgs {
    /// The demand: its address, or the id of its receipt in 64 hex digits.
    #[arg(value_name = "DEMAND|ID")]
    pub demand: DemandId,
}

/// A demand by its address, which the receipt's id gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemandId(pub Pubkey);

impl FromStr for DemandId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.parse().map(|id: Hash| address::demand(&id.0));
        id.or_else(|_| text.parse())
            .map(DemandId)
            .map_err(|_| "give the demand's address, or the receipt's id of 64 hex digits")
    }
}

pub async fn run(chain: &Chain, args: EnforceArgs) -> Result<(), Failure> {
    let (fetch, address) = (chain.fetch(), args.demand.0);
    let missing = "was never made, was answered, or was enforced";
    let demand = fetch.demand(address).await?;
    let demand = demand.ok_or_else(|| Failure::Refused(format!("the demand at {address} {missing}")))?;
    let data = fetch.board(demand.account.board).await?;
    let market = chain.market(data.view()?.header.market).await?;
    act(chain, plan(&market, &data.view()?, &demand, fetch.now().await?, chain.wallet()?)?).await
}

fn plan(
    market: &MarketView,
    view: &BoardView,
    demand: &Fetched<Demand>,
    now: i64,
    caller: Pubkey,
) -> Result<Plan, Failure> {
    let Demand { lease, claimant, due, slot, fee, .. } = demand.account;
    let machine = enforcement(view.slots, &demand.account, now).map_err(|error| {
        let refusal = Refusal::from(error);
        if refusal != LeaseholdError::AnswerNotDue.into() {
            return Failure::from(refusal);
        }
        Failure::rule(refusal, format!("that is {}", rfc3339(due)))
    })?;
    let bond = machine.map_or(0, |machine| machine.bond);
    let enforce = instruction::enforce_demand(caller, demand.address, &demand.account);
    Ok(Plan::new(format!("Enforce a demand that slot {slot} did not answer"))
        .fact("Demand:", "demand", demand.address)
        .fact("Lease:", "lease", lease)
        .money_as(
            "Machine loses:",
            "slashed",
            format!("{}, all of it burned", market.stake.money(bond)),
            market.stake.money(bond),
        )
        .fact_as("Fee to you:", "ask_fee", sol(fee), fee.to_string())
        .fact("Rent goes to:", "claimant", claimant)
        .step("enforce demand", vec![enforce]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::sample::{snapshot, wallet};
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn a_demand_is_enforced_when_its_time_is_over() {
        let board = snapshot().boards.remove(0);
        let view_of = board.data.view().unwrap();
        let account = Demand {
            version: Demand::VERSION,
            bump: 255,
            claimant: wallet(5),
            cluster: [0xc1; 8],
            board: board.address,
            lease: board.leases[0].0,
            supplier: view_of.slots[0].supplier,
            node_key: view_of.slots[0].node_key,
            slot: 0,
            generation: 0,
            serial: 1,
            seq: 0,
            leaf: Default::default(),
            due: 1_036 * 600,
            fee: 1_000_000,
            shown: None,
        };
        let demand = Fetched { address: wallet(6), lamports: 1, account };
        let plan = |demand: &Fetched<Demand>, now| super::plan(&view(), &view_of, demand, now, wallet(1));
        let early = plan(&demand, 1_036 * 600 - 1).unwrap_err();
        assert!(early.code() == 3 && early.to_string().contains("that is 1970-01-08T04:40:00Z"), "{early}");
        let made = plan(&demand, 1_036 * 600).unwrap();
        let enforce = &made.steps[0].instructions[0];
        assert!(enforce.data.starts_with(data::EnforceDemand::DISCRIMINATOR));
        for account in [wallet(5), wallet(1), wallet(6)] {
            assert!(enforce.accounts.iter().any(|meta| meta.pubkey == account));
        }
        assert_eq!(made.details()["slashed"]["amount"], "100");
        let mut gone = demand.clone();
        gone.account.generation = 1;
        assert_eq!(plan(&gone, 1_036 * 600).unwrap().details()["slashed"]["amount"], "0");
    }

    #[test]
    fn a_demand_is_named_by_address_or_by_its_receipt() {
        let id = [7; 32];
        let address = address::demand(&id);
        assert_eq!(hex::encode(id).parse(), Ok(DemandId(address)));
        assert_eq!(address.to_string().parse(), Ok(DemandId(address)));
        assert!("0707".parse::<DemandId>().is_err());
    }
}
