//! `leasehold quote`: exactly the machines that `lease open` would take now.

pub mod metered;

use std::fmt;

use leasehold::{
    error::LeaseholdError,
    math::{matching::Place, pricing::rate},
};
use leasehold_client::{
    error::Refusal,
    fetch::Fetched,
    search::{Allocation, Change, Country, Fallback, Part, SearchError, fallbacks, merged},
};
use leasehold_operate::{
    amount::{Money, percent},
    chain::Chain,
    failure::Failure,
    market::MarketView,
    table::{Table, count, labelled, some, some_slots},
    time::{rfc3339, start_of},
};
use serde::Serialize;

use crate::{
    boards::allocate,
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
    /// GPUs of all its machines: as many as were asked for, or more.
    pub gpus: u32,
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
    /// Part of the machines' pay that is held back until each leaves, in basis points, and the market's fee on it.
    pub hold_bps: u16,
    pub fee_bps: u16,
    /// Most that the fee can be.
    pub fee_at_most: Money,
    /// Most that can be burned of the machines' pay as damages.
    pub damages_at_most: Money,
}

#[derive(Debug, Serialize)]
pub struct Instead {
    /// How it differs from the request.
    pub instead: String,
    /// Of all boards.
    pub gpus: u32,
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
    let (request, now) = (args.request(&market)?, chain.fetch().now().await?);
    let (boards, found) = allocate(chain, &market, args.board, now, &request).await?;
    match found {
        Ok(allocation) => chain.settings.output.print(&Quoted::new(Offers::new(&market, &allocation)?)),
        Err(error @ SearchError::NotEnoughGpus { .. }) => {
            let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
            let found = fallbacks(&market.account, &views, now, &request);
            let instead = found.iter().map(|fallback| Instead::new(&market, fallback));
            let instead = instead.collect::<Result<_, _>>()?;
            chain.settings.output.print(&Quoted::instead(instead))?;
            Err(error.into())
        }
        Err(error) => Err(advised(error)),
    }
}

/// The failure of a search, with what to do about it on the command line.
pub fn advised(error: SearchError) -> Failure {
    if error.refusal() == Some(LeaseholdError::BoardUnseen.into()) {
        let advice = "wait for the next round, or pass --allow-unseen";
        return Failure::Refused(format!("no machine was seen up lately: {advice}"));
    }
    error.into()
}

impl Offers {
    pub fn new(market: &MarketView, allocation: &Allocation) -> Result<Self, Failure> {
        let all = merged(allocation.parts.iter().flat_map(|part| &part.kinds).copied());
        let offers = allocation.parts.iter().map(|part| Offer::new(market, part));
        Ok(Offers {
            offers: offers.collect::<Result<_, _>>()?,
            total: market.payment.money(allocation.deposit),
            refundable: market.payment.money(allocation.refundable),
            kinds: named(market, &all),
        })
    }
}

impl Offer {
    pub fn new(market: &MarketView, part: &Part) -> Result<Self, Failure> {
        let Part { board, quote, kinds, refundable, round_secs: _ } = part;
        let (kinds, terms) = (named(market, kinds), &quote.terms);
        let most = |bps| Ok::<_, Refusal>(market.payment.money(rate(quote.deposit, bps)?));
        Ok(Offer {
            board: *board,
            gpus: quote.selection.gpus,
            machines: quote.slots.len(),
            slots: quote.slots.clone(),
            down: kinds::down(&kinds),
            kinds,
            rounds: quote.rounds,
            from: quote.from,
            until: quote.until,
            start: rfc3339(start_of(terms, quote.from)),
            end: rfc3339(start_of(terms, quote.until)),
            total: market.payment.money(quote.deposit),
            refundable: market.payment.money(*refundable),
            hold_bps: terms.hold_bps,
            fee_bps: terms.fee_bps,
            fee_at_most: most(terms.fee_bps)?,
            damages_at_most: most(terms.hold_bps)?,
        })
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
    fn new(market: &MarketView, fallback: &Fallback) -> Result<Self, Failure> {
        let offers = Offers::new(market, &fallback.allocation)?;
        Ok(Instead {
            instead: changed(market, fallback.change),
            gpus: fallback.allocation.gpus,
            machines: offers.offers.iter().map(|offer| offer.machines).sum(),
            classes: kinds::classes(&offers.kinds),
            countries: kinds::countries(&offers.kinds),
            brief: kinds::brief(&offers.kinds),
            offers,
        })
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut lines = vec![
            ("Board:", self.board.to_string()),
            ("GPUs:", self.gpus.to_string()),
            ("Machines:", format!("{} ({})", self.machines, some_slots(&self.slots))),
        ];
        lines.extend(kinds::lines(&self.kinds));
        lines.extend([
            ("Rounds:", format!("{} ({} to {})", self.rounds, self.from, self.until.saturating_sub(1))),
            ("Time:", format!("{} to {}", self.start, self.end)),
            ("Total:", self.total.to_string()),
            ("Refundable:", format!("{} if cancelled in its first round", self.refundable)),
        ]);
        lines.extend(self.rules());
        f.write_str(&labelled(lines))
    }
}

impl Offer {
    /// What is held back, burned and taken as fees, and why.
    pub fn rules(&self) -> [(&'static str, String); 3] {
        rules(self, &self.damages_at_most, &self.fee_at_most)
    }
}

/// What is held back, burned and taken as fees by the terms of leases on several boards.
pub fn rules_of(offers: &[Offer]) -> Vec<(&'static str, String)> {
    let Some(offer) = offers.first() else { return Vec::new() };
    let sum = |of: fn(&Offer) -> Money| {
        let amounts = offers.iter().map(|offer| of(offer).amount);
        offer.total.token.money(amounts.fold(0, u64::saturating_add))
    };
    // The terms are the market's, the same on each board.
    rules(offer, &sum(|offer| offer.damages_at_most), &sum(|offer| offer.fee_at_most)).into()
}

/// What is held back, burned and taken as fees by the terms of a lease, and why, with the most that is burned and taken.
fn rules(offer: &Offer, damages: &Money, fee: &Money) -> [(&'static str, String); 3] {
    let number = |money: &Money| money.token.number(money.amount);
    let Offer { hold_bps, fee_bps, .. } = offer;
    let held =
        format!("{} of each machine's pay, two hours of it at least, until it leaves", percent(*hold_bps));
    let damages = format!(
        "of what is held back, the price of rounds down beyond a machine's allowance; {} at most in all",
        number(damages)
    );
    let fee = format!("{}, out of the machines' pay; {} at most", percent(*fee_bps), number(fee));
    [("Held back:", held), ("Burned:", damages), ("Market's fee:", fee)]
}

/// Change of the request, in words.
fn changed(market: &MarketView, change: Change) -> String {
    match change {
        Change::FewerGpus(gpus) => {
            format!("{} (--gpus {gpus})", count(usize::try_from(gpus).unwrap_or(usize::MAX), "GPU"))
        }
        Change::Class(class) => format!("class {}", market.class_name(class)),
        Change::AnyPlace(Place::Country(country)) => format!("not only in {}", Country(country)),
        Change::AnyPlace(Place::Region(region)) => format!("not only in region {region}"),
        Change::AnyPlace(Place::Anywhere) => "anywhere".to_owned(),
        Change::MaxPrice(price) => {
            let price = market.payment.number(price);
            format!("at most {price} per GPU and hour (--max-price {price})")
        }
        Change::MinGpus(gpus) => format!("at least {} each (--min-gpus {gpus})", count(gpus.into(), "GPU")),
        Change::MaxGpus(gpus) => format!("at most {} each (--max-gpus {gpus})", count(gpus.into(), "GPU")),
        Change::MinBond(least) => {
            let bond = market.stake.number(least);
            format!("bonds of at least {} per GPU (--min-bond {bond})", market.stake.money(least))
        }
        Change::Unseen => "machines that were not seen up lately (--allow-unseen)".to_owned(),
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
    let mut table = Table::new(&[">BOARD", ">GPUS", ">MACHINES", "FROM", "TO", ">TOTAL", ">REFUNDABLE"]);
    for offer in offers {
        table.row(vec![
            offer.board.to_string(),
            offer.gpus.to_string(),
            offer.machines.to_string(),
            offer.start.clone(),
            offer.end.clone(),
            offer.total.token.number(offer.total.amount),
            offer.refundable.token.number(offer.refundable.amount),
        ]);
    }
    let machines: usize = offers.iter().map(|offer| offer.machines).sum();
    let gpus = offers.iter().map(|offer| offer.gpus).fold(0, u32::saturating_add);
    let mut lines =
        vec![("GPUs:", gpus.to_string()), ("Machines:", format!("{machines} on {} boards", offers.len()))];
    lines.extend(kinds::lines(kinds));
    if let Some(offer) = offers.first() {
        lines.push(("Rounds:", offer.rounds.to_string()));
    }
    lines.push(("Total:", total.to_string()));
    lines.push(("Refundable:", format!("{refundable} if all are cancelled in their first round")));
    lines.extend(rules_of(offers));
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
