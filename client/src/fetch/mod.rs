//! Reads the program's accounts over RPC as typed values.
//!
//! Boards are found by their numbers, everything else by `getProgramAccounts` with filters.

mod lookup_table;
mod parts;
mod record;
mod snapshot;
mod token;

use anchor_lang::{Discriminator, system_program};
use futures::{StreamExt, TryStreamExt, stream};
use leasehold::state::{Keeper, Lease, Market, PriceIndex, Profiles, Supplier};
use serde_json::json;
use solana_account_decoder_client_types::{UiAccount, UiAccountEncoding};
use solana_commitment_config::CommitmentConfig;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::{Error as RpcError, ErrorKind},
    config::{RpcAccountInfoConfig, RpcProgramAccountsConfig},
    filter::{Memcmp, RpcFilterType},
    request::RpcRequest,
    response::Response,
};

pub use self::{
    parts::{AsOf, Head},
    token::MintInfo,
};
use crate::{
    account::{DecodeError, Stored, price_index},
    address,
    board::{BoardData, BoardView},
    clock,
    error::failure,
    market::{BoardRef, MarketRef},
};

/// Offset of the market's address in the accounts of suppliers and keepers: after discriminator, version and bump.
const MARKET_OFFSET: usize = 10;
/// Offset of the board's address in the account of a lease: after discriminator, version, bump and state. Its account grows,
/// so leases are never filtered by size.
const BOARD_OFFSET: usize = 11;
/// Offset of a lease's owner: after the board's address, serial, nonce and buyer.
const OWNER_OFFSET: usize = BOARD_OFFSET + 32 + 4 + 8 + 32;
/// Boards that are read concurrently; each has up to 1.1 MB.
const BOARDS_AT_ONCE: usize = 4;

/// Why an account could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{}", failure(_0))]
    Rpc(#[from] Box<RpcError>),
    #[error("{address} does not exist: check the address and the cluster")]
    Missing { address: Pubkey },
    #[error("{address}: {error}")]
    Decode { address: Pubkey, error: DecodeError },
    #[error("{address} is not a token account or mint: check the address")]
    Token { address: Pubkey },
    #[error("{address} is {reason}: check the address")]
    LookupTable { address: Pubkey, reason: &'static str },
    #[error("the cluster's clock could not be read: check the RPC address")]
    Clock,
    #[error("the market changed each time it was read: try again while it is quieter")]
    Busy,
    #[error(
        "the RPC node gave an older state of {address} than a moment before: it is several servers behind one address, \
         some of which lag; try again, or use another RPC node"
    )]
    Behind { address: Pubkey },
}

impl From<RpcError> for FetchError {
    fn from(error: RpcError) -> Self {
        FetchError::Rpc(Box::new(error))
    }
}

/// An account with its address and balance.
#[derive(Clone, Debug)]
pub struct Fetched<T> {
    pub address: Pubkey,
    pub lamports: u64,
    pub account: T,
}

/// A board with its address and balance.
pub type FetchedBoard = Fetched<BoardData>;

impl Fetched<BoardData> {
    /// Header and slots.
    pub fn view(&self) -> Result<BoardView<'_>, FetchError> {
        self.account.view().map_err(|error| FetchError::Decode { address: self.address, error })
    }

    /// The board for instruction builders.
    pub fn board_ref(&self, market: &MarketRef) -> Result<BoardRef, FetchError> {
        Ok(BoardRef { address: self.address, index: self.view()?.header.index, market: *market })
    }
}

/// Reads accounts from one RPC node at one commitment. Clones share the connection.
#[derive(Clone, Copy)]
pub struct Fetch<'a> {
    rpc: &'a RpcClient,
    commitment: CommitmentConfig,
}

impl<'a> Fetch<'a> {
    /// Reads at the commitment of the RPC client.
    pub fn new(rpc: &'a RpcClient) -> Self {
        Fetch { rpc, commitment: rpc.commitment() }
    }

    pub fn with_commitment(self, commitment: CommitmentConfig) -> Self {
        Fetch { commitment, ..self }
    }

    /// Unix time of the cluster, by which rounds are counted; it may differ from this machine's by seconds.
    pub async fn now(&self) -> Result<i64, FetchError> {
        let raw = self.existing(clock::ADDRESS).await?;
        clock::unix_time(&raw.data).ok_or(FetchError::Clock)
    }

    /// Genesis hash of the cluster; receipts and vouchers name a cluster by [a part of it](crate::record::cluster).
    pub async fn genesis_hash(&self) -> Result<Hash, FetchError> {
        Ok(self.rpc.get_genesis_hash().await?)
    }

    /// A market's account.
    pub async fn market(&self, address: Pubkey) -> Result<Fetched<Market>, FetchError> {
        self.stored(address).await?.ok_or(FetchError::Missing { address })
    }

    /// A market for instruction builders: its account, and the token programs its mints belong to.
    pub async fn market_ref(&self, address: Pubkey) -> Result<MarketRef, FetchError> {
        let market = self.market(address).await?.account;
        let (payment, stake) = (market.payment_mint, market.stake_mint);
        Ok(MarketRef::of(
            address,
            &market,
            self.mint(payment).await?.token_program,
            self.mint(stake).await?.token_program,
        ))
    }

    /// A supplier's account; `None` if the wallet has none.
    pub async fn supplier(
        &self,
        market: &Pubkey,
        authority: &Pubkey,
    ) -> Result<Option<Fetched<Supplier>>, FetchError> {
        self.stored(address::supplier(market, authority)).await
    }

    /// A keeper's account; `None` if the wallet has none.
    pub async fn keeper(
        &self,
        market: &Pubkey,
        authority: &Pubkey,
    ) -> Result<Option<Fetched<Keeper>>, FetchError> {
        self.stored(address::keeper(market, authority)).await
    }

    /// A lease's account; `None` if it was closed or never opened.
    pub async fn lease(&self, address: Pubkey) -> Result<Option<Fetched<Lease>>, FetchError> {
        self.stored(address).await
    }

    /// The lease with that serial on a board; `None` if its account was closed or never opened. Its address does not tell
    /// its serial, so that all accounts of the program are searched.
    pub async fn lease_of(&self, board: &Pubkey, serial: u32) -> Result<Option<Fetched<Lease>>, FetchError> {
        // The serial follows the board.
        let named = [board.as_ref(), &serial.to_le_bytes()].concat();
        let found = self.matching(&[(0, Lease::DISCRIMINATOR), (BOARD_OFFSET, &named)]).await?;
        found.first().map(Raw::decode).transpose()
    }

    /// The profiles of a supplier, by the address of its account; `None` if it has none.
    pub async fn profiles(&self, supplier: &Pubkey) -> Result<Option<Fetched<Profiles>>, FetchError> {
        self.stored(address::profiles(supplier)).await
    }

    /// The price index of a hardware class on a board; `None` if nobody has created it.
    pub async fn index(&self, board: &Pubkey, class: u16) -> Result<Option<Fetched<PriceIndex>>, FetchError> {
        let raw = self.raw(address::index(board, class)).await?;
        raw.map(|raw| raw.check(price_index(&raw.data))).transpose()
    }

    /// One board.
    pub async fn board(&self, address: Pubkey) -> Result<FetchedBoard, FetchError> {
        self.try_board(address).await?.ok_or(FetchError::Missing { address })
    }

    /// Every board of a market, by index.
    pub async fn boards(&self, market: &Pubkey) -> Result<Vec<FetchedBoard>, FetchError> {
        let next = self.market(*market).await?.account.next_board;
        self.boards_at((0..next).map(|index| address::board(market, index)).collect()).await
    }

    /// The boards at these addresses that exist, in their order.
    pub async fn boards_at(&self, addresses: Vec<Pubkey>) -> Result<Vec<FetchedBoard>, FetchError> {
        let boards = stream::iter(addresses).map(|address| self.try_board(address)).buffered(BOARDS_AT_ONCE);
        // Indices of closed boards are not used again.
        boards.try_filter_map(|board| async move { Ok(board) }).try_collect().await
    }

    /// Every supplier of a market, by the address of their account.
    pub async fn suppliers(&self, market: &Pubkey) -> Result<Vec<Fetched<Supplier>>, FetchError> {
        decode_all(&self.every::<Supplier>(MARKET_OFFSET, market).await?)
    }

    /// Every keeper of a market, by the address of their account.
    pub async fn keepers(&self, market: &Pubkey) -> Result<Vec<Fetched<Keeper>>, FetchError> {
        decode_all(&self.every::<Keeper>(MARKET_OFFSET, market).await?)
    }

    /// Every lease of a board whose account exists, settled ones too, by serial.
    pub async fn leases(&self, board: &Pubkey) -> Result<Vec<Fetched<Lease>>, FetchError> {
        let mut leases = decode_all::<Lease>(&self.every::<Lease>(BOARD_OFFSET, board).await?)?;
        leases.sort_by_key(|lease| lease.account.serial);
        Ok(leases)
    }

    /// Every lease that belongs to `owner`, on any board of any market, settled ones too, by board and serial.
    pub async fn leases_of(&self, owner: &Pubkey) -> Result<Vec<Fetched<Lease>>, FetchError> {
        let mut leases = decode_all::<Lease>(&self.every::<Lease>(OWNER_OFFSET, owner).await?)?;
        leases.sort_by_key(|lease| (lease.account.board, lease.account.serial));
        Ok(leases)
    }

    async fn raw(&self, address: Pubkey) -> Result<Option<Raw>, FetchError> {
        let config = RpcAccountInfoConfig {
            encoding: Some(UiAccountEncoding::Base64Zstd),
            commitment: Some(self.commitment),
            ..Default::default()
        };
        // The RPC client's own question about an account calls every failure a missing account, without its cause.
        let asked = json!([address.to_string(), config]);
        let response: Response<Option<UiAccount>> = self.rpc.send(RpcRequest::GetAccountInfo, asked).await?;
        let Some(account) = response.value else { return Ok(None) };
        let raw = Raw::read(address, account)?;
        Ok(Some(raw).filter(Raw::is_created))
    }

    async fn existing(&self, address: Pubkey) -> Result<Raw, FetchError> {
        self.raw(address).await?.ok_or(FetchError::Missing { address })
    }

    async fn stored<T: Stored>(&self, address: Pubkey) -> Result<Option<Fetched<T>>, FetchError> {
        self.raw(address).await?.map(|raw| raw.decode()).transpose()
    }

    async fn try_board(&self, address: Pubkey) -> Result<Option<FetchedBoard>, FetchError> {
        self.raw(address).await?.map(Raw::board).transpose()
    }

    /// Every account of a kind that names `owner` at `offset`, by address.
    async fn every<T: Stored>(&self, offset: usize, owner: &Pubkey) -> Result<Vec<Raw>, FetchError> {
        self.matching(&[(0, T::DISCRIMINATOR), (offset, owner.as_ref())]).await
    }

    /// Every account of the program that has these bytes at these offsets, by address.
    async fn matching(&self, bytes: &[(usize, &[u8])]) -> Result<Vec<Raw>, FetchError> {
        let filter = |(offset, bytes): &(usize, &[u8])| Memcmp::new_base58_encoded(*offset, bytes);
        let config = RpcProgramAccountsConfig {
            filters: Some(bytes.iter().map(filter).map(RpcFilterType::Memcmp).collect()),
            account_config: RpcAccountInfoConfig {
                encoding: Some(UiAccountEncoding::Base64),
                commitment: Some(self.commitment),
                ..Default::default()
            },
            ..Default::default()
        };
        let accounts = self.rpc.get_program_ui_accounts_with_config(&leasehold::ID, config).await?;
        let mut found = accounts
            .into_iter()
            .map(|(address, account)| Raw {
                address,
                owner: leasehold::ID,
                lamports: account.lamports,
                data: account.data.decode().unwrap_or_default(),
            })
            .collect::<Vec<_>>();
        found.sort_by_key(|raw| raw.address);
        Ok(found)
    }
}

/// An account as the RPC node returned it.
#[derive(PartialEq, Eq)]
struct Raw {
    address: Pubkey,
    owner: Pubkey,
    lamports: u64,
    data: Vec<u8>,
}

impl Raw {
    fn read(address: Pubkey, account: UiAccount) -> Result<Self, FetchError> {
        let (owner, data) = (account.owner.parse(), account.data.decode());
        let (Ok(owner), Some(data)) = (owner, data) else {
            let text = format!("the account {address} came in a form that can't be read");
            return Err(RpcError::from(ErrorKind::Custom(text)).into());
        };
        Ok(Raw { address, owner, lamports: account.lamports, data })
    }

    /// True if the account holds more than lamports. Anybody can send lamports to the address of a closed board or of a
    /// future lease, which the program can still create.
    fn is_created(&self) -> bool {
        self.owner != system_program::ID || !self.data.is_empty()
    }

    fn decode<T: Stored>(&self) -> Result<Fetched<T>, FetchError> {
        self.check(T::decode(&self.data))
    }

    fn board(self) -> Result<FetchedBoard, FetchError> {
        self.check(BoardData::new(&self.data))
    }

    fn check<T>(&self, account: Result<T, DecodeError>) -> Result<Fetched<T>, FetchError> {
        let (address, owner) = (self.address, self.owner);
        let account = if owner == leasehold::ID { account } else { Err(DecodeError::Owner { owner }) };
        let account = account.map_err(|error| FetchError::Decode { address, error })?;
        Ok(Fetched { address, lamports: self.lamports, account })
    }
}

fn decode_all<T: Stored>(raw: &[Raw]) -> Result<Vec<Fetched<T>>, FetchError> {
    raw.iter().map(Raw::decode).collect()
}

#[cfg(test)]
mod tests {
    use anchor_lang::AccountSerialize;

    use super::*;
    use crate::sample::snapshot;

    fn data(account: &impl AccountSerialize) -> Vec<u8> {
        let mut data = Vec::new();
        account.try_serialize(&mut data).unwrap();
        data
    }

    #[tokio::test]
    async fn an_unreachable_node_is_reported_with_the_cause_and_not_as_a_missing_account() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let market = snapshot().address;
        let ask = async |rpc: RpcClient| Fetch::new(&rpc).market(market).await.unwrap_err().to_string();
        let patience = std::time::Duration::from_millis(1);
        let silent = ask(RpcClient::new_with_timeout(url.clone(), patience)).await;
        assert!(
            silent.starts_with("the RPC node did not answer: ") && silent.ends_with("timed out"),
            "{silent}"
        );
        drop(listener);
        let closed = ask(RpcClient::new(url)).await;
        assert!(closed.contains(": Connection refused"), "{closed}");
    }

    #[test]
    fn filter_offsets_are_those_of_the_fields() {
        let snapshot = snapshot();
        let at = |data: &[u8], offset: usize| Pubkey::try_from(&data[offset..offset + 32]).unwrap();
        assert_eq!(at(&data(&snapshot.suppliers[0].1), MARKET_OFFSET), snapshot.address);
        assert_eq!(at(&data(&snapshot.keepers[0].1), MARKET_OFFSET), snapshot.address);
        let lease = &snapshot.boards[0].leases[0].1;
        let lease = Lease { owner: crate::sample::wallet(4), ..lease.clone() };
        let bytes = data(&lease);
        assert_eq!(at(&bytes, BOARD_OFFSET), snapshot.boards[0].address);
        assert_eq!(
            bytes[BOARD_OFFSET + 32..][..4],
            lease.serial.to_le_bytes(),
            "the serial follows the board"
        );
        assert_eq!(at(&bytes, OWNER_OFFSET), lease.owner);
    }

    #[test]
    fn an_address_with_only_lamports_counts_as_missing() {
        let raw =
            |owner, data: &[u8]| Raw { address: clock::ADDRESS, owner, lamports: 1, data: data.to_vec() };
        assert!(!raw(system_program::ID, &[]).is_created());
        assert!(raw(system_program::ID, &[0]).is_created());
        assert!(raw(leasehold::ID, &[]).is_created());
    }

    #[test]
    fn accounts_of_other_programs_and_kinds_are_refused() {
        let snapshot = snapshot();
        let raw = |owner| Raw { address: snapshot.address, owner, lamports: 1, data: data(&snapshot.market) };
        assert_eq!(raw(leasehold::ID).decode::<Market>().unwrap().account.id, 7);
        let foreign = raw(anchor_lang::system_program::ID).decode::<Market>().unwrap_err();
        assert!(
            foreign.to_string().contains("belongs to program 11111111111111111111111111111111"),
            "{foreign}"
        );
        let kind = raw(leasehold::ID).decode::<Lease>().unwrap_err();
        assert!(kind.to_string().ends_with("the account is not a lease: check the address"), "{kind}");
        let newer = Market { version: 2, ..snapshot.market };
        let raw = Raw { address: snapshot.address, owner: leasehold::ID, lamports: 1, data: data(&newer) };
        let version = raw.decode::<Market>().unwrap_err();
        assert!(
            version.to_string().contains("has layout version 2, and this client knows version 1"),
            "{version}"
        );
        let short = Raw { data: raw.data[..50].to_vec(), ..raw };
        let damaged = short.decode::<Market>().unwrap_err();
        assert!(damaged.to_string().contains("malformed or cut short"), "{damaged}");
    }
}
