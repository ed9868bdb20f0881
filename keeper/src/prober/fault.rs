//! Why a round was not probed as it should be: then the keeper does not vote on it.
//!
//! A vote that leaves a bit clear says "I asked, and it did not answer". A keeper that was late, busy or cut off can't say that,
//! so it says nothing. Nothing here can be brought about by a machine's answers or its silence: else whoever lists a
//! machine could keep the votes out.

use std::time::Duration;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The controls are asked like machines, at random times among them, and answered by this process. They are the sample that
    /// tells how often a challenge or its answer got lost or late on this host.
    #[error(
        "this host is too busy: {missed} of {attempts} challenges to itself were not answered in time. Give it more CPU, \
         or a larger receive buffer (net.core.rmem_max)"
    )]
    Busy { missed: u32, attempts: u32 },
    #[error(
        "this host is too slow: challenges left up to {} ms late, and {machines} machines were not asked as often as \
         they should be. Give it more CPU",
        late.as_millis()
    )]
    Late { late: Duration, machines: usize },
    #[error(
        "this host was cut off: while it asked {machines} of the machines, it heard neither any other machine nor its RPC \
         node. Check its network"
    )]
    CutOff { machines: usize },
    #[error(
        "this host could not send to {machines} machines: check its network and its routes, for IPv6 too. If it can send to \
         others, these count as down from the next round on"
    )]
    Unsent { machines: usize },
    #[error("this host slept, or its clock was set, for {} s of the round", secs.as_secs())]
    Asleep { secs: Duration },
    #[error("the round was over {} s before all machines had been asked: the RPC node lags behind the cluster", late.as_secs())]
    Over { late: Duration },
    #[error(
        "no machine has answered for hours, or since this keeper started: check that this host can send and receive UDP"
    )]
    Deaf,
}

impl Fault {
    /// Names of all kinds, as metrics have them.
    pub const NAMES: [&str; 7] = ["busy", "late", "cut_off", "unsent", "asleep", "over", "deaf"];

    /// The kind's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Late { .. } => "late",
            Self::CutOff { .. } => "cut_off",
            Self::Unsent { .. } => "unsent",
            Self::Asleep { .. } => "asleep",
            Self::Over { .. } => "over",
            Self::Deaf => "deaf",
        }
    }
}
