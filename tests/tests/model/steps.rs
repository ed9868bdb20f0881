//! The steps of a sequence. Their numbers get a meaning only in the state in which the step is performed.
//!
//! Zero is always the plain choice, so that a failing sequence shrinks to a readable one.

use leasehold::{
    instructions::Machine,
    math::matching::{Criteria, Place, Policy},
    state::{Endpoint, Traits},
};
use leasehold_tests::node_key;

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
    Replace {
        lease: Pick,
        by: Pick,
        slot: Pick,
        limit: Pick,
        hint: Pick,
        avoid: Pick,
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

/// The description of a machine to list.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub class: u8,
    pub gpus: u8,
    pub speed: u8,
    pub abroad: bool,
    pub price: Pick,
    /// May have a metered lease.
    pub metered: bool,
    pub turnaround: u8,
    /// Stake units for each GPU, of 255 parts of twice the usual bond; 0 for the least.
    pub bond: Pick,
}

/// Few prices, so that many are equal; the largest exceed a wallet or overflow.
pub const PRICES: [u64; 9] =
    [350_000, 350_000, 350_001, 349_999, 1, 7, 1_000_000, 40_000_000_000_000, u64::MAX];
/// Stake units of the usual bond of a GPU.
pub const BOND: u64 = 100_000_000_000;

impl Spec {
    pub fn plain(number: u8) -> Self {
        Spec {
            class: 0,
            gpus: if number % 4 == 3 { 2 } else { 1 },
            speed: number % 3,
            abroad: number % 2 == 1,
            price: number % 4,
            metered: number % 3 == 0,
            turnaround: 0,
            bond: 0,
        }
    }

    pub fn machine(&self, slot: Option<u16>) -> Machine {
        Machine {
            slot,
            node_key: node_key(u16::from(self.price)).verifying_key().to_bytes(),
            traits: Traits {
                class: self.class.into(),
                gpus: self.gpus,
                speed: self.speed,
                country: if self.abroad { 840 } else { 276 },
                region: 1 + u8::from(self.abroad),
                flags: if self.metered { Traits::METERED } else { 0 },
            },
            endpoint: Endpoint { ip: [1; 16], port: [2; 2] },
            price: price(self.price),
            bond: bond(self.bond),
            profile: (self.price % 3 == 0).then_some(self.price / 4),
            turnaround: self.turnaround,
        }
    }
}

/// The largest prices are rare.
pub fn price(pick: Pick) -> u64 {
    PRICES[usize::from(if pick < 240 { pick % 7 } else { pick % 9 })]
}

/// Stake units to bond for each GPU.
pub fn bond(pick: Pick) -> u64 {
    BOND / 255 * 2 * u64::from(pick)
}

pub fn criteria(pick: Pick) -> Criteria {
    let any = Criteria { allow_unseen: false, ..leasehold_tests::anything() };
    let policy = if pick < 200 { Policy::Cheapest } else { Policy::Best };
    let criteria = match pick % 24 {
        1 => Criteria { class: Some(0), ..any },
        2 => Criteria { class: Some(1), ..any },
        3 => Criteria { min_gpus: 2, ..any },
        4 => Criteria { place: Place::Country(276), ..any },
        5 => Criteria { place: Place::Region(2), ..any },
        6 => Criteria { min_speed: 2, ..any },
        7 => Criteria { max_price: 350_000, ..any },
        8 => Criteria { min_score: 5_000, ..any },
        9 => Criteria { min_score: 5_001, ..any },
        10 => Criteria { max_gpus: 1, ..any },
        11 => Criteria { max_gpus: 3, min_gpus: 2, ..any },
        12 => Criteria { min_bond: BOND, ..any },
        13 => Criteria { min_bond: BOND + 1, ..any },
        14..17 => Criteria { allow_unseen: true, ..any },
        _ => any,
    };
    Criteria { policy, ..criteria }
}
