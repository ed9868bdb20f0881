//! The steps of a sequence. Their numbers get a meaning only in the state in which the step is performed.
//!
//! Zero is always the plain choice, so that a failing sequence shrinks to a readable one.

use crate::specs::Spec;

/// A number that picks from a list of any length.
pub type Pick = u8;

#[derive(Clone, Debug)]
pub enum Step {
    /// Thousandths of a round pass.
    Pass {
        permille: u16,
    },
    Days {
        days: u8,
    },
    /// Time passes to a second at, before or after an edge.
    Edge {
        edge: Edge,
        pick: Pick,
        offset: i8,
    },
    /// Rounds end, keepers vote and the rounds are closed. Bits of `absent` are seats that do not vote, of `dissent`
    /// seats that vote the opposite, of `down` machines.
    Attest {
        board: Pick,
        rounds: u8,
        absent: u8,
        down: u32,
        dissent: u8,
    },
    Vote {
        board: Pick,
        seat: Pick,
        by: Pick,
        when: Pick,
        down: u32,
        flaw: Pick,
    },
    CloseRound {
        board: Pick,
    },

    CreateMarket {
        by: Pick,
    },
    CloseMarket {
        by: Pick,
    },
    ProposeParams {
        by: Pick,
        change: Pick,
    },
    /// At the first possible second, or one before it.
    ApplyParams {
        early: bool,
    },
    ProposeAuthority {
        by: Pick,
        to: Pick,
    },
    AcceptAuthority {
        by: Pick,
    },
    SetPaused {
        by: Pick,
        paused: bool,
    },
    WithdrawFees {
        board: Pick,
        by: Pick,
        to: Pick,
    },
    /// `payments`: who signs for the pool; `None` for stake.
    Burn {
        board: Pick,
        payments: Option<Pick>,
    },

    Supplier {
        who: Pick,
        what: Holding,
        amount: Pick,
        to: Pick,
    },
    Keeper {
        who: Pick,
        what: Holding,
        amount: Pick,
        to: Pick,
    },
    ReclaimRent {
        who: Pick,
    },
    ClaimEarnings {
        board: Pick,
        supplier: Pick,
        by: Pick,
        to: Pick,
    },

    CreateBoard {
        by: Pick,
    },
    CloseBoard {
        board: Pick,
        by: Pick,
    },
    List {
        board: Pick,
        supplier: Pick,
        specs: Vec<Spec>,
        reuse: bool,
        rounds: u8,
        flaw: Pick,
    },
    Reprice {
        board: Pick,
        slots: Vec<Pick>,
        by: Pick,
        price: Pick,
        rounds: u8,
        bond: Pick,
    },
    Withhold {
        board: Pick,
        slots: Vec<Pick>,
        by: Pick,
    },
    Move {
        board: Pick,
        slots: Vec<Pick>,
        by: Pick,
        flaw: Pick,
    },
    Retire {
        board: Pick,
        slots: Vec<Pick>,
        by: Pick,
    },
    Forfeit {
        board: Pick,
        slots: Vec<Pick>,
        by: Pick,
    },
    Trim {
        board: Pick,
        count: u8,
        flaw: Pick,
    },

    TakeSeat {
        board: Pick,
        who: Pick,
        seat: Pick,
    },
    LeaveSeat {
        board: Pick,
        seat: Pick,
        by: Pick,
        forfeit_fees: bool,
    },
    FundKeepers {
        board: Pick,
        by: Pick,
        amount: Pick,
    },
    ClaimKeeperFees {
        board: Pick,
        seat: Pick,
        by: Pick,
        to: Pick,
    },

    Open {
        board: Pick,
        buyer: Pick,
        gpus: u8,
        rounds: u8,
        criteria: Pick,
        limit: Pick,
        hint: Pick,
        avoid: Pick,
        flaw: Pick,
    },
    OpenMetered {
        board: Pick,
        buyer: Pick,
        rounds: u8,
        deposit: Pick,
    },
    Extend {
        lease: Pick,
        by: Pick,
        rounds: u8,
        limit: Pick,
        leaving: u8,
    },
    /// Bits of `contest` are machines of the lease.
    Cancel {
        lease: Pick,
        by: Pick,
        contest: u8,
    },
    Transfer {
        lease: Pick,
        by: Pick,
        to: Pick,
    },
    /// `key`: nobody's if 0.
    SetAccess {
        lease: Pick,
        by: Pick,
        key: Pick,
        wipe: bool,
    },
    Replace {
        lease: Pick,
        by: Pick,
        slot: Pick,
        limit: Pick,
        hint: Pick,
        avoid: Pick,
        bond: Pick,
        contest: bool,
    },
    TopUp {
        lease: Pick,
        by: Pick,
        amount: Pick,
    },
    Notice {
        lease: Pick,
        by: Pick,
    },
    /// `price`: of 255 parts of the deposit.
    Redeem {
        lease: Pick,
        price: Pick,
        flaw: Pick,
    },
    Convict {
        lease: Pick,
        slot: Pick,
    },
    Settle {
        lease: Pick,
    },
    ClaimRefund {
        lease: Pick,
        by: Pick,
        to: Pick,
    },
    CloseLease {
        lease: Pick,
        buyer: Pick,
    },
}

/// An event that comes by time alone.
#[derive(Clone, Copy, Debug)]
pub enum Edge {
    RoundEnds,
    VotingEnds,
    LeaseEnds,
    DisputesEnd,
    StakeIsFree,
    TimelockEnds,
    SeatIsIdle,
    /// A machine stops being bound.
    BoundEnds,
    MachineIsEvictable,
}

/// Operation of a supplier or keeper on its account.
#[derive(Clone, Copy, Debug)]
pub enum Holding {
    Deposit,
    Request,
    Withdraw,
    Register,
    Close,
}
