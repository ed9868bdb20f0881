//! Decides about one datagram, in two steps. Cheap checks come first, the signature last: it costs a hundred times as much as all
//! others.

use crate::counters::{Counters, Outcome};
use crate::limiter::Limiter;
use crate::machines::{Absent, Fleet, Machine, SameMachine, Serving};
use crate::misfit::{Misfit, Notices};
use crate::probes::Probes;
use leasehold_client::probe::{Challenge, PONG_LEN, Pubkey, SignedChallenge};
use leasehold_daemon::unix_ms;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

/// Challenges per second that are verified for one source, whatever the number of machines. High, because whoever
/// forges a keeper's address uses up the keeper's tokens: with a low limit, machines could be made to look down at
/// little cost. A thousand verifications take a twentieth of a core.
const BASE_RATE: u32 = 1_000;

/// A challenge that may get an answer, or a line in the log, if its keeper signed it.
#[derive(Debug)]
pub(crate) struct Screened {
    signed: SignedChallenge,
    misfit: Option<(Outcome, Misfit)>,
}

#[derive(Debug)]
pub(crate) struct Responder {
    fleet: RwLock<Fleet>,
    limiter: Limiter,
    /// `None`: the rate follows the number of machines.
    fixed_rate: Option<NonZeroU32>,
    pub(crate) counters: Counters,
    pub(crate) probes: Arc<Probes>,
    notices: Notices,
}

impl Responder {
    pub(crate) fn new(
        serving: Serving,
        fixed_rate: Option<NonZeroU32>,
        probes: Probes,
    ) -> Result<Self, SameMachine> {
        let responder = Self {
            fleet: RwLock::default(),
            limiter: Limiter::new(fixed_rate.unwrap_or(NonZeroU32::MIN)),
            fixed_rate,
            counters: Counters::default(),
            probes: Arc::new(probes),
            notices: Notices::default(),
        };
        responder.replace(serving)?;
        Ok(responder)
    }

    pub(crate) fn replace(&self, serving: Serving) -> Result<(), SameMachine> {
        let mut fleet = self.write();
        fleet.replace(serving)?;
        self.set_rate(&fleet);
        self.notices.forget();
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

    /// Decides about a datagram without cryptography: what may get an answer, or the reason why it gets none.
    pub(crate) fn screen(&self, datagram: &[u8], source: IpAddr) -> Result<Screened, Outcome> {
        let signed = SignedChallenge::decode(datagram).map_err(|_| Outcome::Malformed)?;
        let (now, challenge) = (Instant::now(), &signed.challenge);
        let misfit = match self.check(challenge) {
            Ok(()) => None,
            Err((outcome, Some(misfit))) if self.notices.is_due(&misfit, challenge, now) => {
                Some((outcome, misfit))
            }
            Err((outcome, _)) => return Err(outcome),
        };
        if !self.limiter.admit(source, now) {
            return Err(misfit.map_or(Outcome::RateLimited, |(outcome, _)| outcome));
        }
        Ok(Screened { signed, misfit })
    }

    fn check(&self, challenge: &Challenge) -> Result<(), (Outcome, Option<Misfit>)> {
        let fleet = self.read();
        let machine = fleet.find(challenge).map_err(|absent| match absent {
            Absent::Unknown(misfit) => (Outcome::UnknownMachine, misfit),
            Absent::Paused => (Outcome::Paused, None),
            Absent::Keeper => (Outcome::KeeperNotAllowed, Some(Misfit::Keeper)),
        })?;
        if self.probes.is_stranger(&(machine.board, machine.slot)) {
            return Err((Outcome::OtherMachine, None));
        }
        if !self.probes.is_ready(&(machine.board, machine.slot)) {
            return Err((Outcome::Unprepared, None));
        }
        match machine.round_misfit(challenge, unix_ms() / 1_000) {
            Some(misfit) => Err((Outcome::OtherRound, Some(misfit))),
            None => Ok(()),
        }
    }

    /// The answer to a challenge that was screened, or the reason why it gets none.
    pub(crate) fn answer(&self, screened: &Screened) -> Result<[u8; PONG_LEN], Outcome> {
        let Screened { signed, misfit } = screened;
        let challenge = &signed.challenge;
        let verified = signed.verify();
        if let Some((outcome, misfit)) = misfit {
            // Anybody can sign a challenge. Where the seats are known, the others don't matter.
            let matters = self.probes.holds_seat(&challenge.board, &challenge.keeper).unwrap_or(true);
            if verified.is_ok() && matters {
                self.notices.tell(misfit, challenge, Instant::now());
            }
            return Err(*outcome);
        }
        verified.map_err(|_| Outcome::BadSignature)?;
        // The machines may have changed since.
        let fleet = self.read();
        let machine = fleet.find(challenge).map_err(|_| Outcome::UnknownMachine)?;
        if !self.probes.is_ready(&(machine.board, machine.slot)) {
            return Err(Outcome::Unprepared);
        }
        self.probes.note((machine.board, machine.slot), challenge.keeper, challenge.round);
        Ok(challenge.answer(&machine.key).encode())
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
