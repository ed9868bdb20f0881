//! `leasehold receipt demand` and `enforce`: having a machine show what it signed, or lose its bond.

use std::{path::PathBuf, str::FromStr};

use anchor_lang::Space;
use clap::Args;
use leasehold::{
    constants::ANSWER_ROUNDS,
    error::LeaseholdError,
    state::{Demand, Lease, Slot, SlotState},
};
use leasehold_client::{
    BoardRef, address,
    board::BoardView,
    error::Refusal,
    fetch::{FetchError, Fetched},
    instruction,
    record::{SignedReceipt, cluster},
};
use solana_pubkey::Pubkey;

use super::{Hash, parse, read};
use crate::{
    act::act,
    chain::{Chain, MarketArgs, MarketView},
    failure::{Failure, Unproved},
    plan::Plan,
    time::{rfc3339, start_of},
};

#[derive(Args)]
pub struct DemandArgs {
    /// The receipt: the JSON that the node's API returned, the header Leasehold-Receipt in base64, or its 384
    /// bytes; - for standard input.
    pub file: PathBuf,
    #[command(flatten)]
    pub market: MarketArgs,
}

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

pub async fn demand(chain: &Chain, args: DemandArgs) -> Result<(), Failure> {
    let signed = parse(&args.file, &read(&args.file)?)?.receipt;
    signed.verify()?;
    let genesis = chain.rpc.get_genesis_hash().await.map_err(FetchError::from)?;
    if signed.receipt.cluster != cluster(&genesis) {
        return Err(Unproved::OtherCluster.into());
    }
    let (market, fetch) = (chain.market(args.market.id.0).await?, chain.fetch());
    let board = board_of(&market, &signed)?;
    let address = board.lease(u32::try_from(signed.receipt.lease).unwrap_or_default());
    let lease = chain.lease(address).await?;
    let made = address::demand(&signed.id());
    if let Some(demand) = fetch.demand(made).await? {
        let due = rfc3339(start_of(lease.terms.round_secs, demand.account.due));
        return Err(Failure::Refused(format!(
            "it is demanded already, at {made}: `leasehold receipt enforce` ends that from {due} on"
        )));
    }
    let (data, now) = (fetch.board(board.address).await?, fetch.now().await?);
    act(chain, plan_demand(&market, &board, &data.view()?, &lease, &signed, now, chain.wallet()?)?).await
}

pub async fn enforce(chain: &Chain, args: EnforceArgs) -> Result<(), Failure> {
    let (fetch, address) = (chain.fetch(), args.demand.0);
    let missing = "was never made, was answered, or was enforced";
    let demand = fetch.demand(address).await?;
    let demand = demand.ok_or_else(|| Failure::Refused(format!("the demand at {address} {missing}")))?;
    let data = fetch.board(demand.account.board).await?;
    let market = chain.market(data.view()?.header.market).await?;
    let caller = chain.wallet()?;
    let keeper = fetch.keeper(&market.reference.address, &caller).await?.map(|keeper| keeper.address);
    let (board, now) = (data.board_ref(&market.reference)?, fetch.now().await?);
    act(chain, plan_enforcement(&market, &board, &data.view()?, &demand, now, caller, keeper)?).await
}

/// The board that the receipt names by the first bytes of its address.
pub fn board_of(market: &MarketView, signed: &SignedReceipt) -> Result<BoardRef, Failure> {
    let named = |index: &u32| market.board(*index).address.as_ref().starts_with(&signed.receipt.board);
    let index = (0..market.account.next_board).find(named);
    let other = || Failure::Refused("the receipt is of no board of this market: check --market".to_owned());
    index.map(|index| market.board(index)).ok_or_else(other)
}

fn plan_demand(
    market: &MarketView,
    board: &BoardRef,
    view: &BoardView,
    lease: &Lease,
    signed: &SignedReceipt,
    now: i64,
    claimant: Pubkey,
) -> Result<Plan, Failure> {
    let receipt = &signed.receipt;
    let refuse = |error: LeaseholdError| Failure::from(Refusal::from(error));
    if !receipt.is_under(lease) {
        return Err(refuse(LeaseholdError::WrongReceipt));
    }
    let machine = view.slot(receipt.slot).filter(|machine| receipt.is_by(machine));
    let machine = machine.ok_or(refuse(LeaseholdError::WrongMachine))?;
    if machine.is(SlotState::Barred) {
        return Err(refuse(LeaseholdError::MachineBarred));
    }
    let due = view.header.round_at(now).map_err(Refusal::from)?.saturating_add(ANSWER_ROUNDS);
    let (id, address) = (signed.id(), board.lease(lease.serial));
    let demand = instruction::demand_receipt(board, claimant, address, id);
    let by = rfc3339(start_of(lease.terms.round_secs, due));
    Ok(Plan::new(format!("Demand to be shown a receipt of slot {} in the log", receipt.slot))
        .fact("Receipt:", "id", hex::encode(id))
        .fact("Demand:", "demand", address::demand(&id))
        .fact("Lease:", "lease", address)
        .fact_as("Answer due:", "due", format!("{by} (round {due})"), due)
        .money("Bond at stake:", "bond", market.stake.money(machine.bond))
        .fact(
            "Rent:",
            "rent_goes_to",
            "to whoever shows the receipt in the log, as a wrong demand costs; back to you where nobody does and \
             it is enforced",
        )
        .creates(8 + Demand::INIT_SPACE)
        .step("demand receipt", vec![signed.instruction(), demand]))
}

fn plan_enforcement(
    market: &MarketView,
    board: &BoardRef,
    view: &BoardView,
    demand: &Fetched<Demand>,
    now: i64,
    caller: Pubkey,
    keeper: Option<Pubkey>,
) -> Result<Plan, Failure> {
    let Demand { lease, claimant, due, slot, .. } = demand.account;
    if view.header.round_at(now).map_err(Refusal::from)? < due {
        let from = rfc3339(start_of(view.header.round_secs, due));
        return Err(Failure::rule(LeaseholdError::AnswerNotDue, format!("round {due}, {from}")));
    }
    // As the program has it: one that has lost its bond, or is gone, loses nothing more.
    let there =
        |machine: &&Slot| machine.generation == demand.account.generation && !machine.is(SlotState::Barred);
    let bond = view.slot(slot).filter(there).map_or(0, |machine| machine.bond);
    let enforce = instruction::enforce_demand(board, caller, claimant, lease, demand.address, keeper);
    Ok(Plan::new(format!("Enforce a demand that slot {slot} did not answer"))
        .fact("Demand:", "demand", demand.address)
        .fact("Lease:", "lease", lease)
        .money("Machine loses:", "slashed", market.stake.money(bond))
        .fact("Rent goes to:", "claimant", claimant)
        .step("enforce demand", vec![enforce]))
}

#[cfg(test)]
pub mod tests {
    use anchor_lang::Discriminator;
    use leasehold::instruction as data;
    use leasehold_client::{
        probe::SigningKey,
        record::receipt,
        sample::{change, snapshot, wallet},
    };

    use super::*;
    use crate::{chain::tests::view, failure::tests::rule};

    /// Of slot 0 in lease 1, in round 995.
    pub fn signed(change: impl FnOnce(&mut leasehold::state::Receipt)) -> SignedReceipt {
        let key = SigningKey::from_bytes(&[4; 32]);
        let mut receipt = leasehold::state::Receipt {
            lease: 1,
            node_key: key.verifying_key().to_bytes(),
            start_ms: 597_000_000,
            end_ms: 597_000_000,
            ..receipt::blank()
        };
        receipt.board.copy_from_slice(&view().board(0).address.as_ref()[..8]);
        change(&mut receipt);
        SignedReceipt::sign(&key, receipt)
    }

    fn planned(signed: &SignedReceipt, state: SlotState) -> Result<Plan, Failure> {
        let mut board = snapshot().boards.remove(0);
        change(&mut board.data, |_, slots| {
            slots[0].node_key = signed.receipt.node_key;
            slots[0].state = state as u8;
        });
        let reference = board_of(&view(), signed)?;
        let lease = &board.leases[0].1;
        plan_demand(&view(), &reference, &board.data.view().unwrap(), lease, signed, 600_000, wallet(5))
    }

    #[test]
    fn a_demand_follows_the_check_of_the_signature_and_tells_what_a_wrong_one_costs() {
        let signed = signed(|_| {});
        let plan = planned(&signed, SlotState::Leased).unwrap();
        let [step] = &plan.steps[..] else { panic!() };
        let [check, demand] = &step.instructions[..] else { panic!() };
        assert_eq!(*check, signed.instruction());
        assert_eq!(demand.data, [data::DemandReceipt::DISCRIMINATOR, &signed.id()].concat());
        assert_eq!(plan.growths[0].to, 8 + Demand::INIT_SPACE);
        assert_eq!(
            (&plan.details()["due"], &plan.details()["bond"]["amount"]),
            (&1_036.into(), &"100".into())
        );
        assert!(plan.facts.iter().any(|fact| fact.text.contains("a wrong demand costs")));
    }

    #[test]
    fn receipts_of_others_are_not_demanded() {
        let leased = |signed: SignedReceipt| planned(&signed, SlotState::Leased).unwrap_err();
        assert_eq!(rule(leased(signed(|receipt| receipt.generation = 1))), "WrongMachine");
        assert_eq!(rule(leased(signed(|receipt| receipt.slot = 1))), "WrongMachine");
        assert_eq!(rule(leased(signed(|receipt| receipt.lease = 2))), "WrongReceipt");
        let early = signed(|receipt| (receipt.start_ms, receipt.end_ms) = (1, 593_999_999));
        assert_eq!(rule(leased(early)), "WrongReceipt");
        let elsewhere = leased(signed(|receipt| receipt.board = [0; 8]));
        assert!(elsewhere.code() == 3 && elsewhere.to_string().ends_with("check --market"), "{elsewhere}");
        let barred = planned(&signed(|_| {}), SlotState::Barred).unwrap_err();
        assert_eq!(rule(barred), "MachineBarred");
    }

    #[test]
    fn a_demand_is_enforced_when_its_time_is_over() {
        let board = snapshot().boards.remove(0);
        let view_of = board.data.view().unwrap();
        let account = Demand {
            version: Demand::VERSION,
            bump: 255,
            claimant: wallet(5),
            board: board.address,
            lease: board.leases[0].0,
            supplier: view_of.slots[0].supplier,
            slot: 0,
            generation: 0,
            serial: 1,
            seq: 0,
            leaf: Default::default(),
            due: 1_036,
            shown: None,
        };
        let demand = Fetched { address: wallet(6), lamports: 1, account };
        let plan = |demand: &Fetched<Demand>, now| {
            plan_enforcement(&view(), &view().board(0), &view_of, demand, now, wallet(1), Some(wallet(2)))
        };
        let early = plan(&demand, 1_036 * 600 - 1).unwrap_err();
        assert!(early.code() == 3 && early.to_string().contains("round 1036"), "{early}");
        let made = plan(&demand, 1_036 * 600).unwrap();
        let enforce = &made.steps[0].instructions[0];
        assert!(enforce.data.starts_with(data::EnforceDemand::DISCRIMINATOR));
        for account in [wallet(5), wallet(2), wallet(6)] {
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
