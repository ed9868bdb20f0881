//! The sizes of accounts in docs/architecture.md are right.

use anchor_lang::Space;
use leasehold::state::{
    Demand, Keeper, LANES_OFFSET, Lane, Lease, MachineId, Market, PriceIndex, Profile, Profiles,
    SLOTS_OFFSET, Slot, Supplier, board_len,
};

/// With a comma between thousands.
fn grouped(number: usize) -> String {
    if number < 1_000 {
        number.to_string()
    } else {
        format!("{},{:03}", grouped(number / 1_000), number % 1_000)
    }
}

#[test]
fn documented_sizes_are_those_of_the_accounts() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/architecture.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let size = |name: &str, seed: &str, bytes: String| {
        let row = format!("| `{name}` | `[\"{seed}\"");
        let row =
            text.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no row of {name}"));
        let told = row.split('|').nth(3).expect("a column of bytes").trim();
        assert_eq!(told, bytes, "{name}");
    };
    size("Market", "market", grouped(8 + Market::INIT_SPACE));
    size("Supplier", "supplier", grouped(8 + Supplier::INIT_SPACE));
    size("Keeper", "keeper", grouped(8 + Keeper::INIT_SPACE));
    size("Lease", "lease", grouped(Lease::len(0)));
    let replaced = format!("{} bytes more for each machine that was replaced", MachineId::INIT_SPACE);
    assert!(text.contains(&replaced), "{replaced}");
    size("PriceIndex", "index", grouped(PriceIndex::LEN));
    size("Demand", "demand", grouped(8 + Demand::INIT_SPACE));
    let each = |offset, each| format!("{} + {each} for each", grouped(offset));
    size("Profiles", "profiles", each(Profiles::len(0), Profile::INIT_SPACE) + " profile");
    size("Board", "board", each(SLOTS_OFFSET, size_of::<Slot>()) + " slot");
    size("ComputeLog", "log", each(LANES_OFFSET, size_of::<Lane>()) + " lane");
    assert!(text.contains(&format!("a full one has {} bytes", grouped(board_len(6_144)))));
}
