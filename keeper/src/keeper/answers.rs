//! Seats and the answers that are gathered for them.

use std::{collections::HashMap, io};

use leasehold_client::{BoardRef, rounds::round_at};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{Keeper, Trouble};
use crate::{
    prober::ProbeReport,
    snapshot::{BoardSnapshot, Snapshot},
};

impl Keeper {
    /// Notes seats that were taken and lost. On a board that is new to it, the keeper may have gathered
    /// answers in an earlier life.
    pub(super) async fn greet(&mut self, snapshot: &Snapshot) {
        let mut seats = HashMap::new();
        for board in &snapshot.boards {
            let address = board.board.address;
            let before = self.seats.remove(&address);
            match (before, board.seat_of(&self.me)) {
                (None, Some(seat)) => {
                    info!("holds seat {seat} of board {}", board.board.index);
                    self.recall(board, snapshot.now_ms).await;
                    seats.insert(address, seat);
                }
                (Some(seat), None) => warn!("lost seat {seat} of board {}", board.board.index),
                (_, Some(seat)) => drop(seats.insert(address, seat)),
                (None, None) => {}
            }
        }
        // Boards that could not be read this time.
        seats.extend(self.seats.drain());
        self.seats = seats;
    }

    /// Reads the answers of the running round, and the one before, from the folder of evidence.
    async fn recall(&mut self, board: &BoardSnapshot, now_ms: i64) {
        let Some(evidence) = self.evidence.clone() else { return };
        let running = round_at(board.header.round_secs, now_ms.div_euclid(1_000));
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
                    warn!("the evidence of round {round} can't be used: {error}");
                }
            }
        }
    }

    /// Keeps the answers of a round, for the vote and for later.
    pub(super) async fn keep(&mut self, board: BoardRef, report: ProbeReport, now_ms: i64) {
        self.metrics.probed(&report);
        let trouble = Trouble::Hearing(board.address);
        let unsent = report.unsent.len();
        let answers = self.memory.keep(board.address, report, now_ms);
        if !answers.fit {
            let line = format!(
                "board {}: no machine answered, and none has for hours or since this keeper began, so it does not \
                 vote: where nodes run, check that UDP gets out of this host and in again",
                board.index
            );
            self.troubles.note(trouble, &line);
            return;
        }
        if unsent > 0 {
            let line = format!(
                "board {}: nothing could be sent to {unsent} machines, which count as down: check this host's \
                 routes, IPv6 among them",
                board.index
            );
            self.troubles.note(trouble, &line);
        } else {
            self.troubles.clear(&trouble);
        }
        let Some(evidence) = self.evidence.clone() else { return };
        let saved = spawn_blocking(move || evidence.save(&board.address, &answers.report)).await;
        match saved.map_err(io::Error::other).flatten() {
            Ok(()) => self.troubles.clear(&Trouble::Evidence),
            Err(error) => {
                let line = format!("the evidence of this round is not kept: {error}");
                self.troubles.note(Trouble::Evidence, &line);
            }
        }
    }
}
