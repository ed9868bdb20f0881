//! `leasehold receipt demand`: demands that a machine shows a receipt in its log.

use std::path::PathBuf;

use anchor_lang::Space;
use clap::Args;
use leasehold::{
    error::LeaseholdError,
    rules::dispute::{self, demand_window},
    state::{Demand, Lease, Receipt, Slot},
};
use leasehold_client::{
    BoardRef, address,
    board::BoardView,
    error::Refusal,
    fetch::Fetched,
    instruction,
    prove::ProveError,
    record::{SignedReceipt, cluster},
};
use leasehold_operate::{
    act::act,
    amount::sol,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
    plan::Plan,
    time::{rfc3339, start_of},
};
use solana_pubkey::Pubkey;

use super::{parse, read};

#[derive(Args)]
pub struct DemandArgs {
    /// The receipt: the JSON that the node's API returned, the header Leasehold-Receipt in base64, or its 392
    /// bytes; - for standard input.
    pub file: PathBuf,
    #[command(flatten)]
    pub market: MarketArgs,
}

pub async fn run(chain: &Chain, args: DemandArgs) -> Result<(), Failure> {
    let signed = parse(&args.file, &read(&args.file)?)?.receipt;
    signed.verify()?;
    let genesis = chain.fetch().genesis_hash().await?;
    if signed.receipt.cluster != cluster(&genesis) {
        return Err(ProveError::OtherCluster.into());
    }
    let (market, fetch) = (chain.market(args.market.id.0).await?, chain.fetch());
    let board = board_of(&market, &signed)?;
    let lease = chain.lease_of(&board, signed.receipt.lease).await?;
    let made = address::demand(&signed.id());
    if let Some(demand) = fetch.demand(made).await? {
        let due = rfc3339(demand.account.due);
        return Err(Failure::Refused(format!(
            "it is demanded already, at {made}: `leasehold receipt enforce` ends the demand from {due} on"
        )));
    }
    let (data, now) = (fetch.board(board.address).await?, fetch.now().await?);
    act(chain, plan(&market, &board, &data.view()?, &lease, &signed, now, chain.wallet()?)?).await
}

/// The board that the receipt names by the first bytes of its address.
pub fn board_of(market: &MarketView, signed: &SignedReceipt) -> Result<BoardRef, Failure> {
    let named = |index: &u32| market.board(*index).address.as_ref().starts_with(&signed.receipt.board);
    let index = (0..market.account.next_board).find(named);
    let other =
        || Failure::Refused("the receipt is not from a board of this market: check --market".to_owned());
    index.map(|index| market.board(index)).ok_or_else(other)
}

/// The machine that signed a receipt under a lease, while it can still lose its bond.
pub fn accused<'a>(
    board: &BoardRef,
    view: &'a BoardView,
    lease: &Lease,
    receipt: &Receipt,
) -> Result<&'a Slot, Failure> {
    let Receipt { slot, node_key, .. } = *receipt;
    dispute::accused(view.header, view.slots, lease, receipt).map_err(|error| {
        let refusal = Refusal::from(error);
        let values = match refusal.error() {
            Some(LeaseholdError::OtherLease) => {
                format!("lease {}, rounds {} to {}", lease.serial, lease.from, lease.until.saturating_sub(1))
            }
            _ => format!("slot {slot} on board {}, key {}", board.index, Pubkey::from(node_key)),
        };
        Failure::rule(refusal, values)
    })
}

fn plan(
    market: &MarketView,
    board: &BoardRef,
    view: &BoardView,
    lease: &Fetched<Lease>,
    signed: &SignedReceipt,
    now: i64,
    claimant: Pubkey,
) -> Result<Plan, Failure> {
    let (receipt, Fetched { address, account: lease, .. }) = (&signed.receipt, lease);
    let machine = accused(board, view, lease, receipt)?;
    let window = demand_window(view.header, lease, machine, receipt).map_err(Refusal::from)?;
    let due = window.due(view.header, now).map_err(|error| {
        let refusal = Refusal::from(error);
        let time = |round| rfc3339(start_of(&lease.terms, round));
        match refusal.error() {
            Some(LeaseholdError::DemandTooEarly) => {
                Failure::rule(refusal, format!("from {} on", time(window.first)))
            }
            Some(LeaseholdError::DemandTooLate) => Failure::rule(
                refusal,
                format!("it was possible until {}", time(window.last.saturating_add(1))),
            ),
            _ => refusal.into(),
        }
    })?;
    let id = signed.id();
    let demand = instruction::demand_receipt(board, claimant, *address, receipt);
    let fee = market.account.params.ask_fee;
    Ok(Plan::new(format!("Demand to be shown a receipt of slot {} in the log", receipt.slot))
        .fact("Receipt:", "id", hex::encode(id))
        .fact("Demand:", "demand", address::demand(&id))
        .fact("Lease:", "lease", address)
        .fact("Answer due:", "due", rfc3339(due))
        .money("Bond at stake:", "bond", market.stake.money(machine.bond))
        .fact_as(
            "Fee:",
            "ask_fee",
            format!("{}, to whoever shows the receipt in the log, or enforces the demand", sol(fee)),
            fee.to_string(),
        )
        .fact("Rent:", "rent_goes_to", "back to you when the demand ends")
        .creates(8 + Demand::INIT_SPACE)
        .step("demand receipt", vec![signed.instruction(), demand]))
}

#[cfg(test)]
pub mod tests {
    use anchor_lang::Discriminator;
    use leasehold::{instruction as data, state::SlotState};
    use leasehold_client::{
        probe::SigningKey,
        record::receipt::{self, prefix},
        sample::{change, snapshot, wallet},
    };
    use leasehold_operate::sample::{rule, view};

    use super::*;

    /// Of slot 0 in lease 1, in round 995.
    pub fn signed(change: impl FnOnce(&mut leasehold::state::Receipt)) -> SignedReceipt {
        let key = SigningKey::from_bytes(&[4; 32]);
        let mut receipt = leasehold::state::Receipt {
            cluster: [0xc1; 8],
            lease: 1,
            supplier: prefix(&view().reference.supplier(&wallet(0))),
            node_key: key.verifying_key().to_bytes(),
            start_ms: 597_000_000,
            end_ms: 597_000_000,
            ..receipt::blank()
        };
        receipt.board.copy_from_slice(&view().board(0).address.as_ref()[..8]);
        change(&mut receipt);
        SignedReceipt::sign(&key, receipt)
    }

    /// In round 1,007, the first in which it may be demanded.
    fn planned(signed: &SignedReceipt, state: SlotState) -> Result<Plan, Failure> {
        planned_at(signed, state, 1_007)
    }

    fn planned_at(signed: &SignedReceipt, state: SlotState, round: i64) -> Result<Plan, Failure> {
        let mut board = snapshot().boards.remove(0);
        change(&mut board.data, |_, slots| {
            slots[0].node_key = signed.receipt.node_key;
            slots[0].state = state as u8;
        });
        let reference = board_of(&view(), signed)?;
        let (address, account) = board.leases.remove(0);
        let lease = Fetched { address, lamports: 1, account };
        plan(&view(), &reference, &board.data.view().unwrap(), &lease, signed, round * 600, wallet(5))
    }

    #[test]
    fn a_demand_follows_the_check_of_the_signature_and_tells_what_a_wrong_one_costs() {
        let signed = signed(|_| {});
        let plan = planned(&signed, SlotState::Leased).unwrap();
        let [step] = &plan.steps[..] else { panic!() };
        let [check, demand] = &step.instructions[..] else { panic!() };
        assert_eq!(*check, signed.instruction());
        let expected = [data::DemandReceipt::DISCRIMINATOR, &signed.id(), signed.receipt.bytes()].concat();
        assert_eq!(demand.data, expected);
        assert_eq!(plan.growths[0].to, 8 + Demand::INIT_SPACE);
        assert_eq!(
            (&plan.details()["due"], &plan.details()["bond"]["amount"]),
            (&"1970-01-08T05:50:00Z".into(), &"100".into())
        );
        assert!(plan.facts.iter().any(|fact| fact.text.contains("0.001 SOL, to whoever shows the receipt")));
    }

    #[test]
    fn receipts_of_others_are_not_demanded() {
        let leased = |signed: SignedReceipt| planned(&signed, SlotState::Leased).unwrap_err();
        assert_eq!(rule(leased(signed(|receipt| receipt.cluster = [0; 8]))), "OtherCluster");
        assert_eq!(rule(leased(signed(|receipt| receipt.supplier = [0; 8]))), "OtherSupplier");
        assert_eq!(rule(leased(signed(|receipt| receipt.generation = 1))), "OtherGeneration");
        assert_eq!(rule(leased(signed(|receipt| receipt.slot = 1))), "WrongMachine");
        assert_eq!(rule(leased(signed(|receipt| receipt.lease = 2))), "OtherLease");
        let early = signed(|receipt| (receipt.start_ms, receipt.end_ms) = (1, 593_999_999));
        assert_eq!(rule(leased(early)), "OtherLease");
        let elsewhere = leased(signed(|receipt| receipt.board = [0; 8]));
        assert!(elsewhere.code() == 3 && elsewhere.to_string().ends_with("check --market"), "{elsewhere}");
        let barred = planned(&signed(|_| {}), SlotState::Barred).unwrap_err();
        assert_eq!(rule(barred), "MachineBarred");
    }

    #[test]
    fn a_demand_made_too_early_or_too_late_is_refused_with_the_time() {
        let refused = |round| planned_at(&signed(|_| {}), SlotState::Leased, round).unwrap_err();
        let early = refused(1_006);
        assert!(early.to_string().contains("from 1970-01-07T23:50:00Z on"), "{early}");
        assert_eq!(rule(early), "DemandTooEarly");
        // 72 rounds after the lease's end with round 1,010.
        assert!(planned_at(&signed(|_| {}), SlotState::Leased, 1_082).is_ok());
        assert_eq!(rule(refused(1_083)), "DemandTooLate");
    }
}
