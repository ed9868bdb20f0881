use anchor_lang::prelude::*;

use crate::{
    constants::LEASE_SEED,
    error::LeaseholdError,
    events::LeaseOpened,
    instructions::{now, on_board, refuse_stray, tokens::*},
    math::matching::{Criteria, CutOff},
    rules::{self, open::Opening},
    state::{Board, Lease, LeaseState, Market, Meter},
};

/// Request of a buyer.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLeaseArgs {
    /// The board's `next_serial`.
    pub serial: u64,
    pub criteria: Criteria,
    /// Number of machines: all or none.
    pub machines: u32,
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
}

/// Meter of a lease to open.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterArgs {
    /// Ed25519 key that signs its vouchers.
    pub spender: Pubkey,
    /// Payment units to deposit.
    pub deposit: u64,
}

#[event_cpi]
#[derive(Accounts)]
#[instruction(args: OpenLeaseArgs)]
pub struct OpenLease<'info> {
    #[account(mut)]
    pub buyer: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    #[account(
        init,
        payer = buyer,
        space = 8 + Lease::INIT_SPACE,
        seeds = [LEASE_SEED, board.key().as_ref(), &args.serial.to_le_bytes()],
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
    lease.set_inner(opened(&opening, &args, board.key(), buyer.key(), ctx.bumps.lease));
    tokens.take(buyer, deposit)?;
    let lease = &ctx.accounts.lease;
    emit_cpi!(LeaseOpened {
        board: lease.board,
        lease: lease.key(),
        buyer: lease.buyer,
        group: lease.group,
        machines: lease.machines,
        from: lease.from,
        until: lease.until,
        deposit,
    });
    Ok(())
}

/// The account of the opened lease.
fn opened(opening: &Opening, args: &OpenLeaseArgs, board: Pubkey, buyer: Pubkey, bump: u8) -> Lease {
    Lease {
        version: Lease::VERSION,
        bump,
        state: LeaseState::Open,
        board,
        serial: opening.serial,
        buyer,
        owner: buyer,
        criteria: args.criteria,
        terms: opening.terms,
        group: args.group,
        machines: args.machines,
        settled: 0,
        from: opening.from,
        until: opening.until,
        deposit: opening.deposit,
        paid: 0,
        fees: 0,
        refunded: 0,
        refund_due: 0,
        slashed: 0,
        compensation_due: 0,
        meter: args.meter.map(|meter| Meter { spender: meter.spender, seq: 0, units: 0 }),
        demands: 0,
        reserved: [0; 7],
    }
}
