use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::{constants::INDEX_DAYS, math::wide::Wide};

/// Price index of a hardware class on a board. Address: `["index", board, class u16]`, little-endian. See `rules::index` for
/// what it says and what it does not.
#[account(zero_copy)]
#[derive(Debug)]
pub struct PriceIndex {
    pub board: Pubkey,
    /// Paid this account's rent and gets it back.
    pub payer: Pubkey,
    /// Unix second at which it was last recorded; before the first time, at which this account was created.
    pub recorded_at: i64,
    /// Number of days recorded, and the last of them; meaningless while there is none.
    pub recorded: u32,
    pub last_day: u32,
    /// Index of the hardware class in the market's list.
    pub class: u16,
    /// Layout version of this account.
    pub version: u8,
    /// Bump of this account's address.
    pub bump: u8,
    pub padding: [u8; 4],
    /// The last days. Day d, if it was recorded, is at `d % 64`: an entry there of another day is older.
    pub days: [IndexDay; INDEX_DAYS],
    pub reserved: [u64; 4],
}

const _: () =
    assert!(core::mem::size_of::<PriceIndex>() == 2_680 && core::mem::align_of::<PriceIndex>() == 8);

/// A day of a price index.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct IndexDay {
    /// The class's [`ClassSums`](crate::state::ClassSums) when the day was recorded: the average of any number of days is
    /// the difference of `paid` (low half first) over that of `gpu_rounds`.
    pub paid: [u64; 2],
    pub gpu_rounds: u64,
    /// Payment units per GPU and hour, the average since the last record; 0 if nothing was paid.
    pub index: u64,
    /// Unix day (UTC): the day before the one on which it was recorded.
    pub day: u32,
    pub padding: u32,
}

impl IndexDay {
    /// Sum of price times GPUs times rounds.
    pub fn paid(&self) -> Wide {
        let [low, high] = self.paid;
        Wide { high, low }
    }
}

impl PriceIndex {
    pub const VERSION: u8 = 1;
    /// Bytes of the account.
    pub const LEN: usize = 8 + core::mem::size_of::<PriceIndex>();

    /// The day that was recorded last.
    pub fn last(&self) -> Option<&IndexDay> {
        if self.recorded == 0 { None } else { self.day(self.last_day) }
    }

    /// A Unix day, if it was recorded and is among the last 64.
    pub fn day(&self, day: u32) -> Option<&IndexDay> {
        let entry = self.days.get(place(day))?;
        (self.recorded > 0 && entry.day == day).then_some(entry)
    }

    /// Adds a day that is recorded at Unix time `now`.
    pub fn push(&mut self, entry: IndexDay, now: i64) {
        if let Some(place) = self.days.get_mut(place(entry.day)) {
            *place = entry;
        }
        self.last_day = entry.day;
        self.recorded = self.recorded.saturating_add(1);
        self.recorded_at = now;
    }
}

/// Place of a day in the ring.
fn place(day: u32) -> usize {
    (day as usize).checked_rem(INDEX_DAYS).unwrap_or_default()
}
