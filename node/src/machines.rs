//! The machines of a node.

use crate::misfit::Misfit;
use leasehold_client::probe::{Challenge, Pubkey, SigningKey};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::watch;

/// Receiving end of the machines, as the configuration has them now.
pub type MachinesReceiver = watch::Receiver<Arc<Vec<Arc<Machine>>>>;

/// One machine: its place on a board, and its key.
#[derive(Clone, Debug)]
pub struct Machine {
    pub program: Pubkey,
    pub market: Pubkey,
    pub board: Pubkey,
    /// Index of the machine on its board.
    pub slot: u32,
    /// Generation of the slot when the machine was listed.
    pub generation: u32,
    /// Length of the board's rounds in seconds. If it is set, challenges for a round that is not near the one by this
    /// host's clock are ignored.
    pub round_secs: Option<u32>,
    /// The machine's `node_key`.
    pub key: SigningKey,
}

impl Machine {
    /// Board and slot; `None` if no board can have the slot.
    pub fn place(&self) -> Option<(Pubkey, u16)> {
        Some((self.board, u16::try_from(self.slot).ok()?))
    }

    /// In what the challenge and this machine differ, but for the round: program, market and generation.
    fn misfit(&self, challenge: &Challenge) -> Option<Misfit> {
        if self.program != challenge.program {
            Some(Misfit::Program { own: self.program })
        } else if self.market != challenge.market {
            Some(Misfit::Market { own: self.market })
        } else {
            let own = self.generation;
            (own != challenge.generation).then_some(Misfit::Generation { own })
        }
    }

    /// Set if the challenge's round is neither the one at `unix_secs` nor next to it. The second at which the board's
    /// rounds begin is not known here, so that the round is one of two.
    pub(crate) fn round_misfit(&self, challenge: &Challenge, unix_secs: u64) -> Option<Misfit> {
        let round_secs = self.round_secs?;
        let own = unix_secs.checked_div(round_secs.into())?;
        let near = own.saturating_sub(2)..=own.saturating_add(1);
        (!near.contains(&u64::from(challenge.round))).then_some(Misfit::Round { own, round_secs, unix_secs })
    }
}

/// Machines that a node answers for, and the keepers that it answers. Can be replaced while the node runs.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    pub machines: Vec<Machine>,
    /// Allow-list of keepers; `None` answers any keeper.
    pub keepers: Option<Vec<Pubkey>>,
}

/// [`Serving`], indexed.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    machines: HashMap<(Pubkey, u32), Machine>,
    boards: HashSet<Pubkey>,
    keepers: Option<HashSet<Pubkey>>,
    /// Machines under maintenance, which don't answer. Kept when the machines are replaced, so that a reload of the
    /// configuration doesn't end a maintenance.
    paused: HashSet<(Pubkey, u32)>,
}

/// Why no machine answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// With the difference, if the board is one of this node's.
    Unknown(Option<Misfit>),
    Paused,
    Keeper,
}

/// Two machines have the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {slot} of board {board} is given twice: remove one of the two machines")]
pub struct SameMachine {
    pub board: Pubkey,
    pub slot: u32,
}

impl Fleet {
    pub(crate) fn add(&mut self, machines: Vec<Machine>) -> Result<(), SameMachine> {
        let mut fresh = HashMap::with_capacity(machines.len());
        for machine in machines {
            let place = (machine.board, machine.slot);
            if self.machines.contains_key(&place) || fresh.insert(place, machine).is_some() {
                return Err(SameMachine { board: place.0, slot: place.1 });
            }
        }
        self.boards.extend(fresh.keys().map(|(board, _)| *board));
        self.machines.extend(fresh);
        Ok(())
    }

    pub(crate) fn replace(&mut self, serving: Serving) -> Result<(), SameMachine> {
        let mut fresh = Fleet::default();
        fresh.add(serving.machines)?;
        fresh.keepers = serving.keepers.map(|keepers| keepers.into_iter().collect());
        fresh.paused = std::mem::take(&mut self.paused);
        fresh.paused.retain(|place| fresh.machines.contains_key(place));
        *self = fresh;
        Ok(())
    }

    /// Returns false if there is no such machine.
    pub(crate) fn set_paused(&mut self, place: (Pubkey, u32), paused: bool) -> bool {
        let exists = self.machines.contains_key(&place);
        if exists && paused {
            self.paused.insert(place);
        } else {
            self.paused.remove(&place);
        }
        exists
    }

    /// The machine that the challenge addresses, if it answers this keeper.
    pub(crate) fn find(&self, challenge: &Challenge) -> Result<&Machine, Absent> {
        let place = (challenge.board, challenge.slot);
        let Some(machine) = self.machines.get(&place) else {
            return Err(Absent::Unknown(self.boards.contains(&challenge.board).then_some(Misfit::Slot)));
        };
        if let Some(misfit) = machine.misfit(challenge) {
            return Err(Absent::Unknown(Some(misfit)));
        }
        if self.paused.contains(&place) {
            return Err(Absent::Paused);
        }
        if self.keepers.as_ref().is_some_and(|keepers| !keepers.contains(&challenge.keeper)) {
            return Err(Absent::Keeper);
        }
        Ok(machine)
    }

    pub(crate) fn len(&self) -> usize {
        self.machines.len()
    }

    pub(crate) fn paused(&self) -> usize {
        self.paused.len()
    }
}
