//! Decides about one datagram. Cheap checks come first, the signature last: it costs a hundred times as much as all
//! others.

use crate::counters::{Counters, Outcome};
use crate::limiter::Limiter;
use crate::machines::{Absent, Fleet, Machine, SameMachine, Serving};
use crate::probes::Probes;
use leasehold_client::probe::{PONG_LEN, Pubkey, SignedChallenge};
use leasehold_daemon::unix_ms;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

/// Challenges per second that are verified for one source, whatever the number of machines. High, because whoever
/// forges a keeper's address uses up the keeper's tokens: with a low limit, machines could be made to look down at
/// little cost. A thousand verifications take a twentieth of a core.
const BASE_RATE: u32 = 1_000;

#[derive(Debug)]
pub(crate) struct Responder {
    fleet: RwLock<Fleet>,
    limiter: Limiter,
    /// `None`: the rate follows the number of machines.
    fixed_rate: Option<NonZeroU32>,
    pub(crate) counters: Counters,
    pub(crate) probes: Arc<Probes>,
}

impl Responder {
    pub(crate) fn new(serving: Serving, fixed_rate: Option<NonZeroU32>) -> Result<Self, SameMachine> {
        let responder = Self {
            fleet: RwLock::default(),
            limiter: Limiter::new(fixed_rate.unwrap_or(NonZeroU32::MIN)),
            fixed_rate,
            counters: Counters::default(),
            probes: Arc::default(),
        };
        responder.replace(serving)?;
        Ok(responder)
    }

    pub(crate) fn replace(&self, serving: Serving) -> Result<(), SameMachine> {
        let mut fleet = self.write();
        fleet.replace(serving)?;
        self.set_rate(&fleet);
        Ok(())
    }

    pub(crate) fn add(&self, machines: Vec<Machine>) -> Result<(), SameMachine> {
        let mut fleet = self.write();
        fleet.add(machines)?;
        self.set_rate(&fleet);
        Ok(())
    }

    pub(crate) fn set_paused(&self, board: &Pubkey, slot: u32, paused: bool) -> bool {
        self.write().set_paused((*board, slot), paused)
    }

    /// Number of machines, and how many of them are paused.
    pub(crate) fn machines(&self) -> (usize, usize) {
        let fleet = self.read();
        (fleet.len(), fleet.paused())
    }

    /// The answer to a datagram, or the reason why it gets no answer.
    pub(crate) fn respond(&self, datagram: &[u8], source: IpAddr) -> Result<[u8; PONG_LEN], Outcome> {
        let signed = SignedChallenge::decode(datagram).map_err(|_| Outcome::Malformed)?;
        let fleet = self.read();
        let machine = fleet.find(&signed.challenge).map_err(|absent| match absent {
            Absent::Unknown => Outcome::UnknownMachine,
            Absent::Paused => Outcome::Paused,
            Absent::Keeper => Outcome::KeeperNotAllowed,
        })?;
        let place = (machine.board, machine.slot);
        if self.probes.is_stranger(&place) {
            return Err(Outcome::OtherMachine);
        }
        let unix_time = unix_ms() / 1_000;
        if !machine.is_current(&signed.challenge, unix_time) {
            return Err(Outcome::OtherRound);
        }
        if !self.limiter.admit(source, Instant::now()) {
            return Err(Outcome::RateLimited);
        }
        signed.verify().map_err(|_| Outcome::BadSignature)?;
        self.probes.note(place, signed.challenge.keeper, signed.challenge.round);
        Ok(signed.challenge.answer(&machine.key).encode())
    }

    /// Each keeper sends a challenge for every machine, and several keepers may share an address.
    fn set_rate(&self, fleet: &Fleet) {
        if self.fixed_rate.is_none() {
            let machines = u32::try_from(fleet.len()).unwrap_or(u32::MAX);
            let rate = machines.saturating_mul(2).saturating_add(BASE_RATE);
            self.limiter.set_rate(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN));
        }
    }

    // A panic elsewhere leaves the fleet intact: every change of it is one assignment or insertion.
    fn read(&self) -> RwLockReadGuard<'_, Fleet> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Fleet> {
        self.fleet.write().unwrap_or_else(PoisonError::into_inner)
    }
}
