//! The price index of a board: what a GPU of each hardware class is paid by the hour, without an oracle.
//!
//! Every settlement of a lease that is paid by the hour adds the rounds up that it pays to the sums of their hardware classes,
//! each at its machine's price. A price counts at least half and at most twice the index of the day before, so no payment
//! moves the average of a day beyond that. Once a day anybody records that average: it becomes the index.
//!
//! Nobody chooses which payments an average is of: each is in one of them, since the sums begin with the board and a day's
//! average begins where the last one ended. Settling late, or recording late, only shifts payments to the next day.
//!
//! The index does not say that prices were agreed on between strangers. The first average has no index before it and is taken
//! as it is. And where a class has few payments, a supplier that leases its own machines moves the index to twice or half a
//! day, for the market's fee on what it pays itself. A reader that depends on the index looks at the GPU-rounds behind it.

use anchor_lang::prelude::*;

use crate::{
    constants::{DAY_SECS, INDEX_REST_SECS, MAX_CLASSES, MAX_SLOTS},
    error::LeaseholdError,
    math::{
        Exact, Overflow, sub,
        wide::{self, Wide},
    },
    state::{Board, ClassSums, IndexDay, Lease, PriceIndex, Slot},
};

/// What one settlement adds to the sums of its board's hardware classes.
pub struct ClassPay {
    /// Most rounds for which the settlement can pay a machine.
    rounds: u32,
    sums: Vec<Sum>,
}

/// What a settlement adds to the sums of one class, and the prices between which a machine's counts.
#[derive(Clone, Copy)]
struct Sum {
    least: u64,
    most: u64,
    gpu_rounds: u64,
    paid: Wide,
}

/// The same for the machines of one class whose prices are so low that all machines of a board fit 64 bits. A loop over
/// thousands of machines has it in registers.
#[derive(Clone, Copy)]
pub struct Near {
    class: u16,
    /// Prices from `first` to `first + width` count as they are, and lower ones as `first`.
    first: u64,
    width: u64,
    /// True if higher prices count as `first + width`, false if they are not counted here.
    has_top: bool,
    gpu_rounds: u64,
    paid: u64,
}

impl Sum {
    /// An empty sum whose prices count between half of the index, rounded up, and twice as much, if there is an index.
    fn new(sums: &ClassSums) -> Self {
        let (least, most) = match sums.index {
            0 => (0, u64::MAX),
            index => (index.div_ceil(2), index.saturating_mul(2)),
        };
        Sum { least, most, gpu_rounds: 0, paid: Wide::ZERO }
    }

    fn add(&mut self, gpu_rounds: u64, paid: Wide) {
        self.gpu_rounds = self.gpu_rounds.wrapping_add(gpu_rounds);
        self.paid = wide::add(self.paid, paid);
    }
}

/// GPU-rounds up of a machine that a settlement pays for.
#[inline(always)]
fn gpu_rounds(slot: &Slot) -> u64 {
    let rounds = u64::from(slot.lease_up).wrapping_sub(u64::from(slot.lease_settled));
    u64::from(slot.traits.gpus).wrapping_mul(rounds)
}

impl Near {
    /// No machine is of this class.
    const NO_CLASS: u16 = u16::MAX;

    /// True if no class is chosen yet.
    pub fn is_unset(&self) -> bool {
        self.class == Near::NO_CLASS
    }

    /// Counts a machine. False if it can't be counted here.
    #[inline(always)]
    pub fn count(&mut self, slot: &Slot) -> bool {
        if slot.traits.class != self.class {
            return false;
        }
        let price = if slot.price.wrapping_sub(self.first) <= self.width {
            slot.price
        } else if slot.price < self.first {
            self.first
        } else if self.has_top {
            self.first.wrapping_add(self.width)
        } else {
            return false;
        };
        let gpu_rounds = gpu_rounds(slot);
        self.gpu_rounds = self.gpu_rounds.wrapping_add(gpu_rounds);
        self.paid = self.paid.wrapping_add(price.wrapping_mul(gpu_rounds));
        true
    }
}

impl ClassPay {
    /// Nothing yet.
    pub fn new(board: &Board, lease: &Lease) -> Self {
        let rounds = lease.until.wrapping_sub(lease.from);
        ClassPay { rounds, sums: board.sums.iter().map(Sum::new).collect() }
    }

    /// An empty sum for a loop to have at hand; of no class if `class` is `None`.
    pub fn near(&self, class: Option<u16>) -> Near {
        const GPUS: u64 = MAX_SLOTS as u64 * u8::MAX as u64;
        let none = Near { class: Near::NO_CLASS, first: 0, width: 0, has_top: false, gpu_rounds: 0, paid: 0 };
        let sum = class.and_then(|class| Some((class, self.sums.get(usize::from(class))?)));
        let Some((class, sum)) = sum else { return none };
        // The highest price at which all machines of a board, up in all rounds, fit 64 bits.
        let limit =
            u64::MAX.checked_div(GPUS.wrapping_mul(u64::from(self.rounds.max(1)))).unwrap_or_default();
        match sum.most.min(limit).checked_sub(sum.least) {
            Some(width) => Near { class, first: sum.least, width, has_top: sum.most <= limit, ..none },
            // Counts nothing: no price is 0.
            None => Near { class, ..none },
        }
    }

    /// Counts the rounds up of a machine that a settlement pays for. Not of a metered lease: vouchers have no price per hour.
    #[inline(never)]
    pub fn count(&mut self, slot: &Slot) {
        let gpu_rounds = gpu_rounds(slot);
        if let Some(sum) = self.sums.get_mut(usize::from(slot.traits.class)) {
            sum.add(gpu_rounds, wide::mul(slot.price.max(sum.least).min(sum.most), gpu_rounds));
        }
    }

    /// Adds what a loop has counted.
    pub fn add(&mut self, near: &Near) {
        if let Some(sum) = self.sums.get_mut(usize::from(near.class)) {
            sum.add(near.gpu_rounds, near.paid.into());
        }
    }

    /// Adds it to the board's sums, which are of less than 2⁵³ GPU-rounds: nothing wraps.
    pub fn book(&self, board: &mut Board) {
        for (counted, sums) in self.sums.iter().zip(&mut board.sums) {
            sums.gpu_rounds = sums.gpu_rounds.wrapping_add(counted.gpu_rounds);
            sums.set_paid(wide::add(sums.paid(), counted.paid));
        }
    }
}

/// Bit of [`Board::indexed`] that stands for a hardware class.
pub fn class_bit(class: u16) -> Result<u32> {
    require!(usize::from(class) < MAX_CLASSES, LeaseholdError::UnknownClass);
    Ok(1u32.wrapping_shl(u32::from(class)))
}

/// Notes on the board that a class has an index from now on, which keeps its account until the board is closed.
pub fn begin(board: &mut Board, class: u16) -> Result<()> {
    board.indexed |= class_bit(class)?;
    Ok(())
}

/// True if the index is of this board, and not of one that had its address before.
pub fn is_followed(board: &Board, index: &PriceIndex) -> Result<bool> {
    Ok(board.indexed & class_bit(index.class)? != 0)
}

/// Unix second from which the index can be recorded: the next day (UTC) after the last time, twelve hours after it at the
/// earliest, so that every average is of half a day at least.
pub fn next_record(index: &PriceIndex) -> Result<i64> {
    let next_day = i64::from(day(index.recorded_at)?).saturating_add(1).saturating_mul(DAY_SECS);
    Ok(next_day.max(index.recorded_at.saturating_add(INDEX_REST_SECS)))
}

/// The Unix day (UTC) of a Unix second.
pub fn day(now: i64) -> Result<u32> {
    // Unsigned: the virtual machine has no signed division.
    let secs = u64::try_from(now).map_err(|_| LeaseholdError::MathOverflow)?;
    let day = secs.checked_div(DAY_SECS.unsigned_abs()).ok_or(LeaseholdError::MathOverflow)?;
    u32::try_from(day).map_err(|_| LeaseholdError::MathOverflow.into())
}

/// What is recorded at Unix time `now`: the sums as they stand, and their average since the last record or, the first time,
/// since the board's beginning, rounded down. It counts as the average of the day before.
///
/// # Errors
/// `IndexOfClosedBoard`, or `DayNotOver`.
pub fn quote(board: &Board, index: &PriceIndex, now: i64) -> Result<IndexDay> {
    require!(is_followed(board, index)?, LeaseholdError::IndexOfClosedBoard);
    require!(now >= next_record(index)?, LeaseholdError::DayNotOver);
    let sums = board.sums.get(usize::from(index.class)).ok_or(LeaseholdError::UnknownClass)?;
    let (paid, gpu_rounds) = index.last().map_or((Wide::ZERO, 0), |last| (last.paid(), last.gpu_rounds));
    Ok(IndexDay {
        paid: sums.paid,
        gpu_rounds: sums.gpu_rounds,
        index: average(wide::sub(sums.paid(), paid).ok_or(Overflow)?, sub(sums.gpu_rounds, gpu_rounds)?)?,
        day: day(now)?.saturating_sub(1),
        padding: 0,
    })
}

/// Payment units per GPU and hour, rounded down; 0 if nothing was paid.
fn average(paid: Wide, gpu_rounds: u64) -> Exact<u64> {
    if gpu_rounds == 0 {
        return Ok(0);
    }
    wide::div(paid, gpu_rounds).map(|(average, _)| average).ok_or(Overflow)
}

/// Records the day before. Its average bounds the prices that count from now on; a day without payments leaves the bounds as
/// they were.
pub fn record(board: &mut Board, index: &mut PriceIndex, now: i64) -> Result<IndexDay> {
    let entry = quote(board, index, now)?;
    let sums = board.sums.get_mut(usize::from(index.class)).ok_or(LeaseholdError::UnknownClass)?;
    if entry.index > 0 {
        sums.index = entry.index;
    }
    index.push(entry, now);
    Ok(entry)
}

/// Refuses to close an index whose board still follows it. `board`: the board at the address that the index names, `None` if
/// there is none.
pub fn require_closable(board: Option<&Board>, index: &PriceIndex) -> Result<()> {
    let followed = board.map_or(Ok(false), |board| is_followed(board, index))?;
    require!(!followed, LeaseholdError::IndexInUse);
    Ok(())
}
