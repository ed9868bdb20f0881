//! Seats, and the answers gathered for their votes.

use std::{collections::HashMap, io};

use leasehold_client::BoardRef;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{Keeper, Operation};
use crate::{
    prober::ProbeReport,
    snapshot::{BoardSnapshot, Snapshot},
};

impl Keeper {
    /// Notes seats that were taken or lost, and loads the answers that an earlier process gathered for a seat.
    pub(super) async fn note_seats(&mut self, snapshot: &Snapshot) {
        let mut seats = HashMap::new();
        for board in &snapshot.boards {
            let address = board.board.address;
            let before = self.seats.remove(&address);
            match (before, board.seat_of(&self.me)) {
                (None, Some(seat)) => {
                    info!("this keeper holds seat {seat} of board {}", board.board.index);
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
                    warn!("cannot load the evidence of round {round}: {error}");
                }
            }
        }
    }

    /// Stores the answers of a round, for the vote and as evidence.
    pub(super) async fn keep(&mut self, board: BoardRef, report: ProbeReport, now_ms: i64) {
        self.metrics.probed(&report);
        let operation = Operation::Probe(board.address);
        let unsent = report.unsent.len();
        let answers = self.memory.keep(board.address, report, now_ms);
        if !answers.fit {
            let line = format!(
                "board {}: no machine has answered for hours, or since this keeper started, so it does not vote: check \
                 that this host can send and receive UDP",
                board.index
            );
            self.failures.fail(operation, &line);
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
        let round_secs = self.round_secs;
        let saved = spawn_blocking(move || evidence.save(&board.address, round_secs, &answers.report)).await;
        match saved.map_err(io::Error::other).flatten() {
            Ok(()) => self.failures.reset(&Operation::Evidence),
            Err(error) => {
                let line = format!("cannot save the evidence of this round: {error}");
                self.failures.fail(Operation::Evidence, &line);
            }
        }
    }
}
