//! Tenancies as a service that starts and stops.
//!
//! A look comes with each reading of the chain, after each step that took long, and once a second. Hooks and control groups
//! are worked on in tasks of their own, one at a time for each machine, so that no machine waits for another's.

use super::clock::ClusterClock;
use super::doors::Doors;
use super::host::{Host, boot};
use super::metrics::{Metrics, State};
use super::plan::{self, Action, Look, Plan, Runtime};
use super::poll::{Awaited, Poller, Reading};
use super::record::{Record, Records, Room, Stage};
use super::settings::AccessSettings;
use super::sight::Sight;
use crate::access::MachineKey;
use crate::leases::{LeaseWatch, LeasesReceiver, Place};
use crate::machines::MachinesReceiver;
use crate::probes::Probes;
use futures::FutureExt;
use leasehold_client::probe::Pubkey;
use leasehold_daemon::backoff::Backoff;
use leasehold_daemon::tasks::{TaskEnded, Tasks};
use leasehold_daemon::unix_secs;
use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{error, info};

/// Time between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// How long a reading of the cluster's clock counts, if that is longer than some polls.
const FRESH: Duration = Duration::from_secs(30);
const FRESH_POLLS: u32 = 4;
/// How long the step under way is waited for at the end. A hook that is cut off runs again.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Steps of one machine in one look: more would mean that two of them undo each other.
const STEPS: usize = 32;

/// Why tenancies do not start.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    #[error("cannot make the folder {path} ({source}): check `state` in [access] and who may write there")]
    Folder { path: PathBuf, source: io::Error },
    #[error(
        "cannot read {path} ({source}), which says whose data are on the machine: repair it, or wipe the machine by hand \
         and remove the file"
    )]
    Record { path: PathBuf, source: io::Error },
}

/// The tenancies of a node's machines. Dropping it stops it at once and shuts nobody out.
pub struct Tenancies {
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

/// What tenancies are started with, besides their settings.
pub struct Context {
    /// Account of the machines' supplier.
    pub supplier: Pubkey,
    /// Time between two polls.
    pub poll: Duration,
    pub machines: MachinesReceiver,
    pub probes: Arc<Probes>,
    pub doors: Arc<dyn Doors>,
}

impl Tenancies {
    /// Begins to follow the machines' leases. The records are read first: until then no probe is answered.
    ///
    /// # Errors
    /// Any [`TenancyError`].
    pub fn start(
        settings: AccessSettings,
        leases: &LeaseWatch,
        context: Context,
    ) -> Result<Self, TenancyError> {
        let Context { supplier, poll, machines, probes, doors } = context;
        let folder = |source| TenancyError::Folder { path: settings.state.clone(), source };
        let records = Records::open(&settings.state).map_err(folder)?;
        let metrics = Arc::<Metrics>::default();
        let (awaits, awaited) = watch::channel(Awaited::new());
        let (send_readings, readings) = watch::channel(None);
        let poller = Poller {
            rpc: leases.rpc().clone(),
            supplier,
            poll,
            machines: machines.clone(),
            views: leases.views(),
            awaited,
            readings: send_readings,
            metrics: metrics.clone(),
        };
        let host = Host { settings, doors, boot: boot(), metrics: metrics.clone() };
        let now = Instant::now();
        let mut keeper = Keeper {
            host: Arc::new(host),
            records,
            configured: machines,
            leases: leases.leases(),
            probes,
            machines: HashMap::new(),
            clock: ClusterClock::unread(
                unix_secs(),
                Duration::ZERO,
                FRESH.max(poll.saturating_mul(FRESH_POLLS)),
            ),
            since: now,
            awaits,
            jobs: JoinSet::new(),
            metrics: metrics.clone(),
        };
        for place in keeper.places() {
            let record = keeper.load(place)?;
            keeper.machines.insert(place, record);
        }
        keeper.start_clock();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Tasks::new(stopped.clone());
        tasks.spawn("task that follows tenancies", async move {
            tokio::select! {
                () = keeper.run(readings, stopped) => {}
                // Without readings the clock goes on, and tenants are shut out at their end.
                () = async {
                    poller.run().await;
                    std::future::pending().await
                } => {}
            }
        });
        Ok(Self { metrics, stop, tasks })
    }

    /// Counters of the tenancies.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Waits until a task has ended though nobody had stopped it.
    pub fn ended(&self) -> impl Future<Output = TaskEnded> + Send + use<> {
        self.tasks.ended()
    }

    /// Stops. Tenants' processes go on; the next start finds them.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let _ = timeout(SHUTDOWN_TIMEOUT.saturating_mul(2), self.tasks.join()).await;
    }
}

/// A machine and its tenancy.
struct Machine {
    record: Record,
    runtime: Runtime,
    /// The disk has an older record: nothing that depends on it may begin.
    unsaved: bool,
    /// A step runs in a task of its own.
    busy: bool,
    backoff: Backoff,
    saving: Backoff,
    state: Option<State>,
}

/// A step that ended.
struct Done {
    place: Place,
    action: Action,
    result: Result<Option<Room>, String>,
}

/// Follows the tenancies.
struct Keeper {
    host: Arc<Host>,
    records: Records,
    configured: MachinesReceiver,
    leases: LeasesReceiver,
    probes: Arc<Probes>,
    machines: HashMap<Place, Machine>,
    clock: ClusterClock,
    since: Instant,
    awaits: watch::Sender<Awaited>,
    jobs: JoinSet<Done>,
    metrics: Arc<Metrics>,
}

impl Keeper {
    async fn run(
        mut self,
        mut readings: watch::Receiver<Option<Arc<Reading>>>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let reading = readings.borrow_and_update().clone();
            self.look(reading.as_deref());
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(Ok(done)) = self.jobs.join_next() => self.finish(done),
                Ok(()) = readings.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        let last = async {
            while let Some(Ok(done)) = self.jobs.join_next().await {
                self.finish(done);
            }
        };
        let _ = timeout(SHUTDOWN_TIMEOUT, last).await;
    }

    fn places(&self) -> Vec<Place> {
        self.configured.borrow().iter().filter_map(|machine| machine.place()).collect()
    }

    fn load(&self, place: Place) -> Result<Machine, TenancyError> {
        let path = self.records.file(&place);
        let mut record = self.records.load(&place).map_err(|source| TenancyError::Record { path, source })?;
        let unsaved = record.rebooted(&self.host.boot);
        Ok(Machine {
            record,
            runtime: Runtime::default(),
            unsaved,
            busy: false,
            backoff: Backoff::default(),
            saving: Backoff::default(),
            state: None,
        })
    }

    /// Before the chain is read, the clock shows what this host's does, but never less than the chain did.
    fn start_clock(&mut self) {
        let sights = self.machines.values().filter_map(|machine| machine.record.sight.as_ref());
        let latest = sights.map(|sight| sight.now).max().unwrap_or_default();
        self.clock = self.clock.started_at(latest);
    }

    /// Follows the configuration.
    fn adopt(&mut self) {
        let places = self.places();
        let gone: Vec<_> = self.machines.keys().filter(|place| !places.contains(place)).copied().collect();
        for place in gone {
            self.machines.remove(&place);
            self.metrics.remove(&place);
            self.host.doors.shut(&key(place));
        }
        for place in places {
            if self.machines.contains_key(&place) {
                continue;
            }
            match self.load(place) {
                Ok(machine) => drop(self.machines.insert(place, machine)),
                Err(error) => error!(board = %place.0, slot = place.1, "{error}"),
            }
        }
    }

    fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.since)
    }

    /// Notes what was read, takes the steps that are due, and says which machines answer probes.
    fn look(&mut self, reading: Option<&Reading>) {
        if self.configured.has_changed().unwrap_or_default() {
            self.configured.mark_unchanged();
            self.adopt();
        }
        if let Some(reading) = reading {
            self.clock.note(reading.now, self.at(reading.asked));
        }
        let leases = self.leases.borrow().clone();
        let (at, mut awaited, mut answering) = (self.at(Instant::now()), Awaited::new(), Vec::new());
        let now = self.clock.now(at);
        let mut machines = std::mem::take(&mut self.machines);
        for (place, machine) in &mut machines {
            let read = reading.and_then(|reading| Some((reading, reading.machines.get(place)?)));
            if let Some((reading, lease)) = read {
                let sight = Sight { slot: reading.slot, now: reading.now, lease: lease.clone() };
                machine.unsaved |= machine.record.observe(sight);
            }
            let running = leases.machines.get(place).and_then(Option::as_ref);
            let look = Look {
                now,
                at,
                finalized: reading.and_then(|reading| finalized(reading, place, &machine.record)),
                is_read: read.is_some(),
                is_paused: running.is_some_and(|lease| lease.paused),
            };
            let plan = self.advance(*place, machine, &look);
            awaited.extend(plan.awaits.map(|tenancy| (*place, tenancy.lease)));
            answering.extend(plan.answers.then_some((place.0, u32::from(place.1))));
            self.tell(*place, machine);
        }
        self.machines = machines;
        self.probes.set_ready(answering);
        self.awaits.send_if_modified(|old| std::mem::replace(old, awaited.clone()) != awaited);
    }

    /// Takes a machine's steps, until one takes long or none is due.
    fn advance(&mut self, place: Place, machine: &mut Machine, look: &Look) -> Plan {
        for _ in 0..STEPS {
            self.save(place, machine);
            let plan = plan::plan(&machine.record, &mut machine.runtime, look);
            let Some(action) = &plan.next else { return plan };
            match action {
                Action::Shut => self.host.doors.shut(&key(place)),
                Action::Admit(_) if machine.unsaved => return plan,
                Action::Admit(pass) => {
                    if let Err(error) = self.host.admit(key(place), pass) {
                        let pause = machine.backoff.fail(&of(place, &error));
                        plan::refused(&mut machine.runtime, look.at, pause);
                        continue;
                    }
                }
                Action::Begin { .. } | Action::End { .. } | Action::Freeze(_) | Action::Thaw(_) => {
                    self.begin(place, machine, action.clone());
                    return plan;
                }
            }
            plan::after(&mut machine.record, &mut machine.runtime, action, None);
        }
        error!(board = %place.0, slot = place.1, "the tenancy does not come to rest: please report this");
        plan::plan(&machine.record, &mut machine.runtime, look)
    }

    /// Begins a step that may take long, unless another one runs.
    fn begin(&mut self, place: Place, machine: &mut Machine, action: Action) {
        if machine.busy {
            return;
        }
        machine.unsaved |= plan::before(&mut machine.record, &action);
        self.save(place, machine);
        if machine.unsaved && !matches!(action, Action::Freeze(_)) {
            return;
        }
        machine.busy = true;
        let host = self.host.clone();
        self.jobs.spawn(async move {
            let taken = AssertUnwindSafe(host.take(key(place), &action)).catch_unwind().await;
            // A machine whose step never ended would stay as it is for ever.
            let result = taken.unwrap_or_else(|_| Err("a step panicked: please report this".to_owned()));
            Done { place, action, result }
        });
    }

    fn finish(&mut self, done: Done) {
        let Done { place, action, result } = done;
        let at = self.at(Instant::now());
        let Some(machine) = self.machines.get_mut(&place) else { return };
        machine.busy = false;
        match result {
            Ok(room) => {
                machine.backoff.reset();
                machine.unsaved |= plan::after(&mut machine.record, &mut machine.runtime, &action, room);
            }
            Err(error) => {
                let pause = machine.backoff.fail(&of(place, &error));
                // The planner has a control group frozen at each look until it is.
                if matches!(action, Action::Begin { .. } | Action::End { .. }) {
                    plan::failed(&mut machine.runtime, at, pause);
                }
            }
        }
    }

    fn save(&self, place: Place, machine: &mut Machine) {
        if !machine.unsaved {
            return;
        }
        match self.records.save(&place, &machine.record) {
            Ok(()) => {
                machine.saving.reset();
                machine.unsaved = false;
            }
            Err(error) => {
                let path = self.records.file(&place);
                let text =
                    format!("cannot write {}: {error}; nobody new is let in until it can", path.display());
                machine.saving.fail(&text);
            }
        }
    }

    /// Tells changes of the state.
    fn tell(&self, place: Place, machine: &mut Machine) {
        let state = state(&machine.record, &machine.runtime);
        if machine.state == Some(state) {
            return;
        }
        machine.state = Some(state);
        self.metrics.set(place, state, unix_secs());
        let lease = match &machine.record.stage {
            Stage::Clean => None,
            Stage::Preparing { tenancy, .. }
            | Stage::Prepared { tenancy, .. }
            | Stage::Wiping { tenancy, .. } => Some(tenancy.lease.serial),
        };
        info!(board = %place.0, slot = place.1, lease, "the tenancy is {}", state.name());
    }
}

fn key((board, slot): Place) -> MachineKey {
    MachineKey { board, slot }
}

/// A sentence with its machine.
fn of((board, slot): Place, error: &str) -> String {
    format!("slot {slot} of board {board}: {error}")
}

/// What a poll found, finalized, if it was asked for the lease that the record names.
fn finalized(reading: &Reading, place: &Place, record: &Record) -> Option<super::sight::Finalized> {
    let (Stage::Preparing { tenancy, .. } | Stage::Prepared { tenancy, .. }) = &record.stage else {
        return None;
    };
    let (id, finalized) = reading.finalized.get(place)?;
    (*id == tenancy.lease).then(|| finalized.clone())
}

fn state(record: &Record, runtime: &Runtime) -> State {
    match &record.stage {
        Stage::Clean => State::Free,
        Stage::Preparing { .. } => State::Preparing,
        Stage::Wiping { .. } => State::Wiping,
        Stage::Prepared { .. } if runtime.pass.is_some() => State::Open,
        Stage::Prepared { .. } if runtime.frozen == Some(true) => State::Frozen,
        Stage::Prepared { .. } => State::Prepared,
    }
}
