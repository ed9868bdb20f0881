//! How a board stands, and which rounds this keeper missed there.

use std::{collections::BTreeMap, fmt};

use leasehold::state::{Board, Params, Seat, ring_bit};
use leasehold_daemon::metrics::{Kind, write_head};

use crate::prober::{Fault, Ports, ProbeReport};

/// Reasons for which a round is missed besides the prober's [faults](Fault).
pub const NOT_PROBED: &str = "not_probed";
pub const NOT_SENT: &str = "not_sent";

/// Boards on which the keeper holds a seat, by number.
#[derive(Debug, Default)]
pub struct Standings(BTreeMap<u32, Standing>);

/// A board on which the keeper holds a seat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Seats that are held, of all.
    pub held: u8,
    pub seats: u8,
    /// Votes for a machine that make it up, as many as a round needs to be paid; votes against it that make it down.
    pub up_votes: u8,
    pub down_votes: u8,
    /// Votes on the last round that was closed, and whether they were enough.
    pub last_votes: u32,
    pub is_quorate: bool,
    /// The last round on which this keeper voted, and the Unix second at which it ended.
    pub last_vote: (u32, i64),
    /// Rounds that this keeper missed, by reason.
    pub missed: BTreeMap<&'static str, u64>,
    /// Of the last round of probes: machines that were silent, that answered with another key, and that could not be sent to.
    pub silent: u64,
    pub other_key: u64,
    pub unsent: u64,
    /// Machines that accepted a TCP connection meanwhile, and those that did not.
    pub ports_open: u64,
    pub ports_shut: u64,
    /// First round that was not looked at.
    next: Option<u32>,
}

impl Standing {
    /// Rounds missed for any reason.
    pub fn missed(&self) -> u64 {
        self.missed.values().sum()
    }

    /// Notes how the board stands.
    fn observe(&mut self, header: &Board, seat: &Seat, params: &Params) {
        self.held = u8::try_from(header.taken_seats().count_ones()).unwrap_or(u8::MAX);
        (self.seats, self.up_votes, self.down_votes) = (header.seat_count, params.up_votes, header.threshold);
        if seat.submissions > 0 {
            self.last_vote = (seat.last_round, header.round_end(seat.last_round));
        }
        if let Some(last) = header.next_round.checked_sub(1) {
            let place = ring_bit(last);
            self.last_votes = header.votes.get(place as usize).copied().unwrap_or_default().count_ones();
            self.is_quorate = header.quorate >> place & 1 == 1;
        }
    }

    /// Rounds whose votes are over and that were not looked at, if the votes on a round end at `closes`.
    fn over(&mut self, running: u32, seat: &Seat, now: i64, closes: impl Fn(u32) -> i64) -> Vec<u32> {
        // A seat that was just taken has not missed the round in which that was.
        let is_new = seat.submissions == 0 && seat.last_round == running;
        let next = self.next.get_or_insert(running.saturating_add(is_new.into()));
        let mut rounds = Vec::new();
        while *next < running && closes(*next) < now {
            rounds.push(*next);
            *next = next.saturating_add(1);
        }
        // After a long sleep, the chain has forgotten the earlier ones.
        rounds.split_off(rounds.len().saturating_sub(leasehold::constants::HISTORY_ROUNDS))
    }
}

/// True if a seat has voted on a round, as far as the header still knows.
fn has_voted(header: &Board, index: u8, seat: &Seat, round: u32) -> bool {
    if seat.submissions > 0 && seat.last_round == round {
        return true;
    }
    let closed = round < header.next_round && header.next_round.saturating_sub(round) <= u64::BITS;
    let votes = header.votes.get(ring_bit(round) as usize).copied().unwrap_or_default();
    closed && votes.checked_shr(index.into()).is_some_and(|votes| votes & 1 == 1)
}

impl Standings {
    /// Notes how a board stands in which the keeper holds a seat. Returns the rounds that it has missed since the last call,
    /// with their reasons. `closes`: last second for votes on a round; `reason`: `None` if a round needed no vote.
    pub fn observe(
        &mut self,
        header: &Board,
        (index, seat): (u8, &Seat),
        params: &Params,
        now: i64,
        closes: impl Fn(u32) -> i64,
        reason: impl Fn(u32) -> Option<&'static str>,
    ) -> Vec<(u32, &'static str)> {
        let standing = self.0.entry(header.index).or_default();
        standing.observe(header, seat, params);
        let running = header.round_at(now).unwrap_or_default();
        let over = standing.over(running, seat, now, closes);
        let unvoted = over.into_iter().filter(|round| !has_voted(header, index, seat, *round));
        let missed: Vec<_> = unvoted.filter_map(|round| Some((round, reason(round)?))).collect();
        for (_, reason) in &missed {
            let count = standing.missed.entry(reason).or_default();
            *count = count.saturating_add(1);
        }
        missed
    }

    /// Notes a round of probes.
    pub fn probed(&mut self, board: u32, report: &ProbeReport) {
        let Some(standing) = self.0.get_mut(&board) else { return };
        let heard = report.answers.len().saturating_add(report.repeated.len()) as u64;
        standing.other_key = report.other_key.len() as u64;
        standing.unsent = report.unsent.len() as u64;
        standing.silent = report
            .stats
            .targets
            .saturating_sub(heard)
            .saturating_sub(standing.other_key)
            .saturating_sub(report.refused.len() as u64);
    }

    /// Notes the machines whose port was tried in a round.
    pub fn tried(&mut self, board: u32, ports: &Ports) {
        let Some(standing) = self.0.get_mut(&board) else { return };
        (standing.ports_open, standing.ports_shut) = (ports.open(), ports.shut());
    }

    /// Standing of a board; `None` if this keeper had no seat there.
    pub fn of(&self, board: u32) -> Option<&Standing> {
        self.0.get(&board)
    }
}

impl fmt::Display for Standings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        type Value = fn(&Standing) -> i64;
        let series: [(&str, &str, Value); 12] = [
            ("board_seats_held", "Seats of the board that are held.", |board| board.held.into()),
            ("board_seats", "Seats of the board.", |board| board.seats.into()),
            (
                "board_up_votes",
                "Votes that make a machine up; a round needs as many to be quorate and paid.",
                |board| board.up_votes.into(),
            ),
            ("board_down_votes", "Votes that make a machine down.", |board| board.down_votes.into()),
            ("board_last_round_votes", "Votes on the last round that was closed.", |board| {
                board.last_votes.into()
            }),
            ("board_last_round_quorate", "1 if they were enough.", |board| board.is_quorate.into()),
            ("last_vote_round", "Last round on which this keeper voted.", |board| board.last_vote.0.into()),
            ("last_vote_timestamp_seconds", "Unix time at which that round ended.", |board| {
                board.last_vote.1
            }),
            (
                "machines_other_key",
                "Machines that answered with another key than their slot's, in the last round.",
                |board| i64::try_from(board.other_key).unwrap_or(i64::MAX),
            ),
            ("machines_silent", "Machines that did not answer at all, in the last round.", |board| {
                i64::try_from(board.silent).unwrap_or(i64::MAX)
            }),
            (
                "machines_port_open",
                "Machines that accepted a TCP connection in the last round, as a tenant's login needs; never voted on.",
                |board| i64::try_from(board.ports_open).unwrap_or(i64::MAX),
            ),
            ("machines_port_shut", "Machines that did not.", |board| {
                i64::try_from(board.ports_shut).unwrap_or(i64::MAX)
            }),
        ];
        for (name, help, value) in series {
            let name = format!("leasehold_keeper_{name}");
            write_head(f, &name, Kind::Gauge, help)?;
            for (board, standing) in &self.0 {
                writeln!(f, "{name}{{board=\"{board}\"}} {}", value(standing))?;
            }
        }
        let name = "leasehold_keeper_missed_rounds_total";
        write_head(f, name, Kind::Counter, "Rounds on which this keeper did not vote, by reason.")?;
        for (board, standing) in &self.0 {
            for reason in Fault::NAMES.into_iter().chain([NOT_PROBED, NOT_SENT]) {
                let count = standing.missed.get(reason).copied().unwrap_or_default();
                writeln!(f, "{name}{{board=\"{board}\",reason=\"{reason}\"}} {count}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECS: u32 = 600;

    struct Scene {
        header: Box<Board>,
        params: Params,
        seat: Seat,
        standings: Standings,
    }

    impl Scene {
        fn new() -> Self {
            let mut header: Box<Board> = Box::new(bytemuck::Zeroable::zeroed());
            (header.index, header.round_secs, header.submit_secs) = (7, SECS, 120);
            (header.seat_count, header.threshold, header.next_round) = (13, 9, 100);
            header.seats.iter_mut().take(3).for_each(|seat| seat.taken = 1);
            let seat = Seat { taken: 1, last_round: 99, submissions: 5, ..bytemuck::Zeroable::zeroed() };
            Self { header, params: crate::pay::tests::params(), seat, standings: Standings::default() }
        }

        /// Looks at a second of a round.
        fn look(&mut self, round: u32, second: i64) -> Vec<(u32, &'static str)> {
            let begin = |round: u32| i64::from(round) * i64::from(SECS);
            let (header, seat) = (&self.header, &self.seat);
            let closes = |round: u32| begin(round + 1) + 120;
            // Round 104 had no machine to judge.
            let reason = |round| (round != 104).then_some(if round == 103 { "busy" } else { NOT_PROBED });
            self.standings.observe(header, (1, seat), &self.params, begin(round) + second, closes, reason)
        }
    }

    #[test]
    fn a_round_is_missed_once_its_window_is_over_without_a_vote() {
        let mut scene = Scene::new();
        assert!(scene.look(101, 10).is_empty(), "what was before this process is not its own");
        scene.header.next_round = 102;
        scene.seat.last_round = 101;
        assert!(scene.look(102, 130).is_empty(), "voted on, and closed");
        assert!(scene.look(103, 120).is_empty(), "the window of 102 is open");
        assert_eq!(scene.look(103, 121), [(102, NOT_PROBED)]);
        assert!(scene.look(103, 300).is_empty(), "once");
        assert_eq!(
            scene.look(106, 0),
            [(103, "busy")],
            "nobody was to be judged in 104, and 105 has just ended"
        );
        let standing = scene.standings.of(7).unwrap();
        assert_eq!((standing.missed(), standing.held, standing.seats), (2, 3, 13));
        assert_eq!((standing.down_votes, standing.last_vote), (9, (101, 102 * 600)));
        let page = scene.standings.to_string();
        assert!(
            page.contains("leasehold_keeper_missed_rounds_total{board=\"7\",reason=\"busy\"} 1\n"),
            "{page}"
        );
        assert!(page.contains("leasehold_keeper_board_seats_held{board=\"7\"} 3\n"), "{page}");
    }

    #[tokio::test]
    async fn ports_are_shown_for_boards_with_a_seat() {
        let mut scene = Scene::new();
        scene.look(101, 10);
        let ports = Ports::default();
        ports.count(vec!["127.0.0.1:0".parse().unwrap()]).await;
        scene.standings.tried(7, &ports);
        scene.standings.tried(8, &ports);
        let page = scene.standings.to_string();
        assert!(page.contains("leasehold_keeper_machines_port_open{board=\"7\"} 0\n"), "{page}");
        assert!(page.contains("leasehold_keeper_machines_port_shut{board=\"7\"} 1\n"), "{page}");
        assert!(!page.contains("board=\"8\""), "{page}");
    }

    #[test]
    fn a_vote_on_an_earlier_round_is_found_in_the_history() {
        let mut scene = Scene::new();
        scene.look(101, 10);
        scene.header.next_round = 103;
        scene.header.votes[ring_bit(101) as usize] = 0b010;
        scene.seat.last_round = 102;
        assert!(scene.look(104, 0).is_empty());
    }
}
