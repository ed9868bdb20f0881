//! Counting votes: bit i of a word belongs to machine i, and 64 machines are counted at once.

use crate::constants::{PLANES, WORDS};

/// Verdicts of 64 machines; a machine in neither word is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    pub up: u64,
    pub down: u64,
}

/// Adds one vote to the counters: a ripple-carry addition of one bit, on each word.
///
/// `bitmap` is little-endian and may be shorter than the counters; the rest counts as not answered.
pub fn add_vote(planes: &mut [[u64; WORDS]; PLANES], bitmap: &[u8]) {
    let [ones, twos, fours, eights] = planes;
    let counters = ones.iter_mut().zip(twos).zip(fours).zip(eights);
    for ((((ones, twos), fours), eights), bytes) in counters.zip(bitmap.chunks(8)) {
        let vote = word(bytes);
        let carry = *ones & vote;
        *ones ^= vote;
        if carry == 0 {
            continue;
        }
        let next = *twos & carry;
        *twos ^= carry;
        let last = *fours & next;
        *fours ^= next;
        *eights ^= last; // 15 seats never carry out of it
    }
}

#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    match <[u8; 8]>::try_from(bytes) {
        Ok(bytes) => u64::from_le_bytes(bytes),
        Err(_) => bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    }
}

/// Verdicts of a word's machines after `submitted` votes with threshold `threshold`:
/// up if ones ≥ k, down if submitted − ones ≥ k, else unknown.
pub fn verdicts(planes: &[[u64; WORDS]; PLANES], index: usize, submitted: u32, threshold: u32) -> Verdicts {
    let counter = planes.each_ref().map(|plane| plane.get(index).copied().unwrap_or_default());
    let down = match submitted.checked_sub(threshold) {
        // submitted − ones ≥ k  ⇔  ones < submitted − k + 1
        Some(most) => !at_least(&counter, most.saturating_add(1)),
        None => 0,
    };
    Verdicts { up: at_least(&counter, threshold), down }
}

/// Bits of the machines whose counter is at least `least`.
fn at_least(counter: &[u64; PLANES], least: u32) -> u64 {
    let (mut greater, mut equal) = (0, u64::MAX);
    for (power, plane) in counter.iter().enumerate().rev() {
        if (least >> power) & 1 == 1 {
            equal &= plane;
        } else {
            greater |= equal & plane;
            equal &= !plane;
        }
    }
    greater | equal
}

/// Whether a bitmap has no bit at or above `machines`.
pub fn is_padded(bitmap: &[u8], machines: u32) -> bool {
    let spare = machines % 8;
    spare == 0 || bitmap.last().is_none_or(|last| last >> spare == 0)
}
