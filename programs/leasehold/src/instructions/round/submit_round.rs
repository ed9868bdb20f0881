use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    math::tally,
    state::{Board, Tally},
};

#[derive(Accounts)]
pub struct SubmitRound<'info> {
    /// Holds the seat.
    pub keeper: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
}

/// Votes on the round that ended last: bit i of `bitmap` means that machine i answered this keeper.
///
/// `pong_root` is the Merkle root of the signed answers, so that the keeper can be asked to show any.
pub fn submit_round(
    ctx: Context<SubmitRound>,
    seat: u8,
    round: u32,
    pong_root: [u8; 32],
    bitmap: Vec<u8>,
) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let now = now()?;
    let mut board = ctx.accounts.board.load_mut()?;
    let board = &mut *board;
    require_keys_eq!(board.seat(seat)?.keeper, ctx.accounts.keeper.key(), LeaseholdError::WrongKeeper);

    let running = board.round_at(now)?;
    let in_window = round.checked_add(1) == Some(running)
        && now <= board.round_end(round).saturating_add(i64::from(board.submit_secs));
    require!(in_window, LeaseholdError::OutsideSubmitWindow);
    require!(round >= board.next_round, LeaseholdError::RoundClosed);
    if board.is_voting() {
        require!(board.tally.round == round, LeaseholdError::EarlierRoundOpen);
    } else {
        board.tally.round = round;
    }
    let machines = board.slots_at(running);
    require!(bitmap.len() == machines.div_ceil(8) as usize, LeaseholdError::BitmapLength);
    require!(tally::is_padded(&bitmap, machines), LeaseholdError::BitmapPadding);

    let Tally { submitted, planes, .. } = &mut board.tally;
    require!(*submitted & (1 << seat) == 0, LeaseholdError::AlreadySubmitted);
    *submitted |= 1 << seat;
    tally::add_vote(planes, &bitmap);

    let seat = board.seat_mut(seat)?;
    seat.pong_root = pong_root;
    seat.last_round = round;
    seat.submissions = seat.submissions.wrapping_add(1);
    Ok(())
}
