//! Wrong accounts, for every instruction of logs, disputes and metered leases.

use leasehold::error::LeaseholdError;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

/// Instructions that take both a board and a lease of it.
const OF_A_LEASE: [&str; 7] = [
    "top_up_lease",
    "redeem_voucher",
    "give_notice",
    "demand_receipt",
    "answer_demand",
    "enforce_demand",
    "prove_equivocation",
];

#[test]
fn attack_log_of_somebody_else() {
    let catalogue = Catalogue::new();
    let mallory = catalogue.mallory.pubkey();
    let as_mallory = |name: &str| swap(catalogue.case(name).signers[0].pubkey(), mallory);
    let refuses = |name: &str, error: u32| {
        catalogue.refuses_signed(name, as_mallory(name), &[&catalogue.mallory], error);
    };
    for name in
        ["create_log", "set_log_operator", "open_lanes", "append_batches", "skip_receipts", "close_log"]
    {
        refuses(name, LeaseholdError::WrongAuthority.into());
    }
    refuses("top_up_lease", TOKEN_OWNER_MISMATCH);
    refuses("give_notice", LeaseholdError::StandbyCovered.into());
    // Anybody may demand, answer and enforce.
    for name in ["demand_receipt", "answer_demand", "enforce_demand"] {
        let mut instruction = catalogue.case(name).instruction.clone();
        let signer = instruction.accounts.iter_mut().find(|account| account.is_signer);
        signer.expect("somebody signs").pubkey = mallory;
        assert_eq!(catalogue.run(&instruction, &[&catalogue.mallory]), Ok(()), "{name}");
    }
    let claimant = catalogue.buyer.pubkey();
    // The demand's rent goes to whoever paid it.
    for name in ["answer_demand", "enforce_demand"] {
        let to_mallory = |instruction: &mut Instruction| {
            let receivers = instruction.accounts.iter_mut().filter(|account| !account.is_signer);
            receivers
                .filter(|account| account.pubkey == claimant)
                .for_each(|account| account.pubkey = mallory);
        };
        catalogue.refuses(name, to_mallory, LeaseholdError::WrongClaimant);
    }
}

#[test]
fn attack_log_instructions_on_another_board() {
    let catalogue = Catalogue::new();
    let board = catalogue.world.board().address;
    for name in OF_A_LEASE {
        catalogue.refuses(name, swap(board, catalogue.second.address), LeaseholdError::WrongBoard);
        // It also takes the market, which is checked first.
        let of_market = name == "demand_receipt";
        let error = if of_market { LeaseholdError::WrongMarket } else { LeaseholdError::WrongBoard };
        catalogue.refuses(name, swap(board, catalogue.other.address), error);
    }
    for name in ["open_lanes", "append_batches", "skip_receipts"] {
        catalogue.refuses(name, swap(board, catalogue.second.address), LeaseholdError::NoSuchSlot);
        catalogue.refuses(name, swap(board, catalogue.other.address), LeaseholdError::WrongMarket);
    }
}

#[test]
fn attack_log_instructions_of_another_lease() {
    let catalogue = Catalogue::new();
    let [metered, running] = [4, RUNNING].map(|serial| catalogue.world.lease_address(serial));
    for (name, error) in [
        ("top_up_lease", LeaseholdError::LeaseNotMetered),
        ("redeem_voucher", LeaseholdError::LeaseNotMetered),
        ("give_notice", LeaseholdError::LeaseNotMetered),
        ("demand_receipt", LeaseholdError::OtherLease),
        ("answer_demand", LeaseholdError::WrongReceipt),
        ("enforce_demand", LeaseholdError::WrongReceipt),
        ("prove_equivocation", LeaseholdError::OtherLease),
    ] {
        catalogue.refuses(name, swap(metered, running), error);
    }
}
