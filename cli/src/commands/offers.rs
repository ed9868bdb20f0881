//! `leasehold offers`: idle machines of a market.

use std::{collections::BTreeMap, fmt};

use clap::{Args, ValueEnum};
use leasehold::{error::LeaseholdError, math::matching::Criteria, state::Traits};
use leasehold_client::{
    board::BoardView,
    error::Refusal,
    fetch::Fetched,
    quote::Moment,
    search::{Country, Length, require_allowed},
};
use leasehold_operate::{
    amount::Money,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
    table::Table,
    text::print_stderr,
};
use serde::Serialize;

use crate::criteria::CriteriaArgs;

#[derive(Args)]
pub struct OffersArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    #[command(flatten)]
    pub criteria: CriteriaArgs,
    /// Only machines that are committed for this long from the next round on [default: the market's shortest lease]
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Option<Length>,
    /// Sort by this column.
    #[arg(long, value_name = "COLUMN", default_value = "price")]
    pub sort: Sort,
    /// Most lines to print.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// Column by which offers are sorted; the cheaper comes first among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// The lowest price first.
    Price,
    /// By the market's order of classes.
    Class,
    /// The most GPUs first.
    Gpus,
    /// The fastest first.
    Speed,
    /// By the country's letters.
    Country,
    /// The most machines first.
    Machines,
    /// The best reputation first.
    Score,
}

/// Idle machines; identical machines share a line.
#[derive(Debug, Serialize)]
pub struct Offers {
    pub market: String,
    /// True if nothing can be leased until the market's authority resumes it.
    pub paused: bool,
    /// Number of machines in all lines, also if fewer lines are printed.
    pub machines: u32,
    /// Machines that would fit, too, if those were allowed that were not seen up lately.
    pub unseen: u32,
    pub offers: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub struct Line {
    /// The market's name and number.
    pub class: String,
    pub class_number: u16,
    pub gpus: u8,
    pub speed: u8,
    /// ISO 3166-1: letters.
    pub country: String,
    pub region: u8,
    /// True if it may be leased by use.
    pub metered: bool,
    /// Per GPU and hour, and of each machine per hour.
    pub price: Money,
    pub hourly: Money,
    pub machines: u32,
    /// How many of them were down in the last closed round.
    pub down: u32,
    /// Best reputation among them.
    pub score: u16,
    /// Numbers of the boards they stand on.
    pub boards: Vec<u32>,
}

pub async fn run(chain: &Chain, args: OffersArgs) -> Result<(), Failure> {
    let market = chain.market(args.market.id.0).await?;
    // Machines of boards that were not seen are counted.
    let (boards, _) = chain.boards_where(&args.market.id.0, |header| header.machines > 0).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let criteria = args.criteria.criteria(&market)?;
    let now = chain.fetch().now().await?;
    let mut found = offers(&market, &views, now, &criteria, args.length)?;
    found.sort(args.sort);
    found.offers.truncate(args.limit.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX));
    if found.paused {
        print_stderr(format!("leasehold: {}", Refusal::from(LeaseholdError::MarketPaused)));
    }
    chain.settings.output.print(&found)
}

/// Machines that a lease from the next round on could get, whether or not the market is paused.
pub fn offers(
    market: &MarketView,
    boards: &[BoardView],
    now: i64,
    criteria: &Criteria,
    length: Option<Length>,
) -> Result<Offers, Failure> {
    let length = length.unwrap_or(Length::Rounds(market.account.params.min_rounds));
    require_length(market, length)?;
    let any = Criteria { allow_unseen: true, ..*criteria };
    let (mut lines, mut all) = (BTreeMap::<_, Line>::new(), 0u32);
    for board in boards {
        let moment = Moment::new(board, now, length.rounds(board.header.round_secs)?)?;
        for (_, slot) in board.indexed().filter(|(_, slot)| moment.fits(slot, &any)) {
            all = all.saturating_add(1);
            if !moment.fits(slot, criteria) {
                continue;
            }
            let Traits { class, gpus, speed, country, region, flags } = slot.traits;
            let key = (slot.price, class, gpus, speed, country, region, flags);
            let line = lines.entry(key).or_insert_with(|| Line {
                class: market.class_name(class),
                class_number: class,
                gpus,
                speed,
                country: Country(country).to_string(),
                region,
                metered: flags & Traits::METERED != 0,
                price: market.payment.money(slot.price),
                hourly: market.payment.money(slot.hourly()),
                machines: 0,
                down: 0,
                score: 0,
                boards: Vec::new(),
            });
            line.machines = line.machines.saturating_add(1);
            line.down = line.down.saturating_add(board.was_down(slot).into());
            line.score = line.score.max(slot.score);
            if line.boards.last() != Some(&board.header.index) {
                line.boards.push(board.header.index);
            }
        }
    }
    let offers: Vec<_> = lines.into_values().collect();
    let machines = offers.iter().fold(0u32, |sum, line| sum.saturating_add(line.machines));
    let paused = market.account.paused;
    let unseen = all.saturating_sub(machines);
    Ok(Offers { market: market.reference.address.to_string(), paused, machines, unseen, offers })
}

/// Refuses a length that the market does not allow, whether or not it is paused.
fn require_length(market: &MarketView, length: Length) -> Result<(), Failure> {
    let mut resumed = market.account.clone();
    resumed.paused = false;
    Ok(require_allowed(&resumed, length.rounds(market.account.rules.round_secs)?)?)
}

impl Offers {
    pub fn sort(&mut self, sort: Sort) {
        use std::cmp::Reverse;
        // Sorting is stable, and the lines come by price.
        self.offers.sort_by_key(|line| line.price.amount);
        let offers = &mut self.offers;
        match sort {
            Sort::Price => {}
            Sort::Class => offers.sort_by_key(|line| line.class_number),
            Sort::Gpus => offers.sort_by_key(|line| Reverse(line.gpus)),
            Sort::Speed => offers.sort_by_key(|line| Reverse(line.speed)),
            Sort::Country => offers.sort_by(|one, other| one.country.cmp(&other.country)),
            Sort::Machines => offers.sort_by_key(|line| Reverse(line.machines)),
            Sort::Score => offers.sort_by_key(|line| Reverse(line.score)),
        }
    }
}

impl fmt::Display for Offers {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.offers.is_empty() {
            f.write_str("No idle machine fits")?;
            return match self.unseen {
                0 => f.write_str("."),
                1 => f.write_str(": 1 would, but was not seen up lately (--allow-unseen)."),
                more => write!(f, ": {more} would, but were not seen up lately (--allow-unseen)."),
            };
        }
        let mut table = Table::new(&[
            "CLASS",
            ">GPUS",
            ">SPEED",
            "COUNTRY",
            ">REGION",
            ">PRICE/GPU/H",
            ">PRICE/H",
            ">MACHINES",
            ">DOWN",
            ">SCORE",
            "METERED",
        ]);
        for line in &self.offers {
            table.row(vec![
                line.class.clone(),
                line.gpus.to_string(),
                line.speed.to_string(),
                line.country.clone(),
                line.region.to_string(),
                line.price.token.number(line.price.amount),
                line.hourly.token.number(line.hourly.amount),
                line.machines.to_string(),
                line.down.to_string(),
                line.score.to_string(),
                if line.metered { "yes" } else { "no" }.to_owned(),
            ]);
        }
        let fit = if self.machines == 1 { "machine fits" } else { "machines fit" };
        write!(f, "{table}\n{} idle {fit}", self.machines)?;
        match self.unseen {
            0 => f.write_str("."),
            1 => f.write_str("; 1 more was not seen up lately (--allow-unseen)."),
            more => write!(f, "; {more} more were not seen up lately (--allow-unseen)."),
        }
    }
}

#[cfg(test)]
mod tests;
