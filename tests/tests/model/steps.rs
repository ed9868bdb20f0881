//! Steps of a sequence, as they are drawn: with numbers that mean something only where they are played.
//!
//! Zero always stands for the plain choice, so that a sequence that fails shrinks to a readable one.

use leasehold::{
    instructions::Machine,
    math::matching::{Criteria, Place, Policy},
    state::{Endpoint, Traits},
};
use proptest::{collection::vec, prelude::*};

/// A number that picks from a list whose length it doesn't know.
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
    /// Time passes to a second at, before or after one at which something changes.
    Edge {
        edge: Edge,
        pick: Pick,
        offset: i8,
    },
    /// Rounds end; those keepers vote, and the round is closed. Bits of `down` are machines, of `dissent`
    /// seats that say the opposite.
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
    /// At the second from which they can be, or the one before it.
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
    WithdrawMarketStake {
        board: Pick,
        by: Pick,
        to: Pick,
    },
    BurnSlashed {
        board: Pick,
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
        sheets: Vec<Sheet>,
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
        machines: u8,
        rounds: u8,
        criteria: Pick,
        limit: Pick,
        hint: Pick,
        flaw: Pick,
    },
    Extend {
        lease: Pick,
        by: Pick,
        rounds: u8,
        limit: Pick,
    },
    Cancel {
        lease: Pick,
        by: Pick,
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
    },
    Settle {
        lease: Pick,
        by: Pick,
        as_keeper: Pick,
    },
    ClaimRefund {
        lease: Pick,
        by: Pick,
        to: Pick,
    },
    ClaimCompensation {
        lease: Pick,
        by: Pick,
        to: Pick,
    },
    CloseLease {
        lease: Pick,
        buyer: Pick,
    },
}

/// When something changes by itself.
#[derive(Clone, Copy, Debug)]
pub enum Edge {
    RoundEnds,
    VotingEnds,
    LeaseEnds,
    DisputesEnd,
    StakeIsFree,
    TimelockEnds,
    SeatIsIdle,
    MachineIsEvictable,
}

/// What one does with an account that holds stake.
#[derive(Clone, Copy, Debug)]
pub enum Holding {
    Deposit,
    Request,
    Withdraw,
    Register,
    Close,
}

/// What a machine is like.
#[derive(Clone, Copy, Debug)]
pub struct Sheet {
    pub class: u8,
    pub gpus: u8,
    pub speed: u8,
    pub abroad: bool,
    pub price: Pick,
}

/// Few, so that many are equal; and some at which arithmetic or a wallet ends.
pub const PRICES: [u64; 9] =
    [350_000, 350_000, 350_001, 349_999, 1, 7, 1_000_000, 40_000_000_000_000, u64::MAX];

impl Sheet {
    pub fn plain(number: u8) -> Self {
        Sheet { class: 0, gpus: 1, speed: number % 3, abroad: number % 2 == 1, price: number % 4 }
    }

    pub fn machine(&self, slot: Option<u16>) -> Machine {
        Machine {
            slot,
            node_key: [self.price; 32],
            traits: Traits {
                class: self.class.into(),
                gpus: self.gpus,
                speed: self.speed,
                country: if self.abroad { 840 } else { 276 },
                region: 1 + u8::from(self.abroad),
                flags: 0,
            },
            endpoint: Endpoint { ip: [1; 16], port: [2; 2] },
            price: price(self.price),
        }
    }
}

/// Odd prices are rare.
pub fn price(pick: Pick) -> u64 {
    PRICES[usize::from(if pick < 240 { pick % 7 } else { pick % 9 })]
}

pub fn criteria(pick: Pick) -> Criteria {
    let any = leasehold_client::quote::ANY;
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
        _ => any,
    };
    Criteria { policy, ..criteria }
}

fn pick() -> impl Strategy<Value = Pick> {
    any::<u8>()
}

/// Who signs, and whose account is paid: mostly the one who should.
fn who() -> impl Strategy<Value = Pick> {
    prop_oneof![9 => Just(0), 1 => any::<u8>()]
}

fn flaw() -> impl Strategy<Value = Pick> {
    prop_oneof![9 => Just(0), 1 => any::<u8>()]
}

/// Few machines, mostly none, or all.
fn some() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 3 => (0..16u32).prop_map(|bit| 1 << bit), 2 => any::<u32>(), 1 => Just(u32::MAX)]
}

fn sheet() -> impl Strategy<Value = Sheet> {
    let gpus = prop_oneof![3 => Just(1u8), 1 => 2..9u8];
    (0..3u8, gpus, 0..4u8, any::<bool>(), pick()).prop_map(|(class, gpus, speed, abroad, price)| Sheet {
        class,
        gpus,
        speed,
        abroad,
        price,
    })
}

fn holding() -> impl Strategy<Value = Holding> {
    prop_oneof![
        3 => Just(Holding::Deposit),
        3 => Just(Holding::Request),
        3 => Just(Holding::Withdraw),
        1 => Just(Holding::Register),
        1 => Just(Holding::Close),
    ]
}

fn edge() -> impl Strategy<Value = Edge> {
    prop_oneof![
        6 => Just(Edge::RoundEnds),
        6 => Just(Edge::VotingEnds),
        5 => Just(Edge::LeaseEnds),
        3 => Just(Edge::DisputesEnd),
        2 => Just(Edge::StakeIsFree),
        1 => Just(Edge::TimelockEnds),
        1 => Just(Edge::SeatIsIdle),
        1 => Just(Edge::MachineIsEvictable),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => time(),
        26 => attesting(),
        8 => governing(),
        14 => staking(),
        16 => listing(),
        6 => seating(),
        45 => leasing(),
    ]
}

fn time() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_000u16).prop_map(|permille| Step::Pass { permille }),
        1 => (0..16u8).prop_map(|days| Step::Days { days }),
        12 => (edge(), pick(), -1..=1i8).prop_map(|(edge, pick, offset)| Step::Edge { edge, pick, offset }),
    ]
}

fn attesting() -> impl Strategy<Value = Step> {
    let absent = prop_oneof![5 => Just(0u8), 2 => (0..4u8).prop_map(|seat| 1 << seat), 1 => any::<u8>()];
    let dissent = prop_oneof![5 => Just(0u8), 2 => (0..4u8).prop_map(|seat| 1 << seat), 1 => any::<u8>()];
    prop_oneof![
        14 => (pick(), 1..5u8, absent, some(), dissent).prop_map(|(board, rounds, absent, down, dissent)| {
            Step::Attest { board, rounds, absent, down, dissent }
        }),
        8 => (pick(), pick(), who(), flaw(), some(), flaw()).prop_map(|(board, seat, by, when, down, flaw)| {
            Step::Vote { board, seat, by, when, down, flaw }
        }),
        4 => pick().prop_map(|board| Step::CloseRound { board }),
    ]
}

fn governing() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (who(), pick()).prop_map(|(by, change)| Step::ProposeParams { by, change }),
        4 => prop::bool::weighted(0.1).prop_map(|early| Step::ApplyParams { early }),
        2 => (who(), pick()).prop_map(|(by, to)| Step::ProposeAuthority { by, to }),
        3 => who().prop_map(|by| Step::AcceptAuthority { by }),
        // Mostly resumed: else nothing would happen.
        1 => (who(), prop::bool::weighted(0.3)).prop_map(|(by, paused)| Step::SetPaused { by, paused }),
        3 => (pick(), who(), who()).prop_map(|(board, by, to)| Step::WithdrawFees { board, by, to }),
        3 => (pick(), who(), who()).prop_map(|(board, by, to)| Step::WithdrawMarketStake { board, by, to }),
        3 => pick().prop_map(|board| Step::BurnSlashed { board }),
        1 => pick().prop_map(|by| Step::CreateMarket { by }),
        1 => who().prop_map(|by| Step::CloseMarket { by }),
    ]
}

fn staking() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (pick(), holding(), pick(), who())
            .prop_map(|(who, what, amount, to)| Step::Supplier { who, what, amount, to }),
        4 => (pick(), holding(), pick(), who())
            .prop_map(|(who, what, amount, to)| Step::Keeper { who, what, amount, to }),
        2 => pick().prop_map(|who| Step::ReclaimRent { who }),
        5 => (pick(), pick(), who(), who())
            .prop_map(|(board, supplier, by, to)| Step::ClaimEarnings { board, supplier, by, to }),
    ]
}

fn listing() -> impl Strategy<Value = Step> {
    let slots = || vec(pick(), 1..4);
    prop_oneof![
        1 => pick().prop_map(|by| Step::CreateBoard { by }),
        1 => (pick(), who()).prop_map(|(board, by)| Step::CloseBoard { board, by }),
        6 => (pick(), pick(), vec(sheet(), 1..4), any::<bool>(), any::<u8>(), flaw()).prop_map(
            |(board, supplier, sheets, reuse, rounds, flaw)| {
                Step::List { board, supplier, sheets, reuse, rounds, flaw }
            }
        ),
        4 => (pick(), slots(), who(), pick(), any::<u8>()).prop_map(|(board, slots, by, price, rounds)| {
            Step::Reprice { board, slots, by, price, rounds }
        }),
        6 => (pick(), slots(), who()).prop_map(|(board, slots, by)| Step::Retire { board, slots, by }),
        2 => (pick(), slots(), who()).prop_map(|(board, slots, by)| Step::Forfeit { board, slots, by }),
        2 => (pick(), 0..3u8, flaw()).prop_map(|(board, count, flaw)| Step::Trim { board, count, flaw }),
    ]
}

fn seating() -> impl Strategy<Value = Step> {
    prop_oneof![
        (pick(), pick(), pick()).prop_map(|(board, who, seat)| Step::TakeSeat { board, who, seat }),
        (pick(), pick(), who()).prop_map(|(board, seat, by)| Step::LeaveSeat { board, seat, by }),
        (pick(), pick(), who(), who()).prop_map(|(board, seat, by, to)| Step::ClaimKeeperFees {
            board,
            seat,
            by,
            to
        }),
    ]
}

fn leasing() -> impl Strategy<Value = Step> {
    let rounds = || prop_oneof![6 => 1..8u8, 2 => 8..40u8, 1 => any::<u8>()];
    let machines = prop_oneof![4 => 1..4u8, 1 => 4..9u8];
    let open = (pick(), pick(), machines, rounds(), pick(), pick(), pick(), flaw()).prop_map(
        |(board, buyer, machines, rounds, criteria, limit, hint, flaw)| Step::Open {
            board,
            buyer,
            machines,
            rounds,
            criteria,
            limit,
            hint,
            flaw,
        },
    );
    prop_oneof![
        10 => open,
        4 => (pick(), who(), rounds(), pick())
            .prop_map(|(lease, by, rounds, limit)| Step::Extend { lease, by, rounds, limit }),
        2 => (pick(), who()).prop_map(|(lease, by)| Step::Cancel { lease, by }),
        2 => (pick(), who(), pick()).prop_map(|(lease, by, to)| Step::Transfer { lease, by, to }),
        8 => (pick(), who(), pick(), pick(), pick())
            .prop_map(|(lease, by, slot, limit, hint)| Step::Replace { lease, by, slot, limit, hint }),
        10 => (pick(), pick(), pick()).prop_map(|(lease, by, as_keeper)| Step::Settle { lease, by, as_keeper }),
        3 => (pick(), who(), who()).prop_map(|(lease, by, to)| Step::ClaimRefund { lease, by, to }),
        3 => (pick(), who(), who()).prop_map(|(lease, by, to)| Step::ClaimCompensation { lease, by, to }),
        3 => (pick(), who()).prop_map(|(lease, buyer)| Step::CloseLease { lease, buyer }),
    ]
}
