use anchor_lang::system_program;
use leasehold::{
    accounts, instruction,
    instructions::{OpenLeaseArgs, ReplaceNodeArgs},
    rules::extend::Allowance,
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{build, payments};
use crate::{address, market::BoardRef};

/// Leases machines. `buyer` pays the deposit from `wallet`, and the rent; no other lease of it on the board has `args.nonce`.
/// Sent twice, the second copy fails.
pub fn open_lease(board: &BoardRef, buyer: Pubkey, wallet: Pubkey, args: OpenLeaseArgs) -> Instruction {
    build(
        accounts::OpenLease {
            buyer,
            market: board.market.address,
            board: board.address,
            lease: board.lease(&buyer, args.nonce),
            tokens: payments(board, wallet),
            system_program: system_program::ID,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::OpenLease { args },
    )
}

/// Extends a lease by a number of rounds. `payer` pays from `wallet`: the owner, or whoever pays for it. Sent twice, it extends
/// and pays twice.
pub fn extend_lease(
    board: &BoardRef,
    owner: Pubkey,
    payer: Pubkey,
    lease: Pubkey,
    wallet: Pubkey,
    rounds: u32,
    allowed: Allowance,
) -> Instruction {
    build(
        accounts::ExtendLease {
            owner,
            payer,
            market: board.market.address,
            board: board.address,
            lease,
            tokens: payments(board, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ExtendLease {
            rounds,
            max_deposit: allowed.max_deposit,
            max_leaving: allowed.max_leaving,
        },
    )
}

/// Ends a lease with the running round, and contests the machines in the slots of `contest`.
pub fn cancel_lease(board: &BoardRef, owner: Pubkey, lease: Pubkey, contest: Vec<u16>) -> Instruction {
    build(
        accounts::CancelLease {
            owner,
            board: board.address,
            lease,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::CancelLease { contest },
    )
}

/// Transfers a lease, and everything still to be claimed from it, to `new_owner`. Nobody is let into its machines until that
/// calls [`set_access`].
pub fn transfer_lease(owner: Pubkey, lease: Pubkey, new_owner: Pubkey) -> Instruction {
    build(
        accounts::TransferLease {
            owner,
            lease,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::TransferLease { new_owner },
    )
}

/// Lets the holder of the SSH key with the fingerprint `access` into the machines of a lease, or nobody, and cuts all sessions.
/// With `wipe`, the machines are wiped before. See [`crate::access::fingerprint`].
pub fn set_access(owner: Pubkey, lease: Pubkey, access: Option<[u8; 32]>, wipe: bool) -> Instruction {
    build(
        accounts::SetAccess {
            owner,
            lease,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::SetAccess { access, wipe },
    )
}

/// Replaces a machine by the first that fits and has as many GPUs. `payer` pays its price from `wallet`, and the rent by which
/// the lease's account grows: the owner, or whoever pays for it.
pub fn replace_node(
    board: &BoardRef,
    owner: Pubkey,
    payer: Pubkey,
    lease: Pubkey,
    wallet: Pubkey,
    args: ReplaceNodeArgs,
) -> Instruction {
    build(
        accounts::ReplaceNode {
            owner,
            payer,
            board: board.address,
            lease,
            tokens: payments(board, wallet),
            system_program: system_program::ID,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ReplaceNode { args },
    )
}

/// Pays for rounds up, and settles machines whose rounds are all closed for good; with the last one, the lease. Nobody needs
/// to sign.
pub fn settle_lease(board: &BoardRef, lease: Pubkey) -> Instruction {
    build(
        accounts::SettleLease {
            board: board.address,
            lease,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::SettleLease {},
    )
}

/// Returns a lease as it stands, as a [`LeaseView`](leasehold::rules::view::LeaseView). Nobody needs to sign.
pub fn view_lease(board: &BoardRef, lease: Pubkey) -> Instruction {
    build(accounts::ViewLease { board: board.address, lease }, instruction::ViewLease {})
}

/// Pays the unspent deposit to the owner of a lease.
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

/// Gives notice of a metered lease: it ends an hour after the running round, or with that; see
/// [`crate::meter::notice`]. `supplier`: the account of the machine's supplier if that signs; `None` if the lease's owner or
/// anybody else does.
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
