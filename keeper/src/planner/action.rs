//! The steps of a plan.

use std::{sync::Arc, time::Duration};

use leasehold_client::BoardRef;
use solana_pubkey::Pubkey;

use crate::{
    memory::{Answers, Chore},
    prober::Target,
    snapshot::DemandSnapshot,
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
        /// The cluster, as challenges name it.
        cluster: [u8; 4],
        targets: Arc<[Target]>,
        /// Time until the answers must be there.
        time: Duration,
        /// Unix second at which the round is over.
        ends: i64,
    },
    SubmitRound {
        board: BoardRef,
        seat: u8,
        round: u32,
        /// Slots that the vote covers.
        slots: u32,
        answers: Arc<Answers>,
        /// Time after which the vote is given up and sent again: a quarter of its window, unless that is very short.
        patience: Duration,
    },
    CloseRound {
        board: BoardRef,
        next_round: u32,
    },
    SettleLease {
        board: BoardRef,
        serial: u32,
        lease: Pubkey,
        /// True if machines of it can be settled for good; else it is settled in mid-term, for the keeper pool's part.
        is_due: bool,
    },
    GiveNotice {
        board: BoardRef,
        serial: u32,
        lease: Pubkey,
    },
    EnforceDemand {
        board: BoardRef,
        demand: DemandSnapshot,
    },
    RecordDay {
        board: BoardRef,
        /// Hardware class of the price index.
        class: u16,
    },
    BurnPayments {
        board: BoardRef,
        /// Payment units.
        amount: u64,
    },
    BurnSlashed {
        board: BoardRef,
        /// Stake units.
        amount: u64,
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
            | Self::GiveNotice { board, .. }
            | Self::EnforceDemand { board, .. }
            | Self::RecordDay { board, .. }
            | Self::BurnPayments { board, .. }
            | Self::BurnSlashed { board, .. }
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
            Self::GiveNotice { serial, .. } => Chore::GiveNotice { board, serial: *serial },
            Self::EnforceDemand { demand, .. } => Chore::EnforceDemand { board, demand: demand.address },
            Self::RecordDay { class, .. } => Chore::RecordDay { board, class: *class },
            Self::BurnPayments { .. } => Chore::BurnPayments { board },
            Self::BurnSlashed { .. } => Chore::BurnSlashed { board },
            Self::ClaimKeeperFees { .. } => Chore::ClaimKeeperFees { board },
        }
    }
}
