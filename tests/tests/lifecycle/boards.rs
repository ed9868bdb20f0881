//! Quotes on random boards, and leases on more than one board.

use leasehold::{
    instructions::{Machine, OpenLeaseArgs},
    math::matching::{Criteria, Place, Policy},
    state::{Lease, SlotState, Traits},
};
use leasehold_client::{
    BoardRef,
    board::BoardData,
    instruction,
    quote::{self, Quote},
};
use leasehold_tests::{STAKE, Scene, World, anything, bitmap, machine};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{attest, deposit, finish, gross, is_up, net, slashed};

fn quoted(world: &World, board: &BoardRef, criteria: &Criteria, gpus: u32, rounds: u32) -> Option<Quote> {
    let data = BoardData::new(&world.data(&board.address)).expect("a board");
    let (market, view) = (world.market_account(), data.view().expect("a board"));
    quote::quote(&market, &view, world.now(), criteria, gpus, rounds, &[]).ok()
}

fn open(world: &mut World, board: &BoardRef, buyer: &Keypair, args: OpenLeaseArgs) -> Lease {
    let (wallet, nonce) = (world.market.payment_account(&buyer.pubkey()), args.nonce);
    world.ok(&[instruction::open_lease(board, buyer.pubkey(), wallet, args)], &[buyer]);
    world.account(&board.lease(&buyer.pubkey(), nonce))
}

fn random_machine(rng: &mut StdRng, number: u16) -> Machine {
    let traits = Traits {
        class: rng.random_range(0..3),
        gpus: *[1, 2, 8].choose(rng).expect("not empty"),
        speed: rng.random_range(0..4),
        country: *[276, 840, 392].choose(rng).expect("not empty"),
        region: rng.random_range(1..4),
        flags: 0,
    };
    // Few prices, so that many are equal.
    Machine { traits, price: rng.random_range(1..6) * 100_000, ..machine(number) }
}

fn random_criteria(rng: &mut StdRng) -> Criteria {
    Criteria {
        class: rng.random_ratio(1, 3).then(|| rng.random_range(0..3)),
        min_gpus: rng.random_range(0..3),
        max_gpus: *[1, 4, 255].choose(rng).expect("not empty"),
        min_speed: rng.random_range(0..3),
        place: match rng.random_range(0..4) {
            0 => Place::Country(276),
            1 => Place::Region(rng.random_range(1..4)),
            _ => Place::Anywhere,
        },
        min_score: 5_000,
        max_price: rng.random_range(2..7) * 100_000,
        policy: *[Policy::Cheapest, Policy::Best].choose(rng).expect("not empty"),
        min_bond: *[0, 250 * STAKE].choose(rng).expect("not empty"),
        metered: false,
        allow_unseen: true,
    }
}

/// Invariant 18, on boards whose machines come, go and are leased.
#[test]
fn a_quote_equals_the_lease_opened_on_the_same_board() {
    let (mut opened, mut refused) = (0u32, 0);
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut scene = Scene::listed(0);
        let batch: Vec<_> = (0..40).map(|number| random_machine(&mut rng, number)).collect();
        scene.world.list(&scene.supplier, 100, &batch);
        let board = scene.world.board();
        for _ in 0..15 {
            let criteria = random_criteria(&mut rng);
            let (gpus, rounds) = (rng.random_range(1..9), rng.random_range(1..103));
            let Some(quote) = quoted(&scene.world, &board, &criteria, gpus, rounds) else {
                let args = scene.world.lease_args(&scene.buyer, criteria, gpus, rounds);
                let open = scene.world.open_instruction(&scene.buyer, args);
                let error = leasehold::error::LeaseholdError::NotEnoughGpus;
                scene.world.fails(open, &[&scene.buyer], error);
                refused += 1;
                continue;
            };
            let before = scene.world.payments_of(&scene.buyer.pubkey());
            // With the quote's hint, or without: the lease is the same.
            let hint = rng.random_bool(0.5).then_some(quote.hint);
            let nonce = 1_000 + u64::from(opened);
            let args = OpenLeaseArgs { hint, ..quote.args(nonce, scene.buyer.pubkey(), quote.deposit, None) };
            let lease = open(&mut scene.world, &board, &scene.buyer, args);
            let paid = before - scene.world.payments_of(&scene.buyer.pubkey());
            assert_eq!((lease.deposit, paid), (quote.deposit, quote.deposit));
            assert_eq!((lease.from, lease.until, lease.gpus), (quote.from, quote.until, gpus));
            let slots: Vec<u16> = scene.world.with_board(|_, slots| {
                (0..)
                    .zip(slots)
                    .filter(|(_, slot)| slot.lease == lease.serial)
                    .map(|(index, _)| index)
                    .collect()
            });
            assert_eq!(slots, quote.slots);
            opened += 1;
        }
        scene.world.assert_invariants();
    }
    assert!(opened > 30 && refused > 5, "{opened} opened, {refused} refused");
}

/// A second board of the same market, with machines of the same supplier and the same keepers.
fn second_board(scene: &mut Scene, machines: u16) -> BoardRef {
    let board = scene.world.market.board(1);
    let authority = scene.world.authority.insecure_clone();
    scene.world.ok(&[instruction::create_board(&board, authority.pubkey())], &[&authority]);
    let batch: Vec<_> = (0..machines).map(|number| machine(100 + number)).collect();
    let until = scene.world.round() + 500;
    let list = instruction::list_machines(&board, scene.supplier.wallet.pubkey(), until, batch, &[]);
    scene.world.ok(&[list], &[&scene.supplier.wallet]);
    for keeper in &scene.keepers {
        let key = keeper.wallet.pubkey();
        let from = scene.world.market.stake_account(&key);
        let bond = instruction::deposit_bond(&scene.world.market, key, from, 1_000_000_000_000);
        let seat = instruction::take_seat(&board, key, keeper.seat);
        scene.world.ok(&[bond, seat], &[&keeper.wallet]);
    }
    board
}

/// Votes for the round that ended last on another board than the first, and closes it. Its rounds begin 370 seconds after the
/// first board's, so it is still open for votes.
fn attest_on(scene: &mut Scene, board: &BoardRef, up: impl Fn(u32) -> bool) {
    let data = scene.world.data(&board.address);
    let (header, _) = leasehold::state::split(&data).expect("a board");
    assert_eq!(header.phase_secs, 370);
    let running = header.round_at(scene.world.now()).expect("in range");
    let (slots, round) = (header.slots_at(running), running - 1);
    for keeper in &scene.keepers {
        let vote = leasehold_tests::submit(board, keeper, round, bitmap(slots, &up));
        scene.world.ok(&[vote], &[&keeper.wallet]);
    }
    scene.world.ok(&[instruction::close_round(board)], &[&scene.buyer]);
}

#[test]
fn two_boards_keep_their_money_apart() {
    let mut scene = Scene::listed(3);
    let second = second_board(&mut scene, 4);
    scene.world.open(&scene.buyer, anything(), 3, 4);
    let quote = quoted(&scene.world, &second, &anything(), 2, 4).expect("enough machines");
    let lease =
        open(&mut scene.world, &second, &scene.buyer, quote.args(9, scene.buyer.pubkey(), u64::MAX, None));
    // Serials are the board's own.
    assert_eq!((lease.serial, lease.deposit), (1, 2 * deposit(4)));
    let first_vault = scene.world.board().payment_vault();
    assert_eq!(scene.world.tokens(&first_vault), 3 * deposit(4));
    assert_eq!(scene.world.tokens(&second.payment_vault()), 2 * deposit(4));

    scene.world.end_round();
    for _ in 0..4 {
        attest(&mut scene, is_up);
        attest_on(&mut scene, &second, |_| false);
    }
    let untouched = scene.world.data(&scene.world.board().address);
    let address = second.lease(&scene.buyer.pubkey(), 9);
    let settle = instruction::settle_lease(&second, address);
    scene.world.ok(&[settle], &[&scene.buyer]);
    assert_eq!(scene.world.data(&scene.world.board().address), untouched);
    scene.world.settle(&scene.buyer, 1);

    // Up on one board, down on the other: each board pays and slashes on its own.
    let lease: Lease = scene.world.account(&address);
    assert_eq!((lease.paid, lease.refund_due), (0, 2 * deposit(4)));
    assert_eq!(scene.world.lease(1).paid, 3 * net(gross(4)));
    assert_eq!(scene.world.lease(1).slashed, 0);
    assert_eq!(lease.slashed, 2 * slashed(3));
    // A claim on one board pays the earnings of that board.
    let key = scene.supplier.wallet.pubkey();
    let wallet = scene.world.market.payment_account(&key);
    let claim = instruction::claim_earnings(&second, key, scene.supplier.account, wallet);
    let error = leasehold::error::LeaseholdError::NothingToWithdraw;
    scene.world.fails(claim, &[&scene.supplier.wallet], error);
    finish(scene, &[]);
}

#[test]
fn a_group_is_leased_over_two_boards_or_not_at_all() {
    let mut scene = Scene::listed(3);
    let second = second_board(&mut scene, 4);
    let boards = [scene.world.board(), second];
    let buyer = scene.buyer.insecure_clone();
    let (key, wallet) = (buyer.pubkey(), scene.world.market.payment_account(&buyer.pubkey()));
    let group = |world: &World, machines: [u32; 2]| {
        boards
            .iter()
            .zip(machines)
            .map(|(board, machines)| {
                let args = world.lease_args(&buyer, anything(), machines, 5);
                let args = OpenLeaseArgs { nonce: 3, group: Some(77), ..args };
                instruction::open_lease(board, key, wallet, args)
            })
            .collect::<Vec<_>>()
    };
    // Too many on the second board: the transaction takes neither.
    let too_many = group(&scene.world, [3, 5]);
    assert!(scene.world.send(&too_many, &[&scene.buyer]).is_err());
    assert!(scene.world.slot(0).is(SlotState::Idle));
    let both = group(&scene.world, [3, 4]);
    scene.world.ok(&both, &[&scene.buyer]);
    for board in boards {
        let lease: Lease = scene.world.account(&board.lease(&key, 3));
        assert_eq!(lease.group, Some(77));
    }
    scene.world.end_round();
    for _ in 0..5 {
        attest(&mut scene, is_up);
        attest_on(&mut scene, &second, is_up);
    }
    for board in boards {
        let settle = instruction::settle_lease(&board, board.lease(&key, 3));
        scene.world.ok(&[settle], &[&scene.buyer]);
    }
    let paid = |board: &BoardRef| scene.world.account::<Lease>(&board.lease(&key, 3)).paid;
    assert_eq!((paid(&boards[0]), paid(&boards[1])), (3 * net(gross(5)), 4 * net(gross(5))));
    finish(scene, &[]);
}
