//! Reads accounts before a command plans.

use std::{
    str::FromStr,
    sync::{Arc, OnceLock},
};

use clap::Args;
use leasehold::state::{Board, Lease};
use leasehold_client::{
    BoardRef, MarketRef, address,
    fetch::{Fetch, FetchError, Fetched, FetchedBoard},
};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signer::Signer;

use crate::{
    config::Settings, failure::Failure, market::MarketView, payee::Payee, plan::Plan, progress::with_spinner,
};

/// The market that a command is about.
#[derive(Args, Clone, Copy, Debug)]
pub struct MarketArgs {
    /// The market, by number or by address.
    #[arg(long = "market", env = "LEASEHOLD_MARKET", value_name = "NUMBER|ADDRESS")]
    pub id: MarketId,
}

/// Address of a market, which can be given as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketId(pub Pubkey);

impl FromStr for MarketId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().map(address::market);
        number.or_else(|_| text.parse()).map(MarketId).map_err(|_| "give the market's number or address")
    }
}

/// The RPC node with the settings of this run.
pub struct Chain {
    pub settings: Settings,
    pub rpc: Arc<RpcClient>,
    /// Number and address of the market that was read: a command is about one.
    market: OnceLock<(u64, Pubkey)>,
}

impl Chain {
    pub fn new(settings: Settings) -> Self {
        let rpc = Arc::new(settings.rpc());
        Chain { settings, rpc, market: OnceLock::new() }
    }

    pub fn fetch(&self) -> Fetch<'_> {
        Fetch::new(&self.rpc)
    }

    /// The wallet that signs and pays.
    pub fn wallet(&self) -> Result<Pubkey, Failure> {
        Ok(self.settings.wallet()?.pubkey())
    }

    /// The wallet that was named, or else the one that signs.
    pub fn wallet_or(&self, named: Option<Pubkey>) -> Result<Pubkey, Failure> {
        named.map_or_else(|| self.wallet(), Ok)
    }

    /// Rent of an account of so many bytes, in lamports.
    pub async fn rent(&self, bytes: usize) -> Result<u64, FetchError> {
        Ok(self.rpc.get_minimum_balance_for_rent_exemption(bytes).await?)
    }

    pub async fn market(&self, address: Pubkey) -> Result<MarketView, Failure> {
        with_spinner("Reading the market", self.read_market(address)).await
    }

    async fn read_market(&self, address: Pubkey) -> Result<MarketView, Failure> {
        let fetch = self.fetch();
        let account = fetch.market(address).await.map_err(|error| missing(error, address, "the market"))?;
        let account = account.account;
        self.market.get_or_init(|| (account.id, address));
        let (payment, stake) =
            tokio::try_join!(fetch.mint(account.payment_mint), fetch.mint(account.stake_mint))?;
        Ok(MarketView::new(address, account, payment, stake))
    }

    /// The plan with a fact that names the market that was read.
    pub fn on_market(&self, plan: Plan) -> Plan {
        match self.market.get() {
            Some((id, address)) => plan.on_market(*id, *address),
            None => plan,
        }
    }

    /// A wallet's token account for payments.
    pub async fn payee(&self, market: &MarketView, owner: Pubkey) -> Result<Payee, Failure> {
        let account = market.reference.payment_account(&owner);
        let exists = self.fetch().balance(account).await?.is_some();
        let MarketRef { payment_mint: mint, payment_token_program: token_program, .. } = market.reference;
        Ok(Payee { payer: self.wallet()?, owner, account, mint, token_program, exists })
    }

    /// A wallet's token account for stake.
    pub async fn stake_payee(&self, market: &MarketView, owner: Pubkey) -> Result<Payee, Failure> {
        let account = market.reference.stake_account(&owner);
        let exists = self.fetch().balance(account).await?.is_some();
        let MarketRef { stake_mint: mint, stake_token_program: token_program, .. } = market.reference;
        Ok(Payee { payer: self.wallet()?, owner, account, mint, token_program, exists })
    }

    /// A market's boards, or the one with that number.
    pub async fn boards(&self, market: &Pubkey, only: Option<u32>) -> Result<Vec<FetchedBoard>, Failure> {
        let Some(index) = only else {
            return Ok(with_spinner("Reading boards", self.fetch().boards(market)).await?);
        };
        Ok(vec![self.board(market, index).await?])
    }

    /// Headers of a market's boards, by number, without the votes of the running round.
    pub async fn headers(&self, market: &Pubkey) -> Result<Vec<Fetched<Box<Board>>>, Failure> {
        Ok(with_spinner("Reading boards", self.fetch().headers(market)).await?)
    }

    /// A market's boards whose headers pass, by number, and how many do not. Those are not read further.
    pub async fn boards_where(
        &self,
        market: &Pubkey,
        wanted: impl Fn(&Board) -> bool,
    ) -> Result<(Vec<FetchedBoard>, usize), Failure> {
        let read = async {
            let headers = self.fetch().headers(market).await?;
            let wanted = headers.iter().filter(|header| wanted(&header.account)).map(|header| header.address);
            let boards = self.fetch().boards_at(wanted.collect()).await?;
            let left_out = headers.len().saturating_sub(boards.len());
            Ok::<_, FetchError>((boards, left_out))
        };
        Ok(with_spinner("Reading boards", read).await?)
    }

    /// The market's board with that number.
    pub async fn board(&self, market: &Pubkey, index: u32) -> Result<FetchedBoard, Failure> {
        let address = address::board(market, index);
        let board = with_spinner("Reading the board", self.fetch().board(address)).await;
        board.map_err(|error| missing(error, address, &format!("board {index} of the market")))
    }

    /// A lease's account.
    pub async fn lease(&self, address: Pubkey) -> Result<Lease, Failure> {
        let lease = with_spinner("Reading the lease", self.fetch().lease(address)).await?;
        // A closed lease and a mistyped address look the same.
        let gone = || {
            Failure::Input(format!(
                "lease {address} does not exist on this cluster, or was closed: check its number or address, and \
                 --url"
            ))
        };
        Ok(lease.ok_or_else(gone)?.account)
    }

    /// The lease with that serial on a board, with its address.
    pub async fn lease_of(&self, board: &BoardRef, serial: u32) -> Result<Fetched<Lease>, Failure> {
        let lease = with_spinner("Reading the lease", self.fetch().lease_of(&board.address, serial)).await?;
        let (index, market) = (board.index, board.market.id);
        let gone = || {
            Failure::Input(format!(
                "lease {index}:{serial} does not exist on market {market} of this cluster, or was closed: check its \
                 number, --market and --url"
            ))
        };
        lease.ok_or_else(gone)
    }
}

/// Names the missing account if it is the one that was looked for.
fn missing(error: FetchError, looked_for: Pubkey, what: &str) -> Failure {
    match error {
        FetchError::Missing { address } if address == looked_for => {
            Failure::NotThere { what: what.to_owned(), address }
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::view;
    use leasehold_client::sample;

    #[test]
    fn a_market_is_named_by_number_or_address() {
        let address = address::market(7);
        assert_eq!("7".parse(), Ok(MarketId(address)));
        assert_eq!(address.to_string().parse(), Ok(MarketId(address)));
        assert!("seven".parse::<MarketId>().is_err());
        assert_eq!(view().reference, sample::market());
    }
}
