//! The machines of a node.

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

    /// True if the challenge is for this machine: same program, market and generation.
    fn is_addressed_by(&self, challenge: &Challenge) -> bool {
        self.program == challenge.program
            && self.market == challenge.market
            && self.generation == challenge.generation
    }

    /// True if the challenge's round is the one at `unix_time` (seconds), or next to it. The second at which the board's
    /// rounds begin is not known here, so that this is one of two rounds.
    pub(crate) fn is_current(&self, challenge: &Challenge, unix_time: u64) -> bool {
        let Some(now) = self.round_secs.and_then(|secs| unix_time.checked_div(secs.into())) else {
            return true;
        };
        (now.saturating_sub(2)..=now.saturating_add(1)).contains(&u64::from(challenge.round))
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
    keepers: Option<HashSet<Pubkey>>,
    /// Machines under maintenance, which don't answer. Kept when the machines are replaced, so that a reload of the
    /// configuration doesn't end a maintenance.
    paused: HashSet<(Pubkey, u32)>,
}

/// Why no machine answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    Unknown,
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
        let machine = self.machines.get(&place).filter(|machine| machine.is_addressed_by(challenge));
        let machine = machine.ok_or(Absent::Unknown)?;
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
