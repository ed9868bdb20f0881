use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, on_board, refuse_stray},
    rules,
    state::{Board, Market, Supplier, machine_mut},
};

/// New conditions of a machine.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub slot: u16,
    /// Payment units per GPU and hour.
    pub price: u64,
    /// First round after its commitment.
    pub committed_until: u32,
    /// Stake units to bond for each GPU, if that is more than the market's minimum and than what is bonded.
    pub bond: u64,
}

#[derive(Accounts)]
pub struct RepriceMachines<'info> {
    pub authority: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(
        mut,
        has_one = authority @ LeaseholdError::WrongAuthority,
        has_one = market @ LeaseholdError::WrongMarket
    )]
    pub supplier: Account<'info, Supplier>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
}

/// Changes price and commitment of machines that are not leased, and tops up their bonds, so that a suspended
/// machine can be leased again. The commitment of a leased machine can be shortened.
pub fn reprice_machines(ctx: Context<RepriceMachines>, offers: Vec<Offer>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    require!(!offers.is_empty(), LeaseholdError::NoMachines);
    let RepriceMachines { market, supplier, board, .. } = ctx.accounts;
    let now = now()?;
    on_board(board, |board, slots| {
        let next_round = board.round_after(now)?;
        for offer in &offers {
            let slot = machine_mut(slots, offer.slot)?;
            require_keys_eq!(slot.supplier, supplier.key(), LeaseholdError::WrongSupplier);
            rules::machine::reprice(market, board, slot, supplier, offer, next_round)?;
        }
        Ok(())
    })
}
