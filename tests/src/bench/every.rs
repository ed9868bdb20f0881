//! Every instruction once, in a usual state; and the listing of machines, with as many as a transaction holds.

use leasehold::instructions::{Machine, Offer};
use leasehold_client::{instruction, packet};
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::{Table, cost, cost_of_all};
use crate::{COMMITTED, Catalogue, USD, machine};

/// Measured by [`super::hot`].
const HOT: [&str; 4] = ["submit_round", "close_round", "open_lease", "settle_lease"];

/// Measures every instruction but the hot ones, on a board of `slots` slots.
pub fn measure(table: &mut Table, slots: u16) {
    let catalogue = Catalogue::of(slots);
    for case in catalogue.cases.iter().filter(|case| !HOT.contains(&case.name)) {
        let mut signers: Vec<&Keypair> = case.signers.iter().collect();
        if signers.is_empty() {
            signers.push(&catalogue.payer);
        }
        let figure = cost_of_all(&catalogue.world, case.name, &case.instructions(), &signers);
        table.add(case.name, slots, figure);
    }
    measure_full(table, &catalogue);
}

/// A supplier's instructions for many machines: as many as fit in a transaction.
fn measure_full(table: &mut Table, catalogue: &Catalogue) {
    let Catalogue { world, supplier, slots, .. } = catalogue;
    let (board, key) = (world.board(), supplier.wallet.pubkey());
    let until = world.round() + COMMITTED;
    let idle: Vec<u16> = world.with_board(|_, slots| {
        let idle = (0..).zip(slots).filter(|(_, slot)| slot.is(leasehold::state::SlotState::Idle));
        // A machine's earnings must be claimed before it leaves.
        idle.filter(|(_, slot)| slot.accrued == 0).map(|(index, _)| index).collect()
    });

    let list = |batch: &[Machine]| instruction::list_machines(&board, key, until, batch.to_vec(), &[]);
    let machines: Vec<_> = (0..*slots).map(|number| machine(slots + number)).collect();
    let reprice = |batch: &[Offer]| instruction::reprice_machines(&board, key, batch.to_vec());
    let offers: Vec<_> = idle
        .iter()
        .map(|slot| Offer { slot: *slot, price: USD + u64::from(*slot), committed_until: until, bond: 0 })
        .collect();
    let retire = |batch: &[u16]| instruction::retire_machines(&board, key, supplier.account, batch.to_vec());

    let full = [
        ("list_machines_full", packet::batches(&key, &machines, list)),
        ("reprice_machines_full", packet::batches(&key, &offers, reprice)),
        ("retire_machines_full", packet::batches(&key, &idle, retire)),
    ];
    for (name, batches) in full {
        table.add(name, *slots, cost(world, name, &batches[0], &[&supplier.wallet]));
    }
}
