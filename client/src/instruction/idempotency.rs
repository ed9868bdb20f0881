//! Rules for signing a transaction a second time.
//!
//! An RPC node that reports a transaction as expired may have held it back, and let it take effect beside a newly
//! signed copy. So a second copy is signed only if the program itself makes it harmless.

use anchor_lang::{AnchorDeserialize, Discriminator};
use leasehold::{instruction as data, instructions::Machine};
use solana_instruction::Instruction;
use solana_sdk_ids::{compute_budget, ed25519_program};

/// Effect of a second copy of an instruction after the first has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// The program refuses it, and with it the whole transaction, unless the signer has undone the first one.
    Refused,
    /// It takes nothing from the wallet that signs: it pays out nothing more, or only what is owed to the payee.
    Harmless,
    /// It does the same once more, or overwrites values that were set in the meantime.
    Repeats,
}

/// True if a duplicate submission is harmless: copies of the transaction that also take effect do no more than the
/// first. Holds if one instruction refuses the duplicate, which stops all others, or if all are harmless.
///
/// [`crate::sender::Sender`] signs only such transactions a second time.
pub fn is_idempotent(instructions: &[Instruction]) -> bool {
    let duplicates = || instructions.iter().map(duplicate);
    duplicates().any(|duplicate| duplicate == Duplicate::Refused)
        || duplicates().all(|duplicate| duplicate == Duplicate::Harmless)
}

/// Effect of a second copy of an instruction. Instructions of unknown programs count as [`Duplicate::Repeats`].
pub fn duplicate(instruction: &Instruction) -> Duplicate {
    let program = instruction.program_id;
    // These check signatures and set limits, and change no account.
    let changes_nothing = program == ed25519_program::ID || program == compute_budget::ID;
    match program {
        _ if program == leasehold::ID => of_leasehold(&instruction.data),
        _ if changes_nothing || creates_own_account(instruction) => Duplicate::Harmless,
        _ => Duplicate::Repeats,
    }
}

fn of_leasehold(data: &[u8]) -> Duplicate {
    let named = |names: &[&[u8]]| names.iter().any(|name| data.starts_with(name));
    match () {
        () if named(REFUSED) || takes_a_slot(data) => Duplicate::Refused,
        () if named(HARMLESS) => Duplicate::Harmless,
        () => Duplicate::Repeats,
    }
}

/// Instructions whose duplicate fails: they create or close an account, or name the next number of a sequence.
const REFUSED: &[&[u8]] = &[
    // The lease's account has an address of its own: by buyer and nonce.
    data::OpenLease::DISCRIMINATOR,
    // A lease never becomes open again.
    data::CancelLease::DISCRIMINATOR,
    data::GiveNotice::DISCRIMINATOR,
    data::CloseLease::DISCRIMINATOR,
    data::RegisterSupplier::DISCRIMINATOR,
    data::CloseSupplier::DISCRIMINATOR,
    data::RegisterKeeper::DISCRIMINATOR,
    data::CloseKeeper::DISCRIMINATOR,
    // The market's next board only grows.
    data::CreateBoard::DISCRIMINATOR,
    data::CloseBoard::DISCRIMINATOR,
    data::CreateMarket::DISCRIMINATOR,
    data::CloseMarket::DISCRIMINATOR,
    // The first takes the offer.
    data::AcceptAuthority::DISCRIMINATOR,
    // A seat votes once on a round.
    data::SubmitRound::DISCRIMINATOR,
    data::CreateProfiles::DISCRIMINATOR,
    data::CloseProfiles::DISCRIMINATOR,
    data::CreateIndex::DISCRIMINATOR,
    data::CloseIndex::DISCRIMINATOR,
    // A day is recorded once.
    data::RecordDay::DISCRIMINATOR,
    data::CreateLog::DISCRIMINATOR,
    data::CloseLog::DISCRIMINATOR,
    // A slot has one lane.
    data::OpenLanes::DISCRIMINATOR,
    // Batches are numbered.
    data::AppendBatches::DISCRIMINATOR,
    data::EnforceDemand::DISCRIMINATOR,
    // A machine is barred once.
    data::ProveEquivocation::DISCRIMINATOR,
];

/// Instructions whose duplicate succeeds and takes nothing from the signer.
const HARMLESS: &[&[u8]] = &[
    data::SettleLease::DISCRIMINATOR,
    data::ClaimRefund::DISCRIMINATOR,
    data::ClaimEarnings::DISCRIMINATOR,
    data::ClaimKeeperFees::DISCRIMINATOR,
    data::WithdrawStake::DISCRIMINATOR,
    data::WithdrawBond::DISCRIMINATOR,
    data::WithdrawFees::DISCRIMINATOR,
    data::BurnPayments::DISCRIMINATOR,
    data::BurnSlashed::DISCRIMINATOR,
    data::ReclaimRent::DISCRIMINATOR,
    data::TrimBoard::DISCRIMINATOR,
    // Anybody may send these; they only take a step that is due.
    data::ApplyParams::DISCRIMINATOR,
    data::CloseRound::DISCRIMINATOR,
    // A voucher counts from the lease's start, so it pays no more the second time.
    data::RedeemVoucher::DISCRIMINATOR,
    data::ShowBatch::DISCRIMINATOR,
    data::AnswerDemand::DISCRIMINATOR,
    // It only leaves out more numbers.
    data::SkipReceipts::DISCRIMINATOR,
    // They change nothing.
    data::VerifyReceipt::DISCRIMINATOR,
    data::VerifyBatch::DISCRIMINATOR,
    data::ViewLease::DISCRIMINATOR,
];

/// True if a listing names a slot, which must be vacant. Machines without a slot go to new slots at the board's end,
/// so a duplicate would list them twice.
fn takes_a_slot(data: &[u8]) -> bool {
    let args = data.strip_prefix(data::ListMachines::DISCRIMINATOR);
    let machines = args.and_then(|args| <(u32, Vec<Machine>)>::try_from_slice(args).ok());
    machines.is_some_and(|(_, machines)| machines.iter().any(|machine| machine.slot.is_some()))
}

/// True if the payer creates its own associated token account.
fn creates_own_account(instruction: &Instruction) -> bool {
    instruction.program_id == anchor_spl::associated_token::ID
        && matches!(instruction.data[..], [] | [0] | [1])
        && !creates_foreign_account(instruction)
}

/// True if the instruction pays the rent of an associated token account that belongs to another wallet than the
/// payer: the owner may close it at any time and keep the rent, so a duplicate would pay it again.
pub fn creates_foreign_account(instruction: &Instruction) -> bool {
    let [payer, owner] = [0, 2].map(|place| instruction.accounts.get(place).map(|meta| meta.pubkey));
    instruction.program_id == anchor_spl::associated_token::ID && (payer.is_none() || payer != owner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use anchor_spl::associated_token::spl_associated_token_account::instruction::create_associated_token_account_idempotent;
    use solana_pubkey::Pubkey;

    use super::*;
    use crate::{
        instruction,
        sample::{market, wallet},
    };

    fn of(data: &[u8]) -> Instruction {
        Instruction { program_id: leasehold::ID, accounts: vec![], data: data.to_vec() }
    }

    fn create(payer: Pubkey, owner: Pubkey) -> Instruction {
        create_associated_token_account_idempotent(&payer, &owner, &wallet(30), &wallet(31))
    }

    fn listing(slots: &[Option<u16>]) -> Instruction {
        let machine = |slot: &Option<u16>| Machine {
            slot: *slot,
            node_key: [0; 32],
            traits: Default::default(),
            endpoint: Default::default(),
            price: 0,
            bond: 0,
            profile: None,
            turnaround: 0,
        };
        let machines = slots.iter().map(machine).collect();
        instruction::list_machines(&market().board(0), wallet(0), 1_008, machines, &[])
    }

    /// Discriminators of all instructions of the program, by name.
    fn interface() -> BTreeMap<String, Vec<u8>> {
        let idl: serde_json::Value =
            serde_json::from_str(include_str!("../../../idl/leasehold.json")).unwrap();
        let entry = |instruction: &serde_json::Value| {
            let bytes = instruction["discriminator"].as_array().unwrap().iter();
            let bytes = bytes.map(|byte| byte.as_u64().unwrap() as u8).collect();
            (instruction["name"].as_str().unwrap().to_owned(), bytes)
        };
        idl["instructions"].as_array().unwrap().iter().map(entry).collect()
    }

    /// Instructions that do the same again, or set a value that another transaction may have changed meanwhile.
    const REPEATS: [&str; 24] = [
        // Once it is answered, the same receipt can be demanded again: another fee.
        "demand_receipt",
        // They would be added twice.
        "add_profiles",
        "deposit_bond",
        "deposit_stake",
        "extend_lease",
        "forfeit_machines",
        "fund_keepers",
        // The seat may have been taken again.
        "leave_seat",
        // By default: its slots decide.
        "list_machines",
        // They may have been moved again, or offered.
        "move_machines",
        "withhold_machines",
        "propose_authority",
        "propose_params",
        "replace_node",
        "reprice_machines",
        // The slot may hold another machine.
        "retire_machines",
        "request_unbond",
        "request_unstake",
        "set_access",
        "set_log_operator",
        "set_paused",
        "take_seat",
        "top_up_lease",
        "transfer_lease",
    ];

    #[test]
    fn every_instruction_of_the_program_is_classified_once() {
        let interface = interface();
        for (name, discriminator) in &interface {
            let lists = [REFUSED, HARMLESS].map(|list| list.contains(&&discriminator[..]));
            let named = lists.into_iter().filter(|listed| *listed).count();
            let repeats = REPEATS.contains(&name.as_str());
            assert_eq!(named + usize::from(repeats), 1, "{name} must be in exactly one list");
            assert_eq!(is_idempotent(&[of(discriminator)]), !repeats, "{name}");
        }
        assert_eq!(REFUSED.len() + HARMLESS.len() + REPEATS.len(), interface.len());
    }

    #[test]
    fn unknown_instructions_count_as_repeating() {
        assert_eq!(duplicate(&of(&[255; 8])), Duplicate::Repeats);
        assert_eq!(duplicate(&of(&[])), Duplicate::Repeats);
        let other = Instruction { program_id: Pubkey::default(), accounts: vec![], data: vec![] };
        assert_eq!(duplicate(&other), Duplicate::Repeats);
    }

    #[test]
    fn a_listing_is_idempotent_only_if_it_names_a_slot() {
        assert!(is_idempotent(&[listing(&[Some(3), None])]));
        assert!(is_idempotent(&[listing(&[Some(3)])]));
        assert!(!is_idempotent(&[listing(&[None, None])]), "they would be listed twice");
    }

    #[test]
    fn a_refused_instruction_stops_the_transaction_and_a_harmless_one_does_not() {
        let deposit = || of(data::DepositStake::DISCRIMINATOR);
        let register = of(data::RegisterSupplier::DISCRIMINATOR);
        let claim = of(data::ClaimEarnings::DISCRIMINATOR);
        let program = |program_id| Instruction { program_id, accounts: vec![], data: vec![] };
        let own = create(wallet(5), wallet(5));
        assert!(is_idempotent(&[register, deposit()]));
        assert!(!is_idempotent(&[claim.clone(), deposit()]));
        assert!(!is_idempotent(&[own.clone(), deposit()]));
        let harmless = [own, program(ed25519_program::ID), program(compute_budget::ID), claim.clone()];
        assert!(is_idempotent(&harmless));
        let foreign = create(wallet(5), wallet(6));
        assert!(!is_idempotent(&[foreign.clone(), claim]), "rent would be paid for another once more");
        assert!(is_idempotent(&[foreign, of(data::CloseBoard::DISCRIMINATOR)]));
    }
}
