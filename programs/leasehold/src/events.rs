//! What indexers follow: an event for each movement of money, by CPI so that no log limit cuts it.
//! State is authoritative; nothing in the program reads an event. Amounts are base units.

use anchor_lang::prelude::*;

use crate::state::{BatchHeader, LeaseState};

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

/// The machine of a metered lease was paid for use. Amounts are of this voucher alone.
#[event]
pub struct VoucherRedeemed {
    pub lease: Pubkey,
    /// Receipts that are paid for in all.
    pub seq: u64,
    pub paid: u64,
    pub fees: u64,
}

/// Batches of receipts came to a log, from place `first` on.
#[event]
pub struct BatchesAppended {
    pub log: Pubkey,
    pub first: u64,
    /// URL where the receipts can be had.
    pub source: String,
    pub headers: Vec<BatchHeader>,
}

/// Somebody wants to see a receipt in the log, by round `due`.
#[event]
pub struct ReceiptDemanded {
    pub lease: Pubkey,
    pub slot: u16,
    /// Id of the receipt.
    pub receipt: [u8; 32],
    pub due: u32,
}

/// A receipt that was demanded is in the log.
#[event]
pub struct DemandAnswered {
    pub lease: Pubkey,
    pub receipt: [u8; 32],
}

/// A machine lost its bond: it signed two receipts with one number, or kept one out of the log. Nothing is
/// slashed where it had lost it before.
#[event]
pub struct MachineConvicted {
    pub lease: Pubkey,
    pub slot: u16,
    pub receipt: [u8; 32],
    pub slashed: u64,
}
