//! Settlements that take more than one transaction, with the largest possible amounts.

use leasehold::{
    instructions::Machine,
    math::slashing::slash,
    state::{Lease, LeaseState, Params, RoundRules},
};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_keypair::Keypair;
use solana_signer::Signer;

/// Rounds of each lease, of an hour each.
const ROUNDS: u32 = 10;
const SECS: u128 = 3_600;

/// Events of a lease: the rounds after which it is settled in mid-term, in which all machines are down, on which nobody
/// votes, in which its owner cancels, and whether it contests all of them then.
#[derive(Clone, Copy, Default)]
struct Course {
    settled: &'static [u32],
    down: &'static [u32],
    void: &'static [u32],
    cancelled: Option<u32>,
    contested: bool,
}

/// A board of equal machines, and a buyer who can pay for them.
struct Fleet {
    world: World,
    keepers: Vec<KeeperActor>,
    buyer: Keypair,
}

impl Fleet {
    fn new(machines: u16, price: u64, bond: u64) -> Self {
        let rounds = RoundRules {
            round_secs: SECS as u32,
            submit_secs: 300,
            seats: 3,
            threshold: 2,
            abandon_rounds: 64,
            sla_bps: 9_000,
        };
        // The highest fee; one round of ten may be down.
        let params = Params { bond_unit: bond, fee_bps: 3_000, max_rounds: 8_000, ..params() };
        let mut world = World::with(rounds, params);
        let supplier = world.supplier();
        let missing = (bond * u64::from(machines)).saturating_sub(STAKED);
        if missing > 0 {
            let key = supplier.wallet.pubkey();
            let from = world.market.stake_account(&key);
            world.mint_stake(&key, missing);
            let deposit = instruction::deposit_stake(&world.market, key, from, missing);
            world.ok(&[deposit], &[&supplier.wallet]);
        }
        let all: Vec<_> = (0..machines).map(|number| Machine { price, ..machine(number) }).collect();
        world.list(&supplier, 100, &all);
        let (keepers, buyer) = (world.keepers(3), world.wallet());
        world.make_rich(&buyer.pubkey());
        world.end_round();
        Fleet { world, keepers, buyer }
    }

    /// A lease of `machines` machines, all of whose rounds are closed.
    fn lease(&self, machines: u32, course: Course) -> World {
        let Fleet { world, keepers, buyer } = self;
        let (mut world, board) = (world.clone(), world.board());
        world.open(buyer, anything(), machines, ROUNDS);
        world.end_round();
        for round in 0..ROUNDS {
            if course.cancelled == Some(round) {
                let contest: Vec<u16> = (0..machines as u16).filter(|_| course.contested).collect();
                let cancel = world.cancel_instruction(buyer, 1, &contest);
                world.ok(&[cancel], &[buyer]);
            }
            if course.void.contains(&round) {
                world.end_round();
                world.pass(301);
                world.ok(&[instruction::close_round(&board)], &[buyer]);
            } else {
                world.attest(keepers, |_| !course.down.contains(&round));
            }
            if course.cancelled == Some(round) {
                break;
            }
            if course.settled.contains(&round) {
                world.settle(buyer, 1);
            }
        }
        world
    }

    /// Settles the lease for good, in as many transactions as needed. Returns the lease, and how many machines each
    /// transaction settled.
    fn settle(&self, world: &mut World) -> (Lease, Vec<u32>) {
        let mut steps = vec![];
        while world.lease(1).state != LeaseState::Settled {
            let before = world.lease(1).unsettled;
            // The transaction has the largest limit of units; it fails if that is too little.
            world.settle(&self.buyer, 1);
            steps.push(before - world.lease(1).unsettled);
            assert!(steps.last().is_some_and(|step| *step > 0), "every step settles some");
            world.assert_invariants();
        }
        (world.lease(1), steps)
    }

    /// Compute units that each further machine takes in a final settlement.
    fn units_of_a_machine(&self, course: Course) -> u64 {
        let units = |machines| {
            let mut world = self.lease(machines, course);
            let units = world.settle(&self.buyer, 1).compute_units_consumed;
            assert_eq!(world.lease(1).state, LeaseState::Settled, "in one step");
            units
        };
        (units(220) - units(20)).div_ceil(200)
    }
}

fn gross(price: u64, secs: u128) -> u64 {
    u64::try_from(u128::from(price) * secs / 3_600).expect("fits")
}

/// A lease that an early version could never settle: 6,000 machines at 2,000,000 an hour for a week.
#[test]
fn settle_lease_takes_several_transactions_for_thousands_of_expensive_machines() {
    let price = 2_000_000 * USD;
    let fleet = Fleet::new(6_000, price, 1_000);
    let owed = 6_000 * gross(price, 10 * SECS);
    let mut outcomes = vec![];
    for settled in [&[][..], &[3, 8]] {
        let mut world = fleet.lease(6_000, Course { settled, ..Course::default() });
        let (lease, steps) = fleet.settle(&mut world);
        assert!(steps.len() > 1, "{steps:?}");
        assert_eq!((lease.paid + lease.fees, lease.slashed), (owed, 0));
        assert_eq!(lease.refunded, lease.deposit - owed);
        let accrued: u64 = world.with_board(|_, slots| slots.iter().map(|slot| slot.accrued).sum());
        outcomes.push((lease.paid, lease.fees, accrued));
    }
    assert_eq!(outcomes[0], outcomes[1], "settling in between changes nothing");
}

#[test]
fn settle_lease_takes_several_transactions_for_thousands_of_large_slashes() {
    let (price, bond) = (2_000_000 * USD, 1_000_000_000_000_000);
    let fleet = Fleet::new(3_000, price, bond);
    let course = Course { settled: &[3, 8], down: &[1, 2], void: &[5], ..Course::default() };
    let mut world = fleet.lease(3_000, course);
    let (lease, steps) = fleet.settle(&mut world);
    assert!(steps.len() > 2, "{steps:?}");
    // Up in seven rounds of ten, and down in one more than may be; the void round is not paid in whole.
    assert_eq!(lease.paid + lease.fees, 3_000 * 6 * price);
    assert_eq!(lease.burned, 3_000 * price);
    // One of three days' rounds, at twice the rate.
    let lost = slash(bond, 2, 10, 3_600, 9_000, 20_000).expect("fits");
    assert_eq!((lost, lease.slashed), (bond / 36, 3_000 * lost));
    world.with_board(|_, slots| assert!(slots.iter().all(|slot| slot.bond == bond - lost)));
}

/// Machines whose deposits together reach u64::MAX: products of a price, a time and a rate take 128 bits.
#[test]
fn settle_lease_takes_several_transactions_for_the_largest_amounts() {
    let price = u64::MAX / 1_503 / 10;
    let fleet = Fleet::new(1_500, price, 1_000_000_000_000_000);
    let courses = [
        Course { settled: &[1, 8], down: &[2, 3], void: &[9], ..Course::default() },
        Course { settled: &[1, 7], down: &[0, 1], void: &[3], cancelled: Some(7), ..Course::default() },
    ];
    for course in courses {
        let mut world = fleet.lease(1_500, course);
        let (lease, steps) = fleet.settle(&mut world);
        assert!(steps.len() > 1, "{steps:?}");
        assert_eq!(lease.paid + lease.fees + lease.refunded + lease.burned, lease.deposit);
        assert!(lease.burned > 0);
        assert!(lease.deposit > u64::MAX / 100 * 99);
    }
}

/// The program settles as many machines in a transaction as fit in a million units, by the units it reserves for a
/// machine of each class: see `PLAIN_UNITS` and its neighbours.
#[test]
fn settle_lease_sets_aside_as_many_units_as_a_machine_takes() {
    let (mid, bond) = (&[3, 8][..], 1_000_000_000_000_000);
    let plain = Course { settled: mid, ..Course::default() };
    let slashed = Course { settled: mid, down: &[1, 2], void: &[5], ..Course::default() };
    let left = Course { settled: &[1, 6], down: &[0, 1], void: &[3], cancelled: Some(7), contested: false };
    let contested = Course { contested: true, ..left };
    let blameless = Course { down: &[], contested: true, ..left };
    let mut most = [0; 3];
    // Products of 128 bits from the third price on.
    for price in [350_000, 2_000_000 * USD, 36_000_000 * USD] {
        let fleet = Fleet::new(220, price, bond);
        let class = usize::from(price > u64::from(u32::MAX));
        most[class] = fleet.units_of_a_machine(plain).max(most[class]);
        most[2] = [slashed, left, contested, blameless]
            .map(|course| fleet.units_of_a_machine(course))
            .into_iter()
            .fold(most[2], u64::max);
    }
    println!("units of a machine: plain {}, wide {}, any other {}", most[0], most[1], most[2]);
    for (found, bound) in most.into_iter().zip([130, 700, 1_400]) {
        assert!(found <= bound, "{found} units, but {bound} are reserved");
    }
}
