//! Leases from their opening to the end. Each scenario ends with the invariants and with `finish`: everybody takes
//! out what is theirs, until nothing of the market is left.

mod boards;
mod changes;
mod order;
mod outcomes;
mod pause;
mod replacement;
mod rounds;
mod vanishing;

use leasehold_client::instruction;
use leasehold_tests::{STAKE, Scene, USD, World};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Price of every machine, in payment units an hour, and seconds of a round.
pub const PRICE: u64 = 35 * USD / 100;
pub const ROUND_SECS: u64 = 600;

/// Earnings of a machine for `rounds` rounds up, fee included.
pub fn gross(rounds: u64) -> u64 {
    PRICE * ROUND_SECS * rounds / 3_600
}

/// Deposit for a machine.
pub fn deposit(rounds: u64) -> u64 {
    (PRICE * ROUND_SECS * rounds).div_ceil(3_600)
}

/// A machine's gross less the fee of 3 percent.
pub fn net(gross: u64) -> u64 {
    gross - gross * 300 / 10_000
}

/// Bond of each machine, in stake units.
pub const BOND: u64 = 100 * STAKE;

/// Stake units lost for rounds down beyond the allowance: of three days' rounds, at twice the rate.
pub fn slashed(over: u64) -> u64 {
    BOND * over * 2 / 432
}

/// Ends the running round; the named keepers vote, and the round is closed after its window.
pub fn attest_each(scene: &mut Scene, votes: &[(usize, &dyn Fn(u32) -> bool)]) {
    scene.world.end_round();
    for (keeper, up) in votes {
        scene.world.vote(&scene.keepers[*keeper], up);
    }
    scene.world.pass(300);
    close(&mut scene.world);
}

/// A round in which all keepers cast the same vote.
pub fn attest(scene: &mut Scene, up: impl Fn(u32) -> bool) {
    scene.world.attest(&scene.keepers, up);
}

/// A round on which too few keepers vote for any verdict.
pub fn attest_void(scene: &mut Scene) {
    attest_each(scene, &[(0, &|_| true)]);
}

/// Closes the first board's round.
pub fn close(world: &mut World) {
    let authority = world.authority.insecure_clone();
    world.ok(&[instruction::close_round(&world.board())], &[&authority]);
}

pub fn is_up(_: u32) -> bool {
    true
}

pub fn supply(world: &World, mint: &Pubkey) -> u64 {
    u64::from_le_bytes(world.data(mint)[36..44].try_into().expect("eight bytes"))
}

/// Asserts the invariants; then everybody leaves, and every token that was not burned is in a wallet.
pub fn finish(scene: Scene, others: &[&Keypair]) {
    let Scene { world, supplier, keepers, buyer } = scene;
    let authority = world.authority.insecure_clone();
    let mut wallets = vec![&authority, &supplier.wallet, &buyer];
    wallets.extend(keepers.iter().map(|keeper| &keeper.wallet));
    wallets.extend(others);
    leave(world, &wallets);
}

/// Like [`finish`], for `wallets`, which must be all wallets that have tokens.
pub fn leave(mut world: World, wallets: &[&Keypair]) {
    world.assert_invariants();
    world.wind_up(wallets);
    assert_eq!(world.remaining_accounts(), Vec::<Pubkey>::new());
    for (mint, balance) in [
        (world.market.payment_mint, World::payments_of as fn(&World, &Pubkey) -> u64),
        (world.market.stake_mint, World::stake_of),
    ] {
        let sum: u64 = wallets.iter().map(|wallet| balance(&world, &wallet.pubkey())).sum();
        assert_eq!(sum, supply(&world, &mint));
    }
}
