//! Seats, and the answers gathered for their votes.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use leasehold_client::{BoardRef, probe::cluster};
use solana_pubkey::Pubkey;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{Keeper, Operation};
use crate::{
    prober::{ProbeReport, Target},
    snapshot::{BoardSnapshot, Snapshot},
};

impl Keeper {
    /// Notes seats that were taken or lost, and loads the answers that an earlier process gathered for a seat.
    pub(super) async fn note_seats(&mut self, snapshot: &Snapshot) {
        let mut seats = HashMap::new();
        for board in &snapshot.boards {
            let address = board.board.address;
            let before = self.seats.remove(&address);
            let held = board.header.taken_seats().count_ones();
            let changed = self.held.insert(address, held).is_some_and(|before| before != held);
            if changed && board.seat_of(&self.me).is_some() {
                info!("board {}: {}", board.board.index, quorum(board, snapshot));
            }
            match (before, board.seat_of(&self.me)) {
                (None, Some(seat)) => {
                    info!(
                        "this keeper holds seat {seat} of board {}: {}",
                        board.board.index,
                        quorum(board, snapshot)
                    );
                    self.load_answers(board, snapshot.now_ms).await;
                    seats.insert(address, seat);
                }
                (Some(seat), None) => warn!("this keeper lost seat {seat} of board {}", board.board.index),
                (_, Some(seat)) => drop(seats.insert(address, seat)),
                (None, None) => {}
            }
        }
        // Boards that could not be read in this poll.
        seats.extend(self.seats.drain());
        self.seats = seats;
    }

    /// Loads the answers of the running round and the one before from the evidence folder.
    async fn load_answers(&mut self, board: &BoardSnapshot, now_ms: i64) {
        let Some(evidence) = self.evidence.clone() else { return };
        let running = board.round_at(now_ms.div_euclid(1_000));
        let (address, me) = (board.board.address, self.me);
        for round in [running.saturating_sub(1), running] {
            let evidence = evidence.clone();
            let read = spawn_blocking(move || evidence.load(&address, round, &me)).await;
            match read.map_err(io::Error::other).flatten() {
                Ok(Some(report)) if !is_of(&report, cluster(&board.header.genesis)) => {}
                Ok(Some(report)) => {
                    info!(
                        "board {}: found {} answers of round {round}",
                        board.board.index,
                        report.answers.len()
                    );
                    self.memory.keep(address, report, now_ms);
                }
                Ok(None) => {}
                Err(error) => {
                    warn!("board {}: cannot load the answers of round {round}: {error}", board.board.index);
                }
            }
        }
    }

    /// Stores the answers of a round, for the vote and as evidence.
    pub(super) async fn keep(&mut self, board: BoardRef, report: ProbeReport, now_ms: i64) {
        self.metrics.probed(board.index, &report);
        let operation = Operation::Probe(board.address);
        let unsent = report.unsent.len();
        let answers = self.memory.keep(board.address, report, now_ms);
        self.note_other_keys(board, &answers.report);
        if let Some(fault) = &answers.fault {
            warn!("board {}: no vote on round {}: {fault}", board.index, answers.report.round);
            return;
        }
        if unsent > 0 {
            let line = format!(
                "board {}: this host could not send to {unsent} machines, which count as down: check its routes, for \
                 IPv6 too",
                board.index
            );
            self.failures.fail(operation, &line);
        } else {
            self.failures.reset(&operation);
        }
        let Some(evidence) = self.evidence.clone() else { return };
        let (round_secs, round) = (self.round_secs, answers.report.round);
        let saved = spawn_blocking(move || evidence.save(&board.address, round_secs, &answers.report)).await;
        match saved.map_err(io::Error::other).flatten() {
            Ok(()) => self.failures.reset(&Operation::Evidence),
            Err(error) => {
                let line =
                    format!("board {}: cannot save the answers of round {round}: {error}", board.index);
                self.failures.fail(Operation::Evidence, &line);
            }
        }
    }

    /// Logs machines that answer with another key than their slot's: something runs there, and it is not the machine. Each is
    /// logged once while that lasts.
    fn note_other_keys(&mut self, board: BoardRef, report: &ProbeReport) {
        let other: HashSet<(Pubkey, u32)> =
            report.other_key.iter().map(|target| (board.address, target.slot)).collect();
        for Target { slot, generation, node_key, endpoint } in &report.other_key {
            if !self.other_keys.contains(&(board.address, *slot)) {
                warn!(
                    "board {}: the machine in slot {slot} (generation {generation}) answers from {endpoint} with another key than \
                     {node_key}: it counts as down",
                    board.index
                );
            }
        }
        self.other_keys.retain(|(address, _)| *address != board.address);
        self.other_keys.extend(other);
    }
}

/// How many seats of a board are held, and what that is enough for.
fn quorum(board: &BoardSnapshot, snapshot: &Snapshot) -> String {
    let header = &board.header;
    let held = header.taken_seats().count_ones();
    let (up, down) = (u32::from(snapshot.params.up_votes), u32::from(header.threshold));
    let short = match held {
        held if held < up => ". Until more are held, all rounds are void and no vote is paid",
        held if held < down => ". Until more are held, no machine can be called down",
        _ => "",
    };
    format!(
        "{held} of {} seats are held; a machine is up by {up} votes and down by {down}{short}",
        header.seat_count
    )
}

/// True if answers are to challenges of that cluster. A local network that begins anew has the same addresses.
fn is_of(report: &ProbeReport, cluster: [u8; 4]) -> bool {
    report.answers.values().all(|answer| answer.challenge.cluster == cluster)
}
