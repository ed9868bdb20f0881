//! Machines that are on a board with other values than in a file.

use std::collections::BTreeMap;

use leasehold::{
    instructions::Machine,
    state::{Slot, Traits},
};
use leasehold_client::{board::BoardView, search::Country};
use leasehold_operate::{failure::Failure, market::MarketView, table::count};
use solana_pubkey::Pubkey;

use super::endpoint::address;

/// Machines whose differences are all named.
const SHOWN: usize = 4;

/// What changes a value of a machine that is on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    Move,
    Reprice,
    Retire,
}

/// A value that differs.
struct Difference {
    name: &'static str,
    /// On the board, and in the file.
    board: String,
    file: String,
    remedy: Remedy,
}

/// Refuses machines that are on the board with other values. Names what differs, and what changes it.
pub fn refuse(
    market: &MarketView,
    view: &BoardView,
    supplier: Pubkey,
    machines: &[Machine],
) -> Result<(), Failure> {
    let mut listed = BTreeMap::<_, Vec<_>>::new();
    for (index, slot) in view.of_supplier(supplier) {
        listed.entry(slot.node_key).or_default().push((index, slot));
    }
    let mut differing = Vec::new();
    for machine in machines {
        for (index, slot) in listed.get(&machine.node_key).into_iter().flatten() {
            let differences = differences(market, slot, machine);
            if !differences.is_empty() {
                differing.push((*index, differences));
            }
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    let board = view.header.index;
    let machines = match differing.len() {
        1 => "1 machine of the file differs".to_owned(),
        more => format!("{more} machines of the file differ"),
    };
    let line = |(slot, differences): &(u16, Vec<Difference>)| {
        let differences = differences.iter().map(Difference::text).collect::<Vec<_>>();
        format!("slot {slot}: {}", differences.join(", "))
    };
    let mut lines: Vec<_> = differing.iter().take(SHOWN).map(line).collect();
    if differing.len() > SHOWN {
        lines.push(format!("and {} more", count(differing.len() - SHOWN, "machine")));
    }
    let all = || differing.iter().flat_map(|(_, differences)| differences);
    let advice = [
        (Remedy::Move, "`leasehold machine move` changes addresses"),
        (Remedy::Reprice, "`leasehold machine reprice` changes prices and adds to bonds"),
        (Remedy::Retire, "nothing else changes while a machine is listed: retire it and list it again"),
    ];
    let needed = advice.iter().filter(|(remedy, _)| all().any(|difference| difference.remedy == *remedy));
    let advice: Vec<_> = needed.map(|(_, text)| *text).collect();
    Err(Failure::Refused(format!(
        "{machines} on board {board} ({}): {}",
        lines.join("; "),
        advice.join("; ")
    )))
}

/// Values of a machine that differ from the file's.
fn differences(market: &MarketView, slot: &Slot, machine: &Machine) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differ = |name, board: String, file: String, remedy| {
        if board != file {
            found.push(Difference { name, board, file, remedy });
        }
    };
    let endpoint = |endpoint| address(endpoint).to_string();
    differ("endpoint", endpoint(&slot.endpoint), endpoint(&machine.endpoint), Remedy::Move);
    let price = |price| market.payment.number(price);
    differ("price", price(slot.price), price(machine.price), Remedy::Reprice);
    // A bond above the file's, or above the minimum, costs nothing more.
    let wanted = machine.bond.saturating_mul(machine.traits.gpus.into());
    if slot.bond < wanted {
        let bond = |bond: u64| market.stake.number(bond);
        differ("bond", bond(slot.bond), bond(wanted), Remedy::Reprice);
    }
    let (here, there) = (slot.traits, machine.traits);
    let metered = |traits: Traits| (traits.flags & Traits::METERED != 0).to_string();
    let number = |number: Option<u8>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let profile = (slot.profile != Slot::NO_PROFILE).then_some(slot.profile);
    for (name, board, file) in [
        ("class", market.class_name(here.class), market.class_name(there.class)),
        ("gpus", here.gpus.to_string(), there.gpus.to_string()),
        ("speed", here.speed.to_string(), there.speed.to_string()),
        ("country", Country(here.country).to_string(), Country(there.country).to_string()),
        ("region", here.region.to_string(), there.region.to_string()),
        ("metered", metered(here), metered(there)),
        ("profile", number(profile), number(machine.profile)),
        ("turnaround", slot.turnaround.to_string(), machine.turnaround.to_string()),
    ] {
        differ(name, board, file, Remedy::Retire);
    }
    found
}

impl Difference {
    fn text(&self) -> String {
        let Difference { name, board, file, .. } = self;
        format!("{name} is {board} on the board, {file} in the file")
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample::{change, snapshot, wallet};
    use leasehold_operate::sample::view;

    use super::{
        super::file::tests::{machines, section},
        *,
    };

    /// The machine of a section as slot 0 of supplier 0, changed.
    fn refused(changes: impl FnOnce(&mut Slot)) -> Result<(), String> {
        let file = machines(&section(1)).unwrap();
        let mut board = snapshot().boards.remove(0).data;
        change(&mut board, |_, slots| {
            let listed = file[0];
            slots[0] = Slot {
                node_key: listed.node_key,
                traits: listed.traits,
                endpoint: listed.endpoint,
                price: listed.price,
                bond: 200,
                ..leasehold_client::sample::slot(0)
            };
            changes(&mut slots[0]);
        });
        let supplier = view().reference.supplier(&wallet(0));
        let refused = refuse(&view(), &board.view().unwrap(), supplier, &file);
        refused.map_err(|failure| {
            assert_eq!(failure.code(), 3);
            failure.to_string()
        })
    }

    #[test]
    fn machines_that_are_as_in_the_file_pass() {
        assert_eq!(refused(|_| {}), Ok(()));
        assert_eq!(refused(|slot| slot.node_key = [9; 32]), Ok(()), "another machine");
        assert_eq!(refused(|slot| slot.bond = 0), Ok(()), "the file names no bond");
    }

    #[test]
    fn each_difference_is_named_with_what_changes_it() {
        let moved = refused(|slot| slot.endpoint.port = [1, 0]).unwrap_err();
        let expected = "(slot 0: endpoint is 203.0.113.7:1 on the board, 203.0.113.7:7000 in the file): \
                        `leasehold machine move` changes addresses";
        assert_eq!(moved, format!("1 machine of the file differs on board 0 {expected}"));
        let price = refused(|slot| slot.price = 1).unwrap_err();
        assert!(price.contains("price is 0.000001 on the board, 0.35 in the file"), "{price}");
        assert!(price.ends_with("changes prices and adds to bonds"), "{price}");
        let other = refused(|slot| (slot.traits.country, slot.turnaround) = (840, 5)).unwrap_err();
        assert!(other.contains("country is US on the board, DE in the file, turnaround is 5"), "{other}");
        assert!(other.ends_with("retire it and list it again"), "{other}");
    }
}
