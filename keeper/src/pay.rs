//! What this keeper is paid for its votes, as its seats show it.

use std::{collections::BTreeMap, fmt};

use leasehold::{
    rules::round::fee_per_vote,
    state::{Board, Params, Seat, ring_bit},
};
use leasehold_daemon::metrics::{Kind, write_head};

/// Pay of the seats on all boards, by the board's number.
#[derive(Debug, Default)]
pub struct Pay(BTreeMap<u32, SeatPay>);

/// Pay of a seat since this process saw it first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeatPay {
    /// Payment units that a vote in the next quorate round earns.
    pub fee: u64,
    /// Payment units earned and not claimed.
    pub unclaimed: u64,
    /// Payment units earned.
    pub earned: u64,
    /// Votes in quorate rounds, which are paid, and in void rounds, which are not.
    pub paid_votes: u64,
    pub void_votes: u64,
    /// First round that was not counted.
    next_round: u32,
}

impl Pay {
    /// Notes how a seat of a board stands.
    pub fn observe(&mut self, header: &Board, index: u8, seat: &Seat, params: &Params) {
        let fee = fee_per_vote(header, params);
        let Some(pay) = self.0.get_mut(&header.index) else {
            let (unclaimed, next_round) = (seat.earned, header.next_round);
            self.0.insert(header.index, SeatPay { fee, unclaimed, next_round, ..SeatPay::default() });
            return;
        };
        for round in header.next_round.saturating_sub(u64::BITS).max(pay.next_round)..header.next_round {
            let place = ring_bit(round);
            let voted = header.votes.get(place as usize).copied().unwrap_or_default();
            if voted >> index & 1 == 0 {
                continue;
            }
            let is_quorate = header.quorate >> place & 1 == 1;
            let count = if is_quorate { &mut pay.paid_votes } else { &mut pay.void_votes };
            *count += 1;
        }
        // After a claim, all that is there was earned since.
        let more = seat.earned.checked_sub(pay.unclaimed).unwrap_or(seat.earned);
        let earned = pay.earned.saturating_add(more);
        (pay.fee, pay.unclaimed, pay.earned, pay.next_round) = (fee, seat.earned, earned, header.next_round);
    }

    /// Pay on a board; `None` if this keeper had no seat there.
    pub fn of(&self, board: u32) -> Option<SeatPay> {
        self.0.get(&board).copied()
    }
}

impl fmt::Display for Pay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        type Value = fn(&SeatPay) -> u64;
        let series: [(&str, Kind, &str, Value); 5] = [
            ("vote_fee", Kind::Gauge, "Payment units that a vote in the next quorate round earns.", |pay| {
                pay.fee
            }),
            ("unclaimed_units", Kind::Gauge, "Payment units earned and not claimed.", |pay| pay.unclaimed),
            ("earned_units_total", Kind::Counter, "Payment units earned.", |pay| pay.earned),
            ("paid_votes_total", Kind::Counter, "Votes in quorate rounds.", |pay| pay.paid_votes),
            ("void_votes_total", Kind::Counter, "Votes in void rounds, which are not paid.", |pay| {
                pay.void_votes
            }),
        ];
        for (name, kind, help, value) in series {
            let name = format!("leasehold_keeper_{name}");
            write_head(f, &name, kind, help)?;
            for (board, pay) in &self.0 {
                writeln!(f, "{name}{{board=\"{board}\"}} {}", value(pay))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use leasehold::state::HardwareClass;

    use super::*;

    pub fn params() -> Params {
        Params {
            bond_unit: 1,
            keeper_bond: 1,
            keeper_fee: 50,
            keeper_fee_max: 100,
            ask_fee: 100_000,
            unbonding_secs: 86_400,
            min_rounds: 1,
            max_rounds: 100,
            fee_bps: 0,
            keeper_share_bps: 0,
            hold_bps: 2_000,
            standby_bps: 1_000,
            slash_multiplier_bps: 10_000,
            up_votes: 2,
            classes: Vec::<HardwareClass>::new(),
        }
    }

    #[test]
    fn votes_in_quorate_rounds_are_paid_and_claims_are_no_loss() {
        let mut header: Box<Board> = Box::new(bytemuck::Zeroable::zeroed());
        (header.index, header.round_secs, header.seat_count, header.next_round) = (7, 600, 3, 100);
        header.seats.iter_mut().take(3).for_each(|seat| seat.taken = 1);
        header.ledger.keeper_pool = 120;
        let (mut pay, mut seat) = (Pay::default(), Seat { earned: 30, ..bytemuck::Zeroable::zeroed() });
        assert_eq!(pay.of(7), None);
        pay.observe(&header, 1, &seat, &params());
        let first = pay.of(7).unwrap();
        assert_eq!((first.fee, first.unclaimed, first.earned), (40, 30, 0), "a third of the pool");

        // Rounds 100 and 101 were quorate, 102 was void, and in 103 this seat did not vote.
        header.next_round = 104;
        for (round, votes) in [(100, 0b111), (101, 0b011), (102, 0b010), (103, 0b101)] {
            header.votes[ring_bit(round) as usize] = votes;
        }
        header.quorate = [100, 101, 103].iter().fold(0, |ring, round| ring | 1 << ring_bit(*round));
        seat.earned = 110;
        pay.observe(&header, 1, &seat, &params());
        pay.observe(&header, 1, &seat, &params());
        let second = pay.of(7).unwrap();
        assert_eq!((second.earned, second.paid_votes, second.void_votes), (80, 2, 1));

        // All was claimed, then 40 earned.
        seat.earned = 40;
        pay.observe(&header, 1, &seat, &params());
        assert_eq!(pay.of(7).unwrap().earned, 120);
        let page = pay.to_string();
        assert!(page.contains("leasehold_keeper_earned_units_total{board=\"7\"} 120\n"), "{page}");
    }
}
