use bytemuck::{Pod, Zeroable};

/// Voucher, version 2: what the buyer of a metered lease signs off-chain for everything it owes one machine so far. A later
/// voucher replaces all before it. The signature is Ed25519 of the lease's `spender` over these 200 bytes.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Voucher {
    /// [`Voucher::TAG`].
    pub tag: [u8; 16],
    /// This program.
    pub program: [u8; 32],
    /// Address of the lease, which belongs to one board.
    pub lease: [u8; 32],
    /// First 8 bytes of the genesis hash of the cluster it is meant for.
    pub cluster: [u8; 8],
    /// The machine that is paid: its key, the first 8 bytes of its supplier's account's address, its slot's generation and
    /// its slot.
    pub node_key: [u8; 32],
    pub supplier: [u8; 8],
    pub generation: u32,
    /// First round of the lease: distinguishes it from one that had its address before.
    pub from: u32,
    pub slot: u16,
    /// Reserved, zero.
    pub reserved: [u8; 6],
    /// Number of receipts it pays for: all those with a lower number.
    pub seq: u64,
    /// Their compute units.
    pub units: u64,
    /// Their price, in payment units.
    pub price: u64,
    /// Root of the sum tree over them; zeros if the buyer keeps none.
    pub root: [u8; 32],
}

const _: () = assert!(core::mem::size_of::<Voucher>() == Voucher::LEN);

impl Voucher {
    pub const LEN: usize = 200;
    pub const TAG: [u8; 16] = *b"LEASEHOLD:VCHR:2";

    /// Reads a voucher; `None` if the bytes are no voucher of this version and program.
    pub fn read(bytes: &[u8]) -> Option<Voucher> {
        let voucher: Voucher = (bytes.len() == Self::LEN).then(|| bytemuck::pod_read_unaligned(bytes))?;
        let ours = voucher.tag == Self::TAG && voucher.program == crate::ID.to_bytes();
        (ours && voucher.reserved == [0; 6]).then_some(voucher)
    }

    pub fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }
}
