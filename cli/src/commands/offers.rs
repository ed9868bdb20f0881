//! `leasehold offers`: what is free on a market.

use std::{collections::BTreeMap, fmt};

use clap::{Args, ValueEnum};
use leasehold::{math::matching::Criteria, state::Traits};
use leasehold_client::{board::BoardView, error::Refusal, fetch::Fetched, quote::fits};
use serde::Serialize;

use crate::{
    amount::Money,
    chain::{Chain, MarketArgs, MarketView},
    criteria::{Country, CriteriaArgs, Length},
    failure::Failure,
    table::Table,
};

#[derive(Args)]
pub struct OffersArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    #[command(flatten)]
    pub criteria: CriteriaArgs,
    /// Only machines that are promised for at least so long from the next round on.
    #[arg(long = "for", value_name = "LENGTH", default_value = "1r")]
    pub length: Length,
    /// What comes first.
    #[arg(long, value_name = "COLUMN", default_value = "price")]
    pub sort: Sort,
    /// Show so many lines at most.
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
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

/// Free machines, those that are alike in one line.
#[derive(Debug, Serialize)]
pub struct Offers {
    pub market: String,
    /// Lines, and machines in all of them, also where fewer lines are shown.
    pub machines: u32,
    pub offers: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub struct Line {
    /// The market's number and name.
    pub class: u16,
    pub class_name: String,
    pub gpus: u8,
    pub speed: u8,
    /// ISO 3166-1: number and letters.
    pub country: u16,
    pub country_code: String,
    pub region: u8,
    /// Whether it may be leased by use.
    pub metered: bool,
    /// For a machine and hour.
    pub price: Money,
    pub machines: u32,
    /// Best reputation among them.
    pub score: u16,
    /// Numbers of the boards they stand on.
    pub boards: Vec<u32>,
}

pub async fn run(chain: &Chain, args: OffersArgs) -> Result<(), Failure> {
    let market = chain.market(args.market.id.0).await?;
    let boards = chain.boards(&args.market.id.0, None).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let criteria = args.criteria.criteria(&market)?;
    let now = chain.fetch().now().await?;
    let mut found = offers(&market, &views, now, &criteria, args.length)?;
    found.sort(args.sort);
    found.offers.truncate(args.limit.unwrap_or(usize::MAX));
    chain.settings.output.print(&found)
}

/// Machines that a lease from the next round on could have.
pub fn offers(
    market: &MarketView,
    boards: &[BoardView],
    now: i64,
    criteria: &Criteria,
    length: Length,
) -> Result<Offers, Failure> {
    let mut lines = BTreeMap::<_, Line>::new();
    for board in boards {
        let next = board.header.round_at(now).map_err(Refusal::from)?.saturating_add(1);
        let until = next.saturating_add(length.rounds(board.header.round_secs)?);
        for (_, slot) in board.indexed().filter(|(_, slot)| fits(slot, criteria, until)) {
            let Traits { class, gpus, speed, country, region, flags } = slot.traits;
            let key = (slot.price, class, gpus, speed, country, region, flags);
            let line = lines.entry(key).or_insert_with(|| Line {
                class,
                class_name: market.class_name(class),
                gpus,
                speed,
                country,
                country_code: Country(country).to_string(),
                region,
                metered: flags & Traits::METERED != 0,
                price: market.payment.money(slot.price),
                machines: 0,
                score: 0,
                boards: Vec::new(),
            });
            line.machines = line.machines.saturating_add(1);
            line.score = line.score.max(slot.score);
            if line.boards.last() != Some(&board.header.index) {
                line.boards.push(board.header.index);
            }
        }
    }
    let offers: Vec<_> = lines.into_values().collect();
    let machines = offers.iter().fold(0u32, |sum, line| sum.saturating_add(line.machines));
    Ok(Offers { market: market.reference.address.to_string(), machines, offers })
}

impl Offers {
    pub fn sort(&mut self, sort: Sort) {
        use std::cmp::Reverse;
        // Sorting is stable, and the lines come by price.
        self.offers.sort_by_key(|line| line.price.amount);
        let offers = &mut self.offers;
        match sort {
            Sort::Price => {}
            Sort::Class => offers.sort_by_key(|line| line.class),
            Sort::Gpus => offers.sort_by_key(|line| Reverse(line.gpus)),
            Sort::Speed => offers.sort_by_key(|line| Reverse(line.speed)),
            Sort::Country => offers.sort_by(|one, other| one.country_code.cmp(&other.country_code)),
            Sort::Machines => offers.sort_by_key(|line| Reverse(line.machines)),
            Sort::Score => offers.sort_by_key(|line| Reverse(line.score)),
        }
    }
}

impl fmt::Display for Offers {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.offers.is_empty() {
            return f.write_str("Nothing is free that fits.");
        }
        let mut table = Table::new(&[
            "CLASS",
            ">GPUS",
            ">SPEED",
            "COUNTRY",
            ">REGION",
            ">PRICE/H",
            ">MACHINES",
            ">SCORE",
            "METERED",
        ]);
        for line in &self.offers {
            table.row(vec![
                line.class_name.clone(),
                line.gpus.to_string(),
                line.speed.to_string(),
                line.country_code.clone(),
                line.region.to_string(),
                line.price.token.number(line.price.amount),
                line.machines.to_string(),
                line.score.to_string(),
                if line.metered { "yes" } else { "no" }.to_owned(),
            ]);
        }
        let free = if self.machines == 1 { "machine is" } else { "machines are" };
        write!(f, "{table}\n{} {free} free that fit.", self.machines)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::{
        board::BoardData,
        quote::ANY,
        sample::{board_data, change, slot, snapshot},
    };

    use super::*;
    use crate::chain::tests::view;

    /// Round 1,000 runs.
    const NOW: i64 = 600_000;

    fn board() -> BoardData {
        let mut data = snapshot().boards.remove(0).data;
        let mut header = *data.view().unwrap().header;
        header.slots = 4;
        let mut fast = slot(1);
        (fast.traits.speed, fast.traits.gpus, fast.price, fast.score) = (9, 8, 2_000_000, 9_000);
        let mut away = slot(1);
        (away.traits.country, away.committed_until) = (840, 1_100);
        data = board_data(&header, &[slot(0), slot(1), fast, away]);
        change(&mut data, |_, slots| slots[1].score = 6_000);
        data
    }

    fn found(length: &str, sort: Sort) -> Offers {
        let data = board();
        let boards = [data.view().unwrap()];
        let mut found = offers(&view(), &boards, NOW, &ANY, length.parse().unwrap()).unwrap();
        found.sort(sort);
        found
    }

    #[test]
    fn machines_that_are_alike_stand_in_one_line() {
        let expected = "\
CLASS     GPUS  SPEED  COUNTRY  REGION  PRICE/H  MACHINES  SCORE  METERED
RTX 4090     1      2  DE            1  0.00036         2   6000  no
RTX 4090     1      2  US            1  0.00036         1   5000  no
RTX 4090     8      9  DE            1        2         1   9000  no
4 machines are free that fit.";
        assert_eq!(found("1r", Sort::Price).to_string(), expected);
        let json = serde_json::to_value(found("1r", Sort::Price)).unwrap();
        assert_eq!((&json["offers"][0]["price"]["amount"], &json["machines"]), (&"360".into(), &4.into()));
        assert_eq!(json["offers"][0]["boards"], serde_json::json!([0]));
    }

    #[test]
    fn only_what_is_promised_long_enough_and_fits_is_shown() {
        assert_eq!(found("99r", Sort::Price).machines, 4, "until round 1,100, exclusive");
        assert_eq!(found("100r", Sort::Price).machines, 3);
        assert_eq!(found("10000r", Sort::Price).to_string(), "Nothing is free that fits.");
        let data = board();
        let criteria = Criteria { min_gpus: 2, ..ANY };
        let fast = offers(&view(), &[data.view().unwrap()], NOW, &criteria, Length::Rounds(1)).unwrap();
        assert_eq!((fast.machines, fast.offers[0].gpus), (1, 8));
    }

    #[test]
    fn leased_machines_are_not_free() {
        let data = snapshot().boards.remove(0).data;
        let found = offers(&view(), &[data.view().unwrap()], NOW, &ANY, Length::Rounds(1)).unwrap();
        assert_eq!(found.machines, 1);
    }

    #[test]
    fn lines_are_sorted_by_the_column_that_was_asked_for() {
        for (sort, first) in [(Sort::Gpus, 2), (Sort::Speed, 2), (Sort::Score, 2), (Sort::Machines, 1)] {
            let speed = found("1r", sort).offers[0].speed;
            assert_eq!(speed == 9, first == 2, "{sort:?}");
        }
        assert_eq!(found("1r", Sort::Country).offers[2].country_code, "US");
    }
}
