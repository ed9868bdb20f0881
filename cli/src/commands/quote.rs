//! `leasehold quote`: exactly what `lease open` would take now.

use std::fmt;

use clap::Args;
use leasehold::error::LeaseholdError;
use leasehold_client::{error::Refusal, fetch::Fetched};
use serde::Serialize;

use crate::{
    alternatives::alternatives,
    amount::Money,
    chain::{Chain, MarketArgs, MarketView},
    commands::lease::meter::{self, MeterFlags},
    criteria::{CriteriaArgs, Length},
    failure::Failure,
    kinds::{self, Kind},
    pick::{Alternative, Choice, Picked, Wish, pick},
    table::{Table, labelled, some, some_slots},
    time::{rfc3339, start_of},
};

/// What is to be leased.
#[derive(Args)]
pub struct WishArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// How many machines: of one board where one has enough, else the cheapest of all boards. One, with
    /// --metered, where it can be left out.
    #[arg(long, value_name = "COUNT", required_unless_present = "metered")]
    #[arg(default_value_t = 1, hide_default_value = true)]
    pub machines: u32,
    /// How long from the next round on: rounds or time, as 144r, 90m, 24h or 7d.
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Length,
    /// Number of the one board to take them from [default: the cheapest that has enough, or several]
    #[arg(long, value_name = "NUMBER")]
    pub board: Option<u32>,
    #[command(flatten)]
    pub criteria: CriteriaArgs,
    #[command(flatten)]
    pub meter: MeterFlags,
}

impl WishArgs {
    pub fn wish(&self, market: &MarketView) -> Result<Wish, Failure> {
        let criteria = self.criteria.criteria(market)?;
        Ok(Wish { criteria, machines: self.machines, length: self.length })
    }
}

/// What could be leased now.
#[derive(Debug, Serialize)]
pub struct Quoted {
    pub fits: bool,
    /// What was asked for, a lease on each of these boards; none where it doesn't fit.
    pub offers: Vec<Offer>,
    /// To be deposited for all, and of that, what comes back where all are cancelled in their first round.
    pub total: Option<Money>,
    pub refundable: Option<Money>,
    /// What could be had instead, the cheapest first.
    pub alternatives: Vec<Instead>,
}

/// A lease on each of some boards, which together are what was asked for.
#[derive(Debug, Serialize)]
pub struct Offers {
    pub offers: Vec<Offer>,
    /// To be deposited for all.
    pub total: Money,
    /// Of that, what comes back where all are cancelled in their first round.
    pub refundable: Money,
}

#[derive(Debug, Serialize)]
pub struct Offer {
    /// Number of the board.
    pub board: u32,
    pub machines: usize,
    pub slots: Vec<u16>,
    /// What the machines are.
    pub kinds: Vec<Kind>,
    /// How many of them were down in the last closed round.
    pub down: usize,
    pub rounds: u32,
    /// First round, and the first after the last.
    pub from: u32,
    pub until: u32,
    pub start: String,
    pub end: String,
    /// To be deposited.
    pub total: Money,
    /// Of that, what comes back where the lease is cancelled in its first round.
    pub refundable: Money,
}

#[derive(Debug, Serialize)]
pub struct Instead {
    /// How it differs from what was asked for.
    pub instead: String,
    /// Of all boards.
    pub machines: usize,
    pub classes: Vec<String>,
    pub countries: Vec<String>,
    /// The machines in one line.
    #[serde(skip)]
    brief: String,
    #[serde(flatten)]
    pub offers: Offers,
}

pub async fn run(chain: &Chain, args: WishArgs) -> Result<(), Failure> {
    if args.meter.metered {
        return meter::quote(chain, args).await;
    }
    let market = chain.market(args.market.id.0).await?;
    let boards = chain.boards(&args.market.id.0, args.board).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let (wish, now) = (args.wish(&market)?, chain.fetch().now().await?);
    let lacking = Refusal::from(LeaseholdError::NotEnoughMachines);
    match pick(&market, &views, now, &wish) {
        Ok(choice) => chain.settings.output.print(&Quoted::new(Offers::new(&market, &choice))),
        Err(error) if error.refusal() == Some(lacking) => {
            let found = alternatives(&market, &views, now, &wish);
            let alternatives = found.iter().map(|found| Instead::new(&market, found)).collect();
            chain.settings.output.print(&Quoted::instead(alternatives))?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

impl Offers {
    pub fn new(market: &MarketView, choice: &Choice) -> Self {
        Offers {
            offers: choice.parts.iter().map(|part| Offer::new(market, part)).collect(),
            total: market.payment.money(choice.deposit),
            refundable: market.payment.money(choice.refundable),
        }
    }
}

impl Offer {
    pub fn new(market: &MarketView, picked: &Picked) -> Self {
        let Picked { board, quote, kinds, refundable, round_secs } = picked;
        Offer {
            board: *board,
            machines: quote.slots.len(),
            slots: quote.slots.clone(),
            kinds: kinds.clone(),
            down: kinds::down(kinds),
            rounds: quote.rounds,
            from: quote.from,
            until: quote.until,
            start: rfc3339(start_of(*round_secs, quote.from)),
            end: rfc3339(start_of(*round_secs, quote.until)),
            total: market.payment.money(quote.deposit),
            refundable: market.payment.money(*refundable),
        }
    }
}

impl Quoted {
    fn new(Offers { offers, total, refundable }: Offers) -> Self {
        let (total, refundable) = (Some(total), Some(refundable));
        Quoted { fits: true, offers, total, refundable, alternatives: Vec::new() }
    }

    fn instead(alternatives: Vec<Instead>) -> Self {
        Quoted { fits: false, offers: Vec::new(), total: None, refundable: None, alternatives }
    }
}

impl Instead {
    fn new(market: &MarketView, found: &Alternative) -> Self {
        let offers = Offers::new(market, &found.choice);
        let kinds = all_kinds(&offers.offers);
        Instead {
            instead: found.instead.clone(),
            machines: offers.offers.iter().map(|offer| offer.machines).sum(),
            classes: kinds::classes(&kinds),
            countries: kinds::countries(&kinds),
            brief: kinds::brief(&kinds),
            offers,
        }
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut lines = vec![
            ("Board:", self.board.to_string()),
            ("Machines:", format!("{} ({})", self.machines, some_slots(&self.slots))),
        ];
        lines.extend(kinds::lines(&self.kinds));
        lines.extend([
            ("Rounds:", format!("{} ({} to {})", self.rounds, self.from, self.until.saturating_sub(1))),
            ("Time:", format!("{} to {}", self.start, self.end)),
            ("Total:", self.total.to_string()),
            ("Refundable:", format!("{} where cancelled in its first round", self.refundable)),
        ]);
        f.write_str(&labelled(lines))
    }
}

/// What the machines of all boards are.
fn all_kinds(offers: &[Offer]) -> Vec<Kind> {
    kinds::merged(offers.iter().flat_map(|offer| &offer.kinds).cloned())
}

/// Offers of several boards, and what they come to.
fn table(f: &mut fmt::Formatter, offers: &[Offer], total: &Money, refundable: &Money) -> fmt::Result {
    let mut table = Table::new(&[">BOARD", ">MACHINES", ">TOTAL", ">REFUNDABLE"]);
    for offer in offers {
        table.row(vec![
            offer.board.to_string(),
            offer.machines.to_string(),
            offer.total.token.number(offer.total.amount),
            offer.refundable.token.number(offer.refundable.amount),
        ]);
    }
    let machines: usize = offers.iter().map(|offer| offer.machines).sum();
    let mut lines = vec![("Machines:", format!("{machines} of {} boards", offers.len()))];
    lines.extend(kinds::lines(&all_kinds(offers)));
    if let Some(offer) = offers.first() {
        let last = offer.until.saturating_sub(1);
        lines.push(("Rounds:", format!("{} ({} to {last})", offer.rounds, offer.from)));
        lines.push(("Time:", format!("{} to {}", offer.start, offer.end)));
    }
    lines.push(("Total:", total.to_string()));
    lines.push(("Refundable:", format!("{refundable} where cancelled in its first round")));
    write!(f, "{table}\n\n{}", labelled(lines))
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (&self.offers[..], &self.total, &self.refundable) {
            ([one], ..) => return one.fmt(f),
            (offers, Some(total), Some(refundable)) => return table(f, offers, total, refundable),
            _ => {}
        }
        if self.alternatives.is_empty() {
            return f.write_str("Nothing like it can be had now.");
        }
        f.write_str("It can't be had now. Instead:")?;
        for Instead { instead, brief, offers, .. } in &self.alternatives {
            let boards: Vec<_> = offers.offers.iter().map(|offer| offer.board.to_string()).collect();
            let board = if boards.len() == 1 { "board" } else { "boards" };
            write!(f, "\n{instead}: {brief} on {board} {}: {}", some(&boards), offers.total)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
