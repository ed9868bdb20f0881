use core::ops::Range;

use anchor_lang::{
    prelude::*,
    system_program::{Transfer, transfer},
};

use crate::{
    constants::INITIAL_SCORE,
    error::LeaseholdError,
    instructions::{now, on_board},
    math::add32,
    rules,
    state::{Board, Endpoint, Market, Slot, SlotState, Supplier, Traits, board_len, slot_rent},
};

/// A machine to list.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Vacant slot to use; `None` to add one at the board's end.
    pub slot: Option<u16>,
    pub node_key: [u8; 32],
    pub traits: Traits,
    pub endpoint: Endpoint,
    /// Payment units per GPU and hour.
    pub price: u64,
    /// Stake units to bond for each GPU, if that is more than the market's minimum.
    pub bond: u64,
    /// Index in the supplier's profiles, if it states one.
    pub profile: Option<u8>,
    /// Minutes after a lease until it can be leased again.
    pub turnaround: u8,
}

impl Machine {
    fn slot(&self, supplier: Pubkey, bond: u64, generation: u32, attested_from: u32, until: u32) -> Slot {
        Slot {
            node_key: self.node_key,
            supplier,
            traits: self.traits,
            price: self.price,
            endpoint: self.endpoint,
            generation,
            score: INITIAL_SCORE,
            state: SlotState::Idle as u8,
            committed_until: until,
            attested_from,
            bond,
            profile: self.profile.unwrap_or(Slot::NO_PROFILE),
            turnaround: self.turnaround,
            ..bytemuck::Zeroable::zeroed()
        }
    }
}

#[derive(Accounts)]
pub struct ListMachines<'info> {
    /// Pays the slots' rent.
    #[account(mut)]
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
    pub system_program: Program<'info, System>,
    // Remaining accounts, writable: former suppliers of the vacant slots that are used, in order.
}

/// Lists machines on a board, bonds stake to each and commits them until round `committed_until`, exclusive.
///
/// The board grows by the slots that are new. Rent of a slot used before goes to its former supplier.
pub fn list_machines<'info>(
    ctx: Context<'info, ListMachines<'info>>,
    committed_until: u32,
    machines: Vec<Machine>,
) -> Result<()> {
    let accounts = &mut *ctx.accounts;
    rules::machine::require_listing(&accounts.market, machines.len())?;
    let round = accounts.board.load()?.round_at(now()?)?;
    let next_round = add32(round, 1)?;
    let max_rounds = accounts.market.params.max_rounds;
    accounts.board.load()?.require_commitment(committed_until, next_round, max_rounds)?;

    let mut added =
        accounts.add_slots(round, machines.iter().filter(|machine| machine.slot.is_none()).count())?;
    let old_slots = added.start;
    let mut former = ctx.remaining_accounts.iter();
    for machine in &machines {
        rules::machine::require_listable(machine)?;
        let bond = rules::machine::bond(&accounts.market.params, &machine.traits, machine.bond)?;
        let index = match machine.slot.map(usize::from) {
            None => added.next().ok_or(LeaseholdError::NoSuchSlot)?,
            Some(index) => {
                require!(index < old_slots, LeaseholdError::NoSuchSlot);
                accounts.buy_slot(index, &mut former)?;
                index
            }
        };
        let supplier = &mut accounts.supplier;
        on_board(&accounts.board, |board, slots| {
            let slot = slots.get_mut(index).ok_or(LeaseholdError::NoSuchSlot)?;
            let generation = if machine.slot.is_some() { slot.generation } else { board.fresh_generation };
            *slot = machine.slot(supplier.key(), bond, generation, next_round, committed_until);
            rules::machine::count_listed(board, supplier, bond)
        })?;
    }
    require!(former.next().is_none(), LeaseholdError::StrayAccount);
    Ok(())
}

impl<'info> ListMachines<'info> {
    /// Adds slots, whose rent the supplier pays. Returns their indices.
    fn add_slots(&self, round: u32, count: usize) -> Result<Range<usize>> {
        let slots = {
            let mut board = self.board.load_mut()?;
            let first = board.slots as usize;
            require!(count <= rules::machine::room(first), LeaseholdError::BoardFull);
            let end = first.saturating_add(count);
            if count > 0 {
                board.resize(round, u32::try_from(end).map_err(|_| LeaseholdError::MathOverflow)?);
            }
            first..end
        };
        let board = self.board.to_account_info();
        // The rent of its slots, even if the board holds more than it needs because rent has fallen: that is the others'.
        let len = board_len(slots.end);
        let missing = Rent::get()?.minimum_balance(len).saturating_sub(board.lamports());
        let rent = slot_rent(len)?.saturating_mul(count as u64).max(missing);
        if rent > 0 {
            self.pay(board.clone(), rent)?;
        }
        board.resize(len)?;
        Ok(slots)
    }

    /// Pays the rent of a vacant slot to its former supplier.
    fn buy_slot(
        &self,
        index: usize,
        former: &mut core::slice::Iter<'info, AccountInfo<'info>>,
    ) -> Result<()> {
        let owner = on_board(&self.board, |_, slots| {
            let slot = slots.get(index).ok_or(LeaseholdError::NoSuchSlot)?;
            rules::machine::require_vacant(slot)?;
            Ok(slot.supplier)
        })?;
        if owner == self.supplier.key() {
            return Ok(()); // its own rent lies there already
        }
        let account = former
            .next()
            .filter(|account| *account.key == owner)
            .ok_or(LeaseholdError::FormerSupplierMissing)?;
        self.pay(account.clone(), slot_rent(self.board.to_account_info().data_len())?)
    }

    fn pay(&self, to: AccountInfo<'info>, lamports: u64) -> Result<()> {
        let from = self.authority.to_account_info();
        transfer(CpiContext::new(self.system_program.key(), Transfer { from, to }), lamports)
    }
}
