use anchor_lang::system_program;
use leasehold::{accounts, instruction, instructions::OpenLeaseArgs, math::matching::CutOff};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{build, payments, stake};
use crate::{address, market::BoardRef};

/// Leases machines. `args.serial` is the board's `next_serial`; the buyer pays from `wallet`.
pub fn open_lease(board: &BoardRef, buyer: Pubkey, wallet: Pubkey, args: OpenLeaseArgs) -> Instruction {
    build(
        accounts::OpenLease {
            buyer,
            market: board.market.address,
            board: board.address,
            lease: address::lease(&board.address, args.serial),
            tokens: payments(board, wallet),
            system_program: system_program::ID,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::OpenLease { args },
    )
}

/// Extends a lease by a number of rounds, for at most `max_deposit` payment units. Sent twice, it extends and pays twice.
pub fn extend_lease(
    board: &BoardRef,
    owner: Pubkey,
    lease: Pubkey,
    wallet: Pubkey,
    rounds: u32,
    max_deposit: u64,
) -> Instruction {
    build(
        accounts::ExtendLease {
            owner,
            market: board.market.address,
            board: board.address,
            lease,
            tokens: payments(board, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ExtendLease { rounds, max_deposit },
    )
}

/// Ends a lease with the running round.
pub fn cancel_lease(board: &BoardRef, owner: Pubkey, lease: Pubkey) -> Instruction {
    build(
        accounts::CancelLease {
            owner,
            board: board.address,
            lease,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::CancelLease {},
    )
}

/// Transfers a lease, and everything still to be claimed from it, to `new_owner`.
pub fn transfer_lease(owner: Pubkey, lease: Pubkey, new_owner: Pubkey) -> Instruction {
    build(accounts::TransferLease { owner, lease }, instruction::TransferLease { new_owner })
}

/// Replaces a machine that is down, abandoned, forfeited or barred by the first that fits, for at most `max_deposit`
/// payment units more. `hint`: price and score of the machine that a quote for one machine picks.
pub fn replace_node(
    board: &BoardRef,
    owner: Pubkey,
    lease: Pubkey,
    wallet: Pubkey,
    old_slot: u16,
    max_deposit: u64,
    hint: Option<CutOff>,
) -> Instruction {
    build(
        accounts::ReplaceNode {
            owner,
            board: board.address,
            lease,
            tokens: payments(board, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ReplaceNode { old_slot, max_deposit, hint },
    )
}

/// Pays for rounds up and, once every round is closed, settles the lease for good. `keeper`: the caller's keeper account,
/// which gets the caller's part of slashed stake.
pub fn settle_lease(board: &BoardRef, caller: Pubkey, lease: Pubkey, keeper: Option<Pubkey>) -> Instruction {
    build(
        accounts::SettleLease {
            caller,
            board: board.address,
            lease,
            keeper,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::SettleLease {},
    )
}

/// Pays the unspent deposit to the owner of a settled lease.
pub fn claim_refund(board: &BoardRef, signer: Pubkey, lease: Pubkey, wallet: Pubkey) -> Instruction {
    build(
        accounts::ClaimRefund {
            signer,
            board: board.address,
            lease,
            tokens: payments(board, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ClaimRefund {},
    )
}

/// Pays the owner's part of slashed stake to the owner of a lease.
pub fn claim_compensation(board: &BoardRef, signer: Pubkey, lease: Pubkey, wallet: Pubkey) -> Instruction {
    build(
        accounts::ClaimCompensation {
            signer,
            market: board.market.address,
            board: board.address,
            lease,
            tokens: stake(&board.market, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ClaimCompensation {},
    )
}

/// Closes the account of a settled lease; its rent goes to `buyer`, who opened it. Nobody needs to sign.
pub fn close_lease(board: &BoardRef, buyer: Pubkey, lease: Pubkey) -> Instruction {
    build(accounts::CloseLease { buyer, board: board.address, lease }, instruction::CloseLease {})
}

/// Adds `amount` payment units to the deposit of a metered lease.
pub fn top_up_lease(
    board: &BoardRef,
    payer: Pubkey,
    lease: Pubkey,
    wallet: Pubkey,
    amount: u64,
) -> Instruction {
    build(
        accounts::TopUpLease {
            payer,
            board: board.address,
            lease,
            tokens: payments(board, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::TopUpLease { amount },
    )
}

/// Pays the machine of a metered lease the amount by which a voucher exceeds earlier ones. Must come right after
/// [`crate::record::SignedVoucher::instruction`]. Nobody needs to sign.
pub fn redeem_voucher(board: &BoardRef, lease: Pubkey) -> Instruction {
    build(
        accounts::RedeemVoucher {
            board: board.address,
            lease,
            instructions: solana_sdk_ids::sysvar::instructions::ID,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::RedeemVoucher {},
    )
}

/// Gives notice of a metered lease: it ends six rounds after the running one. `supplier`: the account of the machine's
/// supplier if the supplier signs; `None` if the lease's owner does.
pub fn give_notice(board: &BoardRef, signer: Pubkey, lease: Pubkey, supplier: Option<Pubkey>) -> Instruction {
    build(
        accounts::GiveNotice {
            signer,
            board: board.address,
            lease,
            supplier,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::GiveNotice {},
    )
}
