//! Accusations of machines: receipts, demands and the bond behind them.

use anchor_lang::prelude::Pubkey;
use bytemuck::Zeroable;
use leasehold::{
    constants::DISPUTE_SECS,
    error::LeaseholdError,
    math::sum_tree::SumNode,
    rules::{dispute, machine},
    state::{Demand, Receipt, Slot},
};

use super::{Attack, Barred, Claim, MACHINE, Scene, is_refused};
use crate::economics::{
    money::Money,
    world::{Wallet, World},
};

/// Genesis hash of the cluster, and of another one.
pub const GENESIS: [[u8; 32]; 2] = [[21; 32], [22; 32]];

/// First bytes of an address or a hash, as receipts name them.
pub fn first(bytes: &[u8; 32]) -> [u8; 8] {
    *bytes.first_chunk().expect("32 bytes")
}

/// A machine that signed a receipt in a lease.
pub struct Signed {
    pub world: World,
    pub lease: usize,
    pub receipt: Receipt,
}

impl Signed {
    /// The receipt is signed in the last round of a day's lease.
    pub fn new(scene: &Scene) -> Self {
        let rounds = scene.days(1);
        let mut world = scene.world();
        world.board.genesis = GENESIS[0];
        let lease = world.open(Wallet::Buyer, &scene.ask(rounds)).expect("a machine is free");
        world.up(rounds);
        let slot = world.slot(MACHINE);
        let receipt = Receipt {
            tag: Receipt::TAG,
            program: leasehold::ID.to_bytes(),
            cluster: first(&GENESIS[0]),
            board: first(&world.leases[lease].board.to_bytes()),
            lease: world.leases[lease].serial,
            generation: slot.generation,
            node_key: slot.node_key,
            supplier: first(&slot.supplier.to_bytes()),
            end_ms: u64::try_from(world.now()).expect("a time after 1970") * 1_000,
            slot: MACHINE,
            ..Receipt::zeroed()
        };
        Signed { world, lease, receipt }
    }

    /// The machine that the receipt accuses.
    pub fn accused(&self, receipt: &Receipt) -> anchor_lang::Result<&Slot> {
        dispute::accused(&self.world.board, &self.world.slots, &self.world.leases[self.lease], receipt)
    }

    /// Demands the receipt in the last round in which that is possible; then the machine's lease is settled and its pay
    /// claimed.
    fn demand(&mut self) -> Demand {
        let Signed { world, lease, receipt } = self;
        let lease = *lease;
        let window = dispute::demand_window(&world.board, &world.leases[lease], world.slot(MACHINE), receipt)
            .expect("times that fit");
        while world.round < window.last {
            world.up(1);
        }
        world.settle(lease);
        world.claim(MACHINE).expect("a day's pay");
        world.skip_to_last_second();
        let now = world.now();
        let World { board, slots, leases, .. } = world;
        let (machine, due) =
            dispute::demand(board, slots, &mut leases[lease], receipt, now).expect("the window is open");
        Demand {
            version: Demand::VERSION,
            bump: 0,
            claimant: Pubkey::default(),
            cluster: receipt.cluster,
            board: Pubkey::default(),
            lease: Pubkey::default(),
            supplier: machine.supplier,
            node_key: machine.node_key,
            slot: receipt.slot,
            generation: machine.generation,
            serial: receipt.lease,
            seq: receipt.seq,
            leaf: SumNode { hash: receipt.id(), units: 0, price: 0 },
            due,
            fee: 0,
            shown: None,
        }
    }

    /// Plays until the lease's dispute window is over.
    fn outlast_disputes(&mut self) {
        let until = self.world.leases[self.lease].until + self.world.rounds(DISPUTE_SECS);
        while self.world.round < until {
            self.world.up(1);
        }
    }

    fn retire(&self) -> anchor_lang::Result<()> {
        let World { board, round, .. } = &self.world;
        machine::require_retirable(board, self.world.slot(MACHINE), true, self.world.now(), *round)
    }

    /// Enforces a demand. Returns the stake units lost.
    fn enforce(&mut self, demand: &Demand) -> u64 {
        let now = self.world.now().max(demand.due);
        let World { board, slots, leases, .. } = &mut self.world;
        dispute::enforce(board, slots, &mut leases[self.lease], demand, now).expect("a demand that is due")
    }
}

/// A supplier whose machine hides a receipt takes its bond away before the demand is enforced.
pub fn bond_that_leaves(scene: &Scene) -> Attack {
    let mut signed = Signed::new(scene);
    let bond = Money::of_stake(i128::from(signed.world.slot(MACHINE).bond));
    let demand = signed.demand();
    let early = is_refused(signed.retire(), LeaseholdError::DemandsLeft);
    signed.outlast_disputes();
    assert!(!machine::is_disputable(&signed.world.board, signed.world.slot(MACHINE), signed.world.round));
    let late = is_refused(signed.retire(), LeaseholdError::DemandsLeft);
    let kept = bond - Money::of_stake(i128::from(signed.enforce(&demand)));
    Attack {
        name: "supplier: a bond that leaves while a demand is due".to_owned(),
        plan: "a receipt is demanded in the last second; its machine can't retire (`DemandsLeft`), not even after the dispute window, and nobody answers".to_owned(),
        cost: bond - kept,
        yields: if early && late { kept } else { bond + bond },
        damage: Money::ZERO,
        claim: Claim::Loses,
    }
}

/// A demand that is to convict the stranger who has the slot next.
pub fn demand_kept(scene: &Scene) -> Attack {
    let mut signed = Signed::new(scene);
    let demand = signed.demand();
    signed.outlast_disputes();
    let held = is_refused(signed.retire(), LeaseholdError::DemandsLeft);
    // As if the machine had left all the same.
    let stranger = *signed.world.slot(super::OTHER);
    let slot = &mut signed.world.slots[usize::from(MACHINE)];
    slot.vacate().expect("a generation is left");
    *slot = Slot { generation: slot.generation, ..stranger };
    let receipt = signed.receipt;
    let other_key = is_refused(signed.accused(&receipt), LeaseholdError::WrongMachine);
    let generation = Receipt { node_key: stranger.node_key, ..receipt };
    let other_supplier = is_refused(signed.accused(&generation), LeaseholdError::OtherSupplier);
    let supplier = Receipt { supplier: first(&stranger.supplier.to_bytes()), ..generation };
    let other_generation = is_refused(signed.accused(&supplier), LeaseholdError::OtherGeneration);
    let lost = signed.enforce(&demand);
    Barred {
        name: "accuser: a demand kept until another machine has the slot",
        plan: "a demand holds the machine that it names in its slot; enforced against a successor it would convict nobody",
        by: "`DemandsLeft`, `WrongMachine`, `OtherSupplier`, `OtherGeneration`",
        refused: held && other_key && other_supplier && other_generation && lost == 0,
        prize: Money::of_stake(i128::from(stranger.bond)),
    }
    .attack()
}
