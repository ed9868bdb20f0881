use anchor_lang::prelude::*;

use crate::{
    constants::LEASE_SEED,
    error::LeaseholdError,
    events::LeaseOpened,
    instructions::{now, refuse_stray, tokens::*},
    math::{
        add,
        matching::{self, Criteria, CutOff},
        pricing::Span,
        settlement::Terms,
    },
    state::{Board, Lease, LeaseState, Market, Meter, split_mut},
};

/// What a buyer asks for.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLeaseArgs {
    /// The board's `next_serial`.
    pub serial: u64,
    pub criteria: Criteria,
    /// All of them or none.
    pub machines: u32,
    /// Rounds from the next one on.
    pub rounds: u32,
    /// Most payment units to deposit.
    pub max_deposit: u64,
    /// Ties leases on several boards together.
    pub cluster: Option<u64>,
    /// Price and score of the last machine of a quote: saves compute units, never changes the result.
    pub hint: Option<CutOff>,
    /// To pay by use, where `criteria` ask for machines that allow it.
    pub meter: Option<MeterArgs>,
}

/// How a lease is to be paid by use.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterArgs {
    /// Ed25519 key that will sign vouchers.
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
    fn validate(&self, args: &OpenLeaseArgs) -> Result<()> {
        let board = self.board.load()?;
        self.tokens.validate_payment(&self.board.key(), &board)?;
        require!(!self.market.paused, LeaseholdError::MarketPaused);
        require!(args.serial == u64::from(board.next_serial), LeaseholdError::WrongSerial);
        require!(args.machines > 0, LeaseholdError::NoMachines);
        require!(args.criteria.metered == args.meter.is_some(), LeaseholdError::MeterMismatch);
        if let Some(meter) = &args.meter {
            require!(args.machines == 1, LeaseholdError::MeteredCluster);
            require!(meter.deposit > 0, LeaseholdError::AmountIsZero);
        }
        let params = &self.market.params;
        require!((params.min_rounds..=params.max_rounds).contains(&args.rounds), LeaseholdError::LeaseLength);
        Ok(())
    }
}

/// Picks the machines, locks the payment and starts the lease with the next round.
pub fn open_lease(ctx: Context<OpenLease>, args: OpenLeaseArgs) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate(&args)?;
    let lease = ctx.accounts.lease(&args, ctx.bumps.lease)?;
    let deposit = ctx.accounts.reserve(&lease, &args)?;
    let lease = Lease { deposit, ..lease };
    emit_cpi!(LeaseOpened {
        board: lease.board,
        lease: ctx.accounts.lease.key(),
        buyer: lease.buyer,
        cluster: lease.cluster,
        machines: lease.machines,
        from: lease.from,
        until: lease.until,
        deposit,
    });
    ctx.accounts.lease.set_inner(lease);
    ctx.accounts.tokens.take(&ctx.accounts.buyer, deposit)
}

impl OpenLease<'_> {
    /// The lease before its machines are known.
    fn lease(&self, args: &OpenLeaseArgs, bump: u8) -> Result<Lease> {
        let board = self.board.load()?;
        let from = board.round_at(now()?)?.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
        let params = &self.market.params;
        Ok(Lease {
            version: Lease::VERSION,
            bump,
            state: LeaseState::Open,
            board: self.board.key(),
            serial: board.next_serial,
            buyer: self.buyer.key(),
            owner: self.buyer.key(),
            criteria: args.criteria,
            terms: Terms {
                round_secs: board.round_secs,
                rounds: args.rounds,
                cancel_secs: 0,
                slash_multiplier_bps: params.slash_multiplier_bps,
                fee_bps: params.fee_bps,
                keeper_share_bps: params.keeper_share_bps,
                sla_bps: params.sla_bps,
                split: params.split,
            },
            cluster: args.cluster,
            machines: args.machines,
            settled: 0,
            from,
            until: from.checked_add(args.rounds).ok_or(LeaseholdError::MathOverflow)?,
            deposit: 0,
            paid: 0,
            fees: 0,
            refunded: 0,
            refund_due: 0,
            slashed: 0,
            compensation_due: 0,
            meter: args.meter.map(|meter| Meter { spender: meter.spender, seq: 0, units: 0 }),
            demands: 0,
            reserved: [0; 7],
        })
    }

    /// Puts the lease on the first machines that fit. Returns what they cost.
    fn reserve(&self, lease: &Lease, args: &OpenLeaseArgs) -> Result<u64> {
        let info = self.board.to_account_info();
        let mut data = info.try_borrow_mut_data()?;
        let (board, slots) = split_mut(&mut data)?;
        let selection = matching::select(slots, &args.criteria, lease.until, args.machines, args.hint)?;
        let span = Span::of_rounds(board.round_secs, args.rounds);
        let hourly = selection.take(slots, lease.serial, lease.from, lease.until, span)?;
        let deposit = args.meter.map_or(hourly, |meter| meter.deposit);
        require!(deposit <= args.max_deposit, LeaseholdError::CostsTooMuch);
        board.next_serial = board.next_serial.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
        board.leases = board.leases.checked_add(1).ok_or(LeaseholdError::MathOverflow)?;
        board.ledger.escrow = add(board.ledger.escrow, deposit)?;
        Ok(deposit)
    }
}
