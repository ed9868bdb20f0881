//! Plans taking seats.

use super::{Action, Advice, Planner};
use crate::{memory::Chore, snapshot::Snapshot};

/// The wallet should hold at least this many lamports: a few hundred transactions.
const LOW_LAMPORTS: u64 = 1_000_000;

impl Planner<'_> {
    /// Plans to take a seat; one at a time, since all are bonded from the same stake.
    pub(super) fn take_seat(&mut self) {
        if !self.policy.take_seat || self.memory.is_under_way(|chore| matches!(chore, Chore::TakeSeat { .. }))
        {
            return;
        }
        let me = self.snapshot.me;
        for board in self.snapshot.boards.iter().filter(|board| board.seat_of(&me).is_none()) {
            let vacant: Vec<u8> =
                board.view().seats().filter(|(_, seat)| seat.is_vacant()).map(|(index, _)| index).collect();
            // Keepers that start together should not all try the same seat.
            let choice = usize::from(me.to_bytes()[0]) % vacant.len().max(1);
            let Some(seat) = vacant.get(choice) else {
                self.plan.advice.push(Advice::NoVacantSeat(board.board.index));
                continue;
            };
            let Some((register, deposit)) = self.bond(board.board.index) else { return };
            self.propose(Action::TakeSeat { board: board.board, seat: *seat, register, deposit });
            return;
        }
    }

    /// Preparation for a seat: true if an account must be opened, and stake units to bond. `None` if the operator must
    /// act first.
    fn bond(&mut self, board: u32) -> Option<(bool, u64)> {
        let Snapshot { keeper, params, stake, market, me, .. } = self.snapshot;
        let keeper_bond = params.keeper_bond;
        let free = keeper.as_ref().map_or(0, |keeper| keeper.stake.free);
        let missing = keeper_bond.saturating_sub(free);
        let advice = if self.policy.bond {
            if missing <= *stake {
                return Some((keeper.is_none(), missing));
            }
            Advice::WalletStakeMissing {
                board,
                held: *stake,
                needed: missing,
                account: market.stake_account(me),
            }
        } else if keeper.is_none() {
            Advice::NotRegistered
        } else if missing > 0 {
            Advice::StakeMissing { board, free, needed: keeper_bond }
        } else {
            return Some((false, 0));
        };
        self.plan.advice.push(advice);
        None
    }

    pub(super) fn advise(&mut self) {
        let Snapshot { me, lamports, missing, boards, .. } = self.snapshot;
        self.plan.advice.extend(missing.iter().map(|board| Advice::NoSuchBoard(*board)));
        if *lamports < LOW_LAMPORTS {
            self.plan.advice.push(Advice::LowLamports { wallet: *me, lamports: *lamports });
        }
        let seated = boards.iter().any(|board| board.seat_of(me).is_some());
        if !seated && !self.policy.take_seat && !self.policy.crank {
            self.plan.advice.push(Advice::NoWork);
        }
    }
}
