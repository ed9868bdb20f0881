//! Changes of machines: one for all, or one for each in a file.

use std::collections::BTreeSet;

use leasehold::error::LeaseholdError;
use leasehold_client::{error::Refusal, search::Length};
use leasehold_operate::{failure::Failure, market::MarketView};
use serde::Deserialize;

use super::{key::node_key, rows::Row, slots::Keys};

/// Default change of every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Payment units per GPU and hour.
    pub price: Option<u64>,
    pub length: Option<Length>,
    /// Stake units to bond for each GPU, if that is more than the market's minimum and than what is bonded.
    pub bond: Option<u64>,
}

/// Change of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub slot: u16,
    pub terms: Terms,
}

/// A machine of a file, named by slot, by key or by both.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    slot: Option<u16>,
    /// In base58 or hex.
    node_key: Option<String>,
    /// Per GPU and hour.
    price: Option<String>,
    #[serde(rename = "for")]
    length: Option<String>,
    /// For each GPU.
    bond: Option<String>,
}

/// Payment units per GPU and hour.
pub fn price(market: &MarketView, text: &str) -> Result<u64, Failure> {
    match market.payment.parse(text)?.amount {
        0 => Err(Refusal::from(LeaseholdError::PriceIsZero).into()),
        price => Ok(price),
    }
}

/// Changes of a file, by slot.
pub fn from_rows(
    market: &MarketView,
    keys: &Keys,
    all: Terms,
    rows: &[Row<Entry>],
) -> Result<Vec<Change>, Failure> {
    let mut seen = BTreeSet::new();
    let change = |row: &Row<Entry>| {
        let wrong = |what: String| Failure::Input(format!("{}: {what}", row.place));
        let Entry { slot, node_key, price: own, length, bond } = &row.entry;
        let slot = which(keys, *slot, node_key.as_deref()).map_err(wrong)?;
        if !seen.insert(slot) {
            return Err(wrong(format!("slot {slot} is in the file twice: leave one out")));
        }
        let own = own.as_deref().map(|text| price(market, text)).transpose();
        let own = own.map_err(|error| wrong(error.to_string()))?;
        let length = length.as_deref().map(str::parse).transpose();
        let length = length.map_err(|error: &str| wrong(error.to_owned()))?;
        let bond = bond.as_deref().map(|text| market.stake.parse(text)).transpose();
        let bond = bond.map_err(|error| wrong(error.to_string()))?.map(|bond| bond.amount);
        let terms =
            Terms { price: own.or(all.price), length: length.or(all.length), bond: bond.or(all.bond) };
        if terms == Terms::default() {
            return Err(wrong("nothing changes: give price, for or bond".to_owned()));
        }
        Ok(Change { slot, terms })
    };
    let mut changes = rows.iter().map(change).collect::<Result<Vec<_>, _>>()?;
    changes.sort_by_key(|change| change.slot);
    Ok(changes)
}

/// The slot that a row names.
fn which(keys: &Keys, slot: Option<u16>, key: Option<&str>) -> Result<u16, String> {
    let Some(key) = key else { return slot.ok_or("no machine named: give slot or node_key".to_owned()) };
    let key = node_key(key).ok_or("invalid node_key: give the ed25519 key in base58 or 64 hex digits")?;
    let found = keys.slot(&key)?;
    match slot {
        Some(slot) if slot != found => Err(format!("its node_key is in slot {found}, not in {slot}")),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use leasehold::instructions::Offer;
    use leasehold_client::sample::{change, wallet};
    use leasehold_operate::{plan::Plan, sample::view};
    use serde_json::json;
    use solana_pubkey::Pubkey;

    use super::{
        super::{
            plan::tests::{NOW, board},
            reprice::{
                plan,
                tests::{free, offers},
            },
            rows::{FileFormat, parse},
        },
        *,
    };

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
        plan(&market, &board, wallet(0), &free(1_000_000), NOW, &changes)
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
            .map(|(slot, price, until)| Offer { slot, price, committed_until: until, bond: 0 });
        for (file, format) in [(csv, FileFormat::Csv), (toml, FileFormat::Toml)] {
            let plan = planned(&file, format, Terms { price: Some(1_000), ..Terms::default() }).unwrap();
            assert_eq!(offers(&plan), expected);
            let [slots, prices, promised, stays, ..] = plan.facts.as_slice() else { panic!() };
            assert_eq!(slots.text, "0-2");
            assert!(promised.text.ends_with("Z (round 1006) (1 machine)"), "{}", promised.text);
            assert!(!promised.text.contains(" to "), "{}", promised.text);
            assert!(stays.text.ends_with("Z (round 2000), unchanged (slots 1, 2)"), "{}", stays.text);
            assert!(prices.text.starts_with("0.001 to 0.5 of "), "{}", prices.text);
            assert_eq!(
                (&prices.value["lowest"]["amount"], &promised.value),
                (&"1000".into(), &json!({ "first": 1_006, "last": 1_006, "machines": 1 }))
            );
            assert!(planned(&file, format, Terms::default()).unwrap_err().to_string().contains(": nothing"));
        }
    }

    #[test]
    fn different_commitments_are_printed_as_a_range() {
        let plan = planned("slot,for\n0,5r\n1,6r", FileFormat::Csv, Terms::default()).unwrap();
        assert_eq!(plan.details()["committed"], json!({ "first": 1_006, "last": 1_007, "machines": 2 }));
        assert!(!plan.details().contains_key("price"));
    }

    #[test]
    fn a_mistake_in_a_file_names_its_line() {
        let key = Pubkey::new_from_array([40; 32]);
        for (line, expected) in [
            (",,0.5,", "line 3: no machine named"),
            ("0,,0.5,", "line 3: slot 0 is in the file twice"),
            (&format!(",{key},0.5,"), "line 3: slot 0 is in the file twice"),
            (&format!("1,{key},0.5,"), "line 3: its node_key is in slot 0, not in 1"),
            (",key,0.5,", "line 3: invalid node_key"),
            (&format!(",{},0.5,", Pubkey::default()), "line 3: none of your machines"),
            ("1,,0,", "line 3: "),
            ("1,,x,", "line 3: invalid amount \"x\""),
            ("1,,1,soon", "line 3: give a number and a unit"),
            ("1,,,", "line 3: nothing changes"),
            ("65536,,1,", "line 3: slot: \"65536\" is too large"),
            ("3,,1,", "(slot 3)"),
        ] {
            let file = format!("slot,node_key,price,for\n0,,1,\n{line}\n");
            let error = planned(&file, FileFormat::Csv, Terms::default()).unwrap_err();
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
    }
}
