//! GPUs of a host, as nvidia-smi reports them, and the classes of a market that they fit.

mod answer;
mod class;
#[cfg(feature = "rpc")]
mod smi;

pub use answer::{Answer, FIELDS, OLD_FIELDS, parse};
pub use class::{candidates, made_with};
#[cfg(feature = "rpc")]
pub use smi::{GpuError, ask};

use serde::Serialize;
use std::fmt;

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gpu {
    pub name: String,
    pub uuid: String,
    /// `None` if the driver does not report it.
    pub memory_mib: Option<u64>,
    /// True if MIG splits it.
    pub mig: bool,
}

impl Gpu {
    /// True if it is a part of a GPU that a hypervisor passes on, such as `NVIDIA A40-48Q` or `NVIDIA H100L-2-24C`.
    pub fn is_virtual(&self) -> bool {
        let last = self.name.rsplit('-').next().unwrap_or_default();
        let gigabytes = last.strip_suffix(['A', 'B', 'C', 'Q']).unwrap_or_default();
        last.len() < self.name.len()
            && !gigabytes.is_empty()
            && gigabytes.bytes().all(|byte| byte.is_ascii_digit())
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(memory) = self.memory_mib {
            write!(f, ", {memory} MiB")?;
        }
        write!(f, ", {}", self.uuid)
    }
}
