//! Tenancies: from a lease on the chain to a machine that its tenant can use, and back.
//!
//! For each machine of the node, [`plan`] says from what the chain says at `confirmed` and `finalized`, the cluster's clock
//! and the machine's [`record`] what is done next: the begin hook prepares the machine, the [`Door`](crate::access::Door) lets the tenant in,
//! its control group is frozen at the end, the end hook wipes. The planner is pure; [`Tenancies`] reads the chain and takes
//! the steps. While a machine's lease runs, the node answers its probes only if the begin hook has succeeded.

mod cgroup;
mod clock;
mod doors;
mod hook;
mod host;
mod metrics;
mod plan;
mod poll;
mod record;
#[cfg(test)]
mod sample;
mod service;
mod settings;
mod sight;

pub use doors::Doors;
pub use metrics::Metrics;
pub use service::{Context, Tenancies, TenancyError};
pub use settings::{AccessError, AccessSettings, LoadError, MachineSettings, Profile, load};
