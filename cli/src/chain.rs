//! What commands read of the chain before they plan.

use std::{
    str::FromStr,
    sync::{Arc, OnceLock},
};

use clap::Args;
use leasehold::state::{HardwareClass, Lease, Market};
use leasehold_client::{
    BoardRef, MarketRef, address,
    fetch::{Fetch, FetchError, FetchedBoard, MintInfo},
};
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_signer::Signer;

use crate::{
    amount::Token,
    config::Settings,
    failure::Failure,
    plan::{Payee, Plan, market},
    progress::patiently,
};

/// Which market is meant.
#[derive(Args, Clone, Copy, Debug)]
pub struct MarketArgs {
    /// The market, by number or by address.
    #[arg(long = "market", env = "LEASEHOLD_MARKET", value_name = "NUMBER|ADDRESS")]
    pub id: MarketId,
}

/// A market by its address, which its number gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketId(pub Pubkey);

impl FromStr for MarketId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().map(address::market);
        number.or_else(|_| text.parse()).map(MarketId).map_err(|_| "give the market's number or address")
    }
}

/// The RPC node, and how to talk to it.
pub struct Chain {
    pub settings: Settings,
    pub rpc: Arc<RpcClient>,
    /// Number and address of the market that was read: commands are about one.
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

    /// Lamports that an account of so many bytes must hold.
    pub async fn rent(&self, bytes: usize) -> Result<u64, FetchError> {
        Ok(self.rpc.get_minimum_balance_for_rent_exemption(bytes).await?)
    }

    pub async fn market(&self, address: Pubkey) -> Result<MarketView, Failure> {
        patiently("Reading the market", self.read_market(address)).await
    }

    async fn read_market(&self, address: Pubkey) -> Result<MarketView, Failure> {
        let fetch = self.fetch();
        let account = fetch.market(address).await.map_err(|error| missing(error, address, "such market"))?;
        let account = account.account;
        self.market.get_or_init(|| (account.id, address));
        let (payment, stake) =
            tokio::try_join!(fetch.mint(account.payment_mint), fetch.mint(account.stake_mint))?;
        Ok(MarketView::new(address, account, payment, stake))
    }

    /// A plan that names the market that was read for it.
    pub fn on_market(&self, plan: Plan) -> Plan {
        match self.market.get() {
            Some((id, address)) => plan.on_market(*id, *address),
            None => plan,
        }
    }

    /// A wallet's account for payments.
    pub async fn payee(&self, market: &MarketView, owner: Pubkey) -> Result<Payee, Failure> {
        let account = market.reference.payment_account(&owner);
        let exists = self.fetch().balance(account).await?.is_some();
        let MarketRef { payment_mint: mint, payment_token_program: token_program, .. } = market.reference;
        Ok(Payee { payer: self.wallet()?, owner, account, mint, token_program, exists })
    }

    /// A wallet's account for stake.
    pub async fn stake_payee(&self, market: &MarketView, owner: Pubkey) -> Result<Payee, Failure> {
        let account = market.reference.stake_account(&owner);
        let exists = self.fetch().balance(account).await?.is_some();
        let MarketRef { stake_mint: mint, stake_token_program: token_program, .. } = market.reference;
        Ok(Payee { payer: self.wallet()?, owner, account, mint, token_program, exists })
    }

    /// A market's boards, or the one with that number.
    pub async fn boards(&self, market: &Pubkey, only: Option<u32>) -> Result<Vec<FetchedBoard>, Failure> {
        let Some(index) = only else {
            return Ok(patiently("Reading boards", self.fetch().boards(market)).await?);
        };
        Ok(vec![self.board(market, index).await?])
    }

    /// The market's board with that number.
    pub async fn board(&self, market: &Pubkey, index: u32) -> Result<FetchedBoard, Failure> {
        let address = address::board(market, index);
        let board = patiently("Reading the board", self.fetch().board(address)).await;
        board.map_err(|error| missing(error, address, &format!("board {index} of the market")))
    }

    /// A lease's account.
    pub async fn lease(&self, address: Pubkey) -> Result<Lease, Failure> {
        let lease = patiently("Reading the lease", self.fetch().lease(address)).await?;
        // Who closes one, or mistypes it, is told the same.
        let gone = || Failure::NotThere { what: "such lease, or no longer,".to_owned(), address };
        Ok(lease.ok_or_else(gone)?.account)
    }
}

/// Says what is missing where it is what was looked for.
fn missing(error: FetchError, looked_for: Pubkey, what: &str) -> Failure {
    match error {
        FetchError::Missing { address } if address == looked_for => {
            Failure::NotThere { what: what.to_owned(), address }
        }
        error => error.into(),
    }
}

/// A market, and the mints it deals in.
#[derive(Clone, Debug)]
pub struct MarketView {
    pub reference: MarketRef,
    pub account: Market,
    pub payment: Token,
    pub stake: Token,
    /// Who may freeze accounts of the mints, vaults among them.
    pub payment_freeze_authority: Option<Pubkey>,
    pub stake_freeze_authority: Option<Pubkey>,
}

impl MarketView {
    pub fn new(address: Pubkey, account: Market, payment: MintInfo, stake: MintInfo) -> Self {
        MarketView {
            reference: MarketRef::of(address, &account, payment.token_program, stake.token_program),
            payment: Token { mint: account.payment_mint, decimals: payment.decimals },
            stake: Token { mint: account.stake_mint, decimals: stake.decimals },
            payment_freeze_authority: payment.freeze_authority,
            stake_freeze_authority: stake.freeze_authority,
            account,
        }
    }

    /// Its number and address.
    pub fn name(&self) -> String {
        market(self.account.id, self.reference.address)
    }

    pub fn board(&self, index: u32) -> BoardRef {
        self.reference.board(index)
    }

    /// Name of a hardware class, as the market has it; its number where it has none.
    pub fn class_name(&self, class: u16) -> String {
        let found = self.account.params.classes.get(usize::from(class)).map(name);
        found.filter(|name| !name.is_empty()).unwrap_or_else(|| class.to_string())
    }

    /// Name and number of a hardware class: leases and machines go by the number.
    pub fn class_in_full(&self, class: u16) -> String {
        format!("{} (number {class})", self.class_name(class))
    }

    /// Number of a hardware class, by its name or number.
    pub fn class(&self, text: &str) -> Result<u16, Failure> {
        let classes = &self.account.params.classes;
        // A number is always the class with that number, whatever others are called.
        let numbered = text.parse::<usize>().ok().filter(|number| *number < classes.len());
        let alike = classes.iter().enumerate().filter(|(_, class)| name(class).eq_ignore_ascii_case(text));
        let alike: Vec<_> = alike.map(|(place, _)| place).collect();
        let place = match (numbered, &alike[..]) {
            (Some(place), _) => Some(place),
            (None, [one]) => Some(*one),
            (None, []) => None,
            (None, several) => {
                let numbers: Vec<_> = several.iter().map(usize::to_string).collect();
                let numbers = numbers.join(", ");
                return Err(Failure::Input(format!(
                    "several classes of the market look like {text:?}: name one by its number, of {numbers}"
                )));
            }
        };
        let place = place.and_then(|place| u16::try_from(place).ok());
        place.ok_or_else(|| {
            let names: Vec<_> = classes.iter().map(name).collect();
            Failure::Input(format!("{text:?} is no class of the market: it has {}", names.join(", ")))
        })
    }
}

/// Name of a class without its padding. Whatever is no printable ASCII stands there as a question mark: it could
/// hide, or look like another name.
pub fn name(class: &HardwareClass) -> String {
    let name = String::from_utf8_lossy(&class.name);
    let printable = |character| if is_of_names(character) { character } else { '?' };
    name.trim_end_matches('\0').chars().map(printable).collect()
}

/// Whether a class may have the character in its name.
pub fn is_of_names(character: char) -> bool {
    matches!(character, ' '..='~')
}

#[cfg(test)]
pub mod tests {
    use leasehold_client::sample;

    use super::*;

    /// The sample's market, whose payments have 6 decimals and whose stake has 2.
    pub fn view() -> MarketView {
        let snapshot = sample::snapshot();
        let [payment, stake] = mints();
        MarketView::new(snapshot.address, snapshot.market, payment, stake)
    }

    /// Its mints, of which only that of payments can be frozen, by wallet 7.
    pub fn mints() -> [MintInfo; 2] {
        let token_program = sample::market().payment_token_program;
        let freeze_authority = Some(sample::wallet(7));
        [
            MintInfo { decimals: 6, token_program, freeze_authority },
            MintInfo { decimals: 2, token_program, freeze_authority: None },
        ]
    }

    #[test]
    fn a_market_is_named_by_number_or_address() {
        let address = address::market(7);
        assert_eq!("7".parse(), Ok(MarketId(address)));
        assert_eq!(address.to_string().parse(), Ok(MarketId(address)));
        assert!("seven".parse::<MarketId>().is_err());
        assert_eq!(view().reference, sample::market());
    }

    #[test]
    fn a_class_is_named_as_the_market_has_it() {
        let view = view();
        assert_eq!(view.class_name(0), "RTX 4090");
        assert_eq!((view.class_name(9), view.class_in_full(0)), ("9".into(), "RTX 4090 (number 0)".into()));
        assert_eq!((view.class("rtx 4090").unwrap(), view.class("0").unwrap()), (0, 0));
        let unknown = view.class("1").unwrap_err();
        assert_eq!(unknown.code(), 2);
        assert!(unknown.to_string().ends_with("it has RTX 4090"), "{unknown}");
        let hostile = HardwareClass { name: *b"\x1b[31mred\0\0\0\0\0\0\0\0", weight_bps: 1 };
        assert_eq!(name(&hostile), "?[31mred");
    }

    #[test]
    fn classes_that_look_alike_are_named_by_number() {
        let mut view = view();
        let class = |name: &[u8]| {
            let mut padded = [0; 16];
            padded[..name.len()].copy_from_slice(name);
            HardwareClass { name: padded, weight_bps: 1 }
        };
        view.account.params.classes.extend([class(b"rtx 4090"), class(b"0"), class("\u{410}100".as_bytes())]);
        let unclear = view.class("RTX 4090").unwrap_err();
        assert!(unclear.code() == 2 && unclear.to_string().ends_with("by its number, of 0, 1"), "{unclear}");
        assert_eq!((view.class("1").unwrap(), view.class("0").unwrap()), (1, 0), "numbers are never names");
        assert!(view.class("A100").is_err(), "the letter is none of ASCII");
        assert_eq!(view.class_name(3), "?100");
    }
}
