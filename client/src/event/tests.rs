use bytemuck::Zeroable;
use leasehold::state::{BatchHeader, LeaseState};
use solana_pubkey::Pubkey;
use solana_transaction_status_client_types::{
    UiCompiledInstruction, UiInnerInstructions, UiInstruction, UiTransactionStatusMeta,
    option_serializer::OptionSerializer,
};

use super::*;

/// One of each.
fn events() -> Vec<Event> {
    let [a, b, c] = [1, 2, 3].map(|byte| Pubkey::new_from_array([byte; 32]));
    vec![
        StakeDeposited { market: a, owner: b, amount: 1 }.into(),
        StakeWithdrawn { market: a, owner: b, amount: 2 }.into(),
        SlashedBurned { board: a, amount: 3 }.into(),
        FeesWithdrawn { board: a, fees: 4 }.into(),
        PaymentsBurned { board: a, amount: 5 }.into(),
        KeepersFunded { board: a, funder: b, amount: 5 }.into(),
        EarningsClaimed { board: a, supplier: b, amount: 6 }.into(),
        KeeperFeesClaimed { board: a, keeper: b, amount: 7 }.into(),
        LeaseOpened {
            board: a,
            lease: b,
            buyer: c,
            owner: c,
            group: Some(5),
            gpus: 40_000,
            machines: 5_000,
            from: 10,
            until: 20,
            deposit: 8,
        }
        .into(),
        LeaseExtended { lease: a, until: 30, leaving: 1, deposit: 9 }.into(),
        LeaseCancelled { lease: a, until: 15, contested: vec![3, 4] }.into(),
        LeaseTransferred { lease: a, owner: b, access_epoch: 6 }.into(),
        AccessSet { lease: a, access: Some([7; 32]), access_epoch: 7, data_epoch: 7 }.into(),
        NodeReplaced { lease: a, old_slot: 1, new_slot: 2, from: 12, contested: true, deposit: 5 }.into(),
        LeaseSettled {
            lease: a,
            state: LeaseState::Settled,
            paid: 1,
            fees: 2,
            refunded: 3,
            burned: 6,
            slashed: 4,
            slashed_machines: 5,
        }
        .into(),
        RefundClaimed { lease: a, owner: b, amount: 10 }.into(),
        DayRecorded { board: a, class: 2, day: 20_000, paid: 1 << 70, gpu_rounds: 3, index: 11 }.into(),
        VoucherRedeemed { lease: a, seq: 9, paid: 90, fees: 10 }.into(),
        BatchesAppended {
            log: a,
            first: 3,
            source: "https://node.example".to_owned(),
            headers: vec![BatchHeader { count: 5, ..Zeroable::zeroed() }; 2],
        }
        .into(),
        ReceiptDemanded { lease: a, slot: 4, receipt: [7; 32], due: 40, fee: 50 }.into(),
        DemandAnswered { lease: a, receipt: [7; 32] }.into(),
        MachineConvicted { lease: a, slot: 4, receipt: [7; 32], slashed: 100 }.into(),
    ]
}

#[test]
fn every_event_is_decoded_as_it_was_encoded() {
    let mut names = std::collections::HashSet::new();
    for event in events() {
        let data = event.encode();
        assert_eq!(&data[..8], &0x1d9a_cb51_2ea5_45e4u64.to_le_bytes());
        assert_eq!(decode(&data), Some(event));
        assert_eq!(decode(&data[..data.len() - 1]), None, "cut short");
        names.insert(data[8..16].to_vec());
    }
    assert_eq!(names.len(), events().len(), "discriminators differ");
}

#[test]
fn sentences_name_parties_and_amounts() {
    let told = |name: &str| {
        events().iter().find(|event| event.name() == name).map(Event::to_string).unwrap_or_default()
    };
    let opened = told("LeaseOpened");
    assert!(opened.contains("lease 8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR of group 5"), "{opened}");
    assert!(opened.contains("of 5000 machines with 40000 GPUs on board"), "{opened}");
    assert!(opened.ends_with("for rounds 10 to 19 and deposited 8"), "{opened}");
    let settled = told("LeaseSettled");
    let expected = "is settled: paid 1, fees 2, refunded 3, burned 6; 5 machines lost 4 of stake";
    assert!(settled.ends_with(expected), "{settled}");
    let extended = told("LeaseExtended");
    assert!(extended.ends_with("for a further 9; 1 machine of it ends earlier"), "{extended}");
    let cancelled = told("LeaseCancelled");
    assert!(cancelled.ends_with("with round 14; its owner contested slots 3, 4"), "{cancelled}");
    let transferred = told("LeaseTransferred");
    assert!(transferred.ends_with("; nobody is let into its machines"), "{transferred}");
    let set = told("AccessSet");
    let expected = "lets SSH key SHA256:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc in from access epoch 7 on; its machines \
                    are wiped before";
    assert!(set.ends_with(expected), "{set}");
    let shut = AccessSet { lease: Pubkey::default(), access: None, access_epoch: 2, data_epoch: 1 };
    let shut = Event::from(shut).to_string();
    assert!(shut.ends_with(" lets nobody in from access epoch 2 on"), "{shut}");
    let replaced = told("NodeReplaced");
    assert!(
        replaced.starts_with("slot 2 replaces slot 1, which its owner contested, in lease "),
        "{replaced}"
    );
    let appended = told("BatchesAppended");
    assert!(appended.starts_with("2 batches with 10 receipts were appended to log "), "{appended}");
    let convicted = told("MachineConvicted");
    assert!(convicted.contains("receipt 0707") && convicted.ends_with("lost 100 of stake"), "{convicted}");
}

#[test]
fn other_instructions_are_not_decoded() {
    assert_eq!(decode(&[]), None);
    assert_eq!(decode(EVENT_IX_TAG_LE), None);
    let mut unknown = events()[0].encode();
    unknown[8] ^= 1;
    assert_eq!(decode(&unknown), None);
}

#[test]
fn events_of_other_programs_are_ignored() {
    let data = bs58::encode(events()[2].encode()).into_string();
    let instruction = |program_id_index| {
        let data = data.clone();
        let accounts = vec![0];
        UiInstruction::Compiled(UiCompiledInstruction {
            program_id_index,
            accounts,
            data,
            stack_height: None,
        })
    };
    let instructions = vec![instruction(0), instruction(1), instruction(7)];
    let meta = UiTransactionStatusMeta {
        err: None,
        status: Ok(()),
        fee: 0,
        pre_balances: vec![],
        post_balances: vec![],
        inner_instructions: OptionSerializer::Some(vec![UiInnerInstructions { index: 0, instructions }]),
        log_messages: OptionSerializer::None,
        pre_token_balances: OptionSerializer::None,
        post_token_balances: OptionSerializer::None,
        rewards: OptionSerializer::None,
        loaded_addresses: OptionSerializer::Skip,
        return_data: OptionSerializer::Skip,
        compute_units_consumed: OptionSerializer::Skip,
        cost_units: OptionSerializer::Skip,
    };
    let found = of_transaction(&meta, &[Pubkey::default(), leasehold::ID]);
    assert_eq!(found, [decode(&events()[2].encode()).unwrap()]);
}
