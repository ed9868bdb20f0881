//! Every instruction, with the wallets and accounts it names.

use leasehold::{
    instructions::{Machine, Move, Offer, OpenLeaseArgs, ReplaceNodeArgs},
    state::Params,
};

use super::Who;

/// A lease: its board's index, and what its buyer numbered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    pub board: u32,
    pub buyer: Who,
    pub nonce: u64,
}

/// An instruction. `by` signs; the associated token account of `to` is paid.
#[derive(Clone, Debug)]
pub enum Action {
    /// Always of a number that exists already.
    CreateMarket {
        by: Who,
    },
    ProposeParams {
        by: Who,
        params: Option<Box<Params>>,
    },
    ApplyParams,
    ProposeAuthority {
        by: Who,
        to: Option<Who>,
    },
    AcceptAuthority {
        by: Who,
    },
    SetPaused {
        by: Who,
        paused: bool,
    },
    WithdrawFees {
        by: Who,
        board: u32,
        to: Who,
    },
    BurnSlashed {
        board: u32,
    },
    /// `creator` signs, if given.
    BurnPayments {
        board: u32,
        creator: Option<Who>,
    },
    CloseMarket {
        by: Who,
    },

    RegisterSupplier {
        by: Who,
    },
    DepositStake {
        by: Who,
        amount: u64,
    },
    RequestUnstake {
        by: Who,
        amount: u64,
    },
    WithdrawStake {
        by: Who,
        to: Who,
    },
    ClaimEarnings {
        by: Who,
        supplier: Who,
        board: u32,
        to: Who,
    },
    ReclaimRent {
        by: Who,
    },
    CloseSupplier {
        by: Who,
    },

    CreateBoard {
        by: Who,
    },
    ListMachines {
        by: Who,
        board: u32,
        until: u32,
        machines: Vec<Machine>,
        former: Vec<Who>,
    },
    RepriceMachines {
        by: Who,
        board: u32,
        offers: Vec<Offer>,
    },
    WithholdMachines {
        by: Who,
        board: u32,
        slots: Vec<u16>,
    },
    MoveMachines {
        by: Who,
        board: u32,
        moves: Vec<Move>,
    },
    RetireMachines {
        by: Who,
        supplier: Who,
        board: u32,
        slots: Vec<u16>,
    },
    ForfeitMachines {
        by: Who,
        board: u32,
        slots: Vec<u16>,
    },
    TrimBoard {
        board: u32,
        suppliers: Vec<Who>,
    },
    CloseBoard {
        by: Who,
        board: u32,
    },

    RegisterKeeper {
        by: Who,
    },
    DepositBond {
        by: Who,
        amount: u64,
    },
    RequestUnbond {
        by: Who,
        amount: u64,
    },
    WithdrawBond {
        by: Who,
        to: Who,
    },
    TakeSeat {
        by: Who,
        board: u32,
        seat: u8,
    },
    LeaveSeat {
        by: Who,
        keeper: Who,
        board: u32,
        seat: u8,
        forfeit_fees: bool,
    },
    FundKeepers {
        by: Who,
        board: u32,
        amount: u64,
    },
    SubmitRound {
        by: Who,
        board: u32,
        seat: u8,
        round: u32,
        bitmap: Vec<u8>,
    },
    CloseRound {
        board: u32,
    },
    ClaimKeeperFees {
        by: Who,
        board: u32,
        seat: u8,
        to: Who,
    },
    CloseKeeper {
        by: Who,
    },

    /// `args.owner` is replaced by the wallet of `owner`.
    OpenLease {
        by: Who,
        owner: Who,
        board: u32,
        args: Box<OpenLeaseArgs>,
    },
    ExtendLease {
        by: Who,
        payer: Who,
        lease: LeaseId,
        rounds: u32,
        max_deposit: u64,
        max_leaving: u32,
    },
    CancelLease {
        by: Who,
        lease: LeaseId,
        contest: Vec<u16>,
    },
    TransferLease {
        by: Who,
        lease: LeaseId,
        to: Who,
    },
    SetAccess {
        by: Who,
        lease: LeaseId,
        access: Option<[u8; 32]>,
        wipe: bool,
    },
    ReplaceNode {
        by: Who,
        payer: Who,
        lease: LeaseId,
        args: ReplaceNodeArgs,
    },
    TopUpLease {
        by: Who,
        lease: LeaseId,
        amount: u64,
    },
    /// `supplier`: the supplier's account that `by` names.
    GiveNotice {
        by: Who,
        lease: LeaseId,
        supplier: Option<Who>,
    },
    /// A voucher that the lease's spender signed, of a price for all receipts so far.
    RedeemVoucher {
        lease: LeaseId,
        slot: u16,
        price: u64,
    },
    /// Two receipts with the same number convict the machine of a slot.
    ProveEquivocation {
        lease: LeaseId,
        slot: u16,
    },
    SettleLease {
        lease: LeaseId,
    },
    ClaimRefund {
        by: Who,
        lease: LeaseId,
        to: Who,
    },
    CloseLease {
        lease: LeaseId,
        buyer: Who,
    },
}
