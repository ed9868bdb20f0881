//! Compute logs, and demands to show receipts in them.

use anchor_lang::Discriminator;
use leasehold::state::{ComputeLog, Demand, Supplier};
use solana_pubkey::Pubkey;

use super::{Fetch, FetchError, Fetched, decode_all};
use crate::record::LogData;

/// Offset of the supplier's address in the account of a demand: after discriminator, version, bump, claimant, cluster,
/// board and lease.
const SUPPLIER_OFFSET: usize = 114;

impl Fetch<'_> {
    /// A compute log by its address; `None` if it doesn't exist.
    pub async fn log(&self, address: Pubkey) -> Result<Option<Fetched<LogData>>, FetchError> {
        self.raw(address).await?.map(|raw| raw.check(LogData::new(&raw.data))).transpose()
    }

    /// Every compute log of the program, of all markets.
    pub async fn logs(&self) -> Result<Vec<Fetched<LogData>>, FetchError> {
        let raw = self.matching(&[(0, ComputeLog::DISCRIMINATOR)]).await?;
        raw.iter().map(|raw| raw.check(LogData::new(&raw.data))).collect()
    }

    /// A demand by its address; `None` if it was answered, enforced or never made.
    pub async fn demand(&self, address: Pubkey) -> Result<Option<Fetched<Demand>>, FetchError> {
        self.stored(address).await
    }

    /// Every demand that a supplier, by the address of its account, has to answer.
    pub async fn demands_on(&self, supplier: &Pubkey) -> Result<Vec<Fetched<Demand>>, FetchError> {
        decode_all(&self.every::<Demand>(SUPPLIER_OFFSET, supplier).await?)
    }

    /// A supplier by the address of its account; `None` if it was closed.
    pub async fn supplier_at(&self, address: Pubkey) -> Result<Option<Fetched<Supplier>>, FetchError> {
        self.stored(address).await
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::AccountSerialize;

    use super::*;
    use crate::sample::wallet;

    #[test]
    fn the_filter_offset_is_that_of_a_demands_supplier() {
        let demand = Demand {
            version: Demand::VERSION,
            bump: 255,
            claimant: wallet(1),
            cluster: [7; 8],
            board: wallet(4),
            lease: wallet(2),
            supplier: wallet(3),
            node_key: [8; 32],
            slot: 0,
            generation: 0,
            serial: 1,
            seq: 0,
            leaf: Default::default(),
            due: 0,
            fee: 0,
            shown: None,
        };
        let mut data = Vec::new();
        demand.try_serialize(&mut data).unwrap();
        assert_eq!(&data[SUPPLIER_OFFSET..SUPPLIER_OFFSET + 32], wallet(3).as_ref());
    }
}
