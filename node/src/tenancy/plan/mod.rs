//! Decides what is done to a machine next: a pure function of what the chain says, what the record remembers, the cluster's
//! clock, and what this process has done so far.
//!
//! The planner is asked again after each step and at least once a second, and always compares what is with what should be.
//! So a step that failed or that a killed node forgot is planned again. Rules:
//!
//! - Nobody is let in before the begin hook has succeeded for the lease.
//! - Letting in follows what is confirmed; shutting and freezing follow what is confirmed or the clock, whichever comes
//!   first. A lease that is extended at its end is thawed and let in again.
//! - Data are wiped when the lease is seen over at `finalized`, or its data epoch is raised there.
//! - Once the end hook has begun, the machine is wiped to the end before anything else.
//! - A wipe comes between any two tenancies, whether this node saw the time between them or not.

use crate::tenancy::record::{Record, Room, Stage, Tenancy};
use crate::tenancy::sight::{Access, Finalized, Lease, LeaseId};
use std::time::Duration;

/// A lease that was over by the clock is open again only if the clock is found to be earlier by so many seconds, or the lease
/// ends later: estimates of a halted cluster's clock go up and down by the time between two readings.
const SLACK: i64 = 60;
/// Seconds before its lease begins from which a machine that is not prepared answers no probes: the estimate of the clock may
/// be late by as much.
const EDGE: i64 = 2;
/// Solana slots by which parts of one reading, and RPC nodes behind one address, may be apart.
const SPREAD: u64 = 150;

/// A step for one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs the begin hook.
    Begin {
        tenancy: Tenancy,
        wipe: bool,
        /// The lease as it is now.
        lease: Lease,
    },
    /// Kills what is left in the tenant's control group, then runs the end hook.
    End {
        tenancy: Tenancy,
        room: Option<Room>,
    },
    /// Lets the tenant in; if it is in, its certificate is renewed, or its sessions are cut if key or epoch differ.
    Admit(Pass),
    /// Lets nobody in and cuts all sessions.
    Shut,
    Freeze(Room),
    Thaw(Room),
}

/// Whom a machine lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    pub lease: LeaseId,
    pub board: u32,
    pub access: Access,
    pub access_epoch: u32,
    /// Unix second of the lease's end.
    pub ends: i64,
    pub room: Room,
}

/// What this process has done to a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    /// Whom the door lets in.
    pub pass: Option<Pass>,
    /// `None`: not known, as after a start.
    pub frozen: Option<bool>,
    /// The lease that was over by the clock, and its end then.
    pub closed: Option<(LeaseId, i64)>,
    /// Hooks that failed in a row, and when the next one may run.
    pub failures: u32,
    pub retry: Option<Duration>,
    /// Until when the door is not asked again to let the tenant in: it refused.
    pub refused: Option<Duration>,
}

/// What is known besides the record.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Unix second of the cluster, estimated.
    pub now: i64,
    /// This host's time, as for [`Runtime::retry`].
    pub at: Duration,
    /// What the chain says, finalized, of the lease that the record's stage names. `None` if it was not read.
    pub finalized: Option<Finalized>,
    /// True if this process has read the chain.
    pub is_read: bool,
    /// True if the tenant is paused because its machine is not paid, see [`crate::leases::pause`].
    pub is_paused: bool,
}

/// What the planner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The next step; `None` if there is nothing to do now.
    pub next: Option<Action>,
    /// True if the machine may answer probes.
    pub answers: bool,
    /// The tenancy whose end has to be read at `finalized`.
    pub awaits: Option<Tenancy>,
}

/// Says what is done to a machine next.
pub fn plan(record: &Record, runtime: &mut Runtime, look: &Look) -> Plan {
    let lease = live(record, runtime, look.now).cloned();
    let steps = Steps { runtime, look, lease: lease.as_ref() };
    let (next, awaits) = match &record.stage {
        Stage::Clean => (steps.begin_anew(record), None),
        Stage::Preparing { tenancy, wipe } => steps.preparing(tenancy, *wipe),
        Stage::Prepared { tenancy, room } => steps.prepared(tenancy, room),
        Stage::Wiping { tenancy, room } => (steps.shut().or_else(|| steps.end(tenancy, room.as_ref())), None),
    };
    let answers = answers(record, runtime, look);
    Plan { next, answers, awaits }
}

/// The lease that the machine is in and that is not over by the clock; it may not have begun.
fn live<'a>(record: &'a Record, runtime: &mut Runtime, now: i64) -> Option<&'a Lease> {
    let lease = record.sight.as_ref()?.lease.as_ref()?;
    if now >= lease.ends {
        runtime.closed = Some((lease.id, lease.ends));
    }
    let reopens = |(id, ends): (LeaseId, i64)| {
        id != lease.id || lease.ends > ends || now < lease.ends.saturating_sub(SLACK)
    };
    if runtime.closed.is_some_and(reopens) {
        runtime.closed = None;
    }
    runtime.closed.is_none().then_some(lease)
}

/// True if the machine may answer probes: it serves no lease, or one for which the begin hook has succeeded. An owner who
/// has its data wiped does not take the machine down: it goes on answering unless a hook fails.
fn answers(record: &Record, runtime: &Runtime, look: &Look) -> bool {
    let Some(sight) = &record.sight else { return false };
    let Some(lease) = &sight.lease else { return look.is_read };
    let runs = (lease.begins.saturating_sub(EDGE)..lease.ends).contains(&look.now);
    if !runs {
        return look.is_read;
    }
    record.served == Some(lease.id) && runtime.failures == 0
}

struct Steps<'a> {
    runtime: &'a Runtime,
    look: &'a Look,
    lease: Option<&'a Lease>,
}

type Step = (Option<Action>, Option<Tenancy>);

impl Steps<'_> {
    fn may_run(&self) -> bool {
        self.runtime.retry.is_none_or(|retry| retry <= self.look.at)
    }

    /// Shuts the door, if anybody is let in.
    fn shut(&self) -> Option<Action> {
        self.runtime.pass.as_ref().map(|_| Action::Shut)
    }

    fn begin(&self, tenancy: Tenancy, wipe: bool, lease: &Lease) -> Option<Action> {
        self.may_run().then(|| Action::Begin { tenancy, wipe, lease: lease.clone() })
    }

    fn end(&self, tenancy: &Tenancy, room: Option<&Room>) -> Option<Action> {
        self.may_run().then(|| Action::End { tenancy: tenancy.clone(), room: room.cloned() })
    }

    /// Prepares a clean machine for its lease, before it begins.
    fn begin_anew(&self, record: &Record) -> Option<Action> {
        if let Some(shut) = self.shut() {
            return Some(shut);
        }
        let seen = record.sight.as_ref()?.slot.saturating_add(SPREAD);
        let lease = self.lease.filter(|_| self.look.is_read)?;
        self.begin(Tenancy::new(lease, seen), true, lease)
    }

    fn preparing(&self, tenancy: &Tenancy, wipe: bool) -> Step {
        if let Some(shut) = self.shut() {
            return (Some(shut), None);
        }
        match self.lease {
            Some(lease) if tenancy.is_of(lease) => (self.begin(tenancy.clone(), wipe, lease), None),
            _ => self.end_if_over(tenancy, None, None),
        }
    }

    fn prepared(&self, tenancy: &Tenancy, room: &Room) -> Step {
        let lease = self.lease.filter(|lease| tenancy.is_of(lease));
        let Some(lease) = lease else {
            let freeze = self.freeze(room);
            return match self.shut() {
                Some(shut) => (Some(shut), None),
                None => self.end_if_over(tenancy, Some(room), freeze),
            };
        };
        if lease.is_withheld() || self.look.is_paused {
            return (self.shut().or_else(|| self.freeze(room)), None);
        }
        let pass = pass(lease, room, self.look.now);
        // A former key's sessions are cut first, while they are frozen, whether the new key can be let in or not.
        let goes_on =
            |had: &Pass| pass.as_ref().is_some_and(|pass| *pass == Pass { ends: pass.ends, ..had.clone() });
        let stale = self.shut().filter(|_| !self.runtime.pass.as_ref().is_some_and(goes_on));
        let thaw = || (self.runtime.frozen != Some(false)).then(|| Action::Thaw(room.clone()));
        let may_ask = self.runtime.refused.is_none_or(|refused| refused <= self.look.at);
        let admit = || {
            let other = self.runtime.pass != pass;
            pass.clone().filter(|_| other && may_ask).map(Action::Admit)
        };
        (stale.or_else(thaw).or_else(admit), None)
    }

    fn freeze(&self, room: &Room) -> Option<Action> {
        (self.runtime.frozen != Some(true)).then(|| Action::Freeze(room.clone()))
    }

    /// Wipes the machine if the tenancy is over at `finalized`; until then `meanwhile`.
    fn end_if_over(&self, tenancy: &Tenancy, room: Option<&Room>, meanwhile: Option<Action>) -> Step {
        let is_over = self.look.finalized.as_ref().is_some_and(|finalized| is_over(tenancy, finalized));
        if is_over { (self.end(tenancy, room), None) } else { (meanwhile, Some(tenancy.clone())) }
    }
}

/// Whom a lease lets in; `None` before it begins or if it names no key.
fn pass(lease: &Lease, room: &Room, now: i64) -> Option<Pass> {
    let access = lease.access.filter(|_| lease.begins <= now)?;
    Some(Pass {
        lease: lease.id,
        board: lease.board,
        access,
        access_epoch: lease.access_epoch,
        ends: lease.ends,
        room: room.clone(),
    })
}

/// True if the chain says, finalized, that nothing of the tenancy may stay: its lease is over, or the owner has its data wiped.
/// It must say so as of a time when it knew the tenancy.
pub fn is_over(tenancy: &Tenancy, finalized: &Finalized) -> bool {
    let goes_on = |lease: &Lease| {
        lease.id == tenancy.lease && finalized.now < lease.ends && lease.data_epoch <= tenancy.data_epoch
    };
    finalized.slot >= tenancy.seen && !finalized.lease.as_ref().is_some_and(goes_on)
}

/// Notes in the record that a step begins. Returns true if the record changed: it has to be written before the step.
pub fn before(record: &mut Record, action: &Action) -> bool {
    let stage = match action {
        Action::Begin { tenancy, wipe, .. } => Stage::Preparing { tenancy: tenancy.clone(), wipe: *wipe },
        Action::End { tenancy, room } => Stage::Wiping { tenancy: tenancy.clone(), room: room.clone() },
        Action::Admit(_) | Action::Shut | Action::Freeze(_) | Action::Thaw(_) => return false,
    };
    let changed = record.stage != stage;
    record.stage = stage;
    changed
}

/// Notes that a step succeeded. `room`: what the begin hook printed. Returns true if the record changed.
pub fn after(record: &mut Record, runtime: &mut Runtime, action: &Action, room: Option<Room>) -> bool {
    match action {
        Action::Admit(pass) => (runtime.pass, runtime.refused) = (Some(pass.clone()), None),
        Action::Shut => runtime.pass = None,
        Action::Freeze(_) => runtime.frozen = Some(true),
        Action::Thaw(_) => runtime.frozen = Some(false),
        Action::Begin { tenancy, .. } => {
            let Some(room) = room else { return false };
            record.served = Some(tenancy.lease);
            record.stage = Stage::Prepared { tenancy: tenancy.clone(), room };
            (runtime.failures, runtime.retry, runtime.frozen) = (0, None, None);
            return true;
        }
        Action::End { .. } => {
            record.stage = Stage::Clean;
            (runtime.failures, runtime.retry, runtime.frozen) = (0, None, None);
            return true;
        }
    }
    false
}

/// Notes that the door refused, at `at`; it is asked again after `pause`.
pub fn refused(runtime: &mut Runtime, at: Duration, pause: Duration) {
    runtime.refused = Some(at.saturating_add(pause));
}

/// Notes that a hook failed, at `at`; it runs again after `pause`.
pub fn failed(runtime: &mut Runtime, at: Duration, pause: Duration) {
    runtime.failures = runtime.failures.saturating_add(1);
    runtime.retry = Some(at.saturating_add(pause));
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;
