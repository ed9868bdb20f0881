//! Attests to the uptime of a market's machines: probes them, votes on each round, closes rounds and
//! settles leases.
//!
//! A [`Keeper`] goes round in a circle: it reads the chain ([`snapshot`]), decides what to do
//! ([`planner`], a pure function of what it sees and [remembers](memory)) and does it ([`tasks`]), while
//! probes of the running round go on beside. Whatever goes wrong on one machine, board or question to the
//! RPC node is logged and tried again; nothing stops it but its operator.

mod clock;
mod evidence;
mod keeper;
pub mod memory;
mod metrics;
pub mod planner;
pub mod prober;
pub mod settings;
pub mod snapshot;
pub mod tasks;
mod troubles;

pub use clock::ChainClock;
pub use evidence::Evidence;
pub use keeper::{Keeper, KeeperError, Report};
pub use metrics::{Metrics, Outcome};
pub use settings::{Args, Config, EvidenceSettings, Settings, SettingsError};
