use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::{
    constants::{
        BOARD_SEED, HISTORY_ROUNDS, MAX_CLASSES, MAX_LEASE_SECS, MAX_SEATS, PLANES, SEEN_SECS, WORDS,
    },
    error::LeaseholdError,
    math::{add32, rounds, wide::Wide},
    state::{Ledger, RoundRules, Slot, SlotState, ring_bit},
};

/// Header of a board's account; the slots follow it. Address: `["board", market, index]`.
#[account(zero_copy)]
#[derive(Debug)]
pub struct Board {
    pub market: Pubkey,
    /// Paid the header's rent and gets it back.
    pub creator: Pubkey,
    /// Genesis hash of the cluster; copied from the market.
    pub genesis: [u8; 32],
    pub ledger: Ledger,
    pub index: u32,
    /// Number of slots, vacant ones included.
    pub slots: u32,
    /// Number of slots that hold a machine.
    pub machines: u32,
    /// Number of leases whose account exists.
    pub leases: u32,
    /// Serial of the next lease; the first is 1.
    pub next_serial: u32,
    /// First round not yet closed.
    pub next_round: u32,
    /// Round in which slots were last added or removed, and how many there were before it.
    pub resized_round: u32,
    pub slots_before: u32,
    // The market's round rules; see `RoundRules`.
    pub round_secs: u32,
    pub submit_secs: u32,
    /// Second of a round's length at which this board's rounds begin.
    pub phase_secs: u32,
    /// Last quorate round; meaningless while `quorate` is 0.
    pub last_quorate: u32,
    /// Generation of added slots: the latest of those that were removed.
    pub fresh_generation: u32,
    pub sla_bps: u16,
    pub seat_count: u8,
    pub threshold: u8,
    pub abandon_rounds: u8,
    /// Layout version of this account.
    pub version: u8,
    /// Bumps of this account's address and of the payment vault's.
    pub bump: u8,
    pub vault_bump: u8,
    /// Votes for a machine that make it up, in the next round that is closed; then the market's parameter is adopted.
    pub up_votes: u8,
    pub padding: [u8; 7],
    /// Bit for each hardware class that has a [`PriceIndex`](crate::state::PriceIndex) of this board.
    pub indexed: u32,
    /// Bit `r % 64`: round r was quorate.
    pub quorate: u64,
    /// Bit for each seat that voted on round r, at `r % 64`; 0 if none did.
    pub votes: [u16; HISTORY_ROUNDS],
    pub seats: [Seat; MAX_SEATS],
    pub tally: Tally,
    /// Sums behind the price index, for each hardware class.
    pub sums: [ClassSums; MAX_CLASSES],
    /// Reserved for seats by lot and rewards.
    pub reserved: [u64; 32],
}

const _: () = assert!(core::mem::size_of::<Board>() == 6_176 && core::mem::align_of::<Board>() == 8);

/// What machines of a hardware class were paid by the hour on a board since its beginning: rounds up count when they are first
/// settled, at the full price of their machines, whatever is kept, burned or refunded later. Neither sum ever wraps.
#[derive(Default, Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct ClassSums {
    /// Sum of price times GPUs times rounds, low half first; a machine's price counts between half and twice `index`. Over
    /// `gpu_rounds` it is the average price in payment units per GPU and hour; times `round_secs` over 3,600 it is payment
    /// units.
    pub paid: [u64; 2],
    /// Sum of GPUs times rounds.
    pub gpu_rounds: u64,
    /// Payment units per GPU and hour of the last day that was recorded and had payments; 0 before the first.
    pub index: u64,
}

impl ClassSums {
    pub fn paid(&self) -> Wide {
        let [low, high] = self.paid;
        Wide { high, low }
    }

    pub fn set_paid(&mut self, paid: Wide) {
        self.paid = [paid.low, paid.high];
    }
}

/// A keeper's seat of a board.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Seat {
    /// Wallet that votes; zero while the seat is vacant, see [`Seat::is_vacant`].
    pub keeper: Pubkey,
    /// Merkle root of the signed answers behind the last vote.
    pub pong_root: [u8; 32],
    /// Stake units that the seat holds.
    pub bond: u64,
    /// Payment units earned and not claimed.
    pub earned: u64,
    /// Last round voted on; before the first vote, the round in which the seat was taken.
    pub last_round: u32,
    /// Number of votes of this seat.
    pub submissions: u32,
    /// 1 while a keeper holds the seat.
    pub taken: u8,
    pub padding: [u8; 7],
}

impl Seat {
    pub fn is_vacant(&self) -> bool {
        self.taken == 0
    }
}

/// Votes on the one round that is being voted on.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Tally {
    /// Round voted on; meaningless while `submitted` is 0.
    pub round: u32,
    /// Bit for each seat that has voted.
    pub submitted: u16,
    pub padding: u16,
    /// Bit-sliced counters: bit i of `planes[p]` is bit p of machine i's number of votes.
    pub planes: [[u64; WORDS]; PLANES],
}

impl Board {
    pub const VERSION: u8 = 1;

    /// The round that runs at Unix time `now`.
    pub fn round_at(&self, now: i64) -> Result<u32> {
        rounds::at(self.round_secs, self.phase_secs, now)
    }

    /// The round after the one that runs at Unix time `now`: the first one that what is decided now can apply to.
    pub fn round_after(&self, now: i64) -> Result<u32> {
        Ok(add32(self.round_at(now)?, 1)?)
    }

    /// Unix time at which a round ends.
    pub fn round_end(&self, round: u32) -> i64 {
        rounds::end(self.round_secs, self.phase_secs, round)
    }

    /// Number of rounds that cover so many seconds; at least one.
    pub fn rounds_in(&self, secs: u32) -> u32 {
        rounds::covering(self.round_secs, secs)
    }

    /// The last quorate round if it ended at most three rounds or two minutes before Unix time `now`, whichever is longer:
    /// a machine that was up in it can be leased.
    pub fn seen_round(&self, now: i64) -> Option<u32> {
        let fresh = i64::from(self.round_secs).saturating_mul(3).max(SEEN_SECS);
        let bit = 1u64.wrapping_shl(ring_bit(self.last_quorate));
        let ended = self.round_end(self.last_quorate);
        (self.quorate & bit != 0 && now <= ended.saturating_add(fresh)).then_some(self.last_quorate)
    }

    /// Number of slots when round `round`, which runs, began: what a vote must cover. Neither listing nor retiring
    /// changes it while keepers vote.
    pub fn slots_at(&self, round: u32) -> u32 {
        if self.resized_round == round { self.slots_before } else { self.slots }
    }

    /// Refuses a commitment that does not cover the next round, and one so long that a machine whose supplier is gone
    /// could not be evicted for years.
    pub fn require_commitment(&self, until: u32, next_round: u32, max_rounds: u32) -> Result<()> {
        require!(until > next_round, LeaseholdError::CommitmentTooShort);
        let year = MAX_LEASE_SECS.checked_div(self.round_secs).ok_or(LeaseholdError::MathOverflow)?;
        let most = year.max(max_rounds.saturating_add(1));
        require!(until.saturating_sub(next_round) <= most, LeaseholdError::CommitmentTooLong);
        Ok(())
    }

    /// Records that a slot of this generation is removed: no generation comes back.
    pub fn outgrow(&mut self, generation: u32) {
        self.fresh_generation = self.fresh_generation.max(generation);
    }

    /// Sets the number of slots; they are added or removed in this round.
    pub fn resize(&mut self, round: u32, slots: u32) {
        if self.resized_round != round {
            self.resized_round = round;
            self.slots_before = self.slots;
        }
        self.slots = slots;
    }

    /// True if votes are waiting to be counted.
    pub fn is_voting(&self) -> bool {
        self.tally.submitted != 0
    }

    /// Bit for each seat that is held.
    pub fn taken_seats(&self) -> u16 {
        self.seats.iter().rev().fold(0, |mask, seat| (mask << 1) | u16::from(!seat.is_vacant()))
    }

    pub fn seat(&self, index: u8) -> Result<&Seat> {
        require!(index < self.seat_count, LeaseholdError::NoSuchSeat);
        self.seats.get(usize::from(index)).ok_or_else(|| LeaseholdError::NoSuchSeat.into())
    }

    pub fn seat_mut(&mut self, index: u8) -> Result<&mut Seat> {
        require!(index < self.seat_count, LeaseholdError::NoSuchSeat);
        self.seats.get_mut(usize::from(index)).ok_or_else(|| LeaseholdError::NoSuchSeat.into())
    }

    pub fn signer(&self) -> BoardSigner {
        BoardSigner { market: self.market, index: self.index.to_le_bytes(), bump: [self.bump] }
    }

    /// Copies the market's round rules.
    pub fn adopt(&mut self, rules: &RoundRules) {
        self.round_secs = rules.round_secs;
        self.submit_secs = rules.submit_secs;
        self.seat_count = rules.seats;
        self.threshold = rules.threshold;
        self.abandon_rounds = rules.abandon_rounds;
        self.sla_bps = rules.sla_bps;
    }
}

/// Seeds of a board, which signs for its payment vault.
#[derive(Clone, Copy, Debug)]
pub struct BoardSigner {
    market: Pubkey,
    index: [u8; 4],
    bump: [u8; 1],
}

impl BoardSigner {
    pub fn seeds(&self) -> [&[u8]; 4] {
        [BOARD_SEED, self.market.as_ref(), &self.index, &self.bump]
    }
}

/// The machine of a slot. Refuses vacant slots and indices out of range.
pub fn machine(slots: &[Slot], index: u16) -> Result<&Slot> {
    let slot = slots.get(usize::from(index)).ok_or(LeaseholdError::NoSuchSlot)?;
    require!(!slot.is(SlotState::Vacant), LeaseholdError::SlotVacant);
    Ok(slot)
}

/// As [`machine`], to write.
pub fn machine_mut(slots: &mut [Slot], index: u16) -> Result<&mut Slot> {
    let slot = slots.get_mut(usize::from(index)).ok_or(LeaseholdError::NoSuchSlot)?;
    require!(!slot.is(SlotState::Vacant), LeaseholdError::SlotVacant);
    Ok(slot)
}
