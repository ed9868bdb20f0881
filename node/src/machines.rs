//! The machines that a node answers for.

use crate::NodeError;
use leasehold_client::probe::{Challenge, Pubkey, SigningKey};
use std::collections::{HashMap, HashSet};

/// One machine: its place on a board, and the key it signs with.
#[derive(Clone, Debug)]
pub struct Machine {
    pub program: Pubkey,
    pub market: Pubkey,
    pub board: Pubkey,
    /// Index of the machine on its board.
    pub slot: u32,
    /// Generation of the slot when the machine was listed.
    pub generation: u16,
    /// Length of the board's rounds in seconds. Where it is known, challenges for a round further than
    /// one from this host's clock are ignored.
    pub round_secs: Option<u32>,
    /// The machine's `node_key`.
    pub key: SigningKey,
}

impl Machine {
    /// Whether the challenge is for this machine and not for another program's, market's or tenant's.
    fn is_meant(&self, challenge: &Challenge) -> bool {
        self.program == challenge.program
            && self.market == challenge.market
            && self.generation == challenge.generation
    }

    /// Whether the challenge's round is the one at `unix_time` (seconds), or next to it.
    pub(crate) fn is_current(&self, challenge: &Challenge, unix_time: u64) -> bool {
        match self.round_secs {
            Some(secs) if secs > 0 => u64::from(challenge.round).abs_diff(unix_time / u64::from(secs)) <= 1,
            _ => true,
        }
    }
}

/// What a node serves: given when it starts, and again whenever that changes.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    pub machines: Vec<Machine>,
    /// The keepers that are answered; `None` answers any keeper.
    pub keepers: Option<Vec<Pubkey>>,
}

/// [`Serving`], indexed.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    machines: HashMap<(Pubkey, u32), Machine>,
    keepers: Option<HashSet<Pubkey>>,
    /// Machines that are not to answer for now. Kept when the machines are replaced, so that a reload
    /// of the configuration doesn't end somebody's maintenance.
    paused: HashSet<(Pubkey, u32)>,
}

/// Why there is no machine to answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    Unknown,
    Paused,
    Keeper,
}

impl Fleet {
    pub(crate) fn add(&mut self, machines: Vec<Machine>) -> Result<(), NodeError> {
        let mut fresh = HashMap::with_capacity(machines.len());
        for machine in machines {
            let place = (machine.board, machine.slot);
            if self.machines.contains_key(&place) || fresh.insert(place, machine).is_some() {
                return Err(NodeError::SameMachine { board: place.0, slot: place.1 });
            }
        }
        self.machines.extend(fresh);
        Ok(())
    }

    pub(crate) fn replace(&mut self, serving: Serving) -> Result<(), NodeError> {
        let mut fresh = Fleet::default();
        fresh.add(serving.machines)?;
        fresh.keepers = serving.keepers.map(|keepers| keepers.into_iter().collect());
        fresh.paused = std::mem::take(&mut self.paused);
        fresh.paused.retain(|place| fresh.machines.contains_key(place));
        *self = fresh;
        Ok(())
    }

    /// Returns whether there is such a machine.
    pub(crate) fn set_paused(&mut self, place: (Pubkey, u32), paused: bool) -> bool {
        let exists = self.machines.contains_key(&place);
        if exists && paused {
            self.paused.insert(place);
        } else {
            self.paused.remove(&place);
        }
        exists
    }

    /// The machine that the challenge is for, if this keeper is to get an answer from it.
    pub(crate) fn find(&self, challenge: &Challenge) -> Result<&Machine, Absent> {
        let place = (challenge.board, challenge.slot);
        let machine = self.machines.get(&place).filter(|machine| machine.is_meant(challenge));
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
