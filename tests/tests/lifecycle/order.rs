//! Invariant 4: the outcome does not depend on who settles, how often and when.

use leasehold::{
    instructions::ReplaceNodeArgs,
    state::{LeaseState, Ledger},
};
use leasehold_tests::{Scene, anything, replacement};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{attest, attest_void, finish};

const ROUNDS: u32 = 30;
/// Two leases that run to their ends, and one that is cancelled; in the first, two machines are replaced.
const LEASES: u32 = 3;

/// Final state of every machine and lease, the market and its keepers.
#[derive(Debug, PartialEq)]
struct Outcome {
    machines: Vec<(u64, u64, u8, u8, u32, u32, u32)>,
    leases: Vec<(u64, u64, u64, u64, u64)>,
    fees: u64,
    /// The pool and the fees of keepers together. The division depends on the pool when each round was closed, and
    /// concerns no lease.
    keepers: u64,
    ledger: Ledger,
}

fn outcome(scene: &Scene) -> Outcome {
    let (ledger, machines) = scene.world.with_board(|board, slots| {
        let machines = slots.iter().map(|slot| {
            (slot.accrued, slot.bond, slot.state, slot.flags, slot.committed_until, slot.up, slot.down)
        });
        (board.ledger, machines.collect())
    });
    let leases = (1..=LEASES).map(|serial| scene.world.lease(serial));
    Outcome {
        machines,
        leases: leases.map(|l| (l.paid, l.fees, l.refund_due, l.slashed, l.burned)).collect(),
        fees: ledger.fees,
        keepers: ledger.keeper_pool + ledger.keeper_fees,
        ledger: Ledger { keeper_pool: 0, keeper_fees: 0, ..ledger },
    }
}

/// Leases with the same failures in every run, and the same wishes of their owner. Before each round is closed,
/// `settle(round, serial)` says whether to settle a lease.
fn run(mut settle: impl FnMut(u32, u32) -> bool) -> Scene {
    let mut scene = Scene::listed(18);
    scene.world.open(&scene.buyer, anything(), 5, ROUNDS);
    scene.world.open(&scene.buyer, anything(), 4, ROUNDS - 7);
    scene.world.open(&scene.buyer, anything(), 4, 100);
    scene.world.end_round();
    let mut rng = StdRng::seed_from_u64(7);
    for round in 0..ROUNDS {
        for serial in 1..=LEASES {
            if settle(round, serial) && scene.world.lease(serial).state != LeaseState::Settled {
                scene.world.settle(&scene.buyer, serial);
            }
        }
        let down: u32 = rng.random::<u32>() & rng.random::<u32>() & rng.random::<u32>();
        if rng.random_ratio(1, 6) {
            attest_void(&mut scene);
        } else {
            attest(&mut scene, |machine| {
                machine != 4 && down >> machine & 1 == 0 || machine == 4 && round > 10
            });
        }
        match round {
            // One that is up, and one that is contested.
            8 | 9 => {
                let args = ReplaceNodeArgs { contest: round == 9, ..replacement(round as u16 - 8) };
                let replace = scene.world.replace_instruction(&scene.buyer, 1, args);
                scene.world.ok(&[replace], &[&scene.buyer]);
            }
            12 => scene.world.forfeit(&scene.supplier, &[2, 7]),
            20 => {
                let cancel = scene.world.cancel_instruction(&scene.buyer, 3, &[10, 11]);
                scene.world.ok(&[cancel], &[&scene.buyer]);
            }
            _ => {}
        }
    }
    scene
}

fn settle_all(scene: &mut Scene) {
    for serial in 1..=LEASES {
        if scene.world.lease(serial).state != LeaseState::Settled {
            scene.world.settle(&scene.buyer, serial);
        }
    }
}

#[test]
fn settling_every_round_once_or_at_random_pays_the_same() {
    let mut once = run(|_, _| false);
    settle_all(&mut once);
    let expected = outcome(&once);
    assert!(expected.leases.iter().all(|lease| lease.0 > 0 && lease.4 > 0), "{expected:?}");
    assert!(expected.leases[..2].iter().all(|lease| lease.3 > 0), "{expected:?}");
    finish(once, &[]);

    let mut every = run(|_, _| true);
    settle_all(&mut every);
    assert_eq!(outcome(&every), expected);
    finish(every, &[]);

    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut random = run(|_, _| rng.random_ratio(1, 4));
        settle_all(&mut random);
        assert_eq!(outcome(&random), expected, "seed {seed}");
        finish(random, &[]);
    }
}

#[test]
fn settling_twice_in_a_round_moves_nothing_the_second_time() {
    let mut scene = run(|_, _| true);
    scene.world.end_round();
    scene.world.pass(301);
    crate::close(&mut scene.world);
    let mut scene_again = Scene::leased(3, 3, 9);
    attest(&mut scene_again, |machine| machine != 1);
    scene_again.world.settle(&scene_again.buyer, 1);
    let before = scene_again.world.data(&scene_again.world.board().address);
    scene_again.world.settle(&scene_again.supplier.wallet, 1);
    assert_eq!(scene_again.world.data(&scene_again.world.board().address), before);
    finish(scene_again, &[]);
    settle_all(&mut scene);
    finish(scene, &[]);
}

/// The history covers 64 rounds; a settlement needs none of it.
#[test]
fn settlement_two_hundred_rounds_after_the_end_is_exact() {
    let mut at_once = run(|_, _| false);
    settle_all(&mut at_once);
    let expected = outcome(&at_once);

    let mut late = run(|_, _| false);
    for round in 0..200u32 {
        // After the end, machines go down and rounds are void.
        if round % 5 == 0 { attest_void(&mut late) } else { attest(&mut late, |machine| machine > 8) }
    }
    settle_all(&mut late);
    let found = outcome(&late);
    assert_eq!(found.leases, expected.leases);
    let money = |outcome: &Outcome| outcome.machines.iter().map(|m| (m.0, m.1, m.4)).collect::<Vec<_>>();
    assert_eq!(money(&found), money(&expected));
    assert_eq!((found.fees, found.ledger.accrued), (expected.fees, expected.ledger.accrued));
    finish(at_once, &[]);
    finish(late, &[]);
}
