//! `leasehold quote`: exactly the machines that `lease open` would take now.

pub mod metered;

use std::fmt;

use leasehold::math::matching::Place;
use leasehold_client::{
    fetch::Fetched,
    search::{Allocation, Change, Country, Fallback, Part, SearchError, fallbacks, merged, pick},
};
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    market::MarketView,
    table::{Table, count, labelled, some, some_slots},
    time::{rfc3339, start_of},
};
use serde::Serialize;

use crate::{
    kinds::{self, NamedKind, named},
    request::RequestArgs,
};

/// Machines that could be leased now.
#[derive(Debug, Serialize)]
pub struct Quoted {
    pub fits: bool,
    /// A lease on each of these boards, which together meet the request. Empty if it can't be met.
    pub offers: Vec<Offer>,
    /// The deposit for all, and the part that comes back if all are cancelled in their first round.
    pub total: Option<Money>,
    pub refundable: Option<Money>,
    /// Fallback offers, the cheapest first.
    pub alternatives: Vec<Instead>,
    /// Kinds of the machines of all boards.
    #[serde(skip)]
    kinds: Vec<NamedKind>,
}

/// A lease on each of some boards, which together meet the request.
#[derive(Debug, Serialize)]
pub struct Offers {
    pub offers: Vec<Offer>,
    /// To be deposited for all.
    pub total: Money,
    /// Part of it that comes back if all are cancelled in their first round.
    pub refundable: Money,
    /// Kinds of the machines of all boards.
    #[serde(skip)]
    pub kinds: Vec<NamedKind>,
}

#[derive(Debug, Serialize)]
pub struct Offer {
    /// Number of the board.
    pub board: u32,
    pub machines: usize,
    pub slots: Vec<u16>,
    /// Kinds of the machines.
    pub kinds: Vec<NamedKind>,
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
    /// Part of it that comes back if the lease is cancelled in its first round.
    pub refundable: Money,
}

#[derive(Debug, Serialize)]
pub struct Instead {
    /// How it differs from the request.
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

pub async fn run(chain: &Chain, args: RequestArgs) -> Result<(), Failure> {
    if args.meter.metered {
        return metered::run(chain, args).await;
    }
    let market = chain.market(args.market.id.0).await?;
    let boards = chain.boards(&args.market.id.0, args.board).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let (request, now) = (args.request(&market)?, chain.fetch().now().await?);
    match pick(&market.account, &views, now, &request) {
        Ok(allocation) => chain.settings.output.print(&Quoted::new(Offers::new(&market, &allocation))),
        Err(error @ SearchError::NotEnoughMachines { .. }) => {
            let found = fallbacks(&market.account, &views, now, &request);
            let instead = found.iter().map(|fallback| Instead::new(&market, fallback)).collect();
            chain.settings.output.print(&Quoted::instead(instead))?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

impl Offers {
    pub fn new(market: &MarketView, allocation: &Allocation) -> Self {
        let all = merged(allocation.parts.iter().flat_map(|part| &part.kinds).copied());
        Offers {
            offers: allocation.parts.iter().map(|part| Offer::new(market, part)).collect(),
            total: market.payment.money(allocation.deposit),
            refundable: market.payment.money(allocation.refundable),
            kinds: named(market, &all),
        }
    }
}

impl Offer {
    pub fn new(market: &MarketView, part: &Part) -> Self {
        let Part { board, quote, kinds, refundable, round_secs } = part;
        let kinds = named(market, kinds);
        Offer {
            board: *board,
            machines: quote.slots.len(),
            slots: quote.slots.clone(),
            down: kinds::down(&kinds),
            kinds,
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
    fn new(Offers { offers, total, refundable, kinds }: Offers) -> Self {
        let (total, refundable) = (Some(total), Some(refundable));
        Quoted { fits: true, offers, total, refundable, alternatives: Vec::new(), kinds }
    }

    fn instead(alternatives: Vec<Instead>) -> Self {
        Quoted {
            fits: false,
            offers: Vec::new(),
            total: None,
            refundable: None,
            alternatives,
            kinds: Vec::new(),
        }
    }
}

impl Instead {
    fn new(market: &MarketView, fallback: &Fallback) -> Self {
        let offers = Offers::new(market, &fallback.allocation);
        Instead {
            instead: changed(market, fallback.change),
            machines: offers.offers.iter().map(|offer| offer.machines).sum(),
            classes: kinds::classes(&offers.kinds),
            countries: kinds::countries(&offers.kinds),
            brief: kinds::brief(&offers.kinds),
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
            ("Refundable:", format!("{} if cancelled in its first round", self.refundable)),
        ]);
        f.write_str(&labelled(lines))
    }
}

/// Change of the request, in words.
fn changed(market: &MarketView, change: Change) -> String {
    match change {
        Change::FewerMachines => "fewer machines".to_owned(),
        Change::Class(class) => format!("class {}", market.class_name(class)),
        Change::AnyPlace(Place::Country(country)) => format!("not only in {}", Country(country)),
        Change::AnyPlace(Place::Region(region)) => format!("not only in region {region}"),
        Change::AnyPlace(Place::Anywhere) => "anywhere".to_owned(),
        Change::MaxPrice(price) => {
            let price = market.payment.number(price);
            format!("at most {price} an hour (--max-price {price})")
        }
        Change::MinGpus(gpus) => format!("at least {} each (--min-gpus {gpus})", count(gpus.into(), "GPU")),
        Change::MinSpeed(speed) => format!("speed {speed} or more (--min-speed {speed})"),
        Change::MinScore(score) => format!("score {score} or more (--min-score {score})"),
    }
}

/// Offers of several boards, with their totals.
fn table(
    f: &mut fmt::Formatter,
    offers: &[Offer],
    kinds: &[NamedKind],
    total: &Money,
    refundable: &Money,
) -> fmt::Result {
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
    let mut lines = vec![("Machines:", format!("{machines} on {} boards", offers.len()))];
    lines.extend(kinds::lines(kinds));
    if let Some(offer) = offers.first() {
        let last = offer.until.saturating_sub(1);
        lines.push(("Rounds:", format!("{} ({} to {last})", offer.rounds, offer.from)));
        lines.push(("Time:", format!("{} to {}", offer.start, offer.end)));
    }
    lines.push(("Total:", total.to_string()));
    lines.push(("Refundable:", format!("{refundable} if cancelled in its first round")));
    write!(f, "{table}\n\n{}", labelled(lines))
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (&self.offers[..], &self.total, &self.refundable) {
            ([one], ..) => return one.fmt(f),
            (offers, Some(total), Some(refundable)) => {
                return table(f, offers, &self.kinds, total, refundable);
            }
            _ => {}
        }
        if self.alternatives.is_empty() {
            return f.write_str("Not available, and no fallback offers.");
        }
        f.write_str("Not available. Fallback offers:")?;
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
