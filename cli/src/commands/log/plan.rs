//! Plans of the commands of a log.

use leasehold::{
    error::LeaseholdError,
    rules,
    state::{LANES_OFFSET, Lane, Supplier, log_len},
};
use leasehold_client::{
    board::BoardView, error::Refusal, fetch::Fetched, instruction, packet, record::LogData,
};
use leasehold_operate::{
    amount::sol,
    failure::Failure,
    market::MarketView,
    plan::Plan,
    table::{self, count, joined},
};
use solana_pubkey::Pubkey;

/// Bytes by which an account may grow in one transaction.
const GROWTH: usize = 10_240;
/// Lanes that one transaction opens at most.
const LANES_AT_ONCE: usize = GROWTH / size_of::<Lane>();

pub fn create(
    market: &MarketView,
    wallet: Pubkey,
    log: Option<&Fetched<LogData>>,
    operator: Pubkey,
) -> Result<Plan, Failure> {
    if let Some(log) = log {
        let text = "`leasehold log operator` names another wallet that may append";
        return Err(Failure::Refused(format!("the log exists at {}: {text}", log.address)));
    }
    let supplier = market.reference.supplier(&wallet);
    Ok(Plan::new("Create a compute log")
        .fact("Log:", "log", leasehold_client::address::log(&supplier))
        .fact("Supplier:", "supplier", wallet)
        .fact("Operator:", "operator", operator)
        .creates(LANES_OFFSET)
        .step("create log", vec![instruction::create_log(wallet, supplier, operator)]))
}

/// Opens lanes for those of the slots that have no lane.
pub fn lanes(
    market: &MarketView,
    view: &BoardView,
    wallet: Pubkey,
    log: &Fetched<LogData>,
    slots: &[u16],
) -> Result<Plan, Failure> {
    let supplier = market.reference.supplier(&wallet);
    let board = market.board(view.header.index);
    for index in slots {
        rules::log::require_own_slot(view.slots, *index, &supplier)
            .map_err(|error| Failure::Refused(format!("slot {index}: {}", Refusal::from(error))))?;
    }
    let (_, lanes) = log.account.view()?;
    let is_new = |slot: &&u16| rules::log::new_lane(lanes, board.index, **slot).is_ok();
    let (new, there): (Vec<&u16>, Vec<&u16>) = slots.iter().partition(is_new);
    let [there, new] = [there, new].map(|slots| slots.into_iter().copied().collect::<Vec<_>>());
    if new.is_empty() {
        return Err(Failure::rule(LeaseholdError::LaneExists, table::slots(&there)));
    }
    let open = |batch: &[u16]| instruction::open_lanes(&board, wallet, supplier, batch.to_vec());
    let instructions = new.chunks(LANES_AT_ONCE).flat_map(|chunk| packet::batches(&wallet, chunk, open));
    let before = lanes.len();
    let mut plan =
        Plan::new(format!("Open {} for machines of board {}", count(new.len(), "lane"), board.index))
            .fact("Log:", "log", log.address)
            .fact_as("Slots:", "slots", joined(&new), new.clone());
    if !there.is_empty() {
        plan = plan.fact_as("Have lanes:", "skipped", joined(&there), there);
    }
    // In any order and at once: a log sorts its lanes as they come, for the same rent. One that is put between
    // others takes more compute units than at the end, for which the sender may sign anew.
    Ok(plan
        .grows(log_len(before), log_len(before.saturating_add(new.len())))
        .steps("open lanes", instructions.collect()))
}

pub fn operator(
    market: &MarketView,
    wallet: Pubkey,
    log: &Fetched<LogData>,
    operator: Pubkey,
) -> Result<Plan, Failure> {
    let (header, _) = log.account.view()?;
    if header.operator == operator {
        return Err(Failure::Refused(format!("{operator} is the log's operator already")));
    }
    let supplier = market.reference.supplier(&wallet);
    let name = instruction::set_log_operator(wallet, supplier, operator);
    Ok(Plan::new("Name the operator of a compute log")
        .fact("Log:", "log", log.address)
        .fact("Until now:", "former", header.operator)
        .fact("Operator:", "operator", operator)
        .step("set log operator", vec![name]))
}

pub fn close(market: &MarketView, supplier: &Supplier, log: &Fetched<LogData>) -> Result<Plan, Failure> {
    rules::log::require_closable(supplier)
        .map_err(|error| Failure::rule(error, format!("machines: {}", supplier.machines)))?;
    let (header, _) = log.account.view()?;
    let wallet = supplier.authority;
    let close = instruction::close_log(wallet, market.reference.supplier(&wallet));
    let lost = format!("{} in {} batches: they can no longer be proved", header.receipts, header.batches);
    Ok(Plan::new("Close a compute log")
        .fact("Log:", "log", log.address)
        .fact_as("Receipts LOST:", "receipts", lost, header.receipts.to_string())
        .fact_as("Rent back:", "rent_back", sol(log.lamports), log.lamports.to_string())
        .step("close log", vec![close]))
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold::instruction as data;
    use leasehold_client::sample::{board_data, slot, snapshot, wallet};
    use leasehold_operate::{
        plan::Growth,
        sample::{rule, view},
    };

    use super::{super::tests::sample, *};

    #[test]
    fn a_log_is_created_once() {
        let plan = create(&view(), wallet(0), None, wallet(7)).unwrap();
        assert_eq!(plan.growths, [Growth { from: None, to: LANES_OFFSET, shared: None }]);
        let expected = [data::CreateLog::DISCRIMINATOR, wallet(7).as_ref()].concat();
        assert_eq!(plan.steps[0].instructions[0].data, expected);
        assert_eq!(plan.details()["log"], sample(&[]).address.to_string());
        let again = create(&view(), wallet(0), Some(&sample(&[])), wallet(7)).unwrap_err();
        assert!(again.code() == 3 && again.to_string().contains("log operator"), "{again}");
    }

    #[test]
    fn lanes_are_opened_for_own_slots_without_a_lane() {
        let snapshot = snapshot();
        let board = snapshot.boards[0].data.view().unwrap();
        let plan = lanes(&view(), &board, wallet(0), &sample(&[1]), &[0, 1, 2]).unwrap();
        assert_eq!(plan.details()["slots"], serde_json::json!([0, 2]));
        assert_eq!(plan.details()["skipped"], serde_json::json!([1]));
        assert_eq!(plan.growths, [Growth { from: Some(log_len(1)), to: log_len(3), shared: None }]);
        let [step] = &plan.steps[..] else { panic!() };
        let open = &step.instructions[0];
        assert!(open.data.starts_with(data::OpenLanes::DISCRIMINATOR));
        assert_eq!(Vec::<u16>::try_from_slice(&open.data[8..]).unwrap(), [0, 2]);
        let refused = |slots: &[u16]| lanes(&view(), &board, wallet(0), &sample(&[1]), slots).unwrap_err();
        assert_eq!(rule(refused(&[1])), "LaneExists");
        for (slot, text) in [(3, "slot 3: "), (4, "slot 4: ")] {
            let refused = refused(&[0, slot]);
            assert!(refused.code() == 3 && refused.to_string().starts_with(text), "{refused}");
        }
    }

    #[test]
    fn many_lanes_are_opened_by_several_transactions() {
        let header = *snapshot().boards[0].data.view().unwrap().header;
        let header = leasehold::state::Board { slots: 1_000, ..header };
        let data = board_data(&header, &vec![slot(0); 1_000]);
        let slots: Vec<u16> = (0..1_000).collect();
        let plan = lanes(&view(), &data.view().unwrap(), wallet(0), &sample(&[]), &slots).unwrap();
        let opened: Vec<_> = plan
            .steps
            .iter()
            .map(|step| Vec::<u16>::try_from_slice(&step.instructions[0].data[8..]).unwrap())
            .collect();
        assert!(
            opened.len() > 3 && opened.iter().all(|batch| batch.len() * 32 <= 10_240),
            "{}",
            opened.len()
        );
        assert_eq!(opened.concat(), slots);
    }

    #[test]
    fn another_operator_is_named() {
        let plan = operator(&view(), wallet(0), &sample(&[]), wallet(7)).unwrap();
        let expected = [data::SetLogOperator::DISCRIMINATOR, wallet(7).as_ref()].concat();
        assert_eq!(plan.steps[0].instructions[0].data, expected);
        assert_eq!(plan.details()["former"], Pubkey::default().to_string());
        let same = operator(&view(), wallet(0), &sample(&[]), Pubkey::default()).unwrap_err();
        assert_eq!(same.code(), 3);
    }

    #[test]
    fn a_log_is_closed_by_a_supplier_without_machines() {
        let supplier = snapshot().suppliers.remove(0).1;
        assert_eq!(rule(close(&view(), &supplier, &sample(&[0])).unwrap_err()), "MachinesLeft");
        let supplier = Supplier { machines: 0, ..supplier };
        let plan = close(&view(), &supplier, &sample(&[0])).unwrap();
        assert!(plan.steps[0].instructions[0].data.starts_with(data::CloseLog::DISCRIMINATOR));
        assert_eq!((&plan.details()["rent_back"], &plan.details()["receipts"]), (&"7".into(), &"5".into()));
    }
}
