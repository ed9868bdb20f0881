use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    instructions::{now, refuse_stray},
    math::{add, pricing},
    state::{Board, Market, Slot, SlotState, Supplier, machine_mut, split_mut},
};

/// New conditions of a machine.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub slot: u16,
    /// Payment units per hour.
    pub price: u64,
    /// First round the machine doesn't promise to serve.
    pub committed_until: u32,
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

/// Changes price and commitment of machines that are not leased, and makes their bonds whole, so that a
/// suspended machine can be leased again.
pub fn reprice_machines(ctx: Context<RepriceMachines>, offers: Vec<Offer>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    require!(!offers.is_empty(), LeaseholdError::NoMachines);
    let RepriceMachines { market, supplier, board, .. } = ctx.accounts;
    let info = board.to_account_info();
    let mut data = info.try_borrow_mut_data()?;
    let (board, slots) = split_mut(&mut data)?;
    let next_round = board.round_at(now()?)?.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
    for offer in &offers {
        let slot = machine_mut(slots, offer.slot)?;
        require_keys_eq!(slot.supplier, supplier.key(), LeaseholdError::WrongSupplier);
        require!(slot.lease == 0, LeaseholdError::MachineLeased);
        require!(!slot.is(SlotState::Barred), LeaseholdError::MachineBarred);
        require!(offer.price > 0, LeaseholdError::PriceIsZero);
        board.require_commitment(offer.committed_until, next_round, market.params.max_rounds)?;
        let class = market.class(slot.traits.class)?;
        let whole = pricing::bond(market.params.bond_unit, class.weight_bps, slot.traits.gpus)?;
        let missing = whole.saturating_sub(slot.bond);
        supplier.stake.bond(missing)?;
        board.ledger.bonds = add(board.ledger.bonds, missing)?;
        slot.bond = add(slot.bond, missing)?;
        offer.apply(slot, next_round);
    }
    Ok(())
}

impl Offer {
    fn apply(&self, slot: &mut Slot, next_round: u32) {
        slot.price = self.price;
        slot.committed_until = self.committed_until;
        slot.state = SlotState::Idle as u8;
        if slot.attested_from == Slot::UNATTESTED {
            slot.attested_from = next_round;
        }
    }
}
