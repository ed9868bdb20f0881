//! The keeper: probes a market's machines, votes on their uptime, closes rounds, settles leases, enforces demands and burns
//! what is to be burned.
//!
//! A [`Keeper`] is a loop: it reads the chain ([`snapshot`]), plans ([`planner`], a pure function of the snapshot and its
//! [memory]) and executes the plan ([`tasks`]); the prober runs beside. A failure of one machine, board or RPC request
//! is logged and retried; only the operator stops a keeper.

mod clock;
mod evidence;
mod keeper;
pub mod memory;
mod metrics;
mod pay;
pub mod planner;
pub mod prober;
pub mod settings;
pub mod snapshot;
mod standing;
mod state;
pub mod tasks;
mod twin;

pub use clock::ClusterClock;
pub use evidence::Evidence;
pub use keeper::{Keeper, KeeperError, Report};
pub use metrics::{Metrics, Outcome};
pub use pay::{Pay, SeatPay};
pub use settings::{Args, Config, EvidenceSettings, Settings, SettingsError};
pub use standing::{Standing, Standings};
pub use state::{State, StateError, default_folder};
