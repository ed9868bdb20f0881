use anchor_lang::system_program;
use leasehold::{accounts, instruction, state::Profile};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{build, payments, stake};
use crate::{
    address,
    market::{BoardRef, MarketRef},
};

/// Registers the supplier with this wallet, which pays.
pub fn register_supplier(market: &MarketRef, authority: Pubkey) -> Instruction {
    build(
        accounts::RegisterSupplier {
            authority,
            market: market.address,
            supplier: market.supplier(&authority),
            system_program: system_program::ID,
        },
        instruction::RegisterSupplier {},
    )
}

/// Adds `amount` stake units to a supplier's free stake.
pub fn deposit_stake(market: &MarketRef, authority: Pubkey, wallet: Pubkey, amount: u64) -> Instruction {
    build(
        accounts::DepositStake {
            authority,
            market: market.address,
            supplier: market.supplier(&authority),
            tokens: stake(market, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::DepositStake { amount },
    )
}

/// Starts unbonding `amount` units of free stake.
pub fn request_unstake(market: &MarketRef, authority: Pubkey, amount: u64) -> Instruction {
    build(
        accounts::RequestUnstake { authority, market: market.address, supplier: market.supplier(&authority) },
        instruction::RequestUnstake { amount },
    )
}

/// Pays out all stake whose unbonding is over.
pub fn withdraw_stake(market: &MarketRef, authority: Pubkey, wallet: Pubkey) -> Instruction {
    build(
        accounts::WithdrawStake {
            authority,
            market: market.address,
            supplier: market.supplier(&authority),
            tokens: stake(market, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::WithdrawStake {},
    )
}

/// Pays a supplier the earnings of all its machines on a board.
pub fn claim_earnings(board: &BoardRef, signer: Pubkey, supplier: Pubkey, wallet: Pubkey) -> Instruction {
    build(
        accounts::ClaimEarnings {
            signer,
            supplier,
            board: board.address,
            tokens: payments(board, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::ClaimEarnings {},
    )
}

/// Pays out the returned rent of slots, in lamports.
pub fn reclaim_rent(market: &MarketRef, authority: Pubkey) -> Instruction {
    build(
        accounts::ReclaimRent { authority, supplier: market.supplier(&authority) },
        instruction::ReclaimRent {},
    )
}

/// Creates the empty list of a supplier's profiles.
pub fn create_profiles(market: &MarketRef, authority: Pubkey) -> Instruction {
    let supplier = market.supplier(&authority);
    build(
        accounts::CreateProfiles {
            authority,
            supplier,
            profiles: address::profiles(&supplier),
            system_program: system_program::ID,
        },
        instruction::CreateProfiles {},
    )
}

/// Appends to a supplier's profiles. Sent twice, it appends twice.
pub fn add_profiles(market: &MarketRef, authority: Pubkey, entries: Vec<Profile>) -> Instruction {
    let supplier = market.supplier(&authority);
    build(
        accounts::AddProfiles {
            authority,
            supplier,
            profiles: address::profiles(&supplier),
            system_program: system_program::ID,
        },
        instruction::AddProfiles { entries },
    )
}

/// Closes the profiles of a supplier without machines.
pub fn close_profiles(market: &MarketRef, authority: Pubkey) -> Instruction {
    let supplier = market.supplier(&authority);
    build(
        accounts::CloseProfiles { authority, supplier, profiles: address::profiles(&supplier) },
        instruction::CloseProfiles {},
    )
}

/// Closes the account of a supplier without machines, stake, log and profiles.
pub fn close_supplier(market: &MarketRef, authority: Pubkey) -> Instruction {
    build(
        accounts::CloseSupplier {
            authority,
            market: market.address,
            supplier: market.supplier(&authority),
            log: address::log(&market.supplier(&authority)),
            profiles: address::profiles(&market.supplier(&authority)),
        },
        instruction::CloseSupplier {},
    )
}
