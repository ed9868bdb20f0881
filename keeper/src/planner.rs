//! Decides what to do: a pure function of what the keeper sees and remembers. It knows the program's rules
//! of rounds and leases, so that a plan made from a true picture is not refused.

use std::{fmt, sync::Arc, time::Duration};

use leasehold::{constants::HISTORY_ROUNDS, state::Board};
use leasehold_client::{
    BoardRef,
    rounds::{self, Ballot},
};
use solana_pubkey::Pubkey;

use crate::{
    clock::millis,
    memory::{Answers, Chore, Held, Memory},
    prober::Target,
    snapshot::{BoardSnapshot, Snapshot},
};

/// Leases settled on one board at a time: all of them write the board, so that more would only queue.
const SETTLING: usize = 4;
/// The wallet should hold at least this many lamports: some hundred transactions.
const LOW_LAMPORTS: u64 = 1_000_000;

/// What the operator wants of the keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Take a vacant seat of every board that has one.
    pub take_seat: bool,
    /// For that, open the keeper's account and bond stake out of the wallet, where they are missing.
    pub bond: bool,
    /// Close rounds and settle leases also where the keeper has no seat.
    pub crank: bool,
    /// Probe and vote.
    pub probe: bool,
    /// Claim a seat's fees as soon as they are that many payment units.
    pub claim_fees: Option<u64>,
    /// What everybody may do is left for this long to the keeper whose turn it is, then to the next, and so
    /// on. Shorter on boards with short rounds.
    pub turn: Duration,
    /// The longest that a round is probed; by default for as long as it lasts.
    pub probe_for: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            take_seat: false,
            bond: false,
            crank: false,
            probe: true,
            claim_fees: None,
            turn: Duration::from_secs(3),
            probe_for: Duration::MAX,
        }
    }
}

/// A step, with all that it needs.
#[derive(Clone, Debug)]
pub enum Action {
    TakeSeat {
        board: BoardRef,
        seat: u8,
        /// Open the keeper's account first.
        register: bool,
        /// Stake units to bond first; 0 for none.
        deposit: u64,
    },
    ProbeRound {
        board: BoardRef,
        round: u32,
        targets: Arc<[Target]>,
        /// How long until the answers must be there.
        time: Duration,
    },
    SubmitRound {
        board: BoardRef,
        seat: u8,
        round: u32,
        /// Slots that the vote covers.
        slots: u32,
        answers: Arc<Answers>,
    },
    CloseRound {
        board: BoardRef,
        next_round: u32,
    },
    SettleLease {
        board: BoardRef,
        serial: u32,
        /// The keeper's account, to be paid the caller's part.
        keeper: Option<Pubkey>,
    },
    ClaimKeeperFees {
        board: BoardRef,
        seat: u8,
    },
}

impl Action {
    pub fn board(&self) -> &BoardRef {
        match self {
            Self::TakeSeat { board, .. }
            | Self::ProbeRound { board, .. }
            | Self::SubmitRound { board, .. }
            | Self::CloseRound { board, .. }
            | Self::SettleLease { board, .. }
            | Self::ClaimKeeperFees { board, .. } => board,
        }
    }

    /// What is done, by what it is done to.
    pub fn chore(&self) -> Chore {
        let board = self.board().address;
        match self {
            Self::TakeSeat { .. } => Chore::TakeSeat { board },
            Self::ProbeRound { round, .. } => Chore::ProbeRound { board, round: *round },
            Self::SubmitRound { round, .. } => Chore::SubmitRound { board, round: *round },
            Self::CloseRound { next_round, .. } => Chore::CloseRound { board, next_round: *next_round },
            Self::SettleLease { serial, .. } => Chore::SettleLease { board, serial: *serial },
            Self::ClaimKeeperFees { .. } => Chore::ClaimKeeperFees { board },
        }
    }
}

/// Something that only the operator can do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    NoSuchBoard(u32),
    NoWork,
    NoVacantSeat(u32),
    NotRegistered,
    StakeMissing { board: u32, free: u64, needed: u64 },
    WalletStakeMissing { board: u32, held: u64, needed: u64, account: Pubkey },
    LowLamports { wallet: Pubkey, lamports: u64 },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchBoard(board) => write!(f, "the market has no board {board}: check --board"),
            Self::NoWork => {
                write!(
                    f,
                    "this keeper holds no seat, so there is nothing to do: give --take-seat, or --crank to close rounds and settle leases only"
                )
            }
            Self::NoVacantSeat(board) => {
                write!(f, "all seats of board {board} are taken: one is taken as soon as it is vacant")
            }
            Self::NotRegistered => {
                write!(
                    f,
                    "this keeper has no account in the market: give --bond to open one and bond stake to it"
                )
            }
            Self::StakeMissing { board, free, needed } => write!(
                f,
                "a seat of board {board} takes {needed} stake units and the keeper has {free} free: give --bond to bond what is missing"
            ),
            Self::WalletStakeMissing { board, held, needed, account } => write!(
                f,
                "a seat of board {board} takes {needed} stake units more and {account} holds {held}: send it the rest"
            ),
            Self::LowLamports { wallet, lamports } => {
                write!(
                    f,
                    "the keeper's wallet {wallet} holds {lamports} lamports, too few to go on paying fees: send it some"
                )
            }
        }
    }
}

/// What to do now, when to look again at the latest, and what to tell the operator.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Milliseconds of the cluster's time; `None` where nothing is foreseen.
    pub wake_ms: Option<i64>,
    pub advice: Vec<Advice>,
}

/// Plans from a snapshot that `memory` has observed.
pub fn plan(snapshot: &Snapshot, memory: &Memory, policy: &Policy) -> Plan {
    let mut planner = Planner { snapshot, memory, policy, plan: Plan::default() };
    for board in &snapshot.boards {
        planner.board(board);
    }
    planner.take_seat();
    planner.advise();
    planner.plan
}

/// What anybody may do now on the boards that this keeper works on.
pub fn chores_for_all(snapshot: &Snapshot, policy: &Policy) -> impl Iterator<Item = Chore> {
    let works = |board: &&BoardSnapshot| policy.crank || board.seat_of(&snapshot.me).is_some();
    let now = snapshot.now_ms.div_euclid(1_000);
    snapshot.boards.iter().filter(works).flat_map(move |board| {
        let address = board.board.address;
        let close = can_close(board, now)
            .then_some(Chore::CloseRound { board: address, next_round: board.header.next_round });
        let settle = due_leases(board).map(move |serial| Chore::SettleLease { board: address, serial });
        close.into_iter().chain(settle)
    })
}

/// Leases whose rounds are all closed.
fn due_leases(board: &BoardSnapshot) -> impl Iterator<Item = u32> {
    let next_round = board.header.next_round;
    let leases = board.fleet.iter().flat_map(|fleet| &fleet.leases);
    leases.filter(move |(_, until)| next_round >= **until).map(|(serial, _)| *serial)
}

/// Whether rounds can be closed at Unix time `now`, and should: votes are counted as soon as may be, but
/// rounds that nobody voted on are stepped over only when a lease waits for it, or the whole history is
/// out of date.
fn can_close(board: &BoardSnapshot, now: i64) -> bool {
    let header = &board.header;
    let Some(next) = rounds::closable(header, now) else { return false };
    let mut leases = board.fleet.iter().flat_map(|fleet| fleet.leases.values());
    let awaited = leases.any(|until| *until > header.next_round && *until <= next);
    let behind = next.saturating_sub(header.next_round) as usize;
    header.is_voting() || awaited || behind >= HISTORY_ROUNDS
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    memory: &'a Memory,
    policy: &'a Policy,
    plan: Plan,
}

impl Planner<'_> {
    fn board(&mut self, board: &BoardSnapshot) {
        let seat = board.seat_of(&self.snapshot.me);
        if let Some(seat) = seat {
            self.submit_round(board, seat);
            self.probe_round(board);
            self.claim_keeper_fees(board, seat);
        }
        if seat.is_some() || self.policy.crank {
            self.close_round(board, seat);
            self.settle_leases(board, seat);
        }
    }

    /// Votes on the round that ended last.
    fn submit_round(&mut self, board: &BoardSnapshot, seat: u8) {
        let header = &board.header;
        // The next vote opens when the round that runs now ends.
        self.wake_at(rounds::window(header, self.running(header)).opens);
        let ballot = rounds::ballot(header, self.now()).filter(|ballot| !ballot.has_voted(seat));
        let Some(Ballot { round, slots, .. }) = ballot else { return };
        let answers = self.memory.answers(&board.board.address, round).filter(|answers| answers.fit);
        if let Some(answers) = answers {
            let answers = Arc::clone(answers);
            self.propose(Action::SubmitRound { board: board.board, seat, round, slots, answers });
        }
    }

    /// Asks every machine that gets a verdict in the round that runs.
    fn probe_round(&mut self, board: &BoardSnapshot) {
        let header = &board.header;
        let round = self.running(header);
        let Some(fleet) = board.fleet.as_ref().filter(|fleet| fleet.round == round) else { return };
        let address = board.board.address;
        if !self.policy.probe || fleet.targets.is_empty() || self.memory.answers(&address, round).is_some() {
            return;
        }
        let left_ms = header.round_end(round).saturating_mul(1_000).saturating_sub(self.snapshot.now_ms);
        let round_ms = i64::from(header.round_secs).saturating_mul(1_000);
        // The cluster may be a little ahead of what the keeper knows.
        let margin_ms = (round_ms / 10).min(3_000);
        // A hasty round would call machines down that only had a lost packet.
        let least_ms = (round_ms / 4).min(15_000);
        let time_ms = left_ms.saturating_sub(margin_ms);
        if time_ms >= least_ms {
            self.propose(Action::ProbeRound {
                board: board.board,
                round,
                targets: Arc::clone(&fleet.targets),
                time: Duration::from_millis(time_ms.unsigned_abs()).min(self.policy.probe_for),
            });
        }
    }

    fn claim_keeper_fees(&mut self, board: &BoardSnapshot, seat: u8) {
        let earned = board.header.seat(seat).map_or(0, |seat| seat.earned);
        if self.policy.claim_fees.is_some_and(|least| earned > 0 && earned >= least) {
            self.propose(Action::ClaimKeeperFees { board: board.board, seat });
        }
    }

    /// Counts the votes, or steps over rounds without any.
    fn close_round(&mut self, board: &BoardSnapshot, seat: Option<u8>) {
        let header = &board.header;
        if header.is_voting() {
            let over = header.round_end(header.tally.round).saturating_add(i64::from(header.submit_secs));
            self.wake_at(over.saturating_add(1));
        }
        if can_close(board, self.now()) {
            let action = Action::CloseRound { board: board.board, next_round: header.next_round };
            self.propose_in_turn(action, board, seat, header.next_round);
        }
    }

    fn settle_leases(&mut self, board: &BoardSnapshot, seat: Option<u8>) {
        let keeper = self.snapshot.keeper.as_ref().map(|_| board.board.market.keeper(&self.snapshot.me));
        for serial in due_leases(board).take(SETTLING) {
            self.propose_in_turn(
                Action::SettleLease { board: board.board, serial, keeper },
                board,
                seat,
                serial,
            );
        }
    }

    /// Takes a seat, one at a time, since all are paid out of the same stake.
    fn take_seat(&mut self) {
        if !self.policy.take_seat || self.memory.is_under_way(|chore| matches!(chore, Chore::TakeSeat { .. }))
        {
            return;
        }
        let me = self.snapshot.me;
        for board in self.snapshot.boards.iter().filter(|board| board.seat_of(&me).is_none()) {
            let vacant: Vec<u8> =
                board.view().seats().filter(|(_, seat)| seat.is_vacant()).map(|(index, _)| index).collect();
            // Keepers that start together should not all want the same seat.
            let choice = usize::from(me.to_bytes()[0]) % vacant.len().max(1);
            let Some(seat) = vacant.get(choice) else {
                self.plan.advice.push(Advice::NoVacantSeat(board.board.index));
                continue;
            };
            let Some((register, deposit)) = self.bond(board.board.index) else { return };
            self.propose(Action::TakeSeat { board: board.board, seat: *seat, register, deposit });
            return;
        }
    }

    /// What must come before a seat: opening an account, and how much to deposit.
    fn bond(&mut self, board: u32) -> Option<(bool, u64)> {
        let Snapshot { keeper, keeper_bond, stake, market, me, .. } = self.snapshot;
        let free = keeper.as_ref().map_or(0, |keeper| keeper.stake.free);
        let missing = keeper_bond.saturating_sub(free);
        let advice = if self.policy.bond {
            if missing <= *stake {
                return Some((keeper.is_none(), missing));
            }
            Advice::WalletStakeMissing {
                board,
                held: *stake,
                needed: missing,
                account: market.stake_account(me),
            }
        } else if keeper.is_none() {
            Advice::NotRegistered
        } else if missing > 0 {
            Advice::StakeMissing { board, free, needed: *keeper_bond }
        } else {
            return Some((false, 0));
        };
        self.plan.advice.push(advice);
        None
    }

    fn advise(&mut self) {
        let Snapshot { me, lamports, missing, boards, .. } = self.snapshot;
        self.plan.advice.extend(missing.iter().map(|board| Advice::NoSuchBoard(*board)));
        if *lamports < LOW_LAMPORTS {
            self.plan.advice.push(Advice::LowLamports { wallet: *me, lamports: *lamports });
        }
        let seated = boards.iter().any(|board| board.seat_of(me).is_some());
        if !seated && !self.policy.take_seat && !self.policy.crank {
            self.plan.advice.push(Advice::NoWork);
        }
    }

    /// Does what everybody may do once it is this keeper's turn: turns go round the seats, beginning with
    /// another one for every `number`, and those without a seat come last.
    fn propose_in_turn(&mut self, action: Action, board: &BoardSnapshot, seat: Option<u8>, number: u32) {
        let header = &board.header;
        let seats = header.taken_seats();
        let count = seats.count_ones();
        let turn = match seat {
            Some(seat) => {
                let before = (seats & ((1u16 << seat) - 1)).count_ones();
                (before + count - number % count.max(1)) % count.max(1)
            }
            None => count,
        };
        let longest_ms = i64::from(header.round_secs).saturating_mul(1_000) / (4 * i64::from(count.max(1)));
        let turn_ms = millis(self.policy.turn).min(longest_ms).saturating_mul(i64::from(turn));
        let since = self.memory.since(&action.chore()).unwrap_or(self.snapshot.now_ms);
        let at_ms = since.saturating_add(turn_ms);
        if at_ms <= self.snapshot.now_ms {
            self.propose(action);
        } else {
            self.wake(at_ms);
        }
    }

    fn propose(&mut self, action: Action) {
        match self.memory.held_back(&action.chore(), self.snapshot.now_ms) {
            None => self.plan.actions.push(action),
            Some(Held::Until(ms)) => self.wake(ms),
            Some(Held::UnderWay) => {}
        }
    }

    /// As [`Planner::wake`], in Unix seconds.
    fn wake_at(&mut self, secs: i64) {
        self.wake(secs.saturating_mul(1_000));
    }

    fn wake(&mut self, ms: i64) {
        if ms > self.snapshot.now_ms {
            self.plan.wake_ms = Some(self.plan.wake_ms.map_or(ms, |wake| wake.min(ms)));
        }
    }

    /// The cluster's time in Unix seconds, as the program counts it.
    fn now(&self) -> i64 {
        self.snapshot.now_ms.div_euclid(1_000)
    }

    fn running(&self, header: &Board) -> u32 {
        rounds::round_at(header.round_secs, self.now())
    }
}
