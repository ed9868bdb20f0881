//! Events for indexers, nodes and archives: one for each movement of money and of the right to a lease's machines, emitted by
//! CPI so that no log limit cuts it.
//! The program reads none of them. Amounts are base units.

use anchor_lang::prelude::*;

use crate::state::{BatchHeader, LeaseState};

/// Stake was deposited for `owner`, the account of a supplier or a keeper.
#[event]
pub struct StakeDeposited {
    pub market: Pubkey,
    pub owner: Pubkey,
    pub amount: u64,
}

/// Unbonded stake was withdrawn.
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

/// A board's fees were paid to the market's authority.
#[event]
pub struct FeesWithdrawn {
    pub board: Pubkey,
    pub fees: u64,
}

/// Payment units were burned: damages, contested pay, and what keepers did not earn.
#[event]
pub struct PaymentsBurned {
    pub board: Pubkey,
    pub amount: u64,
}

/// Somebody added to a board's keeper pool.
#[event]
pub struct KeepersFunded {
    pub board: Pubkey,
    pub funder: Pubkey,
    pub amount: u64,
}

/// A day of a price index was recorded.
#[event]
pub struct DayRecorded {
    pub board: Pubkey,
    /// Index of the hardware class in the market's list.
    pub class: u16,
    /// Unix day (UTC).
    pub day: u32,
    /// The class's sums: price times GPUs times rounds, and GPUs times rounds, since the board's beginning.
    pub paid: u128,
    pub gpu_rounds: u64,
    /// Payment units per GPU and hour; 0 if nothing was paid.
    pub index: u64,
}

/// A supplier was paid the earnings of its machines on a board.
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

/// A lease was opened for rounds `from` to `until`, exclusive.
#[event]
pub struct LeaseOpened {
    pub board: Pubkey,
    pub lease: Pubkey,
    pub buyer: Pubkey,
    pub owner: Pubkey,
    /// Group of leases that it belongs to; the buyer's choice.
    pub group: Option<u64>,
    pub gpus: u32,
    pub machines: u32,
    pub from: u32,
    pub until: u32,
    pub deposit: u64,
}

/// A lease was extended until round `until`, exclusive, or topped up: `deposit` was added. `leaving` machines stay until the
/// old end.
#[event]
pub struct LeaseExtended {
    pub lease: Pubkey,
    pub until: u32,
    pub leaving: u32,
    pub deposit: u64,
}

/// A lease was cancelled, or given notice: it ends before round `until`.
#[event]
pub struct LeaseCancelled {
    pub lease: Pubkey,
    pub until: u32,
    /// Slots whose machines its owner contested.
    pub contested: Vec<u16>,
}

/// A lease was transferred to another owner. Nobody is let into its machines until that owner sets a key.
#[event]
pub struct LeaseTransferred {
    pub lease: Pubkey,
    /// The new owner.
    pub owner: Pubkey,
    pub access_epoch: u32,
}

/// The SSH key that is let into the machines of a lease was set, or removed.
#[event]
pub struct AccessSet {
    pub lease: Pubkey,
    /// SHA-256 of the public key; `None` if nobody is let in.
    pub access: Option<[u8; 32]>,
    pub access_epoch: u32,
    /// Equal to `access_epoch` if the machines are wiped.
    pub data_epoch: u32,
}

/// A machine of a lease was replaced by another from round `from` on.
#[event]
pub struct NodeReplaced {
    pub lease: Pubkey,
    pub old_slot: u16,
    pub new_slot: u16,
    pub from: u32,
    pub contested: bool,
    pub deposit: u64,
}

/// A lease was settled: machines paid, the owner refunded, bonds slashed. Amounts are of this settlement alone.
#[event]
pub struct LeaseSettled {
    pub lease: Pubkey,
    pub state: LeaseState,
    pub paid: u64,
    pub fees: u64,
    pub refunded: u64,
    pub burned: u64,
    pub slashed: u64,
    pub slashed_machines: u32,
}

/// The owner of a lease was paid what was not spent.
#[event]
pub struct RefundClaimed {
    pub lease: Pubkey,
    pub owner: Pubkey,
    pub amount: u64,
}

/// A voucher was redeemed: the machine of a metered lease was paid. Amounts are of this voucher alone.
#[event]
pub struct VoucherRedeemed {
    pub lease: Pubkey,
    /// Number of receipts paid for in all.
    pub seq: u64,
    pub paid: u64,
    pub fees: u64,
}

/// Batches of receipts were appended to a log, from place `first` on.
#[event]
pub struct BatchesAppended {
    pub log: Pubkey,
    pub first: u64,
    /// URL of the receipts.
    pub source: String,
    pub headers: Vec<BatchHeader>,
}

/// Somebody demanded proof, before Unix second `due`, that a receipt is in the log. `fee` is what an answer earns, in lamports.
#[event]
pub struct ReceiptDemanded {
    pub lease: Pubkey,
    pub slot: u16,
    /// Id of the receipt.
    pub receipt: [u8; 32],
    pub due: i64,
    pub fee: u64,
}

/// A demanded receipt was shown to be in the log.
#[event]
pub struct DemandAnswered {
    pub lease: Pubkey,
    pub receipt: [u8; 32],
}

/// A machine was barred and lost its bond: it signed two receipts with the same number, or kept one out of the log.
/// `slashed` is 0 if it had lost its bond before.
#[event]
pub struct MachineConvicted {
    pub lease: Pubkey,
    pub slot: u16,
    pub receipt: [u8; 32],
    pub slashed: u64,
}
