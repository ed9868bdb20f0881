//! The starting points of most tests.

use leasehold::state::{Params, RoundRules};
use leasehold_client::instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{KeeperActor, SupplierActor, World, anything, machine, params, rules};

/// Rounds for which the machines of a scene are committed.
pub const COMMITTED: u32 = 1_000;

/// One supplier with machines, a keeper in each of three seats, and a buyer.
pub struct Scene {
    pub world: World,
    pub supplier: SupplierActor,
    pub keepers: Vec<KeeperActor>,
    pub buyer: Keypair,
}

impl Scene {
    /// `machines` idle machines.
    pub fn listed(machines: u16) -> Self {
        Scene::under(rules(), params(), machines)
    }

    /// `machines` idle machines under other rules, and a keeper in each seat.
    pub fn under(rules: RoundRules, params: Params, machines: u16) -> Self {
        let mut world = World::with(rules, params);
        let supplier = world.supplier();
        let batch: Vec<_> = (0..machines).map(machine).collect();
        world.list(&supplier, COMMITTED, &batch);
        let keepers = world.keepers(rules.seats);
        let buyer = world.wallet();
        Scene { world, supplier, keepers, buyer }
    }

    /// `machines` machines. The first `leased` of them form lease 1. Its first of `rounds` rounds is running.
    pub fn leased(machines: u16, leased: u32, rounds: u32) -> Self {
        Scene::listed(machines).leasing(leased, rounds)
    }

    /// Opens a lease of `gpus` GPUs; its first of `rounds` rounds is running then.
    pub fn leasing(mut self, gpus: u32, rounds: u32) -> Self {
        self.world.open(&self.buyer, anything(), gpus, rounds);
        self.world.end_round();
        self
    }

    /// Four machines whose lease 1 of two rounds is settled. All but the last were up; the last lost a part of its bond.
    pub fn slashed() -> Self {
        let mut scene = Scene::leased(4, 4, 2);
        for _ in 0..2 {
            scene.world.attest(&scene.keepers, |machine| machine != 3);
        }
        scene.world.settle(&scene.buyer, 1);
        scene
    }
}

impl World {
    /// Claims the refund of lease 1, which is settled.
    pub fn pay_owner(&mut self, buyer: &Keypair) {
        let (board, lease, owner) = (self.board(), self.lease_address(1), buyer.pubkey());
        let payments = self.market.payment_account(&owner);
        let refund = instruction::claim_refund(&board, owner, lease, payments);
        self.ok(&[refund], &[buyer]);
    }

    /// Claims a supplier's earnings and retires all its machines, after the dispute window of their leases.
    pub fn pay_supplier(&mut self, supplier: &SupplierActor) {
        let (board, authority) = (self.board(), supplier.wallet.pubkey());
        let payments = self.market.payment_account(&authority);
        let claim = instruction::claim_earnings(&board, authority, supplier.account, payments);
        let machines = self.with_board(|_, slots| {
            let indices = (0..).zip(slots).filter(|(_, slot)| slot.supplier == supplier.account);
            indices.map(|(index, _)| index).collect()
        });
        let retire = instruction::retire_machines(&board, authority, supplier.account, machines);
        self.end_disputes();
        self.ok(&[claim, retire], &[&supplier.wallet]);
    }
}
