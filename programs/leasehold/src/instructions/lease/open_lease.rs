use anchor_lang::prelude::*;

use crate::{
    constants::LEASE_SEED,
    error::LeaseholdError,
    events::LeaseOpened,
    instructions::{now, on_board, refuse_stray, tokens::*},
    math::matching::{Criteria, CutOff},
    rules,
    state::{Board, Lease, Market},
};

/// Request of a buyer.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct OpenLeaseArgs {
    /// Any number that no other lease of this buyer on the board has.
    pub nonce: u64,
    /// Has the right to use the machines, and to all refunds.
    pub owner: Pubkey,
    pub criteria: Criteria,
    /// Number of GPUs: all or none.
    pub gpus: u32,
    /// Number of rounds, from the next one on.
    pub rounds: u32,
    /// Most payment units to deposit.
    pub max_deposit: u64,
    /// Group of leases, on any boards, that it belongs to.
    pub group: Option<u64>,
    /// Cut-off of a quote: saves compute units, never changes the result.
    pub hint: Option<CutOff>,
    /// Set for a lease that is paid by use; then `criteria` must ask for metered machines.
    pub meter: Option<MeterArgs>,
    /// Slots that are not picked, 16 at most.
    pub avoid: Vec<u16>,
    /// SHA-256 of the SSH public key that is let into the machines; `None` if nobody is, until `set_access`.
    pub access: Option<[u8; 32]>,
}

/// Meter of a lease to open.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterArgs {
    /// Ed25519 key that signs its vouchers.
    pub spender: Pubkey,
    /// Payment units to deposit: the standby price of the first hour at least.
    pub deposit: u64,
}

#[event_cpi]
#[derive(Accounts)]
#[instruction(args: OpenLeaseArgs)]
pub struct OpenLease<'info> {
    /// Pays deposit and rent, and gets the rent back.
    #[account(mut)]
    pub buyer: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        init,
        payer = buyer,
        space = Lease::len(0),
        seeds = [LEASE_SEED, board.key().as_ref(), buyer.key().as_ref(), &args.nonce.to_le_bytes()],
        bump
    )]
    pub lease: Box<Account<'info, Lease>>,
    pub tokens: Tokens<'info>,
    pub system_program: Program<'info, System>,
}

impl OpenLease<'_> {
    fn validate(&self) -> Result<()> {
        self.tokens.validate_payment(&self.board.key(), &*self.board.load()?)
    }
}

/// Opens a lease: picks the machines, takes the deposit and starts with the next round.
pub fn open_lease(ctx: Context<OpenLease>, args: OpenLeaseArgs) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate()?;
    let OpenLease { buyer, market, board, lease, tokens, .. } = &mut *ctx.accounts;
    let now = now()?;
    let opening = on_board(board, |board, slots| rules::open::apply(market, board, slots, now, &args))?;
    let deposit = opening.deposit;
    lease.set_inner(opening.lease(&args, board.key(), buyer.key(), ctx.bumps.lease));
    tokens.take(buyer, deposit)?;
    let lease = &ctx.accounts.lease;
    emit_cpi!(LeaseOpened {
        board: lease.board,
        lease: lease.key(),
        buyer: lease.buyer,
        owner: lease.owner,
        group: lease.group,
        gpus: lease.gpus,
        machines: lease.machines,
        from: lease.from,
        until: lease.until,
        deposit,
    });
    Ok(())
}
