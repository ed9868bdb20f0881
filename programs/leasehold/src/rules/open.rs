//! Opening a lease: which machines it gets, for how long, and what is deposited.

use anchor_lang::prelude::*;

use crate::{
    constants::{MAX_AVOID, SECS_PER_HOUR},
    error::LeaseholdError,
    instructions::OpenLeaseArgs,
    math::{
        Exact, add, add32,
        matching::{self, Request, Selection},
        pricing::{Span, rate},
        settlement::Terms,
    },
    state::{Board, Lease, LeaseState, Market, Meter, Slot},
};

/// A lease that is opened, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    pub serial: u32,
    /// First round of the lease, and the first after it.
    pub from: u32,
    pub until: u32,
    pub terms: Terms,
    /// The machines it gets.
    pub selection: Selection,
    /// Payment units that the buyer pays in.
    pub deposit: u64,
}

/// Refuses what the market lets nobody open now: anything while it is paused, and leases of other lengths.
pub fn require_allowed(market: &Market, rounds: u32) -> Result<()> {
    require!(!market.paused, LeaseholdError::MarketPaused);
    let params = &market.params;
    require!((params.min_rounds..=params.max_rounds).contains(&rounds), LeaseholdError::LeaseLength);
    Ok(())
}

/// First round that a lease of `rounds` rounds would no longer run in, if it were opened now.
pub fn until(board: &Board, now: i64, rounds: u32) -> Result<u32> {
    Ok(add32(board.round_after(now)?, rounds)?)
}

/// The lease that would be opened at Unix time `now`.
pub fn quote(
    market: &Market,
    board: &Board,
    slots: &[Slot],
    now: i64,
    args: &OpenLeaseArgs,
) -> Result<Opening> {
    let opening = select(market, board, slots, now, args)?;
    let hourly = opening.selection.deposit(slots, opening.terms.whole())?;
    opening.for_deposit(hourly, args)
}

/// Opens the lease: puts it on its machines and books the deposit.
#[inline(never)]
pub fn apply(
    market: &Market,
    board: &mut Board,
    slots: &mut [Slot],
    now: i64,
    args: &OpenLeaseArgs,
) -> Result<Opening> {
    let opening = select(market, board, slots, now, args)?;
    let Opening { serial, from, until, ref terms, ref selection, .. } = opening;
    let hourly = selection.take(slots, serial, from, until, terms.whole())?;
    let opening = opening.for_deposit(hourly, args)?;
    board.next_serial = add32(board.next_serial, 1)?;
    board.leases = add32(board.leases, 1)?;
    board.ledger.escrow = add(board.ledger.escrow, opening.deposit)?;
    Ok(opening)
}

/// Checks the request and picks the machines; the deposit is still missing.
#[inline(always)]
fn select(market: &Market, board: &Board, slots: &[Slot], now: i64, args: &OpenLeaseArgs) -> Result<Opening> {
    require!(args.gpus > 0, LeaseholdError::NoGpus);
    require!(args.avoid.len() <= MAX_AVOID, LeaseholdError::AvoidsTooMany);
    require!(args.criteria.metered == args.meter.is_some(), LeaseholdError::MeterMismatch);
    require_allowed(market, args.rounds)?;
    let from = board.round_after(now)?;
    let until = add32(from, args.rounds)?;
    let request = Request {
        criteria: &args.criteria,
        gpus: args.gpus,
        from,
        until,
        round_secs: board.round_secs,
        seen: board.seen_round(now),
        avoid: &args.avoid,
    };
    let selection = matching::select(slots, &request, args.hint)?;
    let terms = market.params.terms(board, args.rounds);
    if let Some(meter) = &args.meter {
        require!(selection.machines == 1, LeaseholdError::MeteredMachines);
        let machine = selection.only().and_then(|index| slots.get(index));
        let machine = machine.ok_or(LeaseholdError::MeteredMachines)?;
        require!(meter.deposit >= least_deposit(machine, &terms)?, LeaseholdError::DepositTooSmall);
    }
    Ok(Opening { serial: board.next_serial, from, until, terms, selection, deposit: 0 })
}

/// Payment units that a metered lease of that machine must begin with: the standby price of its first hour or of its first
/// round, whichever is longer, rounded up.
pub fn least_deposit(machine: &Slot, terms: &Terms) -> Exact<u64> {
    let secs = u64::from(terms.round_secs).max(SECS_PER_HOUR);
    Span::of_secs(secs).cost_ceil(rate(machine.hourly(), terms.standby_bps)?)
}

impl Opening {
    /// The same for what its machines cost by the hour; a lease paid by use has the deposit that its buyer chose.
    #[inline(always)]
    fn for_deposit(self, hourly: u64, args: &OpenLeaseArgs) -> Result<Self> {
        let deposit = args.meter.map_or(hourly, |meter| meter.deposit);
        require!(deposit <= args.max_deposit, LeaseholdError::CostsTooMuch);
        Ok(Opening { deposit, ..self })
    }

    /// The account of the opened lease.
    pub fn lease(&self, args: &OpenLeaseArgs, board: Pubkey, buyer: Pubkey, bump: u8) -> Lease {
        Lease {
            version: Lease::VERSION,
            bump,
            state: LeaseState::Open,
            board,
            serial: self.serial,
            nonce: args.nonce,
            buyer,
            owner: args.owner,
            criteria: args.criteria,
            terms: self.terms,
            group: args.group,
            gpus: args.gpus,
            machines: self.selection.machines,
            unsettled: self.selection.machines,
            from: self.from,
            until: self.until,
            deposit: self.deposit,
            paid: 0,
            fees: 0,
            refunded: 0,
            burned: 0,
            refund_due: 0,
            slashed: 0,
            meter: args.meter.map(|meter| Meter {
                spender: meter.spender,
                seq: 0,
                units: 0,
                paid: 0,
                owes_hour: false,
            }),
            demands: 0,
            access: args.access,
            access_epoch: 0,
            data_epoch: 0,
            reserved: [0; 7],
            replaced: Vec::new(),
        }
    }
}
