//! `leasehold receipt convict`: two receipts with one number cost a machine its bond.

use std::path::PathBuf;

use super::{
    demand::{accused, board_of},
    parse, read,
};
use clap::{Args, ValueHint};
use leasehold::{error::LeaseholdError, rules::dispute::Namesake, state::Lease};
use leasehold_client::{
    BoardRef,
    board::BoardView,
    fetch::Fetched,
    instruction,
    record::{SignedReceipt, signatures},
};
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
    plan::Plan,
};

#[derive(Args)]
pub struct ConvictArgs {
    /// A receipt: the JSON that the node's API returned, the header Leasehold-Receipt in base64, or its 392 bytes.
    #[arg(value_hint = ValueHint::FilePath)]
    pub one: PathBuf,
    /// Another of the same machine, lease and number. One of the two may be -, standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    pub other: PathBuf,
    #[command(flatten)]
    pub market: MarketArgs,
}

pub async fn run(chain: &Chain, args: ConvictArgs) -> Result<(), Failure> {
    let receipt = |file: &PathBuf| Ok::<_, Failure>(parse(file, &read(file)?)?.receipt);
    let pair = [receipt(&args.one)?, receipt(&args.other)?];
    for signed in &pair {
        signed.verify()?;
    }
    let market = chain.market(args.market.id.0).await?;
    let board = board_of(&market, &pair[0])?;
    let lease = chain.lease_of(&board, pair[0].receipt.lease).await?;
    let data = chain.fetch().board(board.address).await?;
    act(chain, plan(&market, &board, &data.view()?, &lease, &pair)?).await
}

fn plan(
    market: &MarketView,
    board: &BoardRef,
    view: &BoardView,
    lease: &Fetched<Lease>,
    pair: &[SignedReceipt; 2],
) -> Result<Plan, Failure> {
    let [one, other] = pair;
    let receipt = &one.receipt;
    let machine = accused(board, view, &lease.account, receipt)?;
    accused(board, view, &lease.account, &other.receipt)?;
    let ids = pair.each_ref().map(|signed| hex::encode(signed.id()));
    let values = || format!("{} with number {}, {} with {}", ids[0], receipt.seq, ids[1], other.receipt.seq);
    let namesake = Namesake::of(&other.receipt);
    // The program knows the other one by what differs from this one.
    if namesake.id(receipt) != other.id() {
        return Err(Failure::rule(LeaseholdError::NoEquivocation, values()));
    }
    let contradicts = namesake.require_contradicting(receipt, &lease.account);
    contradicts.map_err(|error| Failure::rule(error, values()))?;
    let prove = instruction::prove_equivocation(board, lease.address, receipt, &other.receipt);
    Ok(Plan::new(format!(
        "Show two receipts that slot {} signed with the number {}",
        receipt.slot, receipt.seq
    ))
    .fact("One:", "one", &ids[0])
    .fact("Other:", "other", &ids[1])
    .fact("Lease:", "lease", lease.address)
    .money_as(
        "Machine loses:",
        "slashed",
        format!("{}, all of it burned", market.stake.money(machine.bond)),
        market.stake.money(machine.bond),
    )
    .step("prove equivocation", vec![signatures::of_both(one, other), prove]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::Discriminator;
    use leasehold::{
        instruction as data,
        state::{Receipt, SlotState},
    };
    use leasehold_client::{
        packet::{PACKET_BYTES, bare_len},
        probe::SigningKey,
        sample::{change, snapshot, wallet},
    };
    use leasehold_operate::sample::{rule, view};

    use super::{super::demand::tests::signed, *};

    fn planned(pair: &[SignedReceipt; 2], state: SlotState) -> Result<Plan, Failure> {
        let mut board = snapshot().boards.remove(0);
        change(&mut board.data, |_, slots| {
            slots[0].node_key = pair[0].receipt.node_key;
            slots[0].state = state as u8;
        });
        let (address, account) = board.leases.remove(0);
        let lease = Fetched { address, lamports: 1, account };
        plan(&view(), &view().board(0), &board.data.view().unwrap(), &lease, pair)
    }

    fn pair(change: impl FnOnce(&mut Receipt)) -> [SignedReceipt; 2] {
        [signed(|_| {}), signed(change)]
    }

    #[test]
    fn both_signatures_are_checked_before_the_bond_is_lost() {
        let pair = pair(|receipt| receipt.price = 1);
        let plan = planned(&pair, SlotState::Leased).unwrap();
        let [step] = &plan.steps[..] else { panic!() };
        let [check, prove] = &step.instructions[..] else { panic!() };
        assert_eq!(*check, signatures::of_both(&pair[0], &pair[1]));
        assert!(prove.data.starts_with(data::ProveEquivocation::DISCRIMINATOR));
        assert!(bare_len(&wallet(5), &step.instructions) <= PACKET_BYTES);
        assert_eq!(plan.details()["slashed"]["amount"], "100");
        assert_eq!(plan.details()["other"], hex::encode(pair[1].id()));
        assert!(plan.spends.is_empty() && plan.growths.is_empty());
    }

    #[test]
    fn receipts_of_others_convict_nobody() {
        let refused = |pair: &[SignedReceipt; 2], state| rule(planned(pair, state).unwrap_err());
        let leased = SlotState::Leased;
        assert_eq!(refused(&pair(|receipt| receipt.lease = 2), leased), "OtherLease");
        let key = SigningKey::from_bytes(&[5; 32]);
        let mut foreign = pair(|_| {});
        let receipt = Receipt { node_key: key.verifying_key().to_bytes(), ..foreign[1].receipt };
        foreign[1] = SignedReceipt::sign(&key, receipt);
        assert_eq!(refused(&foreign, leased), "WrongMachine");
        let elsewhere = [(); 2].map(|()| signed(|receipt| receipt.slot = 1));
        assert_eq!(refused(&elsewhere, leased), "WrongMachine");
        assert_eq!(refused(&pair(|receipt| receipt.price = 1), SlotState::Barred), "MachineBarred");
        assert_eq!(refused(&pair(|_| {}), leased), "NoEquivocation");
        assert_eq!(refused(&pair(|receipt| (receipt.seq, receipt.price) = (1, 1)), leased), "NoEquivocation");
    }
}
