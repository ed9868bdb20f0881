//! Options of a network, and grants to wallets.

use std::time::Duration;

use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

/// A compiled program and its address.
#[derive(Clone)]
pub struct Program {
    /// Its address.
    pub id: Pubkey,
    /// The shared object.
    pub bytes: Vec<u8>,
}

/// Options of a network.
pub struct Options {
    /// The JSON-RPC port; `None` takes a free one.
    pub rpc_port: Option<u16>,
    /// The websocket port; `None` takes a free one.
    pub ws_port: Option<u16>,
    /// Time between two blocks. A blockhash is valid for 150 of them.
    pub slot: Duration,
    /// The program to load; the payer is its upgrade authority.
    pub program: Option<Program>,
    /// The payer; `None` generates one.
    pub payer: Option<Keypair>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rpc_port: None, ws_port: None, slot: Duration::from_millis(100), program: None, payer: None }
    }
}

/// Lamports and tokens for a wallet.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// The wallet. Tokens go to its associated token accounts, which are created.
    pub wallet: Pubkey,
    /// Lamports.
    pub lamports: u64,
    /// Base units of the payment mint; 0 creates no account.
    pub payment: u64,
    /// Base units of the stake mint; 0 creates no account.
    pub stake: u64,
}
