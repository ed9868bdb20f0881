//! Machines named by slots or keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use leasehold_client::board::BoardView;
use leasehold_operate::{failure::Failure, market::MarketView, table::joined};
use solana_pubkey::Pubkey;

use super::key::node_key;

/// Machines named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// A slot, or a range.
    Range { first: u16, last: u16 },
    /// The machine with this key.
    Key([u8; 32]),
}

impl FromStr for Slots {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = first.parse().ok().zip(last.parse().ok());
        let range = range.filter(|(first, last)| first <= last);
        let range = range.map(|(first, last)| Slots::Range { first, last });
        let key = || node_key(text).map(Slots::Key);
        range.or_else(key).ok_or("give a slot's number, a range such as 0-11, or a machine's node key")
    }
}

/// Every slot once, in order.
pub fn numbers(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    named: &[Slots],
) -> Result<Vec<u16>, Failure> {
    let keys = Keys::new(market, view, authority);
    let mut all = BTreeSet::new();
    for slots in named {
        match slots {
            Slots::Range { first, last } => all.extend(*first..=*last),
            Slots::Key(key) => {
                all.insert(keys.slot(key).map_err(Failure::Input)?);
            }
        }
    }
    Ok(all.into_iter().collect())
}

/// Slots of a supplier's machines on a board, by key.
pub struct Keys(BTreeMap<[u8; 32], Vec<u16>>);

impl Keys {
    pub fn new(market: &MarketView, view: &BoardView, authority: Pubkey) -> Self {
        let mut keys = BTreeMap::<_, Vec<_>>::new();
        for (index, slot) in view.of_supplier(market.reference.supplier(&authority)) {
            keys.entry(slot.node_key).or_default().push(index);
        }
        Keys(keys)
    }

    /// The slot of the machine with this key, or an error unless exactly one machine has it.
    pub fn slot(&self, key: &[u8; 32]) -> Result<u16, String> {
        let name = Pubkey::new_from_array(*key);
        match self.0.get(key).map(Vec::as_slice) {
            Some([slot]) => Ok(*slot),
            Some(slots) => {
                Err(format!("the machines in slots {} all have node key {name}: name slots", joined(slots)))
            }
            None => Err(format!(
                "none of your machines on this board has node key {name}: `leasehold machine show --output \
                 json` shows their keys"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample::{change, snapshot, wallet};
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn slots_are_numbers_ranges_and_keys_each_taken_once() {
        let mut data = snapshot().boards.remove(0).data;
        change(&mut data, |_, slots| slots[1].node_key = [77; 32]);
        let read = |text: &[String]| -> Result<Vec<u16>, Failure> {
            let named: Vec<_> = text.iter().map(|text| text.parse().unwrap()).collect();
            numbers(&view(), &data.view().unwrap(), wallet(0), &named)
        };
        let text = ["7", "0-3", "2-4"].map(str::to_owned);
        assert_eq!(read(&text).unwrap(), [0, 1, 2, 3, 4, 7]);
        let base58 = Pubkey::new_from_array([77; 32]).to_string();
        assert_eq!(read(&[base58.clone(), "4d".repeat(32), "9".to_owned()]).unwrap(), [1, 9]);
        let stranger = read(&[Pubkey::new_from_array([1; 32]).to_string()]).unwrap_err();
        assert!(stranger.code() == 2 && stranger.to_string().contains("none of your machines"), "{stranger}");
        for wrong in ["", "-", "3-1", "1-", "a", "65536"] {
            assert!(wrong.parse::<Slots>().is_err(), "{wrong}");
        }
        change(&mut data, |_, slots| slots[0].node_key = [77; 32]);
        let twice = Keys::new(&view(), &data.view().unwrap(), wallet(0)).slot(&[77; 32]).unwrap_err();
        assert!(twice.starts_with("the machines in slots 0, 1 all have"), "{twice}");
    }
}
