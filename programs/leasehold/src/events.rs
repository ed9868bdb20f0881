//! What indexers follow: an event for each movement of money, by CPI so that no log limit cuts it.
//! State is authoritative; nothing in the program reads an event. Amounts are base units.

use anchor_lang::prelude::*;

use crate::state::LeaseState;

/// Stake came in: of a supplier's or a keeper's account `owner`.
#[event]
pub struct StakeDeposited {
    pub market: Pubkey,
    pub owner: Pubkey,
    pub amount: u64,
}

/// Unbonded stake went out.
#[event]
pub struct StakeWithdrawn {
    pub market: Pubkey,
    pub owner: Pubkey,
    pub amount: u64,
}

/// Slashed stake was burned.
#[event]
pub struct SlashedBurned {
    pub board: Pubkey,
    pub amount: u64,
}

/// The market was paid its fees.
#[event]
pub struct FeesWithdrawn {
    pub board: Pubkey,
    pub fees: u64,
}

/// The market was paid its part of slashed stake.
#[event]
pub struct MarketStakeWithdrawn {
    pub board: Pubkey,
    pub amount: u64,
}

/// A supplier was paid what its machines on a board earned.
#[event]
pub struct EarningsClaimed {
    pub board: Pubkey,
    pub supplier: Pubkey,
    pub amount: u64,
}

/// A keeper was paid for its submissions.
#[event]
pub struct KeeperFeesClaimed {
    pub board: Pubkey,
    pub keeper: Pubkey,
    pub amount: u64,
}

/// A cluster was leased.
#[event]
pub struct LeaseOpened {
    pub board: Pubkey,
    pub lease: Pubkey,
    pub buyer: Pubkey,
    pub cluster: Option<u64>,
    pub machines: u32,
    pub from: u32,
    pub until: u32,
    pub deposit: u64,
}

/// A lease runs longer, for a further deposit.
#[event]
pub struct LeaseExtended {
    pub lease: Pubkey,
    pub until: u32,
    pub deposit: u64,
}

/// A lease ends early.
#[event]
pub struct LeaseCancelled {
    pub lease: Pubkey,
    pub until: u32,
    pub cancel_secs: u32,
}

/// A machine of a lease was swapped for another.
#[event]
pub struct NodeReplaced {
    pub lease: Pubkey,
    pub old_slot: u16,
    pub new_slot: u16,
    pub paid: u64,
    pub slashed: u64,
    pub deposit: u64,
}

/// Machines were paid, the owner refunded, bonds slashed. Amounts are of this settlement alone.
#[event]
pub struct LeaseSettled {
    pub lease: Pubkey,
    pub state: LeaseState,
    pub paid: u64,
    pub fees: u64,
    pub refunded: u64,
    pub slashed: u64,
    pub slashed_machines: u32,
}

/// The owner of a lease was given back what was not spent.
#[event]
pub struct RefundClaimed {
    pub lease: Pubkey,
    pub owner: Pubkey,
    pub amount: u64,
}

/// The owner of a lease was paid its part of slashed stake.
#[event]
pub struct CompensationClaimed {
    pub lease: Pubkey,
    pub owner: Pubkey,
    pub amount: u64,
}
