//! The price index: what counts, when it is recorded, and what nobody can do with it.

use anchor_lang::error::ErrorCode;
use bytemuck::Zeroable;
use leasehold::{
    constants::{DAY_SECS, INDEX_DAYS, INDEX_REST_SECS},
    error::LeaseholdError,
    instructions::Machine,
    math::matching::Criteria,
    rules,
    state::{Board, ClassSums, IndexDay, Lease, PriceIndex, Slot, SlotState, Traits},
};
use leasehold_client::{account::price_index, address, event::Event, instruction};
use leasehold_tests::*;
use proptest::prelude::*;
use solana_signer::Signer;

/// Unix day on which every test begins, at midnight.
const DAY: u32 = (START / DAY_SECS) as u32;

/// Machine i has i + 1 GPUs at the i-th price, and serves lease i + 1 of six days. Its first round is running.
fn leased_at(prices: &[u64]) -> Scene {
    let mut scene = Scene::listed(0);
    let of = |(number, price): (u16, &u64)| {
        let traits = Traits { gpus: number as u8 + 1, ..machine(number).traits };
        Machine { traits, price: *price, ..machine(number) }
    };
    let machines: Vec<Machine> = (0..).zip(prices).map(of).collect();
    scene.world.list(&scene.supplier, COMMITTED, &machines);
    for gpus in 1..=prices.len() as u8 {
        let criteria = Criteria { min_gpus: gpus, max_gpus: gpus, ..anything() };
        assert_eq!(scene.world.open(&scene.buyer, criteria, u32::from(gpus), 864), u32::from(gpus));
    }
    scene.world.end_round();
    scene
}

/// Rounds in which all machines are up; then these leases are settled.
fn serve(scene: &mut Scene, rounds: u32, leases: &[u32]) {
    for _ in 0..rounds {
        scene.world.attest(&scene.keepers, |_| true);
    }
    for lease in leases {
        scene.world.settle(&scene.buyer, *lease);
    }
}

fn create(scene: &mut Scene, class: u16) {
    let create = instruction::create_index(&scene.world.board(), scene.buyer.pubkey(), class);
    scene.world.ok(&[create], &[&scene.buyer]);
}

/// Goes to a second of a day, counted from the first.
fn go_to(scene: &mut Scene, day: u32, second: i64) {
    scene.world.set_time(START + i64::from(day) * DAY_SECS + second);
}

/// Records the day before, and returns it.
#[track_caller]
fn record(scene: &mut Scene, class: u16) -> IndexDay {
    let record = instruction::record_day(&scene.world.board(), class);
    scene.world.ok(&[record], &[&scene.buyer]);
    *index(scene, class).last().expect("it was recorded")
}

#[track_caller]
fn refuses_to_record(scene: &mut Scene, error: LeaseholdError) {
    let record = instruction::record_day(&scene.world.board(), 0);
    scene.world.fails(record, &[&scene.buyer], error);
}

fn index(scene: &Scene, class: u16) -> PriceIndex {
    let data = scene.world.data(&address::index(&scene.world.board().address, class));
    price_index(&data).expect("an index")
}

fn sums(scene: &Scene, class: usize) -> ClassSums {
    scene.world.with_board(|board, _| board.sums[class])
}

#[test]
fn create_index_ok() {
    let mut scene = Scene::listed(1);
    create(&mut scene, 2);
    let found = index(&scene, 2);
    assert_eq!((found.board, found.payer), (scene.world.board().address, scene.buyer.pubkey()));
    assert_eq!((found.class, found.recorded, found.recorded_at), (2, 0, scene.world.now()));
    assert!(found.last().is_none() && found.day(0).is_none() && found.day(DAY).is_none());
    assert_eq!(scene.world.with_board(|board, _| board.indexed), 1 << 2);
    let again = instruction::create_index(&scene.world.board(), scene.buyer.pubkey(), 2);
    scene.world.fails(again, &[&scene.buyer], SYSTEM_ACCOUNT_IN_USE);
    scene.world.assert_invariants();
}

#[test]
fn create_index_fails_when_the_market_has_no_such_class() {
    let mut scene = Scene::listed(1);
    for class in [3, 32, u16::MAX] {
        let create = instruction::create_index(&scene.world.board(), scene.buyer.pubkey(), class);
        scene.world.fails(create, &[&scene.buyer], LeaseholdError::UnknownClass);
    }
}

#[test]
fn record_day_ok() {
    let mut scene = leased_at(&[350_000, 500_000]);
    create(&mut scene, 0);
    serve(&mut scene, 3, &[1, 2]);
    // Three rounds of one GPU and of two.
    let paid = ClassSums { paid: [3 * 350_000 + 6 * 500_000, 0], gpu_rounds: 9, index: 0 };
    assert_eq!(sums(&scene, 0), paid);
    go_to(&mut scene, 1, 0);
    let board = scene.world.board();
    let meta = scene.world.ok(&[instruction::record_day(&board, 0)], &[&scene.buyer]);
    let day = *index(&scene, 0).last().expect("it was recorded");
    let expected = IndexDay { paid: paid.paid, gpu_rounds: 9, index: 450_000, day: DAY, padding: 0 };
    assert_eq!(day, expected);
    assert_eq!(sums(&scene, 0), ClassSums { index: 450_000, ..paid });
    let found = index(&scene, 0);
    assert_eq!((found.recorded, found.last_day, found.recorded_at), (1, DAY, scene.world.now()));
    assert_eq!(found.day(DAY), Some(&expected));
    assert!(matches!(&events(&meta)[..], [Event::DayRecorded(event)]
        if event.board == board.address
            && (event.class, event.day, event.index) == (0, DAY, 450_000)
            && (event.paid, event.gpu_rounds) == (4_050_000, 9)));
    scene.world.assert_invariants();
}

/// The next day has an average of its own; a reader averages any number of days.
#[test]
fn a_day_is_the_average_since_the_day_before() {
    let mut scene = leased_at(&[400_000, 500_000]);
    create(&mut scene, 0);
    serve(&mut scene, 2, &[1]);
    go_to(&mut scene, 1, 0);
    let first = record(&mut scene, 0);
    assert_eq!(first.index, 400_000);
    serve(&mut scene, 1, &[2]);
    go_to(&mut scene, 2, 0);
    let second = record(&mut scene, 0);
    assert_eq!((second.index, second.day), (500_000, DAY + 1));
    // Three rounds of two GPUs: lease 2 had not been settled on the first day.
    assert_eq!((second.gpu_rounds - first.gpu_rounds, second.paid().low - first.paid().low), (6, 3_000_000));
    assert_eq!(index(&scene, 0).day(DAY), Some(&first), "the ring has both");
}

#[test]
fn the_first_day_covers_all_that_was_paid_before_the_index_was_created() {
    let mut scene = leased_at(&[400_000, 500_000]);
    serve(&mut scene, 2, &[1]);
    go_to(&mut scene, 2, 0);
    serve(&mut scene, 1, &[2]);
    create(&mut scene, 0);
    go_to(&mut scene, 3, 0);
    // Two rounds at 400,000 a GPU and six GPU-rounds at 500,000: nobody chooses where an index begins.
    assert_eq!(record(&mut scene, 0).index, (2 * 400_000 + 6 * 500_000) / 8);
}

/// Counted exactly: a settlement in each round does not round each time.
#[test]
fn the_sums_do_not_depend_on_how_often_a_lease_is_settled() {
    let mut scene = leased_at(&[7]);
    let mut once = scene.world.clone();
    for _ in 0..5 {
        serve(&mut scene, 1, &[1]);
        once.attest(&scene.keepers, |_| true);
    }
    once.settle(&scene.buyer, 1);
    let expected = ClassSums { paid: [7 * 5, 0], gpu_rounds: 5, index: 0 };
    assert_eq!(sums(&scene, 0), expected);
    assert_eq!(once.with_board(|board, _| board.sums[0]), expected);
}

#[test]
fn only_rounds_up_count() {
    let mut scene = leased_at(&[400_000, 400_000]);
    scene.world.attest(&scene.keepers, |_| true);
    scene.world.attest(&scene.keepers, |machine| machine == 0);
    // A void round.
    scene.world.end_round();
    serve(&mut scene, 1, &[1, 2]);
    assert_eq!(sums(&scene, 0).gpu_rounds, 3 + 2 * 2);
}

#[test]
fn metered_leases_do_not_count() {
    let mut scene = Scene::listed(0);
    scene.world.list(&scene.supplier, COMMITTED, &[signing_machine(0)]);
    scene.world.open_metered(&scene.buyer, 50 * USD, 100);
    scene.world.end_round();
    serve(&mut scene, 20, &[1]);
    assert!(scene.world.lease(1).paid > 0);
    assert_eq!(sums(&scene, 0), ClassSums::default());
}

/// A lease of several classes, and prices so high that their products do not fit 64 bits.
#[test]
fn each_class_has_sums_of_its_own() {
    let mut scene = Scene::listed(0);
    let of = |number: u16, class, price| Machine {
        traits: Traits { class, ..machine(number).traits },
        price,
        ..machine(number)
    };
    let machines = [of(0, 2, 300_000), of(1, 0, 500_000), of(2, 2, 100_000_000_000_000), of(3, 0, 700_000)];
    scene.world.list(&scene.supplier, COMMITTED, &machines);
    scene.world.open(&scene.buyer, anything(), 4, 10);
    scene.world.end_round();
    create(&mut scene, 2);
    serve(&mut scene, 10, &[1]);
    let paid = 10 * (300_000 + 100_000_000_000_000u128);
    assert_eq!(u128::from(sums(&scene, 2).paid()), paid);
    let others = ClassSums { paid: [10 * 1_200_000, 0], gpu_rounds: 20, index: 0 };
    assert_eq!((sums(&scene, 0), sums(&scene, 1)), (others, ClassSums::default()));
    go_to(&mut scene, 1, 0);
    assert_eq!(record(&mut scene, 2).index, 50_000_000_150_000);
    assert_eq!(sums(&scene, 0), others, "the index of another class bounds nothing here");
    let missing = instruction::record_day(&scene.world.board(), 0);
    scene.world.fails(missing, &[&scene.buyer], ErrorCode::AccountOwnedByWrongProgram);
}

#[test]
fn record_day_fails_when_the_day_is_not_over() {
    let mut scene = Scene::listed(1);
    create(&mut scene, 0);
    refuses_to_record(&mut scene, LeaseholdError::DayNotOver);
    go_to(&mut scene, 1, -1);
    refuses_to_record(&mut scene, LeaseholdError::DayNotOver);
    go_to(&mut scene, 1, 0);
    assert_eq!(record(&mut scene, 0).day, DAY);
    go_to(&mut scene, 1, 1);
    refuses_to_record(&mut scene, LeaseholdError::DayNotOver);
    go_to(&mut scene, 2, -1);
    refuses_to_record(&mut scene, LeaseholdError::DayNotOver);
    go_to(&mut scene, 2, 0);
    assert_eq!(record(&mut scene, 0).day, DAY + 1);
}

/// Whoever recorded just before midnight and just after it would have the average of a day to itself: two of its own payments,
/// or none, and the index doubles every other day for next to nothing.
#[test]
fn attack_recording_around_midnight_waits_twelve_hours() {
    let mut scene = leased_at(&[400_000, 4_000_000]);
    create(&mut scene, 0);
    serve(&mut scene, 1, &[1]);
    go_to(&mut scene, 2, -1);
    assert_eq!(record(&mut scene, 0).index, 400_000);
    scene.world.settle(&scene.buyer, 2);
    go_to(&mut scene, 2, 0);
    refuses_to_record(&mut scene, LeaseholdError::DayNotOver);
    go_to(&mut scene, 2, -1 + INDEX_REST_SECS - 1);
    refuses_to_record(&mut scene, LeaseholdError::DayNotOver);
    // The others have half a day to settle.
    serve(&mut scene, 4, &[1]);
    go_to(&mut scene, 2, -1 + INDEX_REST_SECS);
    let paid = 4 * 400_000 + 2 * 800_000;
    assert_eq!(record(&mut scene, 0).index, paid / (4 + 2));
    // And the day after begins at midnight again.
    go_to(&mut scene, 3, 0);
    assert_eq!(record(&mut scene, 0).day, DAY + 2);
}

/// The same at its creation.
#[test]
fn the_first_day_is_recorded_twelve_hours_after_the_creation_at_the_earliest() {
    let mut scene = Scene::listed(1);
    go_to(&mut scene, 0, DAY_SECS - 100);
    create(&mut scene, 0);
    go_to(&mut scene, 1, INDEX_REST_SECS - 101);
    refuses_to_record(&mut scene, LeaseholdError::DayNotOver);
    go_to(&mut scene, 1, INDEX_REST_SECS - 100);
    assert_eq!(record(&mut scene, 0).day, DAY);
}

/// Lease 1 as in [`leased_at`], and lease 2 of two GPUs at another price, whose supplier is its owner.
fn washed_at(price: u64, wash: u64) -> (Scene, SupplierActor) {
    let mut scene = leased_at(&[price]);
    let mallory = scene.world.supplier();
    let traits = Traits { gpus: 2, ..machine(1).traits };
    scene.world.list(&mallory, COMMITTED, &[Machine { traits, price: wash, ..machine(1) }]);
    scene.world.open(&mallory.wallet, Criteria { min_gpus: 2, ..anything() }, 2, 864);
    scene.world.end_round();
    (scene, mallory)
}

/// Both leases, which were open `before`, are left and settled. Asserts that the honest supplier has what its buyer paid, less the fee, and that the
/// washer has lost the fee on all that it paid.
fn wash_costs_its_fee(scene: &mut Scene, mallory: &SupplierActor, before: &Before, up: [u64; 2]) {
    let buyer = scene.buyer.insecure_clone();
    for (owner, serial) in [(&buyer, 1), (&mallory.wallet, 2)] {
        let cancel = scene.world.cancel_instruction(owner, serial, &[]);
        scene.world.ok(&[cancel], &[owner]);
    }
    serve(scene, 1, &[1, 2]);
    // What leaving costs is an hour's price: the rest of six days is long.
    let [honest, washed] = [(0, 1), (1, 2)].map(|(slot, gpus)| {
        let hourly = scene.world.slot(slot).price * gpus;
        hourly * 600 * up[usize::from(slot)] / 3_600 + hourly
    });
    let fee = |gross: u64| gross * 300 / 10_000;
    // Both owners had paid their deposits before.
    let [deposit, wash] = [1, 2].map(|serial| scene.world.lease(serial).deposit);
    let left = [honest - fee(honest), deposit - honest, wash - fee(washed)];
    assert_eq!(before.gains(&scene.world), left.map(|units| (units as i64, 0)));
}

/// A supplier leases its own machine at a hundred times the price.
#[test]
fn attack_wash_trades_double_the_index_at_most() {
    let (mut scene, mallory) = washed_at(400_000, 40_000_000);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &buyer, &mallory.wallet]);
    create(&mut scene, 0);
    serve(&mut scene, 20, &[1]);
    go_to(&mut scene, 1, 0);
    assert_eq!(record(&mut scene, 0).index, 400_000);
    serve(&mut scene, 1, &[2]);
    // 21 rounds of two GPUs, each at twice the day before's index.
    go_to(&mut scene, 2, 0);
    assert_eq!(record(&mut scene, 0).index, 800_000);
    let wash = scene.world.lease(2);
    let earned = 40_000_000 * 2 * 600 * 21 / 3_600;
    let early = earned - (earned / 5).max(2 * 80_000_000);
    assert_eq!(
        (wash.paid + wash.fees, wash.fees),
        (early, early * 300 / 10_000),
        "it pays the fee on all of it"
    );
    // As many rounds of the others count as much.
    serve(&mut scene, 1, &[1, 2]);
    go_to(&mut scene, 3, 0);
    let paid = 2 * 400_000 + 2 * 1_600_000;
    assert_eq!(record(&mut scene, 0).index, paid / 4);
    wash_costs_its_fee(&mut scene, &mallory, &before, [23, 23]);
}

/// Half of an odd index is rounded up, so that it falls by half at most.
#[test]
fn attack_wash_trades_halve_the_index_at_most() {
    let (mut scene, mallory) = washed_at(400_001, 1);
    let (supplier, buyer) = (scene.supplier.wallet.insecure_clone(), scene.buyer.insecure_clone());
    let before = Before::new(&scene.world, &[&supplier, &buyer, &mallory.wallet]);
    create(&mut scene, 0);
    serve(&mut scene, 20, &[1]);
    go_to(&mut scene, 1, 0);
    assert_eq!(record(&mut scene, 0).index, 400_001);
    serve(&mut scene, 1, &[2]);
    go_to(&mut scene, 2, 0);
    assert_eq!(record(&mut scene, 0).index, 200_001);
    wash_costs_its_fee(&mut scene, &mallory, &before, [22, 22]);
}

/// However long nobody recorded: the bounds stay those of the last day.
#[test]
fn after_days_that_nobody_recorded_the_index_doubles_once() {
    let mut scene = leased_at(&[400_000, 40_000_000]);
    create(&mut scene, 0);
    serve(&mut scene, 1, &[1]);
    go_to(&mut scene, 1, 0);
    record(&mut scene, 0);
    serve(&mut scene, 1, &[2]);
    go_to(&mut scene, 5, 7_200);
    let day = record(&mut scene, 0);
    assert_eq!((day.index, day.day), (800_000, DAY + 4));
    let found = index(&scene, 0);
    assert_eq!((found.recorded, found.day(DAY + 2)), (2, None), "nobody recorded the days between");
}

#[test]
fn a_day_without_payments_has_no_index_and_leaves_the_bounds() {
    let mut scene = leased_at(&[400_000, 40_000_000]);
    create(&mut scene, 0);
    serve(&mut scene, 1, &[1]);
    go_to(&mut scene, 1, 0);
    let first = record(&mut scene, 0);
    go_to(&mut scene, 2, 0);
    let second = record(&mut scene, 0);
    assert_eq!(second, IndexDay { index: 0, day: DAY + 1, ..first });
    assert_eq!(sums(&scene, 0).index, 400_000);
    serve(&mut scene, 1, &[2]);
    go_to(&mut scene, 3, 0);
    assert_eq!(record(&mut scene, 0).index, 800_000);
}

#[test]
fn an_index_remembers_64_days() {
    let mut scene = leased_at(&[400_000]);
    create(&mut scene, 0);
    serve(&mut scene, 1, &[1]);
    let days = INDEX_DAYS as u32 + 2;
    for day in 1..=days {
        go_to(&mut scene, day, 0);
        record(&mut scene, 0);
    }
    let found = index(&scene, 0);
    assert_eq!((found.recorded, found.last_day), (days, DAY + days - 1));
    for day in 0..days {
        let entry = found.day(DAY + day);
        assert_eq!(entry.is_some(), day >= 2, "day {day}");
        assert!(entry.is_none_or(|entry| entry.gpu_rounds == 1 && entry.index == 0), "day {day}");
    }
    assert!(found.day(DAY + days).is_none());
}

#[test]
fn prices_at_the_edges_count_between_half_and_twice_the_index() {
    let prices = [1, 199_999, 200_000, 200_001, 400_000, 799_999, 800_000, 800_001, 1 << 34];
    let mut scene = leased_at(&[&[400_000], &prices[..]].concat());
    create(&mut scene, 0);
    serve(&mut scene, 1, &[1]);
    go_to(&mut scene, 1, 0);
    assert_eq!(record(&mut scene, 0).index, 400_000);
    let before = sums(&scene, 0);
    let leases: Vec<u32> = (2..).take(prices.len()).collect();
    serve(&mut scene, 1, &leases);
    let counted = (2..).zip(prices).map(|(gpus, price)| 2 * gpus * price.clamp(200_000, 800_000));
    assert_eq!(sums(&scene, 0).paid[0] - before.paid[0], counted.sum::<u64>());
}

/// A lease in mid-term, as it was opened in `world`: with these indexes, of these machines, if `class` is set all of that one.
/// Each is (class, GPUs, price, rounds up, rounds up that are paid).
fn in_mid_term(
    (board, lease): &(Board, Lease),
    indexes: [u64; 3],
    class: Option<u16>,
    machines: &[(u16, u8, u64, u32, u32)],
) -> (Board, Vec<Slot>, Lease) {
    let mut board = *board;
    for (sums, index) in board.sums.iter_mut().zip(indexes) {
        sums.index = index;
    }
    board.ledger.escrow = u64::MAX;
    let until = lease.from + 1_000;
    let terms = lease.terms;
    let lease = Lease {
        criteria: Criteria { class, ..lease.criteria },
        terms,
        until,
        unsettled: machines.len() as u32,
        deposit: u64::MAX,
        replaced: vec![],
        ..*lease
    };
    let slot = |(of, gpus, price, up, paid): &(u16, u8, u64, u32, u32)| Slot {
        traits: Traits { class: class.unwrap_or(*of), gpus: *gpus, ..machine(0).traits },
        price: *price,
        state: SlotState::Leased as u8,
        lease: lease.serial,
        lease_from: lease.from,
        lease_until: until,
        lease_agreed: until,
        lease_up: *up,
        lease_settled: *paid.min(up),
        ..Slot::zeroed()
    };
    (board, machines.iter().map(slot).collect(), lease)
}

/// Sums of a class, counted one by one in 128 bits.
fn naive(slots: &[Slot], class: u16, index: u64) -> (u128, u64) {
    let (least, most) = if index == 0 { (0, u64::MAX) } else { (index.div_ceil(2), 2 * index) };
    let of_class = slots.iter().filter(|slot| slot.traits.class == class);
    of_class.fold((0, 0), |(paid, gpu_rounds), slot| {
        let rounds = u64::from(slot.lease_up - slot.lease_settled) * u64::from(slot.traits.gpus);
        let price = slot.price.clamp(least, most);
        (paid + u128::from(price) * u128::from(rounds), gpu_rounds + rounds)
    })
}

/// A number of up to `bits` bits, each length as likely.
fn number(bits: u32) -> impl Strategy<Value = u64> {
    (1..=bits).prop_flat_map(|bits| 1..1u64 << bits)
}

#[test]
fn the_sums_are_those_of_all_machines_counted_one_by_one() {
    let scene = Scene::leased(1, 1, 900);
    let opened = (scene.world.with_board(|board, _| *board), scene.world.lease(1));
    let machine = (0..3u16, 1u8.., number(44), 0..1_000u32, 0..1_000u32);
    let indexes = proptest::array::uniform3(prop_oneof![Just(0), number(46)]);
    let class = proptest::option::of(0..3u16);
    let machines = proptest::collection::vec(machine, 1..8);
    proptest!(|(indexes in indexes, class in class, machines in machines)| {
        let (mut board, mut slots, mut lease) = in_mid_term(&opened, indexes, class, &machines);
        let expected: Vec<_> = (0..).zip(indexes).map(|(class, index)| naive(&slots, class, index)).collect();
        rules::settle::apply(&mut board, &mut slots, &mut lease).expect("it fits");
        let found = board.sums[..3].iter().map(|sums| (u128::from(sums.paid()), sums.gpu_rounds));
        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
    });
}

#[test]
fn close_index_ok_once_the_board_is_closed() {
    let mut world = World::new();
    let (authority, payer, anybody) = (world.authority.insecure_clone(), world.wallet(), world.wallet());
    let board = world.board();
    world.ok(&[instruction::create_index(&board, payer.pubkey(), 1)], &[&payer]);
    let close = instruction::close_index(&board, payer.pubkey(), 1);
    world.fails(close.clone(), &[&payer], LeaseholdError::IndexInUse);
    let wallet = world.market.payment_account(&authority.pubkey());
    world.ok(&[instruction::close_board(&board, authority.pubkey(), wallet)], &[&authority]);
    let stolen = instruction::close_index(&board, anybody.pubkey(), 1);
    world.fails(stolen, &[&anybody], LeaseholdError::WrongAuthority);
    let (rent, before) =
        (world.lamports(&address::index(&board.address, 1)), world.lamports(&payer.pubkey()));
    world.ok(&[close], &[&anybody]);
    assert_eq!(world.lamports(&payer.pubkey()) - before, rent);
    assert!(rent > 0 && world.lamports(&address::index(&board.address, 1)) == 0);
}

#[test]
fn close_index_fails_when_given_another_board() {
    let mut world = World::new();
    let payer = world.wallet();
    let board = world.board();
    world.ok(&[instruction::create_index(&board, payer.pubkey(), 1)], &[&payer]);
    let mut close = instruction::close_index(&board, payer.pubkey(), 1);
    close.accounts[1].pubkey = world.market.board(7).address;
    world.fails(close, &[&payer], LeaseholdError::WrongBoard);
}

/// A market that is closed and created again has boards at the same addresses (invariant 11).
#[test]
fn attack_an_index_does_not_pass_to_the_next_board_with_its_address() {
    let mut world = World::new();
    let (authority, payer) = (world.authority.insecure_clone(), world.wallet());
    let (board, key) = (world.board(), authority.pubkey());
    world.ok(&[instruction::create_index(&board, payer.pubkey(), 0)], &[&payer]);
    let close_board = instruction::close_board(&board, key, world.market.payment_account(&key));
    let close_market = instruction::close_market(&world.market, key, world.market.stake_account(&key));
    world.ok(&[close_board, close_market], &[&authority]);
    world.open_market(rules(), params());
    assert_eq!(world.with_board(|board, _| board.indexed), 0);
    world.pass(2 * DAY_SECS);
    world.fails(instruction::record_day(&board, 0), &[&payer], LeaseholdError::IndexOfClosedBoard);
    let create = instruction::create_index(&board, payer.pubkey(), 0);
    world.fails(create.clone(), &[&payer], SYSTEM_ACCOUNT_IN_USE);
    world.ok(&[instruction::close_index(&board, payer.pubkey(), 0), create], &[&payer]);
    world.pass(DAY_SECS);
    world.ok(&[instruction::record_day(&board, 0)], &[&payer]);
}
