//! Attacks that can't be done: the program refuses them, whatever they cost.

use anchor_lang::prelude::Pubkey;
use bytemuck::Zeroable;
use leasehold::{
    error::LeaseholdError,
    rules::{market, meter},
    state::{HardwareClass, Params, Receipt, Voucher},
};

use super::{
    Attack, Barred, MACHINE, Scene, is_refused,
    record::{self, GENESIS, Signed, first},
};
use crate::economics::{
    money::Money,
    world::{Wallet, World},
};

pub fn run(scene: &Scene) -> Vec<Attack> {
    vec![
        record::demand_kept(scene),
        generations(scene),
        foreign_receipt(scene),
        foreign_voucher(scene),
        rename_class(scene),
        extend_late(scene),
    ]
}

/// The bond of the machine.
fn bond(world: &World) -> Money {
    Money::of_stake(i128::from(world.slot(MACHINE).bond))
}

/// A slot is listed and left until its generation comes back, so that an old receipt convicts another machine.
fn generations(scene: &Scene) -> Attack {
    let mut world = scene.world();
    let prize = bond(&world);
    let slot = &mut world.slots[usize::from(MACHINE)];
    let mut after = |generation: u32| {
        slot.generation = generation;
        slot.vacate().map(|()| slot.generation)
    };
    let of_16_bits = after(u32::from(u16::MAX)).is_ok_and(|next| next == 1 << 16);
    let last = is_refused(after(u32::MAX), LeaseholdError::MathOverflow);
    // The board's last slot is removed and added again.
    world.board.outgrow(1 << 20);
    world.board.outgrow(1 << 10);
    let of_board = world.board.fresh_generation == 1 << 20;
    Barred {
        name: "accuser: generations turned around",
        plan: "a slot is left and taken until its generation comes back: there are 2^32, and a slot that used them up stays as it is",
        by: "`MathOverflow`",
        refused: of_16_bits && last && of_board,
        prize,
    }
    .attack()
}

/// A receipt that a machine signed on another cluster, or for another board, lease or machine, is to convict it.
fn foreign_receipt(scene: &Scene) -> Attack {
    let signed = Signed::new(scene);
    let own = signed.receipt;
    assert!(signed.accused(&own).is_ok(), "its own receipt accuses a machine");
    let cases = [
        (Receipt { cluster: first(&GENESIS[1]), ..own }, LeaseholdError::OtherCluster),
        (Receipt { board: [1; 8], ..own }, LeaseholdError::OtherBoard),
        (Receipt { lease: own.lease + 1, ..own }, LeaseholdError::OtherLease),
        (Receipt { end_ms: 0, ..own }, LeaseholdError::OtherLease),
        (Receipt { node_key: [99; 32], ..own }, LeaseholdError::WrongMachine),
        (Receipt { supplier: [99; 8], ..own }, LeaseholdError::OtherSupplier),
        (Receipt { generation: own.generation + 1, ..own }, LeaseholdError::OtherGeneration),
    ];
    let refused = cases.into_iter().all(|(receipt, rule)| is_refused(signed.accused(&receipt), rule));
    Barred {
        name: "accuser: a receipt of another cluster",
        plan: "a receipt that was signed on another cluster, or under another board, lease, key, supplier or generation, is to take a bond",
        by: "`OtherCluster`, `OtherBoard`, `OtherLease`, `WrongMachine`, `OtherSupplier`, `OtherGeneration`",
        refused,
        prize: bond(&signed.world),
    }
    .attack()
}

/// A voucher that a buyer signed on another cluster, or for another lease or machine, is to be paid.
fn foreign_voucher(scene: &Scene) -> Attack {
    let Signed { world, lease, .. } = Signed::new(scene);
    let (lease, slot) = (&world.leases[lease], world.slot(MACHINE));
    let address = Pubkey::new_from_array([77; 32]);
    let own = Voucher {
        tag: Voucher::TAG,
        program: leasehold::ID.to_bytes(),
        lease: address.to_bytes(),
        cluster: first(&GENESIS[0]),
        node_key: slot.node_key,
        supplier: first(&slot.supplier.to_bytes()),
        generation: slot.generation,
        from: lease.from,
        slot: MACHINE,
        ..Voucher::zeroed()
    };
    let pays = |voucher: &Voucher| meter::is_for(voucher, &address, lease, slot, &GENESIS[0]);
    assert!(pays(&own), "its own voucher pays a lease");
    let cases = [
        Voucher { cluster: first(&GENESIS[1]), ..own },
        Voucher { lease: [78; 32], ..own },
        Voucher { from: own.from + 1, ..own },
        Voucher { node_key: [99; 32], ..own },
        Voucher { supplier: [99; 8], ..own },
        Voucher { generation: own.generation + 1, ..own },
    ];
    Barred {
        name: "supplier: a voucher of another cluster",
        plan: "a voucher that was signed on another cluster, or for another lease, key, supplier or generation, is to be paid out of a deposit",
        by: "`WrongVoucher`",
        refused: !cases.iter().any(pays),
        prize: Money::from(lease.deposit),
    }
    .attack()
}

/// The authority gives a class another name, so that leased machines are something else.
fn rename_class(scene: &Scene) -> Attack {
    let propose = |change: &dyn Fn(&mut Params)| {
        let mut params = scene.market.params.clone();
        change(&mut params);
        market::proposal(scene.market, params, 0)
    };
    let place = usize::from(scene.class);
    let renamed = propose(&|params| params.classes[place].name[0] ^= 1);
    let moved =
        propose(&|params| params.classes.insert(0, HardwareClass { name: [b'-'; 16], weight_bps: 10_000 }));
    let dropped = propose(&|params| params.classes.truncate(params.classes.len() - 1));
    let mut world = scene.world();
    let lease = world.open(Wallet::Buyer, &scene.ask(scene.days(1))).expect("a machine is free");
    Barred {
        name: "authority: a class renamed",
        plan: "a class gets another name, so that machines in leases are something else; or another place in the list; or none",
        by: "`ClassRenamed`, `ClassDropped`",
        refused: is_refused(renamed, LeaseholdError::ClassRenamed)
            && is_refused(moved, LeaseholdError::ClassRenamed)
            && is_refused(dropped, LeaseholdError::ClassDropped),
        prize: Money::from(world.leases[lease].deposit),
    }
    .attack()
}

/// An owner extends in the last second of a lease, at its old price, where the machine earns twice as much elsewhere.
fn extend_late(scene: &Scene) -> Attack {
    let rounds = scene.days(1);
    let run = |late: u32, shortens: bool| {
        let mut world = scene.world();
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(1);
        if shortens {
            let left = world.slot(MACHINE).lease_until - world.round - 1;
            world
                .reprice(MACHINE, scene.price, left)
                .expect("a leased machine's commitment can be shortened");
        }
        world.up(rounds - 1 + late);
        world.skip_to_last_second();
        world.extend(lease, rounds, 0)
    };
    assert!(run(0, false).is_ok(), "a machine that is committed can be extended in the last second");
    let refused = is_refused(run(0, true), LeaseholdError::MachineNotCommitted)
        && is_refused(run(1, false), LeaseholdError::LeaseOver);
    Barred {
        name: "buyer: an extension in the last second",
        plan: "extends at the old price while the machine earns twice as much elsewhere, though its supplier shortened its commitment to the lease's end; or a second after the end",
        by: "`MachineNotCommitted`, `LeaseOver`",
        refused,
        prize: scene.worth(rounds),
    }
    .attack()
}
