//! Which transactions may be signed more than once: a node that tells that a copy has expired may have held it
//! back, and have it take effect beside the next one.

use anchor_lang::{AnchorDeserialize, Discriminator};
use leasehold::{instruction as data, instructions::Machine};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use spl_associated_token_account_interface::program as associated_token_account;

/// The program that checks signatures which instructions bring along: each costs as much as a transaction's own.
pub const ED25519: Pubkey = Pubkey::from_str_const("Ed25519SigVerify111111111111111111111111111");

/// What a second copy does after the first has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    /// It is refused, and all of its transaction with it.
    Refused,
    /// It takes nothing from the wallet that signs: what is paid out is zero by then, or belongs to whom it is
    /// paid.
    Harmless,
    /// It does the same once more, or takes back what was done meanwhile.
    Repeats,
}

/// Whether the chain itself sees to it that copies which take effect as well do no more than the first.
pub fn is_once_only(instructions: &[Instruction]) -> bool {
    let seconds = || instructions.iter().map(second);
    seconds().any(|second| second == Second::Refused) || seconds().all(|second| second == Second::Harmless)
}

/// Refused by the address of an account that can be created once only, of one that the first closes, or of the
/// slots that it takes.
const REFUSED: &[&[u8]] = &[
    // By the board's next serial, which only grows.
    data::OpenLease::DISCRIMINATOR,
    // A lease that is not open never is again.
    data::CancelLease::DISCRIMINATOR,
    data::GiveNotice::DISCRIMINATOR,
    data::CloseLease::DISCRIMINATOR,
    data::RegisterSupplier::DISCRIMINATOR,
    data::CloseSupplier::DISCRIMINATOR,
    data::RegisterKeeper::DISCRIMINATOR,
    data::CloseKeeper::DISCRIMINATOR,
    // By the market's next board, which only grows.
    data::CreateBoard::DISCRIMINATOR,
    data::CloseBoard::DISCRIMINATOR,
    data::CreateMarket::DISCRIMINATOR,
    data::CloseMarket::DISCRIMINATOR,
    data::CreateLog::DISCRIMINATOR,
    data::CloseLog::DISCRIMINATOR,
    // A lane that is there is refused.
    data::OpenLanes::DISCRIMINATOR,
    data::DemandReceipt::DISCRIMINATOR,
    data::EnforceDemand::DISCRIMINATOR,
    // A machine that is barred already is refused.
    data::ProveEquivocation::DISCRIMINATOR,
];

const HARMLESS: &[&[u8]] = &[
    data::SettleLease::DISCRIMINATOR,
    data::ClaimRefund::DISCRIMINATOR,
    data::ClaimCompensation::DISCRIMINATOR,
    data::ClaimEarnings::DISCRIMINATOR,
    data::ClaimKeeperFees::DISCRIMINATOR,
    data::WithdrawStake::DISCRIMINATOR,
    data::WithdrawBond::DISCRIMINATOR,
    data::WithdrawFees::DISCRIMINATOR,
    data::WithdrawMarketStake::DISCRIMINATOR,
    data::BurnSlashed::DISCRIMINATOR,
    data::ReclaimRent::DISCRIMINATOR,
    data::RetireMachines::DISCRIMINATOR,
    data::TrimBoard::DISCRIMINATOR,
    data::LeaveSeat::DISCRIMINATOR,
];

fn second(instruction: &Instruction) -> Second {
    let known = |names: &[&[u8]]| names.iter().any(|name| instruction.data.starts_with(name));
    match () {
        // Whoever owns the account may have closed it, and gets the rent of the second as well.
        () if is_gift(instruction) => Second::Repeats,
        // It checks signatures, or creates the payer's own account where it is missing.
        () if [ED25519, associated_token_account::ID].contains(&instruction.program_id) => Second::Harmless,
        () if instruction.program_id != leasehold::ID => Second::Repeats,
        () if known(REFUSED) || takes_a_slot(instruction) => Second::Refused,
        () if known(HARMLESS) => Second::Harmless,
        () => Second::Repeats,
    }
}

/// Whether it creates an associated token account that belongs to another than who pays its rent: whoever owns it
/// may close it at any time, and has the rent.
pub fn is_gift(instruction: &Instruction) -> bool {
    let [payer, owner] = [0, 2].map(|place| instruction.accounts.get(place).map(|meta| meta.pubkey));
    instruction.program_id == associated_token_account::ID && (payer.is_none() || payer != owner)
}

/// Whether machines are listed of which one goes to a slot that must be vacant. Those that are added at the
/// board's end can be added again.
fn takes_a_slot(instruction: &Instruction) -> bool {
    let args = instruction.data.strip_prefix(data::ListMachines::DISCRIMINATOR);
    let machines = args.and_then(|args| <(u32, Vec<Machine>)>::try_from_slice(args).ok());
    machines.is_some_and(|(_, machines)| machines.iter().any(|machine| machine.slot.is_some()))
}

#[cfg(test)]
mod tests {
    use leasehold_client::{
        instruction,
        sample::{market, wallet},
    };
    use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;

    use super::*;

    fn instruction(data: &[u8]) -> Instruction {
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
        };
        let machines = slots.iter().map(machine).collect();
        instruction::list_machines(&market().board(0), wallet(0), 1_008, machines, &[])
    }

    #[test]
    fn what_takes_effect_once_more_is_signed_once() {
        for name in [
            data::DepositStake::DISCRIMINATOR,
            data::RequestUnstake::DISCRIMINATOR,
            data::DepositBond::DISCRIMINATOR,
            data::RequestUnbond::DISCRIMINATOR,
            data::TopUpLease::DISCRIMINATOR,
            data::ExtendLease::DISCRIMINATOR,
            data::ReplaceNode::DISCRIMINATOR,
            data::RedeemVoucher::DISCRIMINATOR,
            data::ForfeitMachines::DISCRIMINATOR,
            data::TakeSeat::DISCRIMINATOR,
        ] {
            assert!(!is_once_only(&[instruction(name)]), "{name:?}");
        }
    }

    #[test]
    fn what_sets_a_value_is_signed_once_since_a_copy_would_set_an_older_one() {
        for name in [
            data::RepriceMachines::DISCRIMINATOR,
            data::SetPaused::DISCRIMINATOR,
            data::ProposeParams::DISCRIMINATOR,
            data::ProposeAuthority::DISCRIMINATOR,
            data::SetLogOperator::DISCRIMINATOR,
            data::TransferLease::DISCRIMINATOR,
        ] {
            assert!(!is_once_only(&[instruction(name)]), "{name:?}");
        }
        assert!(!is_once_only(&[instruction(&[255; 8])]), "what nobody has thought about");
    }

    #[test]
    fn what_the_chain_takes_once_may_be_signed_anew() {
        let mut named = Vec::new();
        for name in [
            data::OpenLease::DISCRIMINATOR,
            data::CancelLease::DISCRIMINATOR,
            data::GiveNotice::DISCRIMINATOR,
            data::CloseLease::DISCRIMINATOR,
            data::RegisterSupplier::DISCRIMINATOR,
            data::CloseSupplier::DISCRIMINATOR,
            data::RegisterKeeper::DISCRIMINATOR,
            data::CloseKeeper::DISCRIMINATOR,
            data::CreateBoard::DISCRIMINATOR,
            data::CloseBoard::DISCRIMINATOR,
            data::CreateMarket::DISCRIMINATOR,
            data::CloseMarket::DISCRIMINATOR,
            data::CreateLog::DISCRIMINATOR,
            data::CloseLog::DISCRIMINATOR,
            data::OpenLanes::DISCRIMINATOR,
            data::DemandReceipt::DISCRIMINATOR,
            data::EnforceDemand::DISCRIMINATOR,
            data::ProveEquivocation::DISCRIMINATOR,
            data::SettleLease::DISCRIMINATOR,
            data::ClaimRefund::DISCRIMINATOR,
            data::ClaimCompensation::DISCRIMINATOR,
            data::ClaimEarnings::DISCRIMINATOR,
            data::ClaimKeeperFees::DISCRIMINATOR,
            data::WithdrawStake::DISCRIMINATOR,
            data::WithdrawBond::DISCRIMINATOR,
            data::WithdrawFees::DISCRIMINATOR,
            data::WithdrawMarketStake::DISCRIMINATOR,
            data::BurnSlashed::DISCRIMINATOR,
            data::ReclaimRent::DISCRIMINATOR,
            data::RetireMachines::DISCRIMINATOR,
            data::TrimBoard::DISCRIMINATOR,
            data::LeaveSeat::DISCRIMINATOR,
        ] {
            assert!(is_once_only(&[instruction(name)]), "{name:?}");
            named.push(name);
        }
        // None that nobody has thought about here.
        assert!(REFUSED.iter().chain(HARMLESS).all(|name| named.contains(name)));
    }

    #[test]
    fn machines_are_listed_anew_only_where_a_slot_is_named() {
        assert!(is_once_only(&[listing(&[Some(3), None])]));
        assert!(is_once_only(&[listing(&[Some(3)])]));
        assert!(!is_once_only(&[listing(&[None, None])]), "they would be there twice");
    }

    #[test]
    fn one_that_is_refused_stops_all_and_one_that_is_harmless_does_not() {
        let deposit = || instruction(data::DepositStake::DISCRIMINATOR);
        let register = instruction(data::RegisterSupplier::DISCRIMINATOR);
        let claim = instruction(data::ClaimEarnings::DISCRIMINATOR);
        let of = |program_id| Instruction { program_id, accounts: vec![], data: vec![] };
        let other = create(wallet(5), wallet(5));
        assert!(is_once_only(&[register, deposit()]));
        assert!(!is_once_only(&[claim.clone(), deposit()]));
        assert!(!is_once_only(&[other.clone(), deposit()]));
        assert!(is_once_only(&[other, of(ED25519), claim.clone()]));
        assert!(!is_once_only(&[of(Pubkey::default())]), "another program's");
        let gift = create(wallet(5), wallet(6));
        assert!(!is_once_only(&[gift.clone(), claim]), "rent would be paid for another once more");
        assert!(is_once_only(&[gift, instruction(data::CloseBoard::DISCRIMINATOR)]));
    }
}
