//! The price index of a board: what a GPU of each hardware class is paid by the hour, without an oracle.

use anchor_lang::prelude::*;

use crate::{
    constants::{MAX_CLASSES, SECS_PER_HOUR},
    math::wide,
    state::{Board, ClassSums, Lease, Slot},
};

/// Prices count up to this many payment units per GPU and hour, so that sums fit.
const MOST: u64 = 1 << 40;

/// What one settlement adds to the sums of a lease's hardware classes.
pub struct ClassPay {
    /// Set if all machines of the lease are of one class: they are summed up without a look at the board.
    class: Option<usize>,
    round_secs: u32,
    one: Sum,
    /// Sums of the other classes; empty if there is one class.
    many: Vec<Sum>,
}

/// Rounds of GPUs of one class, and their prices times rounds.
#[derive(Clone, Copy)]
struct Sum {
    low: u64,
    high: u64,
    /// 128-bit sum of price × GPUs × rounds.
    gpu_rounds: u64,
    paid: u128,
}

impl Sum {
    /// An empty sum whose prices count between half and twice the day before's index, if there is one.
    fn new(sums: Option<&ClassSums>) -> Self {
        let index = sums.map_or(0, |sums| sums.index);
        let (low, high) = if index == 0 { (0, MOST) } else { (index / 2, index.saturating_mul(2).min(MOST)) };
        Sum { low: low.min(MOST), high, gpu_rounds: 0, paid: 0 }
    }

    #[inline(always)]
    fn count(&mut self, slot: &Slot, rounds: u32) {
        let gpu_rounds = u64::from(slot.traits.gpus).wrapping_mul(u64::from(rounds));
        let price = slot.price.max(self.low).min(self.high);
        self.gpu_rounds = self.gpu_rounds.wrapping_add(gpu_rounds);
        // 40 bits times 40 bits can take more than 64.
        let paid = if gpu_rounds >> 24 == 0 {
            u128::from(price.wrapping_mul(gpu_rounds))
        } else {
            let product = wide::mul(price, gpu_rounds);
            (u128::from(product.high) << 64) | u128::from(product.low)
        };
        self.paid = self.paid.wrapping_add(paid);
    }

    /// Adds to the sums of the class. Payment units are rounded down.
    fn book(&self, sums: &mut ClassSums, round_secs: u32) {
        let (high, low) = (self.paid >> 64, self.paid & u128::from(u64::MAX));
        let part = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
        let product = wide::scale(wide::Wide { high: part(high), low: part(low) }, u64::from(round_secs));
        let paid = product.and_then(|product| wide::div(product, SECS_PER_HOUR)).map_or(u64::MAX, |paid| paid.0);
        sums.paid = sums.paid.wrapping_add(paid);
        sums.gpu_rounds = sums.gpu_rounds.wrapping_add(self.gpu_rounds);
    }
}

impl ClassPay {
    /// Nothing yet. Metered leases don't count: their vouchers have no price per hour.
    pub fn new(board: &Board, lease: &Lease) -> Self {
        let class = lease.criteria.class.map(usize::from);
        let many = match class {
            Some(_) => Vec::new(),
            None => board.sums.iter().map(|sums| Sum::new(Some(sums))).collect(),
        };
        let one = Sum::new(class.and_then(|class| board.sums.get(class)));
        ClassPay { class, round_secs: board.round_secs, one, many }
    }

    /// Counts the rounds up of a machine that a settlement pays for.
    #[inline(always)]
    pub fn count(&mut self, slot: &Slot) {
        let rounds = slot.lease_up.wrapping_sub(slot.lease_settled);
        if self.class.is_some() {
            return self.one.count(slot, rounds);
        }
        if let Some(sum) = self.many.get_mut(usize::from(slot.traits.class)) {
            sum.count(slot, rounds);
        }
    }

    /// Adds it to the board's sums.
    pub fn book(&self, board: &mut Board) {
        let round_secs = self.round_secs;
        if let Some(class) = self.class {
            if let Some(sums) = board.sums.get_mut(class) {
                self.one.book(sums, round_secs);
            }
            return;
        }
        for (sum, sums) in self.many.iter().zip(board.sums.iter_mut()).take(MAX_CLASSES) {
            sum.book(sums, round_secs);
        }
    }
}
