//! Invariants of a market: stake vault, suppliers and keepers.

use std::collections::HashMap;

use leasehold::state::StakeLedger;
use solana_pubkey::Pubkey;

use super::{Report, Snapshot, sum};
use crate::address;

pub fn check(snapshot: &Snapshot, report: &mut Report) {
    let market = &snapshot.market;
    report.require_eq(address::market(market.id), snapshot.address, || {
        (format!("the address of market {}", market.id), "but the snapshot says")
    });
    let members = snapshot.suppliers.len() + snapshot.keepers.len();
    report.require_eq(market.members as usize, members, || {
        ("the market's number of members".to_owned(), "suppliers and keepers are")
    });
    report.require_eq(market.boards as usize, snapshot.boards.len(), || {
        ("the market's number of boards".to_owned(), "its boards are")
    });
    let lawful = market.rules.validate().is_ok() && market.params.validate(&market.rules).is_ok();
    report.require(lawful, || "the market's rules or parameters are invalid".to_owned());
    stake(snapshot, report);
    suppliers(snapshot, report);
    keepers(snapshot, report);
}

/// Invariant 1, for stake.
fn stake(snapshot: &Snapshot, report: &mut Report) {
    let of = |stake: &StakeLedger| u128::from(stake.free) + u128::from(stake.unbonding);
    let suppliers: u128 = snapshot.suppliers.iter().map(|(_, supplier)| of(&supplier.stake)).sum();
    let keepers: u128 =
        snapshot.keepers.iter().map(|(_, keeper)| of(&keeper.stake) + u128::from(keeper.locked)).sum();
    let views = snapshot.boards.iter().filter_map(|board| board.data.view().ok());
    let boards: u128 = views
        .map(|view| {
            let ledger = &view.header.ledger;
            sum([ledger.bonds, ledger.slashed])
        })
        .sum();
    let owed = suppliers + keepers + boards;
    let held = u128::from(snapshot.stake_vault);
    report.require(held == owed + u128::from(snapshot.unasked_stake), || {
        format!(
            "invariant 1: the stake vault holds {held}, the ledgers {owed} (suppliers {suppliers}, \
             keepers {keepers}, boards {boards}), and {} came without an instruction",
            snapshot.unasked_stake
        )
    });
}

/// Every supplier has the number of machines that its account says.
fn suppliers(snapshot: &Snapshot, report: &mut Report) {
    let mut machines: HashMap<Pubkey, u32> = HashMap::new();
    for view in snapshot.boards.iter().filter_map(|board| board.data.view().ok()) {
        for (_, slot) in view.machines() {
            *machines.entry(slot.supplier).or_default() += 1;
        }
    }
    for (address, supplier) in &snapshot.suppliers {
        let owned = supplier.market == snapshot.address
            && address::supplier(&supplier.market, &supplier.authority) == *address;
        report.require(owned, || {
            format!("supplier {address} is not at the address of its market and authority")
        });
        let listed = machines.remove(address).unwrap_or_default();
        report.require_eq(supplier.machines, listed, || {
            (format!("supplier {address}'s number of machines"), "slots that hold its machines are")
        });
    }
    report.require(machines.is_empty(), || {
        let strangers: Vec<_> = machines.keys().map(Pubkey::to_string).collect();
        format!("machines are listed by suppliers without an account: {}", strangers.join(", "))
    });
}

/// Every keeper has the seats, and its seats the bonds, that its account says.
fn keepers(snapshot: &Snapshot, report: &mut Report) {
    let mut held: HashMap<Pubkey, (u32, u128)> = HashMap::new();
    for view in snapshot.boards.iter().filter_map(|board| board.data.view().ok()) {
        for (_, seat) in view.seats().filter(|(_, seat)| !seat.is_vacant()) {
            let (seats, bonds) = held.entry(seat.keeper).or_default();
            *seats += 1;
            *bonds += u128::from(seat.bond);
        }
    }
    for (address, keeper) in &snapshot.keepers {
        let owned = keeper.market == snapshot.address
            && address::keeper(&keeper.market, &keeper.authority) == *address;
        report
            .require(owned, || format!("keeper {address} is not at the address of its market and authority"));
        let (seats, bonds) = held.remove(&keeper.authority).unwrap_or_default();
        report.require_eq(keeper.seats, seats, || {
            (format!("keeper {address}'s number of seats"), "seats it holds are")
        });
        report.require_eq(u128::from(keeper.locked), bonds, || {
            (format!("invariant 1: keeper {address}'s locked bond"), "the bonds of its seats are")
        });
    }
    report.require(held.is_empty(), || {
        let strangers: Vec<_> = held.keys().map(Pubkey::to_string).collect();
        format!("seats are held by keepers without an account: {}", strangers.join(", "))
    });
}
