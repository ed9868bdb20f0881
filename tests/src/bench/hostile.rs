//! Opening and replacing on boards that are made to be expensive, without a hint and with wrong ones.

use leasehold::instructions::{OpenLeaseArgs, ReplaceNodeArgs};
use leasehold::{
    constants::MAX_AVOID,
    math::matching::{Criteria, CutOff, Place, Policy},
    state::{Board, Slot, split_mut},
};
use solana_instruction::Instruction;
use solana_keypair::Keypair;

use super::{Table, figure, transaction};
use crate::{World, anything, hostile::hostile, machine, replacement};

/// GPUs that are asked for.
const GPUS: [u32; 4] = [1, 40, 1_000, 6_000];
/// Rounds of the leases.
const ROUNDS: u32 = 24;
/// Slots that strict requests avoid.
const AVOIDED: [u16; MAX_AVOID] =
    [0, 1, 63, 64, 77, 127, 128, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 5_001, 5_080, 6_143];

/// How far a request narrows the board.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    /// Any machine fits; no slot is avoided.
    Anything,
    /// Every bound is checked, and 16 slots are avoided. One machine in so many meets the bounds, and the others fail at
    /// the last one.
    Strict { fitting: usize },
}

const REQUESTS: [Request; 4] = [
    Request::Anything,
    Request::Strict { fitting: 1 },
    Request::Strict { fitting: 2 },
    Request::Strict { fitting: 61 },
];

impl Request {
    fn criteria(self) -> Criteria {
        let seen = Criteria { allow_unseen: false, ..anything() };
        match self {
            Request::Anything => seen,
            Request::Strict { .. } => Criteria {
                class: Some(0),
                max_gpus: u8::MAX - 1,
                min_speed: 2,
                place: Place::Region(1),
                min_score: 1,
                max_price: u64::MAX - 1,
                min_bond: 2,
                ..seen
            },
        }
    }

    fn avoid(self) -> Vec<u16> {
        if self == Request::Anything { vec![] } else { AVOIDED.to_vec() }
    }

    /// Gives an idle machine the price, GPUs and score of one of a hostile board, and what this request checks besides.
    fn disguise(self, slot: &mut Slot, like: &Slot, index: usize) {
        (slot.price, slot.score, slot.traits.gpus) = (like.price, like.score, like.traits.gpus);
        (slot.bond, slot.turnaround, slot.lease_until) = (u64::MAX, 0, 0);
        if let Request::Strict { fitting } = self {
            slot.price = slot.price.min(u64::MAX - 1);
            slot.score = slot.score.max(1);
            slot.traits.gpus = slot.traits.gpus.min(u8::MAX - 1);
            // It was in a lease long ago, and needed a day since.
            (slot.turnaround, slot.lease_until) = (24, 1);
            slot.bond = if index.is_multiple_of(fitting) { u64::MAX } else { u64::from(slot.traits.gpus) };
        }
    }
}

/// The worst of all hostile boards, requests and policies, for each number of GPUs. A transaction that the prices make too
/// dear counts too, and one that finds too few machines.
pub fn measure(table: &mut Table, slots: u16) {
    let mut world = World::new();
    let supplier = world.supplier();
    let machines: Vec<_> = (0..slots).map(machine).collect();
    world.list(&supplier, 5_000, &machines);
    let keepers = world.keepers(3);
    let buyer = world.wallet();
    world.end_round();
    world.attest(&keepers, |_| true);
    for request in REQUESTS {
        let mut world = world.clone();
        // The lease whose machine is replaced.
        let leased = world.open(&buyer, request.criteria(), 1, ROUNDS);
        let replaced = world.with_board(|_, slots| slots.iter().position(|slot| slot.lease == leased));
        let replaced = u16::try_from(replaced.expect("it is leased")).expect("a slot");
        for (_, board) in hostile(usize::from(slots)) {
            disguise(&mut world, request, &board);
            for policy in [Policy::Cheapest, Policy::Best] {
                let criteria = Criteria { policy, ..request.criteria() };
                for (hint, suffix) in hints(&board) {
                    for gpus in GPUS {
                        let avoid = request.avoid();
                        let args =
                            OpenLeaseArgs { hint, avoid, ..world.lease_args(&buyer, criteria, gpus, ROUNDS) };
                        let open = world.open_instruction(&buyer, args);
                        let number = if gpus == 1 { String::new() } else { format!("_{gpus}") };
                        let name = format!("open_lease{number}_hostile{suffix}");
                        add(table, &world, &name, slots, &open, &buyer);
                    }
                    let args = ReplaceNodeArgs { avoid: request.avoid(), hint, ..replacement(replaced) };
                    let replace = world.replace_instruction(&buyer, leased, args);
                    add(table, &world, &format!("replace_node_hostile{suffix}"), slots, &replace, &buyer);
                }
            }
        }
    }
}

/// No hint, those that are as wrong as can be, and one in the middle of the board.
fn hints(board: &[Slot]) -> [(Option<CutOff>, &'static str); 4] {
    let wrong = |price, score, slot| (Some(CutOff { price, score, slot }), "_wrong_hint");
    let middle = board.len() / 2;
    let Slot { price, score, .. } = board[middle];
    [
        (None, ""),
        wrong(u64::MAX, 0, u16::MAX),
        wrong(0, u16::MAX, 0),
        wrong(price, score, u16::try_from(middle).expect("a slot")),
    ]
}

/// Makes the idle machines of the board those of a hostile one.
fn disguise(world: &mut World, request: Request, like: &[Slot]) {
    let address = world.board().address;
    let mut account = world.svm.get_account(&address).expect("a board");
    let (_, slots): (&mut Board, &mut [Slot]) = split_mut(&mut account.data).expect("a board");
    for (index, (slot, like)) in slots.iter_mut().zip(like).enumerate() {
        if slot.lease == 0 {
            request.disguise(slot, like, index);
        }
    }
    world.svm.set_account(address, account).expect("any account can be made up");
}

/// Adds what an instruction takes, whether it succeeds or not: the table keeps the highest.
fn add(table: &mut Table, world: &World, name: &str, slots: u16, instruction: &Instruction, buyer: &Keypair) {
    let instructions = core::slice::from_ref(instruction);
    let meta = match world.svm.simulate_transaction(transaction(world, instructions, &[buyer])) {
        Ok(done) => done.meta,
        Err(failed) => failed.meta,
    };
    table.add(name, slots, figure(meta.compute_units_consumed, instructions, &[buyer]));
}
