//! Wrong accounts, for every instruction of logs, disputes and metered leases.

use leasehold::error::LeaseholdError;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_signer::Signer;

/// Two changes, one after the other.
fn both(first: impl Fn(&mut Instruction), second: impl Fn(&mut Instruction)) -> impl Fn(&mut Instruction) {
    move |instruction| {
        first(instruction);
        second(instruction);
    }
}

/// Instructions that take both a board and a lease of it.
const OF_A_LEASE: [&str; 6] = [
    "top_up_lease",
    "redeem_voucher",
    "give_notice",
    "demand_receipt",
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
    for name in ["create_log", "set_log_operator", "open_lanes", "append_batches", "close_log", "give_notice"]
    {
        refuses(name, LeaseholdError::WrongAuthority.into());
    }
    // With the keeper's account of somebody else.
    for name in ["enforce_demand", "prove_equivocation"] {
        refuses(name, LeaseholdError::WrongAuthority.into());
    }
    refuses("top_up_lease", TOKEN_OWNER_MISMATCH);
    // Anybody may demand and answer.
    for name in ["demand_receipt", "answer_demand"] {
        let mut instruction = catalogue.case(name).instruction.clone();
        as_mallory(name)(&mut instruction);
        assert_eq!(catalogue.run(&instruction, &[&catalogue.mallory]), Ok(()), "{name}");
    }
    let claimant = catalogue.buyer.pubkey();
    catalogue.refuses("enforce_demand", swap(claimant, mallory), LeaseholdError::WrongAuthority);
}

#[test]
fn attack_log_instructions_on_another_board() {
    let catalogue = Catalogue::new();
    let board = catalogue.world.board().address;
    for elsewhere in [catalogue.second.address, catalogue.other.address] {
        for name in OF_A_LEASE {
            catalogue.refuses(name, swap(board, elsewhere), LeaseholdError::WrongBoard);
        }
    }
    for name in ["open_lanes", "append_batches"] {
        catalogue.refuses(name, swap(board, catalogue.second.address), LeaseholdError::NoSuchSlot);
        catalogue.refuses(name, swap(board, catalogue.other.address), LeaseholdError::WrongMarket);
    }
}

#[test]
fn attack_keeper_of_another_market_convicts() {
    let catalogue = Catalogue::new();
    let (mallory, other) = (&catalogue.mallory, catalogue.other.market);
    let (account, wallet) = (catalogue.keepers[0].account, catalogue.keepers[0].wallet.pubkey());
    for name in ["enforce_demand", "prove_equivocation"] {
        let change = both(swap(account, other.keeper(&mallory.pubkey())), swap(wallet, mallory.pubkey()));
        catalogue.refuses_signed(name, change, &[mallory], LeaseholdError::WrongMarket);
    }
}

#[test]
fn attack_log_instructions_of_another_lease() {
    let catalogue = Catalogue::new();
    let board = catalogue.world.board();
    let (metered, running) = (board.lease(4), board.lease(RUNNING));
    for (name, error) in [
        ("top_up_lease", LeaseholdError::LeaseNotMetered),
        ("redeem_voucher", LeaseholdError::LeaseNotMetered),
        ("give_notice", LeaseholdError::LeaseNotMetered),
        ("demand_receipt", LeaseholdError::WrongReceipt),
        ("answer_demand", LeaseholdError::WrongReceipt),
        ("enforce_demand", LeaseholdError::WrongReceipt),
        ("prove_equivocation", LeaseholdError::WrongReceipt),
    ] {
        catalogue.refuses(name, swap(metered, running), error);
    }
}
