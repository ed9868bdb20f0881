//! The instructions that read a whole board, measured along a lease from its opening to its last claim.

use leasehold::{
    instructions::{Machine, OpenLeaseArgs},
    math::matching::{Criteria, Place},
    rules::{extend::Allowance, replace::Wish},
    state::{LeaseState, Params, RoundRules, Traits},
};
use leasehold_client::{board::BoardView, instruction, quote};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use super::{Figure, Table, cost, run};
use crate::{KeeperActor, SupplierActor, USD, World, anything, machine, params, rules};

/// Machines of the leases, if the board has as many.
const MACHINES: [u32; 3] = [1, 1_000, 6_000];
/// Rounds of the leases: four hours. A machine may be down for one round.
const ROUNDS: u32 = 24;
/// GPUs of each machine.
const GPUS: u32 = 2;
/// Seats of the committee, and those that vote.
const SEATS: u8 = 15;
const VOTERS: u8 = 13;

/// All rows of a board with that many slots.
pub fn measure(table: &mut Table, slots: u16) {
    let stage = Stage::new(slots);
    for machines in MACHINES.into_iter().filter(|machines| *machines <= u32::from(slots)) {
        stage.open(table, machines);
        stage.lease_as_usual(table, machines);
        if machines > 1 {
            stage.lease_with_everybody_slashed(table, machines);
            stage.lease_that_is_cancelled(table, machines);
        }
    }
}

/// Name of a row; leases of one machine have no number.
fn row(name: &str, machines: u32) -> String {
    if machines == 1 { name.into() } else { format!("{name}_{machines}") }
}

/// A machine with a price of its own; neighbours differ as much as any two.
fn priced(number: u16) -> Machine {
    let price = 30 * USD / 100 + u64::from(number) * 7_919 % 10_007 * 13;
    let traits = Traits { class: 0, gpus: GPUS as u8, speed: 2, country: 276, region: 1, flags: 0 };
    Machine { price, traits, ..machine(number) }
}

/// Criteria that every machine meets which was seen up.
fn seen() -> Criteria {
    Criteria { allow_unseen: false, ..anything() }
}

/// Three of a hundred machines, not the cheapest among them.
fn is_weak(machine: u32) -> bool {
    machine % 33 == 32
}

/// The starting point of every lease: a board full of idle machines of one supplier, a committee, a buyer.
struct Stage {
    slots: u16,
    world: World,
    supplier: SupplierActor,
    keepers: Vec<KeeperActor>,
    buyer: Keypair,
}

impl Stage {
    fn new(slots: u16) -> Self {
        let mut world = World::with(
            RoundRules { seats: SEATS, threshold: 9, ..rules() },
            Params { up_votes: 7, ..params() },
        );
        let supplier = world.supplier();
        let machines: Vec<_> = (0..slots).map(priced).collect();
        world.list(&supplier, 5_000, &machines);
        let keepers = world.keepers(VOTERS);
        let buyer = world.wallet();
        // Machines have no verdict in the round in which they are listed, and are seen up in the next.
        world.end_round();
        world.attest(&keepers, |_| true);
        Stage { slots, world, supplier, keepers, buyer }
    }

    /// The arguments of a client's quote.
    fn quoted(&self, criteria: &Criteria, machines: u32) -> OpenLeaseArgs {
        let data = self.world.data(&self.world.board().address);
        let view = BoardView::new(&data).expect("a board");
        let (market, now) = (self.world.market_account(), self.world.now());
        let gpus = machines * GPUS;
        let quote = quote::quote(&market, &view, now, criteria, gpus, ROUNDS, &[]).expect("all fit");
        quote.args(1, self.buyer.pubkey(), quote.deposit, None)
    }

    fn open(&self, table: &mut Table, machines: u32) {
        let name = row("open_lease", machines);
        let strict = Criteria {
            min_gpus: 2,
            min_speed: 2,
            place: Place::Region(1),
            min_score: 5_000,
            max_price: USD,
            ..seen()
        };
        let args = self.quoted(&seen(), machines);
        let cases = [
            (format!("{name}_no_hint"), OpenLeaseArgs { hint: None, ..args.clone() }),
            (name.clone(), args),
            (format!("{name}_strict"), self.quoted(&strict, machines)),
        ];
        for (name, args) in cases {
            let open = self.world.open_instruction(&self.buyer, args);
            table.add(&name, self.slots, cost(&self.world, &name, &open, &[&self.buyer]));
        }
    }

    /// Three percent of the machines are down for three rounds in a row and lose stake; all others are always
    /// up. Settled once before, in mid-term, as keepers do, and at the end.
    fn lease_as_usual(&self, table: &mut Table, machines: u32) {
        let mut term = Term::begin(self, machines);
        for round in 0..ROUNDS {
            let is_down = (9..12).contains(&round);
            let closed = term.round(|machine| is_down && is_weak(machine));
            table.add("submit_round", self.slots, closed.submit);
            table.add("close_round", self.slots, closed.close);
            match round {
                8 => _ = term.settle(),
                11 if machines > 1 => table.add("replace_node", self.slots, term.replacement()),
                16 if machines > 1 => {
                    table.add(&row("extend_lease", machines), self.slots, term.extension());
                    table.add(&row("cancel_lease", machines), self.slots, term.cancellation());
                    table.add(&row("settle_lease_interim", machines), self.slots, term.settle());
                }
                _ => {}
            }
        }
        let parts = term.settle_for_good();
        assert_eq!(parts.len(), 1, "a usual lease of {machines} is settled in one transaction");
        let last = if machines == 1 { "settle_lease".into() } else { row("settle_lease_final", machines) };
        table.add(&last, self.slots, parts[0]);
        if machines > 1 {
            table.add(&row("claim_earnings", machines), self.slots, term.claim());
        }
    }

    /// Every machine is down for two rounds and loses stake, and one round is unknown: every part of the settlement's
    /// arithmetic runs.
    fn lease_with_everybody_slashed(&self, table: &mut Table, machines: u32) {
        let mut term = Term::begin(self, machines);
        for round in 0..ROUNDS {
            let closed = match round {
                14 => {
                    term.world.end_round();
                    continue;
                }
                9 | 10 => term.round(|_| true),
                _ => term.round(|_| false),
            };
            match round {
                8 => _ = term.settle(),
                9 | 10 => table.add("close_round_all_down", self.slots, closed.close),
                _ => {}
            }
        }
        self.add_parts(table, &row("settle_lease_all_slashed", machines), &term.settle_for_good());
    }

    /// The owner cancels in round 17, and one round is unknown: every machine is paid for the early end.
    fn lease_that_is_cancelled(&self, table: &mut Table, machines: u32) {
        let mut term = Term::begin(self, machines);
        for round in 0..16 {
            match round {
                14 => _ = term.world.end_round(),
                _ => _ = term.round(|_| false),
            }
            if round == 8 {
                term.settle();
            }
        }
        term.cancel();
        term.round(|_| false);
        self.add_parts(table, &row("settle_lease_cancelled", machines), &term.settle_for_good());
    }

    /// Adds a settlement that took several transactions.
    fn add_parts(&self, table: &mut Table, row: &str, parts: &[Figure]) {
        table.add(row, self.slots, parts[0]);
        for (number, part) in (2..).zip(&parts[1..]) {
            table.add(&format!("{row}_part_{number}"), self.slots, *part);
        }
    }
}

/// A running lease, in a fork of the stage's world.
struct Term<'a> {
    stage: &'a Stage,
    world: World,
    serial: u32,
    lease: Pubkey,
}

/// Costs of a round.
struct Closed {
    /// The most expensive of its votes.
    submit: Figure,
    close: Figure,
}

impl<'a> Term<'a> {
    /// Opens a lease and goes to its first round.
    fn begin(stage: &'a Stage, machines: u32) -> Self {
        let mut world = stage.world.clone();
        let args = stage.quoted(&seen(), machines);
        let open = world.open_instruction(&stage.buyer, args);
        run(&mut world, "open_lease", &open, &[&stage.buyer]);
        world.end_round();
        let serial = world.with_board(|board, _| board.next_serial) - 1;
        Term { stage, lease: world.lease_address(serial), world, serial }
    }

    /// Ends the running round, which every keeper votes on, and closes it.
    fn round(&mut self, down: impl Fn(u32) -> bool) -> Closed {
        let world = &mut self.world;
        world.end_round();
        let mut submit = Figure::default();
        for keeper in &self.stage.keepers {
            let vote = world.vote_instruction(keeper, |machine| !down(machine));
            submit = submit.max(run(world, "submit_round", &vote, &[&keeper.wallet]));
        }
        let close = instruction::close_round(&world.board());
        let close = run(world, "close_round", &close, &[&self.stage.keepers[0].wallet]);
        Closed { submit, close }
    }

    fn settle(&mut self) -> Figure {
        let keeper = &self.stage.keepers[0];
        let settle = instruction::settle_lease(&self.world.board(), self.lease);
        run(&mut self.world, "settle_lease", &settle, &[&keeper.wallet])
    }

    /// Settles a lease that is over, in as many transactions as it takes.
    fn settle_for_good(&mut self) -> Vec<Figure> {
        let mut parts = vec![];
        while self.world.lease(self.serial).state != LeaseState::Settled {
            parts.push(self.settle());
        }
        parts
    }

    /// Replaces a machine that is down, with the hint of a quote.
    fn replacement(&self) -> Figure {
        let data = self.world.data(&self.world.board().address);
        let view = BoardView::new(&data).expect("a board");
        let mut leased = view.leased(self.serial).map(|(slot, _)| slot);
        let weak = leased.find(|slot| is_weak(u32::from(*slot))).expect("a machine of the lease is down");
        let lease = self.world.lease(self.serial);
        let quote =
            quote::replacement(&view, self.world.now(), &lease, &Wish { contest: true, ..Wish::any(weak) });
        let quote = quote.expect("another machine fits");
        let (owner, wallet) = self.owner();
        let board = self.world.board();
        let args = quote.args(quote.deposit);
        let replace = instruction::replace_node(&board, owner, owner, self.lease, wallet, args);
        cost(&self.world, "replace_node", &replace, &[&self.stage.buyer])
    }

    fn extension(&self) -> Figure {
        let (owner, wallet) = self.owner();
        let board = self.world.board();
        let allowed = Allowance { max_deposit: u64::MAX, max_leaving: 0 };
        let extend = instruction::extend_lease(&board, owner, owner, self.lease, wallet, ROUNDS, allowed);
        cost(&self.world, "extend_lease", &extend, &[&self.stage.buyer])
    }

    fn cancellation(&self) -> Figure {
        let cancel = instruction::cancel_lease(&self.world.board(), self.owner().0, self.lease, vec![]);
        cost(&self.world, "cancel_lease", &cancel, &[&self.stage.buyer])
    }

    fn cancel(&mut self) {
        let cancel = instruction::cancel_lease(&self.world.board(), self.owner().0, self.lease, vec![]);
        run(&mut self.world, "cancel_lease", &cancel, &[&self.stage.buyer]);
    }

    /// The supplier claims the earnings of all its machines.
    fn claim(&self) -> Figure {
        let SupplierActor { wallet, account } = &self.stage.supplier;
        let payments = self.world.market.payment_account(&wallet.pubkey());
        let claim = instruction::claim_earnings(&self.world.board(), wallet.pubkey(), *account, payments);
        cost(&self.world, "claim_earnings", &claim, &[wallet])
    }

    /// The lease's owner, and its token account.
    fn owner(&self) -> (Pubkey, Pubkey) {
        let owner = self.stage.buyer.pubkey();
        (owner, self.world.market.payment_account(&owner))
    }
}
