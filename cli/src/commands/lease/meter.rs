//! Leases of one machine that are paid by use: `--metered` of `leasehold quote` and `lease open`, and what is
//! only for such leases.

mod change;
mod draft;
mod quoted;
mod spender;
mod token;
mod voucher;

use anchor_lang::Space;
use clap::Args;
use leasehold::{
    error::LeaseholdError,
    instructions::MeterArgs,
    math::matching::{Criteria, Policy},
    state::Lease,
};
use leasehold_client::{
    BoardRef,
    board::BoardView,
    error::Refusal,
    fetch::{Fetched, FetchedBoard},
    instruction,
    quote::{Quote, quote_metered},
};
use serde::Serialize;
use solana_pubkey::Pubkey;

use self::quoted::{MeteredOffer, MeteredQuote};
pub use self::{
    change::{TopUpArgs, notice, top_up},
    token::{TokenArgs, run as token},
    voucher::{VoucherArgs, run as voucher},
};
use super::OpenArgs;
use crate::{
    act::{Carried, carry_out},
    amount::Money,
    chain::{Chain, MarketView},
    commands::quote::WishArgs,
    criteria,
    failure::Failure,
    pick::require_allowed,
    plan::Plan,
    text::tell,
};

/// How the lease is to be paid.
#[derive(Args, Clone, Debug, Default)]
pub struct MeterFlags {
    /// Lease one machine by use and not by the hour: it is paid what vouchers are signed for.
    #[arg(long, requires = "deposit")]
    pub metered: bool,
    /// What to deposit with --metered, in the market's payment mint. Vouchers can take no more; what they leave comes
    /// back.
    #[arg(long, value_name = "AMOUNT", requires = "metered")]
    pub deposit: Option<String>,
}

/// What a metered lease opened now would get.
#[derive(Clone, Debug)]
struct Found<'a> {
    board: BoardView<'a>,
    quote: Quote,
}

pub async fn quote(chain: &Chain, args: WishArgs) -> Result<(), Failure> {
    let (market, boards, now) = read(chain, &args).await?;
    // Nobody signs anything yet.
    let found = find(&market, &boards, now, &args, Pubkey::default());
    let lacking = Refusal::from(LeaseholdError::NotEnoughMachines);
    let offer = match &found {
        Ok(found) => Some(MeteredOffer::new(&market, found)),
        Err(error) if error.refusal() == Some(lacking) => None,
        Err(_) => return found.map(|_| ()),
    };
    chain.settings.output.print(&MeteredQuote { fits: offer.is_some(), offer })?;
    found.map(|_| ())
}

pub async fn open(chain: &Chain, args: OpenArgs) -> Result<(), Failure> {
    let spender = match args.spender {
        Some(spender) if !spender.is_on_curve() => {
            let problem = format!("{spender} is no Ed25519 key, so nobody could sign vouchers as it");
            return Err(Failure::Input(format!("{problem}: pass a public key by --spender")));
        }
        Some(spender) => spender,
        None => chain.wallet()?,
    };
    let (market, boards, now) = read(chain, &args.wish).await?;
    let found = find(&market, &boards, now, &args.wish, spender)?;
    let plan = chain.on_market(plan(&market, &found, chain.wallet()?, args.cluster));
    let Carried { mut outcome, failure } = carry_out(chain, &plan).await?;
    let opened = failure.is_none() && !chain.settings.dry_run;
    if opened {
        let board = market.board(found.board.header.index);
        match got(chain, &market, &board, &found).await {
            Ok(machine) => {
                tell(machine.text());
                outcome.detail("machine", &machine);
            }
            // It is opened all the same.
            Err(error) => tell(format!("Which machine it got could not be read: {error}: see `lease show`")),
        }
    }
    chain.settings.output.end(&outcome, failure)
}

/// The machine that a lease got.
#[derive(Debug, Serialize)]
struct Got {
    slot: u16,
    node_key: String,
    /// It is another one than was quoted.
    differs: bool,
}

/// Reads the lease's machine once it is opened: the one that was quoted may have been taken meanwhile.
async fn got(
    chain: &Chain,
    market: &MarketView,
    board: &BoardRef,
    found: &Found<'_>,
) -> Result<Got, Failure> {
    let lease = board.lease(found.quote.serial);
    // The node may not show yet what it confirmed.
    let data = chain.fetch().board(board.address).await?;
    let missing = || Failure::NotThere {
        what: format!("machine of market {} in it", market.account.id),
        address: lease,
    };
    Got::new(&data.view()?, &found.quote).ok_or_else(missing)
}

impl Got {
    fn new(view: &BoardView, quote: &Quote) -> Option<Self> {
        let (slot, machine) = view.leased(quote.serial).next()?;
        let node_key = Pubkey::new_from_array(machine.node_key).to_string();
        Some(Got { slot, node_key, differs: quote.slots != [slot] })
    }

    fn text(&self) -> String {
        let Got { slot, node_key, differs } = self;
        let warning = if *differs { ". It is ANOTHER than was quoted: see `lease show`" } else { "" };
        format!("The lease has the machine of slot {slot}, key {node_key}{warning}")
    }
}

async fn read(chain: &Chain, args: &WishArgs) -> Result<(MarketView, Vec<FetchedBoard>, i64), Failure> {
    let market = chain.market(args.market.id.0).await?;
    let boards = chain.boards(&args.market.id.0, args.board).await?;
    Ok((market, boards, chain.fetch().now().await?))
}

fn find<'a>(
    market: &MarketView,
    boards: &'a [FetchedBoard],
    now: i64,
    args: &WishArgs,
    spender: Pubkey,
) -> Result<Found<'a>, Failure> {
    if args.machines != 1 {
        return Err(Failure::Input(
            "a metered lease has one machine: leave out --machines, and open one lease for each".to_owned(),
        ));
    }
    let criteria = args.criteria.criteria(market)?;
    let rounds = args.length.rounds(market.account.rules.round_secs)?;
    // Without --deposit clap refuses --metered.
    let deposit = market.payment.parse(args.meter.deposit.as_deref().unwrap_or("0"))?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    pick(market, &views, now, &criteria, rounds, MeterArgs { spender, deposit: deposit.amount })
}

/// The machine of the first board that has the cheapest, or the best where that is asked for: what it would
/// cost by the hour orders machines here, too.
fn pick<'a>(
    market: &MarketView,
    boards: &[BoardView<'a>],
    now: i64,
    criteria: &Criteria,
    rounds: u32,
    meter: MeterArgs,
) -> Result<Found<'a>, Failure> {
    require_allowed(market, rounds)?;
    let rank = |quote: &Quote| {
        let score = if criteria.policy == Policy::Best { quote.hint.score } else { 0 };
        (std::cmp::Reverse(score), quote.hint.price)
    };
    let mut best: Option<Found> = None;
    let mut refused = Refusal::from(LeaseholdError::NotEnoughMachines);
    for board in boards {
        match quote_metered(&market.account, board, now, criteria, rounds, meter) {
            Ok(quote) if best.as_ref().is_none_or(|best| rank(&quote) < rank(&best.quote)) => {
                best = Some(Found { board: *board, quote });
            }
            Ok(_) => {}
            Err(error) => refused = error,
        }
    }
    Ok(best.ok_or(refused)?)
}

/// Opens the lease that was quoted.
fn plan(market: &MarketView, found: &Found, buyer: Pubkey, cluster: Option<u64>) -> Plan {
    let quote = &found.quote;
    let offer = MeteredOffer::new(market, found);
    let board = market.board(offer.board);
    let wallet = market.reference.payment_account(&buyer);
    let open = instruction::open_lease(&board, buyer, wallet, quote.args(quote.deposit, cluster));
    let spender = quote.meter.map(|meter| meter.spender).unwrap_or_default();
    let whose = if spender == buyer { " (this wallet's key)" } else { "" };
    let deposit: Money = offer.deposit;
    let plan = Plan::new(format!("Open metered lease {}:{}", board.index, quote.serial))
        .fact("Lease:", "lease", board.lease(quote.serial))
        .fact_as(
            "Machine:",
            "slots",
            format!("{}, or another that fits", offer.machine()),
            quote.slots.clone(),
        );
    criteria::shown(plan, market, &quote.criteria)
        .fact_as(
            "Rounds:",
            "rounds",
            format!("{} to {}", quote.from, quote.until.saturating_sub(1)),
            quote.rounds,
        )
        .fact("From:", "start", &offer.start)
        .fact("To:", "end", &offer.end)
        .fact_as("Spender:", "spender", format!("{spender}{whose}"), spender.to_string())
        .fact_as("Notice:", "notice_rounds", offer.notice(), offer.notice_rounds)
        .money("Deposit now:", "deposit", deposit)
        .money_as(
            "Refundable:",
            "refundable",
            format!("{}: all that no voucher takes", offer.refundable),
            offer.refundable,
        )
        .spend("deposit", deposit, wallet)
        .creates(8 + Lease::INIT_SPACE)
        .step("open lease", vec![open])
}

#[cfg(test)]
pub mod tests;
