//! `leasehold address`.

use std::fmt;

use serde::Serialize;
use solana_signer::Signer;

use leasehold_operate::{config::Settings, failure::Failure};

#[derive(Debug, Serialize)]
struct Address {
    address: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// Prints the wallet's address, without the network.
pub fn run(settings: &Settings) -> Result<(), Failure> {
    settings.output.print(&Address { address: settings.wallet()?.pubkey().to_string() })
}
