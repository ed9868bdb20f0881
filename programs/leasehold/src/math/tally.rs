//! Counting votes, for 64 machines at once: bit i of a word belongs to machine i.

use crate::constants::{PLANES, WORDS};

/// Verdicts of 64 machines; a machine in neither word has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    pub up: u64,
    pub down: u64,
}

/// Adds one vote to the counters: a ripple-carry addition of one bit, on each word.
///
/// `bitmap` is little-endian and at most as long as a full board's; the rest of a shorter one counts as not answered.
pub fn add_vote(planes: &mut [[u64; WORDS]; PLANES], bitmap: &[u8]) {
    // Copied to where words are aligned: the virtual machine would load them byte by byte.
    let mut votes = [0u64; WORDS];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut votes);
    if let Some(bytes) = bytes.get_mut(..bitmap.len()) {
        bytes.copy_from_slice(bitmap);
    }
    let [ones, twos, fours, eights] = planes;
    for ((((vote, ones), twos), fours), eights) in votes.iter().zip(ones).zip(twos).zip(fours).zip(eights) {
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

/// Bounds of the verdicts for `submitted` votes: up if ones ≥ u, else down if submitted − ones ≥ k, else neither.
#[derive(Clone, Copy, Debug)]
pub struct Quorum {
    up: Bound,
    /// Number of up votes from which a machine is not down; `None` if none can be down.
    not_down: Option<Bound>,
}

impl Quorum {
    /// Bounds for `up_votes`, u, and `threshold`, k. u + k is more than the number of seats, so no machine is both up and
    /// down.
    pub fn new(submitted: u32, up_votes: u8, threshold: u8) -> Self {
        let threshold = u32::from(threshold);
        // submitted − ones ≥ k  ⇔  ones < submitted − k + 1
        let not_down = submitted.checked_sub(threshold).map(|most| Bound::new(most.saturating_add(1)));
        Quorum { up: Bound::new(u32::from(up_votes)), not_down }
    }

    /// Verdicts of the machines of a word.
    #[inline(always)]
    pub fn verdicts(&self, planes: &[[u64; WORDS]; PLANES], index: usize) -> Verdicts {
        let counter = planes.each_ref().map(|plane| plane.get(index).copied().unwrap_or_default());
        let down = self.not_down.map_or(0, |bound| !bound.reached(&counter));
        Verdicts { up: self.up.reached(&counter), down }
    }
}

/// A number of votes, each of its bits spread over a word.
#[derive(Clone, Copy, Debug)]
struct Bound([u64; PLANES]);

impl Bound {
    fn new(votes: u32) -> Self {
        let mut power = 0u32;
        Bound([(); PLANES].map(|()| {
            let bit = (votes >> power) & 1;
            power = power.saturating_add(1);
            if bit == 1 { u64::MAX } else { 0 }
        }))
    }

    /// Bits of the machines whose counter is at least the bound.
    #[inline(always)]
    fn reached(&self, counter: &[u64; PLANES]) -> u64 {
        // From the lowest bit up: the higher bit decides, and where it is equal, what was found below.
        counter
            .iter()
            .zip(&self.0)
            .fold(u64::MAX, |reached, (count, bound)| (count & !bound) | (!(count ^ bound) & reached))
    }
}

/// True if a bitmap has no bit at or above `machines`.
pub fn is_padded(bitmap: &[u8], machines: u32) -> bool {
    let spare = machines % 8;
    spare == 0 || bitmap.last().is_none_or(|last| last >> spare == 0)
}
