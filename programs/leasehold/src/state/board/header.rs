use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::{
    constants::{BOARD_SEED, HISTORY_ROUNDS, MAX_COMMITMENT_SECS, MAX_SEATS, PLANES, WORDS},
    error::LeaseholdError,
    state::{Ledger, RoundRules, Slot, SlotState},
};

/// Head of a board's account; the slots follow it. Address: `["board", market, index]`.
#[account(zero_copy)]
#[derive(Debug)]
pub struct Board {
    pub market: Pubkey,
    /// Paid for the header's rent and gets it back.
    pub creator: Pubkey,
    pub ledger: Ledger,
    pub index: u32,
    /// Slots of this account.
    pub slots: u32,
    /// Slots that hold a machine.
    pub machines: u32,
    /// Leases whose account exists.
    pub leases: u32,
    /// Serial of the next lease; the first is 1.
    pub next_serial: u32,
    /// First round not yet closed.
    pub next_round: u32,
    /// Round in which slots were last added or cut off, and how many there were before it.
    pub resized_round: u32,
    pub slots_before: u32,
    // The market's rules of rounds; see `RoundRules`.
    pub round_secs: u32,
    pub submit_secs: u32,
    pub seat_count: u8,
    pub threshold: u8,
    pub abandon_rounds: u8,
    /// Layout version of this account.
    pub version: u8,
    /// Bump of this account's address, and of the payment vault's.
    pub bump: u8,
    pub vault_bump: u8,
    /// Generation of slots that are added: that of the slots that were cut off, once vacated.
    pub fresh_generation: u16,
    /// Seats that submitted in round `round`, at `round % 64`; 0 where none did.
    pub votes: [u16; HISTORY_ROUNDS],
    pub seats: [Seat; MAX_SEATS],
    pub tally: Tally,
    /// Room for seats by lot, rewards and the root of the compute logs.
    pub reserved: [u64; 32],
}

const _: () = assert!(core::mem::size_of::<Board>() == 5_096 && core::mem::align_of::<Board>() == 8);

/// A keeper's place in the committee.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Seat {
    /// Wallet that submits; zero while the seat is vacant, see [`Seat::is_vacant`].
    pub keeper: Pubkey,
    /// Merkle root of the signed answers behind the last submission.
    pub pong_root: [u8; 32],
    /// Stake units that the seat holds.
    pub bond: u64,
    /// Payment units earned and not claimed.
    pub earned: u64,
    /// Round of the last submission, else the round in which the seat was taken.
    pub last_round: u32,
    /// Submissions in this seat.
    pub submissions: u32,
    /// 1 while somebody holds the seat.
    pub taken: u8,
    pub padding: [u8; 7],
}

impl Seat {
    pub fn is_vacant(&self) -> bool {
        self.taken == 0
    }
}

/// Votes for the one round that is being voted on.
#[derive(Pod, Zeroable, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "idl-build", derive(AnchorSerialize, AnchorDeserialize))]
#[repr(C)]
pub struct Tally {
    /// Round voted on; means nothing while nobody has submitted.
    pub round: u32,
    /// Bit for each seat that has submitted.
    pub submitted: u16,
    pub padding: u16,
    /// Bit-sliced counters: bit i of `planes[p]` is bit p of machine i's number of votes.
    pub planes: [[u64; WORDS]; PLANES],
}

impl Board {
    pub const VERSION: u8 = 1;

    /// The round that runs at Unix time `now`.
    pub fn round_at(&self, now: i64) -> Result<u32> {
        // Unsigned: the virtual machine has no signed division.
        let now = u64::try_from(now).map_err(|_| LeaseholdError::MathOverflow)?;
        let round = now.checked_div(u64::from(self.round_secs)).ok_or(LeaseholdError::MathOverflow)?;
        u32::try_from(round).map_err(|_| LeaseholdError::MathOverflow.into())
    }

    /// Unix time at which a round ends.
    pub fn round_end(&self, round: u32) -> i64 {
        i64::from(round).saturating_add(1).saturating_mul(i64::from(self.round_secs))
    }

    /// Slots there were when the round that runs now began: what a vote must cover. Neither listing nor
    /// retiring changes it while keepers submit.
    pub fn slots_at(&self, round: u32) -> u32 {
        if self.resized_round == round { self.slots_before } else { self.slots }
    }

    /// Refuses a commitment that ends before the next round is over, or so late that a machine whose supplier
    /// has gone would stay for ever.
    pub fn require_commitment(&self, until: u32, next_round: u32, max_rounds: u32) -> Result<()> {
        require!(until > next_round, LeaseholdError::CommitmentTooShort);
        let year = MAX_COMMITMENT_SECS.checked_div(self.round_secs).ok_or(LeaseholdError::MathOverflow)?;
        let most = year.max(max_rounds.saturating_add(1));
        require!(until.saturating_sub(next_round) <= most, LeaseholdError::CommitmentTooLong);
        Ok(())
    }

    /// Notes that a slot with this generation is cut off. Generations wrap, so that the later of two is the
    /// one that the other reaches sooner.
    pub fn outgrow(&mut self, generation: u16) {
        if generation.wrapping_sub(self.fresh_generation) < 1 << 15 {
            self.fresh_generation = generation;
        }
    }

    /// Notes that slots are added or cut off in this round.
    pub fn resize(&mut self, round: u32, slots: u32) {
        if self.resized_round != round {
            self.resized_round = round;
            self.slots_before = self.slots;
        }
        self.slots = slots;
    }

    /// Whether votes wait to be counted.
    pub fn is_voting(&self) -> bool {
        self.tally.submitted != 0
    }

    /// Bit for each seat that somebody holds.
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

    /// Copies the rules of the market's rounds.
    pub fn adopt(&mut self, rules: &RoundRules) {
        self.round_secs = rules.round_secs;
        self.submit_secs = rules.submit_secs;
        self.seat_count = rules.seats;
        self.threshold = rules.threshold;
        self.abandon_rounds = rules.abandon_rounds;
    }

    /// Whether the last closed round found the machine down, within its lease.
    pub fn is_down(&self, slot: &Slot) -> bool {
        let last = self.next_round.wrapping_sub(1);
        (slot.lease_from..slot.lease_until).contains(&last)
            && self.verdict(slot, last) == Some(super::Verdict::Down)
    }
}

/// What a board needs to sign for its payment vault, without the rest of the header.
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

/// The machine of a slot, refusing places that hold none.
pub fn machine_mut(slots: &mut [Slot], index: u16) -> Result<&mut Slot> {
    let slot = slots.get_mut(usize::from(index)).ok_or(LeaseholdError::NoSuchSlot)?;
    require!(!slot.is(SlotState::Vacant), LeaseholdError::SlotVacant);
    Ok(slot)
}
