use anchor_lang::prelude::*;

use crate::{constants::MAX_PROFILES, error::LeaseholdError, state::Slot};

/// Descriptions of a supplier's machines. Address: `["profiles", supplier]`.
///
/// A machine names its entry by the index in this list, see [`Slot::profile`], and a lease can rely on it: entries are
/// appended and never change. An index beyond the list is of a machine that is not described yet.
#[account]
#[derive(InitSpace, Debug)]
pub struct Profiles {
    /// Layout version of this account.
    pub version: u8,
    /// Bump of this account's address.
    pub bump: u8,
    pub supplier: Pubkey,
    /// 64 at most. Last, since it grows.
    #[max_len(0)]
    pub entries: Vec<Profile>,
}

const _: () = assert!(MAX_PROFILES <= Slot::NO_PROFILE as usize);

impl Profiles {
    pub const VERSION: u8 = 1;

    /// Bytes of an account with so many entries.
    pub const fn len(entries: usize) -> usize {
        (8 + Profiles::INIT_SPACE).saturating_add(entries.saturating_mul(Profile::INIT_SPACE))
    }

    /// Bytes of this account once so many entries are appended.
    pub fn grown_len(&self, added: usize) -> usize {
        Profiles::len(self.entries.len().saturating_add(added))
    }

    /// Appends entries. Refuses none of them, malformed ones, and more than fit.
    pub fn append(&mut self, entries: &[Profile]) -> Result<()> {
        require!(!entries.is_empty(), LeaseholdError::NoProfiles);
        let room = MAX_PROFILES.saturating_sub(self.entries.len());
        require!(entries.len() <= room, LeaseholdError::ProfilesFull);
        for entry in entries {
            entry.validate()?;
        }
        self.entries.extend_from_slice(entries);
        Ok(())
    }
}

/// Description of a machine, as its supplier states it: nobody checks it.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// A [`ProfileKind`].
    pub kind: u8,
    /// An [`Interconnect`].
    pub interconnect: u8,
    /// CPU cores that the tenant has, of the whole machine.
    pub cores: u16,
    /// Memory of one GPU in MB (10⁶ bytes).
    pub vram_mb: u32,
    /// Memory and local disk that the tenant has, in GB (10⁹ bytes), of the whole machine.
    pub memory_gb: u32,
    pub disk_gb: u32,
    /// Version of the GPUs' driver: UTF-8, padded with zeros; empty if the tenant installs it.
    pub driver: [u8; 16],
    /// Reserved, all 0.
    pub reserved: [u8; 32],
}

const _: () = assert!(Profile::INIT_SPACE == 64);

/// What a tenant gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ProfileKind {
    /// A virtual machine with a kernel of its own.
    Vm = 0,
    /// A container, which shares the kernel with its host.
    Container = 1,
    /// The computer itself. It can't be paused.
    Metal = 2,
}

/// How the GPUs of a machine are connected to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Interconnect {
    /// Not at all, or there is one.
    None = 0,
    /// PCI Express.
    Pcie = 1,
    /// NVIDIA NVLink from GPU to GPU: pairs, or a mesh.
    NvLink = 2,
    /// NVIDIA NVLink through NVSwitch: each GPU to each other at full speed.
    NvSwitch = 3,
    /// AMD Infinity Fabric.
    InfinityFabric = 4,
}

impl Profile {
    /// Refuses an entry of an unknown kind or interconnect, without VRAM, cores, memory or disk, whose driver is no text, or
    /// whose reserved bytes are set.
    pub fn validate(&self) -> Result<()> {
        require!(self.kind <= ProfileKind::Metal as u8, LeaseholdError::UnknownProfileKind);
        let known = self.interconnect <= Interconnect::InfinityFabric as u8;
        require!(known, LeaseholdError::UnknownInterconnect);
        let stated =
            self.cores > 0 && [self.vram_mb, self.memory_gb, self.disk_gb].iter().all(|size| *size > 0);
        require!(stated, LeaseholdError::ProfileIncomplete);
        require!(self.driver().is_some(), LeaseholdError::DriverMalformed);
        require!(self.reserved == [0; 32], LeaseholdError::ReservedBits);
        Ok(())
    }

    /// The driver's version; `None` if it is not UTF-8 padded with zeros, or has control characters.
    pub fn driver(&self) -> Option<&str> {
        let end = self.driver.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        let text = core::str::from_utf8(self.driver.get(..end)?).ok()?;
        (!text.chars().any(char::is_control)).then_some(text)
    }
}
