//! Accounts that belong to a board: leases and demands that its slots name, found by their contents, since their addresses
//! don't follow from the slots; and its price indexes.

use std::collections::{BTreeSet, HashMap};

use anchor_lang::Discriminator;
use leasehold::{
    rules::index::next_record,
    state::{Board, Demand, Lease},
};
use leasehold_client::{
    account::Stored,
    board::BoardView,
    fetch::{Fetch, FetchError},
};
use solana_account_decoder_client_types::UiAccountEncoding;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    config::{RpcAccountInfoConfig, RpcProgramAccountsConfig},
    filter::{Memcmp, RpcFilterType},
};

use super::{DemandSnapshot, LeaseAccount};

/// The most accounts of one `getMultipleAccounts`.
pub(super) const BATCH: usize = 100;

/// Offset of the board's address in the account of a lease: after discriminator, version, bump and state.
const LEASE_BOARD: usize = 11;
/// Offset of the serial: after the board's address.
const LEASE_SERIAL: usize = LEASE_BOARD + 32;
/// Offset of the board's address in the account of a demand: after discriminator, version, bump, claimant and cluster.
const DEMAND_BOARD: usize = 8 + 2 + 32 + 8;

/// The leases of one board by serial, as far as its slots name them. Of a lease by the hour, nothing that a keeper needs
/// ever changes; what was paid under a metered one does, so those are read again each time.
#[derive(Debug, Default)]
pub(super) struct KnownLeases {
    leases: HashMap<u32, LeaseAccount>,
}

impl KnownLeases {
    /// Forgets the leases that the board's slots name no more, and reads those that are new.
    pub(super) async fn update(
        &mut self,
        rpc: &RpcClient,
        board: &Pubkey,
        view: &BoardView<'_>,
    ) -> Result<(), FetchError> {
        let named: BTreeSet<u32> =
            view.slots.iter().map(|slot| slot.lease).filter(|serial| *serial != 0).collect();
        self.leases.retain(|serial, _| named.contains(serial));
        self.refresh(rpc).await?;
        let mut unknown = named.iter().filter(|serial| !self.leases.contains_key(serial));
        let serial = match (unknown.next(), unknown.next()) {
            (None, _) => return Ok(()),
            (Some(serial), None) => Some(serial.to_le_bytes()),
            _ => None,
        };
        let mut filters = vec![(0, Lease::DISCRIMINATOR), (LEASE_BOARD, board.as_ref())];
        filters.extend(serial.as_ref().map(|serial| (LEASE_SERIAL, &serial[..])));
        for (address, lease) in accounts::<Lease>(rpc, &filters).await? {
            if named.contains(&lease.serial) {
                self.leases.insert(lease.serial, (address, lease));
            }
        }
        Ok(())
    }

    /// Reads the metered leases again.
    async fn refresh(&mut self, rpc: &RpcClient) -> Result<(), FetchError> {
        let metered = self.leases.values().filter(|(_, lease)| lease.meter.is_some());
        let addresses: Vec<Pubkey> = metered.map(|(address, _)| *address).collect();
        for some in addresses.chunks(BATCH) {
            let read = rpc.get_multiple_accounts(some).await?;
            for (address, account) in some.iter().zip(read) {
                let Some(account) = account.filter(|account| account.owner == leasehold::ID) else {
                    continue;
                };
                let lease = Lease::decode(&account.data)
                    .map_err(|error| FetchError::Decode { address: *address, error })?;
                self.leases.insert(lease.serial, (*address, lease));
            }
        }
        Ok(())
    }

    pub(super) fn by_serial(&self) -> &HashMap<u32, LeaseAccount> {
        &self.leases
    }

    /// True if every lease that the slots name was found. One that was not is of a node behind the board's.
    pub(super) fn is_complete(&self, view: &BoardView) -> bool {
        view.slots.iter().all(|slot| slot.lease == 0 || self.leases.contains_key(&slot.lease))
    }
}

/// The open demands for receipts of a board's machines; no request if no slot has any.
pub(super) async fn demands(
    rpc: &RpcClient,
    board: &Pubkey,
    view: &BoardView<'_>,
) -> Result<Vec<DemandSnapshot>, FetchError> {
    if view.slots.iter().all(|slot| slot.demands == 0) {
        return Ok(Vec::new());
    }
    let filters = [(0, Demand::DISCRIMINATOR), (DEMAND_BOARD, board.as_ref())];
    let found = accounts::<Demand>(rpc, &filters).await?;
    Ok(found
        .into_iter()
        .map(|(address, account)| DemandSnapshot { address, account: account.into() })
        .collect())
}

/// The price indexes of a board: hardware classes, and the Unix second from which the next day can be recorded.
pub(super) async fn indexes(
    fetch: &Fetch<'_>,
    board: &Pubkey,
    header: &Board,
) -> Result<Vec<(u16, i64)>, FetchError> {
    let mut indexes = Vec::new();
    for class in (0..32u16).filter(|class| header.indexed >> class & 1 == 1) {
        let index = fetch.index(board, class).await?;
        indexes.extend(index.and_then(|index| Some((class, next_record(&index.account).ok()?))));
    }
    Ok(indexes)
}

/// Every account of the program that has these bytes at these offsets.
async fn accounts<T: Stored>(
    rpc: &RpcClient,
    bytes: &[(usize, &[u8])],
) -> Result<Vec<(Pubkey, T)>, FetchError> {
    let filter = |(offset, bytes): &(usize, &[u8])| Memcmp::new_base58_encoded(*offset, bytes);
    let config = RpcProgramAccountsConfig {
        filters: Some(bytes.iter().map(filter).map(RpcFilterType::Memcmp).collect()),
        account_config: RpcAccountInfoConfig {
            encoding: Some(UiAccountEncoding::Base64Zstd),
            ..RpcAccountInfoConfig::default()
        },
        ..RpcProgramAccountsConfig::default()
    };
    let found = rpc.get_program_ui_accounts_with_config(&leasehold::ID, config).await?;
    let decode = |(address, account): (Pubkey, solana_account_decoder_client_types::UiAccount)| {
        let data = account.data.decode().unwrap_or_default();
        let decoded = T::decode(&data).map_err(|error| FetchError::Decode { address, error })?;
        Ok((address, decoded))
    };
    found.into_iter().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use anchor_lang::AccountSerialize;
    use leasehold::math::sum_tree::SumNode;

    use super::*;
    use crate::snapshot::fleet::tests::lease;

    fn data(account: &impl AccountSerialize) -> Vec<u8> {
        let mut data = Vec::new();
        account.try_serialize(&mut data).unwrap();
        data
    }

    #[test]
    fn filters_look_where_board_and_serial_are() {
        let board = Pubkey::new_from_array([0xb0; 32]);
        let lease = data(&Lease { board, ..lease(0x0102_0304, None) });
        assert_eq!(&lease[LEASE_BOARD..LEASE_BOARD + 32], board.as_ref());
        assert_eq!(&lease[LEASE_SERIAL..LEASE_SERIAL + 4], [4, 3, 2, 1]);
        let demand = Demand {
            version: Demand::VERSION,
            bump: 255,
            claimant: Pubkey::new_from_array([0xc1; 32]),
            cluster: [0xc0; 8],
            board,
            lease: Pubkey::new_from_array([0x1e; 32]),
            supplier: Pubkey::default(),
            node_key: [0; 32],
            slot: 1,
            generation: 2,
            serial: 3,
            seq: 4,
            leaf: SumNode { hash: [0; 32], units: 0, price: 0 },
            due: 5,
            fee: 6,
            shown: None,
        };
        assert_eq!(&data(&demand)[DEMAND_BOARD..DEMAND_BOARD + 32], board.as_ref());
    }
}
