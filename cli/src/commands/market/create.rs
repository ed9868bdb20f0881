//! `leasehold market create`.

use anchor_lang::Space;
use leasehold::{
    constants::TIMELOCK_SECS,
    error::LeaseholdError,
    state::{Market, RoundRules},
};
use leasehold_client::{
    MarketRef, address,
    error::Refusal,
    fetch::{FetchError, Fetched, MintInfo},
    instruction,
};
use serde::Deserialize;
use serde_json::json;
use solana_pubkey::Pubkey;

use super::{
    CreateArgs,
    govern::read,
    params::{Line, ParamsFile},
};
use crate::{act::act, amount::Token, chain::Chain, failure::Failure, plan::Plan};

/// Bytes of a token account without extensions, which is what the stake vault is.
const TOKEN_ACCOUNT: usize = 165;

/// A market to be, in TOML: what `market create` and `deploy` read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketFile {
    /// Number of the market, free to choose while nobody has it.
    pub id: u64,
    /// Wallet that is the market's authority [default: whoever creates it or deploys to it]
    #[serde(default)]
    pub authority: Option<String>,
    /// Addresses of the mints.
    pub payment_mint: String,
    pub stake_mint: String,
    /// Seconds between announcing parameters and applying them.
    pub timelock_secs: u32,
    /// How many boards `deploy` sees to at least; `market create` makes none.
    #[serde(default)]
    pub boards: u32,
    pub rules: Rules,
    pub params: ParamsFile,
}

impl MarketFile {
    /// The wallet that the file has for the market's authority.
    pub fn authority(&self) -> Result<Option<Pubkey>, Failure> {
        let wrong =
            |text: &String| Failure::Input(format!("authority {text:?} is no wallet: give its address"));
        self.authority.as_ref().map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    /// Addresses of the mints for payments and for stake.
    pub fn mints(&self) -> Result<[Pubkey; 2], Failure> {
        Ok([mint(&self.payment_mint)?, mint(&self.stake_mint)?])
    }

    /// The market that is to be, whose mints were read.
    pub fn reference(&self, payments: &MintInfo, stakes: &MintInfo) -> Result<MarketRef, Failure> {
        let [payment, stake] = self.mints()?;
        let market = MarketRef::new(self.id, payment, stake);
        Ok(market.with_token_programs(payments.token_program, stakes.token_program))
    }
}

impl From<Rules> for RoundRules {
    fn from(rules: Rules) -> Self {
        let Rules { round_secs, submit_secs, seats, threshold, abandon_rounds } = rules;
        RoundRules { round_secs, submit_secs, seats, threshold, abandon_rounds }
    }
}

/// How rounds are voted on: never changed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub round_secs: u32,
    pub submit_secs: u32,
    pub seats: u8,
    pub threshold: u8,
    pub abandon_rounds: u8,
}

pub async fn run(chain: &Chain, args: CreateArgs) -> Result<(), Failure> {
    let file: MarketFile = read(&args.file)?;
    let [payment, stake] = file.mints()?;
    let fetch = chain.fetch();
    refuse_taken(file.id, fetch.market(address::market(file.id)).await)?;
    let (payments, stakes) = tokio::try_join!(fetch.mint(payment), fetch.mint(stake))?;
    act(chain, plan(&file, &payments, &stakes, chain.wallet()?)?).await
}

/// Refuses the number of a market that is there, whoever created it.
fn refuse_taken(id: u64, found: Result<Fetched<Market>, FetchError>) -> Result<(), Failure> {
    match found {
        Ok(market) => Err(Failure::Refused(format!(
            "market {id} exists already, its authority is {}: choose another id",
            market.account.authority
        ))),
        Err(FetchError::Missing { address }) if address == address::market(id) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn mint(text: &str) -> Result<Pubkey, Failure> {
    text.parse().map_err(|_| Failure::Input(format!("{text:?} is no mint: give its address")))
}

/// Creates the market, without boards.
pub fn plan(
    file: &MarketFile,
    payments: &MintInfo,
    stakes: &MintInfo,
    wallet: Pubkey,
) -> Result<Plan, Failure> {
    let market = file.reference(payments, stakes)?;
    let payment = Token { mint: market.payment_mint, decimals: payments.decimals };
    let stake = Token { mint: market.stake_mint, decimals: stakes.decimals };
    let rules = RoundRules::from(file.rules);
    rules.validate().map_err(Refusal::from)?;
    if !TIMELOCK_SECS.contains(&file.timelock_secs) {
        return Err(Refusal::from(LeaseholdError::TimelockOutOfRange).into());
    }
    if payment.mint == stake.mint {
        return Err(Refusal::from(LeaseholdError::SameMint).into());
    }
    if let Some(authority) = file.authority()?.filter(|authority| *authority != wallet) {
        return Err(Failure::Refused(format!(
            "whoever creates a market becomes its authority: that is to be {authority}, and {wallet} signs"
        )));
    }
    let params = file.params.params(payment, stake)?;
    let create = instruction::create_market(&market, wallet, file.timelock_secs, rules, params);
    let plan = Plan::new(format!("Create market {}", market.id))
        .fact("Market:", "market", market.address)
        .fact("Authority:", "authority", wallet)
        .fact("Payments:", "payment_mint", payment.mint);
    let plan = freeze(plan, "payment_freeze_authority", payments).fact("Stake:", "stake_mint", stake.mint);
    let mut plan = fixed(freeze(plan, "stake_freeze_authority", stakes), file.timelock_secs, rules);
    for Line { label, name, text, value } in file.params.lines() {
        plan = plan.fact_as(label, name, text, value);
    }
    Ok(plan.creates(8 + Market::INIT_SPACE).creates(TOKEN_ACCOUNT).step("create market", vec![create]))
}

/// Adds who may freeze accounts of a mint, vaults among them.
fn freeze(plan: Plan, name: &'static str, mint: &MintInfo) -> Plan {
    let authority = mint.freeze_authority.map(|authority| authority.to_string());
    let text = authority.clone().unwrap_or_else(|| "none".to_owned());
    plan.fact_as("Freeze authority:", name, text, authority)
}

/// Adds what nobody can change later. Programs read the rules as the file has them.
fn fixed(plan: Plan, timelock_secs: u32, rules: RoundRules) -> Plan {
    let RoundRules { round_secs, submit_secs, seats, threshold, abandon_rounds } = rules;
    let value = json!({
        "round_secs": round_secs,
        "submit_secs": submit_secs,
        "seats": seats,
        "threshold": threshold,
        "abandon_rounds": abandon_rounds,
    });
    let rounds = format!("{round_secs} seconds, votes within {submit_secs} after, for good");
    plan.fact_as("Rounds:", "rules", rounds, value)
        .note("Votes:", format!("{threshold} of {seats} seats make a verdict, for good"))
        .note("Abandoned:", format!("after {abandon_rounds} rounds down in a row, for good"))
        .fact_as("Timelock:", "timelock_secs", format!("{timelock_secs} seconds, for good"), timelock_secs)
}

#[cfg(test)]
mod tests {
    use anchor_lang::{AnchorDeserialize, Discriminator};
    use leasehold::{instruction::CreateMarket, instructions::CreateMarketArgs};
    use leasehold_client::sample::{self, wallet};

    use super::*;
    use crate::chain::tests::{mints, view};

    fn planned(file: &MarketFile) -> Result<Plan, Failure> {
        let [payments, stakes] = mints();
        plan(file, &payments, &stakes, wallet(8))
    }

    #[test]
    fn what_is_fixed_for_good_is_shown_and_who_may_freeze() {
        let plan = planned(&file()).unwrap();
        let text = |label: &str| {
            let facts = plan.facts.iter().filter(|fact| fact.label == label);
            facts.map(|fact| fact.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(text("Rounds:"), ["600 seconds, votes within 300 after, for good"]);
        assert_eq!(text("Votes:"), ["2 of 3 seats make a verdict, for good"]);
        assert_eq!(text("Abandoned:"), ["after 4 rounds down in a row, for good"]);
        assert_eq!(text("Timelock:"), ["60 seconds, for good"]);
        assert_eq!(text("Freeze authority:"), [wallet(7).to_string(), "none".to_owned()]);
        let details = plan.details();
        let rules = json!({
            "round_secs": 600, "submit_secs": 300, "seats": 3, "threshold": 2, "abandon_rounds": 4
        });
        assert_eq!((&details["rules"], &details["timelock_secs"]), (&rules, &60.into()));
        assert_eq!(details["payment_freeze_authority"], wallet(7).to_string());
        assert_eq!(details["stake_freeze_authority"], serde_json::Value::Null);
    }

    fn file() -> MarketFile {
        let market = view();
        let params = ParamsFile::of(market.payment, market.stake, &market.account.params);
        let text = format!(
            "id = 7\npayment_mint = \"{}\"\nstake_mint = \"{}\"\ntimelock_secs = 60\n[rules]\nround_secs = 600\n\
             submit_secs = 300\nseats = 3\nthreshold = 2\nabandon_rounds = 4\n",
            market.payment.mint, market.stake.mint
        );
        let params = toml::Value::try_from(params).unwrap();
        let mut table: toml::Table = toml::from_str(&text).unwrap();
        table.insert("params".to_owned(), params);
        toml::from_str(&toml::to_string(&table).unwrap()).unwrap()
    }

    #[test]
    fn a_market_is_created_as_the_file_has_it() {
        let plan = planned(&file()).unwrap();
        let data = &plan.steps[0].instructions[0].data;
        assert!(data.starts_with(CreateMarket::DISCRIMINATOR));
        let args = CreateMarketArgs::try_from_slice(&data[8..]).unwrap();
        assert_eq!((args.id, args.timelock_secs, args.rules), (7, 60, sample::rules()));
        assert_eq!(args.params, sample::params());
        assert_eq!(plan.details()["market"], sample::market().address.to_string());
        assert_eq!(plan.growths.len(), 2);
        let shown = ParamsFile::of(view().payment, view().stake, &sample::params());
        assert_eq!(plan.details()["bond_unit"], shown.bond_unit);
        assert_eq!(plan.details()["classes"], json!(shown.classes));
    }

    #[test]
    fn a_number_that_is_taken_is_refused_with_whose_it_is() {
        let (address, account) = (sample::market().address, view().account);
        let authority = account.authority;
        let taken = refuse_taken(7, Ok(Fetched { address, lamports: 0, account })).unwrap_err();
        assert_eq!(taken.code(), 3);
        let expected = format!("market 7 exists already, its authority is {authority}: choose another id");
        assert_eq!(taken.to_string(), expected);
        let address = address::market(7);
        assert!(refuse_taken(7, Err(FetchError::Missing { address })).is_ok());
        assert_eq!(refuse_taken(7, Err(FetchError::Clock)).unwrap_err().code(), 2, "it is not known");
    }

    #[test]
    fn rules_that_the_program_refuses_are_refused_at_once() {
        let refused = |file: MarketFile| planned(&file).unwrap_err().code();
        let rules = Rules { threshold: 1, ..file().rules };
        assert_eq!(refused(MarketFile { rules, ..file() }), 3);
        assert_eq!(refused(MarketFile { timelock_secs: 59, ..file() }), 3);
        assert_eq!(refused(MarketFile { stake_mint: file().payment_mint, ..file() }), 3);
        assert_eq!(mint("x").unwrap_err().code(), 2);
    }
}
