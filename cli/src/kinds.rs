//! Kinds of machines as they are printed.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_client::search::Kind;
use leasehold_operate::{
    amount::Money,
    market::MarketView,
    table::{count, some},
};
use serde::Serialize;

/// Lines for so many kinds at most: a screen has room for more than them.
const MOST_LINES: usize = 8;

/// Machines that are alike, with the market's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedKind {
    pub machines: usize,
    /// How many of them were down in the last closed round.
    pub down: usize,
    /// The market's name and number.
    pub class: String,
    pub class_number: u16,
    /// Of each machine.
    pub gpus: u8,
    pub country: String,
    /// Per GPU and hour, and of each machine per hour.
    pub price: Money,
    pub hourly: Money,
}

/// Kinds with the market's names.
pub fn named(market: &MarketView, kinds: &[Kind]) -> Vec<NamedKind> {
    let named = |kind: &Kind| NamedKind {
        machines: kind.machines,
        down: kind.down,
        class: market.class_name(kind.class),
        class_number: kind.class,
        gpus: kind.gpus,
        country: kind.country.to_string(),
        price: market.payment.money(kind.price),
        hourly: market.payment.money(kind.hourly()),
    };
    kinds.iter().map(named).collect()
}

/// How many machines were down in the last closed round.
pub fn down(kinds: &[NamedKind]) -> usize {
    kinds.iter().map(|kind| kind.down).sum()
}

fn machines(kinds: &[NamedKind]) -> usize {
    kinds.iter().map(|kind| kind.machines).sum()
}

/// Lines of a summary: one for each kind as far as there is room, and one where machines were down.
pub fn lines(kinds: &[NamedKind]) -> Vec<(&'static str, String)> {
    let shown = if kinds.len() > MOST_LINES { MOST_LINES.saturating_sub(1) } else { MOST_LINES };
    let (shown, rest) = kinds.split_at_checked(shown).unwrap_or((kinds, &[]));
    let mut lines: Vec<_> = shown.iter().map(|kind| ("Kind:", kind.line())).collect();
    if !rest.is_empty() {
        let (machines, kinds) = (count(machines(rest), "machine"), count(rest.len(), "kind"));
        lines.push(("Kind:", format!("and {machines} of {kinds} more")));
    }
    let were = |down| if down == 1 { "was" } else { "were" };
    match down(kinds) {
        0 => {}
        down => {
            lines.push(("Down:", format!("{down} of them {} down in the last closed round", were(down))));
        }
    }
    lines
}

/// GPUs of all classes in one line: "16 H100, 1 RTX 4090 in DE, US".
pub fn brief(kinds: &[NamedKind]) -> String {
    let mut classes = BTreeMap::new();
    for kind in kinds {
        let (_, gpus) = classes.entry(kind.class_number).or_insert((&kind.class, 0usize));
        *gpus = gpus.saturating_add(kind.machines.saturating_mul(kind.gpus.into()));
    }
    let classes: Vec<_> = classes.into_values().map(|(class, gpus)| format!("{gpus} {class}")).collect();
    format!("{} in {}", some(&classes), some(&countries(kinds)))
}

/// Names of classes, each once, in the market's order.
pub fn classes(kinds: &[NamedKind]) -> Vec<String> {
    let classes: BTreeMap<_, _> = kinds.iter().map(|kind| (kind.class_number, &kind.class)).collect();
    classes.into_values().cloned().collect()
}

/// Letters of countries, each once.
pub fn countries(kinds: &[NamedKind]) -> Vec<String> {
    let countries: BTreeSet<_> = kinds.iter().map(|kind| &kind.country).collect();
    countries.into_iter().cloned().collect()
}

impl NamedKind {
    /// "2 machines with 4 RTX 4090 in DE at 0.35 per GPU and hour, 1.4 an hour each".
    fn line(&self) -> String {
        let NamedKind { machines, class, gpus, country, price, hourly, .. } = self;
        let number = |money: &Money| money.token.number(money.amount);
        let whole = match (gpus, machines) {
            (1, _) => String::new(),
            (_, 1) => format!(", {} an hour", number(hourly)),
            _ => format!(", {} an hour each", number(hourly)),
        };
        let (machines, price) = (count(*machines, "machine"), number(price));
        format!("{machines} with {gpus} {class} in {country} at {price} per GPU and hour{whole}")
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::{
        sample::{NEXT_ROUND, change, priced},
        search::kinds,
    };
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn machines_are_grouped_by_class_gpus_country_and_price() {
        let mut board = priced(0, &[720, 360, 360, 360]);
        let last = NEXT_ROUND - 1;
        change(&mut board, |header, slots| {
            header.votes[leasehold::state::ring_bit(last) as usize] = 1;
            (slots[1].history_up, slots[1].history_down) = (0, 1 << leasehold::state::ring_bit(last));
            slots[3].traits.country = 840;
            slots[3].traits.gpus = 2;
        });
        let found = named(&view(), &kinds(&board.view().unwrap(), &[0, 1, 2, 3]));
        let told = lines(&found);
        let expected = [
            ("Kind:", "2 machines with 1 RTX 4090 in DE at 0.00036 per GPU and hour"),
            ("Kind:", "1 machine with 2 RTX 4090 in US at 0.00036 per GPU and hour, 0.00072 an hour"),
            ("Kind:", "1 machine with 1 RTX 4090 in DE at 0.00072 per GPU and hour"),
            ("Down:", "1 of them was down in the last closed round"),
        ];
        assert_eq!(told, expected.map(|(label, text)| (label, text.to_owned())));
        assert_eq!((brief(&found).as_str(), countries(&found).len()), ("5 RTX 4090 in DE, US", 2));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(
            (&json[0]["down"], &json[0]["class"], &json[0]["class_number"]),
            (&1.into(), &"RTX 4090".into(), &0.into())
        );
        assert_eq!((&json[1]["gpus"], &json[1]["country"]), (&2.into(), &"US".into()));
        assert_eq!(
            (&json[1]["price"]["amount"], &json[1]["hourly"]["amount"]),
            (&"360".into(), &"720".into())
        );
    }

    #[test]
    fn kinds_beyond_a_screen_are_counted() {
        let prices: Vec<_> = (1..=20).collect();
        let board = priced(0, &prices);
        let slots: Vec<_> = (0..20).collect();
        let named = |slots: &[u16]| named(&view(), &kinds(&board.view().unwrap(), slots));
        let told = lines(&named(&slots));
        assert_eq!((told.len(), told[7].1.as_str()), (8, "and 13 machines of 13 kinds more"));
        assert_eq!(lines(&named(&slots[..8])).len(), 8);
    }
}
