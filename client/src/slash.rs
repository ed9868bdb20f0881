//! Why a machine loses stake and pay: which rounds, whose votes, which rule.

use std::fmt;

use leasehold::{
    constants::SLASH_SECS,
    math::{
        settlement::{self, Burned},
        slashing::allowance,
    },
    rules::settle,
    state::{Lease, Verdict, ring_bit},
};
use solana_pubkey::Pubkey;

use crate::{board::BoardView, error::Refusal, quote::reasons};

pub use leasehold::rules::settle::SlashCause;

/// A round in which the quorum found a machine down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownRound {
    pub round: u32,
    /// Seats that voted in the round, with the wallets that hold them now; `None` for a seat left since.
    /// The board doesn't keep their votes on this machine: at least the threshold of them found it down.
    pub voters: Vec<(u8, Option<Pubkey>)>,
}

/// A machine's record in its running lease, and the stake that it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlashReport {
    pub slot: u16,
    /// Serial of the lease.
    pub lease: u32,
    /// First round of the machine in the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    /// Rounds of the lease closed so far, by verdict.
    pub up: u32,
    pub down: u32,
    pub unseen: u32,
    pub void: u32,
    /// Rounds down that the board remembers, the oldest first.
    pub down_rounds: Vec<DownRound>,
    /// Rounds down that it no longer remembers: it keeps the last 64 rounds.
    pub forgotten: u32,
    /// Votes that call a machine down.
    pub threshold: u8,
    /// The rule that takes stake; `None` if the machine was down in no more rounds than it may.
    pub cause: Option<SlashCause>,
    /// Rounds the machine may be down, and those of the last 64 from which it is abandoned.
    pub allowance: u32,
    pub abandon_rounds: u8,
    /// Rounds that the machine was to serve, and those against which its rounds down are measured: three days' at least.
    pub rounds: u32,
    pub measured: u32,
    /// Part of the bond lost for being down all the time, in basis points.
    pub multiplier_bps: u32,
    /// Stake units bonded, and how many of them would be lost if the lease were settled as it stands.
    pub bond: u64,
    pub slash: u64,
    /// Payment units that it earned for rounds up, those of them that are kept until its end, and those that are burned
    /// because of it, if the lease were settled as it stands.
    pub earned: u64,
    pub kept: u64,
    pub burned: Burned,
    /// True if the machine can be settled for good: all rounds are closed that it waits for.
    pub is_final: bool,
}

/// Reports on a leased machine. `None` if the slot is not in this lease: a settled lease has released its machines, so
/// report before it is settled.
pub fn slash_report(board: &BoardView, index: u16, lease: &Lease) -> Result<Option<SlashReport>, Refusal> {
    let Some(slot) = board.slot(index).filter(|slot| slot.lease != 0 && slot.lease == lease.serial) else {
        return Ok(None);
    };
    let header = board.header;
    let closed = header.next_round.clamp(slot.lease_from, slot.lease_until).wrapping_sub(slot.lease_from);
    let down_rounds: Vec<_> = board
        .verdicts(slot)
        .filter(|(round, _)| (slot.lease_from..slot.lease_until).contains(round))
        .filter(|(_, verdict)| *verdict == Verdict::Down)
        .map(|(round, _)| DownRound { round, voters: voters(board, round) })
        .collect();
    let remembered = u32::try_from(down_rounds.len()).unwrap_or(u32::MAX);
    let terms = &lease.terms;
    let rounds = settlement::agreed(&lease.service(slot)?, terms);
    let standing = settle::standing(lease, slot)?;
    let known = slot.lease_up.saturating_add(slot.lease_down).saturating_add(slot.lease_unseen);
    Ok(Some(SlashReport {
        slot: index,
        lease: slot.lease,
        from: slot.lease_from,
        until: slot.lease_until,
        up: slot.lease_up,
        down: slot.lease_down,
        unseen: slot.lease_unseen,
        void: closed.saturating_sub(known),
        forgotten: slot.lease_down.saturating_sub(remembered),
        down_rounds,
        threshold: header.threshold,
        cause: settle::slash_cause(lease, slot)?,
        allowance: allowance(rounds, terms.sla_bps),
        abandon_rounds: header.abandon_rounds,
        rounds,
        measured: rounds.max(header.rounds_in(SLASH_SECS)),
        multiplier_bps: terms.slash_multiplier_bps,
        bond: slot.bond,
        slash: standing.slash,
        earned: standing.earned,
        kept: standing.kept,
        burned: standing.burned,
        is_final: settle::is_due(header, lease, slot),
    }))
}

/// Seats that voted in a remembered round.
fn voters(board: &BoardView, round: u32) -> Vec<(u8, Option<Pubkey>)> {
    let place = usize::try_from(ring_bit(round)).unwrap_or_default();
    let voted = board.header.votes.get(place).copied().unwrap_or_default();
    board
        .seats()
        .filter(|(index, _)| voted >> index & 1 == 1)
        .map(|(index, seat)| (index, (!seat.is_vacant()).then_some(seat.keeper)))
        .collect()
}

impl fmt::Display for SlashReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        use SlashCause::{Abandoned, Convicted, Downtime, Forfeited};

        write!(
            f,
            "slot {} in lease {}, rounds {} to {}: {} up, {} down, {} unseen, {} void so far; ",
            self.slot,
            self.lease,
            self.from,
            self.until.saturating_sub(1),
            self.up,
            self.down,
            self.unseen,
            self.void
        )?;
        let (allowance, rounds) = (self.allowance, self.rounds);
        match self.cause {
            None => write!(f, "it may be down in {allowance} of {rounds}, so its bond stays whole")?,
            Some(Downtime) => {
                write!(
                    f,
                    "it may be down in {allowance} of {rounds}; measured against {} rounds",
                    self.measured
                )?;
            }
            Some(Abandoned) => write!(f, "it was down in at least {} of 64 rounds", self.abandon_rounds)?,
            Some(Forfeited) => write!(f, "its supplier forfeited it")?,
            Some(Convicted) => write!(f, "it lost its whole bond over a receipt")?,
        }
        if !matches!(self.cause, None | Some(Convicted)) {
            write!(f, ", so it loses {} of its bond of {}", self.slash, self.bond)?;
        }
        write!(f, "\nit earned {}, of which {} are kept until its end", self.earned, self.kept)?;
        for (amount, reason) in reasons(&self.burned) {
            write!(f, "\n{amount} are burned {reason}")?;
        }
        for DownRound { round, voters } in &self.down_rounds {
            write!(
                f,
                "\nround {round}: down by at least {} of {} votes, seats",
                self.threshold,
                voters.len()
            )?;
            for (seat, keeper) in voters {
                match keeper {
                    Some(keeper) => write!(f, " {seat} ({keeper})")?,
                    None => write!(f, " {seat} (left since)")?,
                }
            }
        }
        if self.forgotten > 0 {
            write!(f, "\n{} rounds down are older than the board remembers", self.forgotten)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        board::BoardData,
        sample::{change, snapshot, wallet},
    };
    use leasehold::state::{Slot, SlotState};

    fn sample() -> (BoardData, Lease) {
        let mut snapshot = snapshot();
        let lease = snapshot.boards[0].leases.remove(0).1;
        (snapshot.boards.remove(0).data, lease)
    }

    fn report(data: &BoardData, slot: u16, lease: &Lease) -> Option<SlashReport> {
        slash_report(&data.view().unwrap(), slot, lease).unwrap()
    }

    #[test]
    fn a_report_names_rounds_votes_rule_and_loss() {
        let (data, lease) = sample();
        let found = report(&data, 0, &lease).unwrap();
        assert_eq!((found.up, found.down, found.unseen, found.void, found.forgotten), (8, 2, 0, 0, 0));
        let voters = vec![(0, Some(wallet(2))), (1, Some(wallet(3)))];
        let down = |round| DownRound { round, voters: voters.clone() };
        assert_eq!(found.down_rounds, [down(991), down(995)]);
        // One round down is always allowed: the other one of three days at ten times the bond takes 2 of 100.
        assert_eq!(
            (found.cause, found.allowance, found.measured, found.slash, found.bond),
            (Some(SlashCause::Downtime), 1, 432, 2, 100)
        );
        // 8 rounds of 60, all of them in the first two hours. Damages are the price of a round, or a fifth of the pay.
        let damages = Burned { damages: 60, ..Burned::default() };
        assert_eq!((found.earned, found.kept, found.burned), (480, 480, damages));
        assert!(!found.is_final);
        let text = found.to_string();
        assert!(
            text.contains(
                "8 up, 2 down, 0 unseen, 0 void so far; it may be down in 1 of 20; measured against 432 rounds, so it \
                 loses 2 of its bond of 100\nit earned 480, of which 480 are kept until its end\n60 are burned of"
            ),
            "{text}"
        );
        assert!(text.contains("round 995: down by at least 2 of 2 votes, seats 0 ("), "{text}");
    }

    #[test]
    fn a_machine_that_kept_its_promise_loses_nothing() {
        let (data, lease) = sample();
        let found = report(&data, 1, &lease).unwrap();
        assert_eq!((found.cause, found.slash, found.down_rounds.len()), (None, 0, 0));
        assert!(found.to_string().contains("so its bond stays whole\nit earned 600"), "{found}");
    }

    #[test]
    fn the_rule_that_takes_all_is_named() {
        let (mut data, lease) = sample();
        change(&mut data, |_, slots| {
            slots[0].flags = Slot::ABANDONED;
            slots[1].state = SlotState::Suspended as u8;
        });
        let [abandoned, forfeited] = [0, 1].map(|slot| report(&data, slot, &lease).unwrap());
        assert_eq!((abandoned.cause, abandoned.slash), (Some(SlashCause::Abandoned), 100));
        assert_eq!((forfeited.cause, forfeited.slash), (Some(SlashCause::Forfeited), 100));
        assert!(
            abandoned
                .to_string()
                .contains("it was down in at least 4 of 64 rounds, so it loses 100 of its bond of 100")
        );
    }

    #[test]
    fn a_convicted_machine_has_nothing_left_to_lose() {
        let (mut data, lease) = sample();
        change(&mut data, |_, slots| {
            slots[1].state = SlotState::Barred as u8;
            slots[1].bond = 0;
        });
        let found = report(&data, 1, &lease).unwrap();
        assert_eq!((found.cause, found.slash), (Some(SlashCause::Convicted), 0));
        assert!(found.to_string().contains("it lost its whole bond over a receipt\n"), "{found}");
    }

    #[test]
    fn rounds_beyond_memory_are_counted_and_seats_left_since_are_said_to_be() {
        let (mut data, lease) = sample();
        change(&mut data, |board, _| {
            board.next_round = 992 + 64;
            board.quorate = u64::MAX;
            board.seats[1] = bytemuck::Zeroable::zeroed();
        });
        let found = report(&data, 0, &lease).unwrap();
        assert_eq!((found.down_rounds.len(), found.forgotten, found.is_final), (1, 1, true));
        assert_eq!(found.down_rounds[0].voters, [(0, Some(wallet(2))), (1, None)]);
        assert!(found.to_string().ends_with("1 rounds down are older than the board remembers"));
    }

    #[test]
    fn a_machine_outside_the_lease_has_no_report() {
        let (data, lease) = sample();
        assert_eq!(report(&data, 3, &lease), None);
        assert_eq!(report(&data, 9, &lease), None);
    }
}
