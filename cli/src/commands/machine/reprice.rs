//! `leasehold machine reprice`.

use std::{collections::BTreeSet, path::PathBuf};

use clap::{Args, ValueHint};
use leasehold::{
    error::LeaseholdError,
    instructions::Offer,
    math::{add, pricing},
    state::SlotState,
};
use leasehold_client::{board::BoardView, error::Refusal, listing};
use serde::Deserialize;
use serde_json::json;
use solana_pubkey::Pubkey;

use super::{
    key::node_key,
    list::commitment,
    load,
    plan::{joined, machines, refuse_where},
    rows::{self, FileFormat, Row},
    slots::{self, Keys, Slots},
};
use crate::{
    act::act,
    chain::{Chain, MarketArgs, MarketView},
    criteria::Length,
    failure::Failure,
    plan::Plan,
    table::count,
};

#[derive(Args)]
pub struct RepriceArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of the board.
    #[arg(long, value_name = "NUMBER")]
    pub board: u32,
    /// Slots of the machines: numbers, or ranges as 0-11; or the machines' node keys.
    #[arg(value_name = "SLOT|NODE_KEY", required_unless_present = "file", conflicts_with = "file")]
    pub slots: Vec<Slots>,
    /// Price of a machine and hour, in the market's payment mint [default: as it is]
    #[arg(long, value_name = "AMOUNT")]
    pub price: Option<String>,
    /// How long they are promised from the next round on [default: as it is]
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Option<Length>,
    /// Machines with a price for each, in TOML, or in CSV where it ends in .csv; - for standard input.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// How the file is written, whatever its name.
    #[arg(long, value_name = "FORMAT", requires = "file", conflicts_with = "slots")]
    pub format: Option<FileFormat>,
}

/// A machine of a file, named by slot, by key or by both.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    slot: Option<u16>,
    /// In base58 or hex.
    node_key: Option<String>,
    /// Of a machine and hour.
    price: Option<String>,
    #[serde(rename = "for")]
    length: Option<String>,
}

/// What changes for every machine that is not told something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Terms {
    /// Payment units for an hour.
    price: Option<u64>,
    length: Option<Length>,
}

/// What changes for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    slot: u16,
    terms: Terms,
}

pub async fn run(chain: &Chain, args: RepriceArgs) -> Result<(), Failure> {
    let rows = args.file.as_deref().map(|file| rows::read(file, args.format)).transpose()?;
    let (market, board) = load(chain, args.market, args.board).await?;
    let (view, wallet, now) = (board.view()?, chain.wallet()?, chain.fetch().now().await?);
    let price = args.price.as_deref().map(|text| price(&market, text)).transpose()?;
    let terms = Terms { price, length: args.length };
    let changes = match rows {
        Some(rows) => from_rows(&market, &Keys::new(&market, &view, wallet), terms, &rows)?,
        None => {
            let slots = slots::numbers(&market, &view, wallet, &args.slots)?;
            slots.into_iter().map(|slot| Change { slot, terms }).collect()
        }
    };
    act(chain, plan(&market, &view, wallet, now, &changes)?).await
}

fn price(market: &MarketView, text: &str) -> Result<u64, Failure> {
    match market.payment.parse(text)?.amount {
        0 => Err(Refusal::from(LeaseholdError::PriceIsZero).into()),
        price => Ok(price),
    }
}

/// What a file changes, in the order of slots.
fn from_rows(
    market: &MarketView,
    keys: &Keys,
    all: Terms,
    rows: &[Row<Entry>],
) -> Result<Vec<Change>, Failure> {
    let mut seen = BTreeSet::new();
    let change = |row: &Row<Entry>| {
        let wrong = |what: String| Failure::Input(format!("{}: {what}", row.place));
        let Entry { slot, node_key, price: own, length } = &row.entry;
        let slot = which(keys, *slot, node_key.as_deref()).map_err(wrong)?;
        if !seen.insert(slot) {
            return Err(wrong(format!("slot {slot} is in the file twice: leave one out")));
        }
        let own = own.as_deref().map(|text| price(market, text)).transpose();
        let own = own.map_err(|error| wrong(error.to_string()))?;
        let length = length.as_deref().map(str::parse).transpose();
        let length = length.map_err(|error: &str| wrong(error.to_owned()))?;
        let terms = Terms { price: own.or(all.price), length: length.or(all.length) };
        if terms == Terms::default() {
            return Err(wrong("nothing changes: give price, for or both".to_owned()));
        }
        Ok(Change { slot, terms })
    };
    let mut changes = rows.iter().map(change).collect::<Result<Vec<_>, _>>()?;
    changes.sort_by_key(|change| change.slot);
    Ok(changes)
}

/// The slot that a row names.
fn which(keys: &Keys, slot: Option<u16>, key: Option<&str>) -> Result<u16, String> {
    let Some(key) = key else { return slot.ok_or("it names no machine: give slot or node_key".to_owned()) };
    let key = node_key(key).ok_or("its node_key is none: give the ed25519 key in base58 or 64 hex digits")?;
    let found = keys.slot(&key)?;
    match slot {
        Some(slot) if slot != found => Err(format!("its node_key is in slot {found}, not in {slot}")),
        _ => Ok(found),
    }
}

/// New prices and commitments; what is not named stays.
fn plan(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    now: i64,
    changes: &[Change],
) -> Result<Plan, Failure> {
    if changes.is_empty() {
        return Err(Refusal::from(LeaseholdError::NoMachines).into());
    }
    if changes.iter().any(|change| change.terms == Terms::default()) {
        return Err(Failure::Input("nothing changes: pass --price, --for or both".to_owned()));
    }
    let slots: Vec<_> = changes.iter().map(|change| change.slot).collect();
    let (mut offers, mut ends, mut missing) = (Vec::new(), Vec::new(), 0);
    for ((index, slot), Change { terms, .. }) in
        machines(market, view, authority, &slots)?.into_iter().zip(changes)
    {
        refuse_where(index, slot.lease != 0, LeaseholdError::MachineLeased)?;
        refuse_where(index, slot.is(SlotState::Barred), LeaseholdError::MachineBarred)?;
        let end = terms.length.map(|length| commitment(market, view, now, length)).transpose()?;
        let committed_until = end.as_ref().map_or(slot.committed_until, |(until, _)| *until);
        ends.extend(end);
        let class = market.account.class(slot.traits.class).map_err(Refusal::from)?;
        let unit = market.account.params.bond_unit;
        let whole = pricing::bond(unit, class.weight_bps, slot.traits.gpus).map_err(Refusal::from)?;
        missing = add(missing, whole.saturating_sub(slot.bond)).map_err(Refusal::from)?;
        offers.push(Offer { slot: index, price: terms.price.unwrap_or(slot.price), committed_until });
    }
    let board = market.board(view.header.index);
    let mut plan = Plan::new(format!("Reprice {} on board {}", count(offers.len(), "machine"), board.index))
        .fact_as("Slots:", "slots", joined(&slots), slots);
    let prices = changes.iter().filter_map(|change| change.terms.price);
    if let Some((low, high)) = prices.clone().min().zip(prices.max()) {
        plan = if low == high {
            plan.money("Price:", "price", market.payment.money(low))
        } else {
            let [low, high] = [low, high].map(|price| market.payment.money(price));
            let text = format!("{} to {high}", low.token.number(low.amount));
            plan.fact_as("Prices:", "prices", text, json!({ "lowest": low, "highest": high }))
        };
    }
    if let Some(((first, from), (last, to))) = ends.iter().min().zip(ends.iter().max()) {
        plan = if first == last {
            plan.fact_as("Promised until:", "committed_until", format!("{to} (round {last})"), *last)
        } else {
            let text = format!("{from} (round {first}) to {to} (round {last})");
            plan.fact_as("Promised until:", "committed", text, json!({ "first": first, "last": last }))
        };
    }
    Ok(plan
        .money("Bonded anew:", "bonded", market.stake.money(missing))
        .steps("reprice machines", listing::reprice(&board, authority, &offers)))
}

#[cfg(test)]
mod tests {
    use anchor_lang::AnchorDeserialize;
    use leasehold_client::sample::{change, wallet};

    use super::{
        super::{
            plan::tests::{NOW, board, text},
            rows::parse,
        },
        *,
    };
    use crate::chain::tests::view;

    fn offers(plan: &Plan) -> Vec<Offer> {
        Vec::try_from_slice(&plan.steps[0].instructions[0].data[8..]).unwrap()
    }

    #[test]
    fn a_new_price_keeps_the_commitment_and_makes_the_bond_whole() {
        let data = board();
        let view_of = data.view().unwrap();
        let reprice = |supplier, slots: &[u16], price, length| {
            let terms = Terms { price, length };
            let changes: Vec<_> = slots.iter().map(|slot| Change { slot: *slot, terms }).collect();
            plan(&view(), &view_of, wallet(supplier), NOW, &changes)
        };
        let plan = reprice(1, &[3], Some(500_000), None).unwrap();
        assert_eq!(offers(&plan), [Offer { slot: 3, price: 500_000, committed_until: 2_000 }]);
        assert_eq!(plan.details()["bonded"]["amount"], "60");
        let longer = reprice(1, &[3], None, Some(Length::Rounds(5))).unwrap();
        assert_eq!(offers(&longer), [Offer { slot: 3, price: 360, committed_until: 1_006 }]);
        assert_eq!(longer.details()["committed_until"], 1_006);
        assert_eq!(reprice(1, &[3], None, None).unwrap_err().code(), 2);
        assert_eq!(reprice(1, &[], Some(1), None).unwrap_err().code(), 3);
        assert!(text(reprice(0, &[0], Some(1), None)).starts_with("slot 0: "));
        assert!(text(reprice(1, &[3, 2], Some(1), None)).starts_with("slot 2: "));
        assert!(text(reprice(1, &[9], Some(1), None)).starts_with("slot 9: "));
        assert!(text(reprice(0, &[3], Some(1), None)).starts_with("slot 3: "));
        assert_eq!(price(&view(), "0").unwrap_err().code(), 3);
        assert_eq!(price(&view(), "0.5").unwrap(), 500_000);
    }

    /// Slots 0 to 2 are idle machines of supplier 0, with keys of their own.
    fn idle() -> leasehold_client::board::BoardData {
        let mut data = board();
        change(&mut data, |_, slots| {
            for (key, slot) in (40..).zip(&mut slots[..3]) {
                *slot = leasehold_client::sample::slot(0);
                slot.node_key = [key; 32];
            }
        });
        data
    }

    fn planned(file: &str, format: FileFormat, all: Terms) -> Result<Plan, Failure> {
        let (market, data) = (view(), idle());
        let board = data.view().unwrap();
        let rows = parse(file, format).map_err(Failure::Input)?;
        let changes = from_rows(&market, &Keys::new(&market, &board, wallet(0)), all, &rows)?;
        plan(&market, &board, wallet(0), NOW, &changes)
    }

    #[test]
    fn each_machine_of_a_file_has_its_own_price() {
        let key = Pubkey::new_from_array([40; 32]);
        let csv = format!("slot,node_key,price,for\n2,,0.5,\n,{key},0.25,5r\n1,{},,\n", "29".repeat(32));
        let toml = format!(
            "[[machine]]\nslot = 2\nprice = \"0.5\"\n[[machine]]\nnode_key = \"{key}\"\nprice = \"0.25\"\n\
             for = \"5r\"\n[[machine]]\nslot = 1\n"
        );
        let expected = [(0, 250_000, 1_006), (1, 1_000, 2_000), (2, 500_000, 2_000)]
            .map(|(slot, price, until)| Offer { slot, price, committed_until: until });
        for (file, format) in [(csv, FileFormat::Csv), (toml, FileFormat::Toml)] {
            let plan = planned(&file, format, Terms { price: Some(1_000), length: None }).unwrap();
            assert_eq!(offers(&plan), expected);
            let [slots, prices, promised, ..] = plan.facts.as_slice() else { panic!() };
            assert_eq!(slots.text, "0-2");
            assert!(prices.text.starts_with("0.001 to 0.5 of mint"), "{}", prices.text);
            assert_eq!((&prices.value["lowest"]["amount"], &promised.value), (&"1000".into(), &1_006.into()));
            assert!(planned(&file, format, Terms::default()).unwrap_err().to_string().contains(": nothing"));
        }
    }

    #[test]
    fn different_commitments_are_told_from_first_to_last() {
        let plan = planned("slot,for\n0,5r\n1,6r", FileFormat::Csv, Terms::default()).unwrap();
        assert_eq!(plan.details()["committed"], json!({ "first": 1_006, "last": 1_007 }));
        assert!(!plan.details().contains_key("price"));
    }

    #[test]
    fn a_mistake_in_a_file_names_its_line() {
        let key = Pubkey::new_from_array([40; 32]);
        for (line, expected) in [
            (",,0.5,", "line 3: it names no machine"),
            ("0,,0.5,", "line 3: slot 0 is in the file twice"),
            (&format!(",{key},0.5,"), "line 3: slot 0 is in the file twice"),
            (&format!("1,{key},0.5,"), "line 3: its node_key is in slot 0, not in 1"),
            (",key,0.5,", "line 3: its node_key is none"),
            (&format!(",{},0.5,", Pubkey::default()), "line 3: none of your machines"),
            ("1,,0,", "line 3: "),
            ("1,,x,", "line 3: \"x\" is no amount"),
            ("1,,1,soon", "line 3: give a number and r"),
            ("1,,,", "line 3: nothing changes"),
            ("65536,,1,", "line 3: slot: number too large"),
            ("3,,1,", "slot 3: "),
        ] {
            let file = format!("slot,node_key,price,for\n0,,1,\n{line}\n");
            let error = planned(&file, FileFormat::Csv, Terms::default()).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{line}: {error}");
        }
    }
}
