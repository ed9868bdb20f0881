use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

/// Hardware and place of a machine.
#[derive(AnchorSerialize, AnchorDeserialize, Pod, Zeroable, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Traits {
    /// Index of the hardware class in the market's list.
    pub class: u16,
    /// Number of GPUs, at least one.
    pub gpus: u8,
    /// Speed tier of its connection, as the market ranks them; higher is faster.
    pub speed: u8,
    /// ISO 3166-1 numeric code.
    pub country: u16,
    /// Region, as the market numbers it.
    pub region: u8,
    /// [`Traits::METERED`] or 0.
    pub flags: u8,
}

impl Traits {
    /// `flags`: may have a metered lease.
    pub const METERED: u8 = 1;
}

/// Where keepers probe a machine.
#[derive(AnchorSerialize, AnchorDeserialize, Pod, Zeroable, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Endpoint {
    /// IPv6 address, or IPv4 address mapped into it (::ffff:a.b.c.d).
    pub ip: [u8; 16],
    /// UDP port, little-endian.
    pub port: [u8; 2],
}

impl Endpoint {
    pub fn port(&self) -> u16 {
        u16::from_le_bytes(self.port)
    }
}
