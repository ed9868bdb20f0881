//! What wallets own, wherever it is, before an attack and after it.

use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::World;

/// Payment units and stake units that a wallet owns, wherever they are: in its token accounts, as stake, in bonds and seats,
/// as earnings and refunds that are not claimed.
fn wealth(world: &World, wallet: &Keypair) -> (u64, u64) {
    let (key, snapshot) = (wallet.pubkey(), world.snapshot());
    let (mut payments, mut stake) = (world.payments_of(&key), world.stake_of(&key));
    for (_, supplier) in snapshot.suppliers.iter().filter(|(_, supplier)| supplier.authority == key) {
        stake += supplier.stake.free + supplier.stake.unbonding;
    }
    for (_, keeper) in snapshot.keepers.iter().filter(|(_, keeper)| keeper.authority == key) {
        stake += keeper.stake.free + keeper.stake.unbonding + keeper.locked;
    }
    for board in &snapshot.boards {
        let view = board.data.view().expect("a board");
        for (_, slot) in view.of_supplier(world.market.supplier(&key)) {
            payments += slot.accrued;
            stake += slot.bond;
        }
        for (_, seat) in view.seats().filter(|(_, seat)| !seat.is_vacant() && seat.keeper == key) {
            payments += seat.earned;
        }
        payments += board
            .leases
            .iter()
            .filter(|(_, lease)| lease.owner == key)
            .map(|(_, lease)| lease.refund_due)
            .sum::<u64>();
    }
    (payments, stake)
}

/// What wallets own before an attack.
pub struct Before<'a>(Vec<(&'a Keypair, (u64, u64))>);

impl<'a> Before<'a> {
    pub fn new(world: &World, wallets: &[&'a Keypair]) -> Self {
        Before(wallets.iter().map(|wallet| (*wallet, wealth(world, wallet))).collect())
    }

    /// Payment units and stake units that each wallet has gained since, in order; losses are negative.
    pub fn gains(&self, world: &World) -> Vec<(i64, i64)> {
        world.assert_invariants();
        let gain = |before: u64, after: u64| after as i64 - before as i64;
        self.0
            .iter()
            .map(|(wallet, before)| {
                let after = wealth(world, wallet);
                (gain(before.0, after.0), gain(before.1, after.1))
            })
            .collect()
    }
}

/// A loss of so many units.
pub fn less(amount: u64) -> i64 {
    -(amount as i64)
}
