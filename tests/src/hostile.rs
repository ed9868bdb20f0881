//! Boards on which machines are expensive to pick.

use bytemuck::Zeroable;
use leasehold::state::{Slot, SlotState, Traits};

/// First round after the commitment of the machines.
pub const COMMITTED: u32 = 1_000;

/// A machine that fits any request.
pub fn machine_of(price: u64, gpus: u8, score: u16) -> Slot {
    Slot {
        price,
        score,
        traits: Traits { gpus, ..Traits::default() },
        state: SlotState::Idle as u8,
        committed_until: COMMITTED,
        history_up: u64::MAX,
        ..Slot::zeroed()
    }
}

/// Full boards that are hard to search: by name, price, GPUs and score of each machine.
pub fn hostile(size: usize) -> Vec<(&'static str, Vec<Slot>)> {
    let board = |machine: &dyn Fn(u64) -> (u64, u8, u16)| -> Vec<Slot> {
        (0..size as u64)
            .map(|index| {
                let (price, gpus, score) = machine(index);
                machine_of(price / u64::from(gpus), gpus, score)
            })
            .collect()
    };
    let mixed = |index: u64| if scatter(index).is_multiple_of(2) { 1 } else { u8::MAX };
    let any_score = |index: u64| (scatter(index ^ 7) % 10_001) as u16;
    // One outlier for each histogram of a fixed width, and all others behind the last of them.
    let clustered = |index: u64| match index {
        0..64 => u64::MAX >> index,
        _ => scatter(index) % 7,
    };
    vec![
        ("all equal", board(&|_| (350_000, 1, 5_000))),
        ("all equal, 8 GPUs", board(&|_| (2_800_000, 8, 5_000))),
        ("all free", board(&|_| (0, 1, 0))),
        ("all at the highest price", board(&|_| (u64::MAX, 1, 10_000))),
        ("one cheap", board(&|index| (if index == 77 { 1 } else { u64::MAX }, 1, 5_000))),
        ("rising", board(&|index| (index, 1, index as u16))),
        ("falling", board(&|index| (9_999 - index, 1, 9_999 - index as u16))),
        ("powers of two", board(&|index| (1 << (index % 64), 1, 1 << (index % 16)))),
        ("spread over all", board(&|index| (scatter(index), 1, any_score(index)))),
        ("clustered", board(&|index| (clustered(index), 1, any_score(index)))),
        ("clustered, mixed GPUs", board(&|index| (clustered(index), mixed(index), any_score(index)))),
        ("equal, mixed GPUs", board(&|index| (255_000 * u64::from(mixed(index)), mixed(index), 5_000))),
        (
            "a few large ones",
            board(&|index| (scatter(index) >> 40, if index % 97 == 0 { u8::MAX } else { 1 }, 5_000)),
        ),
        (
            "all sizes",
            board(&|index| (scatter(index) >> 20, (1 + scatter(index ^ 3) % 255) as u8, any_score(index))),
        ),
        // Small machines come first, all are cheap, and one large one after them makes many superfluous.
        (
            "superfluous",
            board(&|index| match index {
                0..5_900 => (1_000 + scatter(index) % 1_000, 1, any_score(index)),
                _ => {
                    let gpus = 1 + (scatter(index) % 60) as u8;
                    ((3_000 + index) * u64::from(gpus), gpus, 0)
                }
            }),
        ),
        // In order one machine is superfluous, and the next has one GPU too many to be.
        (
            "blocked",
            board(&|index| {
                let gpus = match index {
                    5_000..5_080 if index % 2 == 0 => 1,
                    5_000..5_080 => ((index - 5_000) / 2) as u8 + 1,
                    5_080.. => 41,
                    _ => 1,
                };
                ((1_000 + index) * u64::from(gpus), gpus, (10_000 - index) as u16)
            }),
        ),
    ]
}

/// Scatters numbers over 64 bits (the finaliser of MurmurHash3).
pub fn scatter(number: u64) -> u64 {
    let mixed = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}
