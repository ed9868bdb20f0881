use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::NodeReplaced,
    instructions::{now, on_board, refuse_stray, tokens::*},
    math::matching::CutOff,
    rules::{
        self,
        replace::{Replacement, Wish},
    },
    state::{Board, Lease},
};

/// Request to replace a machine.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReplaceNodeArgs {
    pub old_slot: u16,
    /// Most payment units to pay in.
    pub max_deposit: u64,
    /// True to contest the old machine: its last two hours' pay is burned, and half as much of the owner's money.
    pub contest: bool,
    /// Slots that are not picked, 16 at most.
    pub avoid: Vec<u16>,
    /// Least bond of the new machine for each GPU in stake units, beside the least that the lease asks for.
    pub min_bond: u64,
    /// Cut-off of a quote: saves compute units, never changes the result.
    pub hint: Option<CutOff>,
}

#[event_cpi]
#[derive(Accounts)]
pub struct ReplaceNode<'info> {
    pub owner: Signer<'info>,
    /// Pays the deposit, and the rent by which the lease's account grows.
    #[account(mut)]
    pub payer: Signer<'info>,
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        mut,
        has_one = owner @ LeaseholdError::WrongAuthority,
        has_one = board @ LeaseholdError::WrongBoard,
        realloc = Lease::len(lease.replaced.len().saturating_add(1)),
        realloc::payer = payer,
        realloc::zero = false
    )]
    pub lease: Box<Account<'info, Lease>>,
    pub tokens: Tokens<'info>,
    pub system_program: Program<'info, System>,
}

impl ReplaceNode<'_> {
    fn validate(&self) -> Result<()> {
        self.tokens.validate_payment(&self.board.key(), &*self.board.load()?)
    }
}

/// Replaces a machine, up or down, by the first one that fits the lease's criteria and has as many GPUs.
///
/// The old machine serves the running round, or its first; the new one begins with the next round. Its price is paid in, and
/// what the old one leaves comes back when it is settled.
pub fn replace_node(ctx: Context<ReplaceNode>, args: ReplaceNodeArgs) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let ReplaceNode { payer, board, lease, tokens, .. } = &mut *ctx.accounts;
    let ReplaceNodeArgs { old_slot, max_deposit, contest, avoid, min_bond, hint } = args;
    let wish = Wish { old_slot, avoid: &avoid, min_bond, hint, max_deposit, contest };
    let now = now()?;
    let Replacement { slot: new_slot, from, deposit, .. } =
        on_board(board, |board, slots| rules::replace::apply(board, slots, lease, &wish, now))?;
    tokens.take(payer, deposit)?;
    emit_cpi!(NodeReplaced {
        lease: ctx.accounts.lease.key(),
        old_slot,
        new_slot,
        from,
        contested: contest,
        deposit,
    });
    Ok(())
}
