//! The steps of a plan.

use std::{sync::Arc, time::Duration};

use leasehold_client::BoardRef;
use solana_pubkey::Pubkey;

use crate::{
    memory::{Answers, Chore},
    prober::Target,
};

/// A step with its arguments.
#[derive(Clone, Debug)]
pub enum Action {
    TakeSeat {
        board: BoardRef,
        seat: u8,
        /// Open the keeper's account first.
        register: bool,
        /// Stake units to bond first; 0 if the keeper has enough free stake.
        deposit: u64,
    },
    ProbeRound {
        board: BoardRef,
        round: u32,
        targets: Arc<[Target]>,
        /// Time until the answers must be there.
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
        /// The keeper's account, which gets the caller's part of a slash.
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

    /// The chore that the step does.
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
