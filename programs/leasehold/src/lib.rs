//! Leasehold: a permissionless market for GPU time.
//!
//! Suppliers stake and list machines on boards, buyers lease clusters of them, keepers attest to their
//! uptime round by round, and settlement pays, refunds and slashes.

// Anchor's macros expand to code that these lints dislike.
#![allow(unexpected_cfgs, clippy::result_large_err)]
// The calling convention of 128-bit arithmetic; see `builtins`.
#![cfg_attr(target_arch = "bpf", feature(abi_unadjusted), allow(internal_features))]

#[cfg(any(target_arch = "bpf", test))]
mod builtins;

pub mod constants;
pub mod error;
pub mod events;
pub mod instructions;
pub mod math;
pub mod state;

use anchor_lang::prelude::*;
use instructions::*;
use math::{matching::CutOff, sum_tree::SumNode};
use state::Params;

declare_id!("7X3EmA4YqbFVaHbPv75NUc1i3x39adzzzBDFSdRETqvS");

#[cfg(not(feature = "no-entrypoint"))]
solana_security_txt::security_txt! {
    name: "Leasehold",
    project_url: "https://github.com/leasehold/leasehold",
    contacts: "link:https://github.com/leasehold/leasehold/security/advisories/new",
    policy: "https://github.com/leasehold/leasehold/blob/main/SECURITY.md",
    source_code: "https://github.com/leasehold/leasehold",
    source_release: env!("CARGO_PKG_VERSION")
}

#[program]
pub mod leasehold {
    use super::*;

    /// Opens a market. Whoever signs pays, and becomes its authority.
    pub fn create_market(ctx: Context<CreateMarket>, args: CreateMarketArgs) -> Result<()> {
        instructions::create_market(ctx, args)
    }

    /// Announces parameters; a second proposal takes the place of the first, and none takes it back.
    pub fn propose_params(ctx: Context<Govern>, params: Option<Params>) -> Result<()> {
        instructions::propose_params(ctx, params)
    }

    /// Puts proposed parameters into force after their timelock. Anybody may.
    pub fn apply_params(ctx: Context<ApplyParams>) -> Result<()> {
        instructions::apply_params(ctx)
    }

    /// Names who may become the authority; none takes the offer back.
    pub fn propose_authority(ctx: Context<Govern>, authority: Option<Pubkey>) -> Result<()> {
        instructions::propose_authority(ctx, authority)
    }

    /// Takes over a market that was offered.
    pub fn accept_authority(ctx: Context<AcceptAuthority>) -> Result<()> {
        instructions::accept_authority(ctx)
    }

    /// Stops or resumes listing, opening and extending; nothing else ever stops.
    pub fn set_paused(ctx: Context<Govern>, paused: bool) -> Result<()> {
        instructions::set_paused(ctx, paused)
    }

    /// Pays the market its fees of a board, and what was set aside for keepers once the board is empty.
    pub fn withdraw_fees(ctx: Context<WithdrawFees>) -> Result<()> {
        instructions::withdraw_fees(ctx)
    }

    /// Pays the market its part of the stake that was slashed on a board.
    pub fn withdraw_market_stake(ctx: Context<WithdrawMarketStake>) -> Result<()> {
        instructions::withdraw_market_stake(ctx)
    }

    /// Burns the part of slashed stake that nobody gets. Anybody may.
    pub fn burn_slashed(ctx: Context<BurnSlashed>) -> Result<()> {
        instructions::burn_slashed(ctx)
    }

    /// Closes a market that nobody is in any more, and its stake vault. Rent goes to the authority.
    pub fn close_market(ctx: Context<CloseMarket>) -> Result<()> {
        instructions::close_market(ctx)
    }

    /// Opens a supplier's account.
    pub fn register_supplier(ctx: Context<RegisterSupplier>) -> Result<()> {
        instructions::register_supplier(ctx)
    }

    /// Adds to a supplier's free stake.
    pub fn deposit_stake(ctx: Context<DepositStake>, amount: u64) -> Result<()> {
        instructions::deposit_stake(ctx, amount)
    }

    /// Asks free stake back, to be withdrawn after the market's unbonding time.
    pub fn request_unstake(ctx: Context<RequestUnstake>, amount: u64) -> Result<()> {
        instructions::request_unstake(ctx, amount)
    }

    /// Pays out stake that has unbonded.
    pub fn withdraw_stake(ctx: Context<WithdrawStake>) -> Result<()> {
        instructions::withdraw_stake(ctx)
    }

    /// Pays a supplier what all its machines of a board have earned.
    pub fn claim_earnings(ctx: Context<ClaimEarnings>) -> Result<()> {
        instructions::claim_earnings(ctx)
    }

    /// Pays out the rent of slots that came back: what the supplier's account holds above its own rent.
    pub fn reclaim_rent(ctx: Context<ReclaimRent>) -> Result<()> {
        instructions::reclaim_rent(ctx)
    }

    /// Closes the account of a supplier without machines, stake and log. Its lamports go to its authority.
    pub fn close_supplier(ctx: Context<CloseSupplier>) -> Result<()> {
        instructions::close_supplier(ctx)
    }

    /// Adds an empty board to a market. Anybody may.
    pub fn create_board(ctx: Context<CreateBoard>) -> Result<()> {
        instructions::create_board(ctx)
    }

    /// Puts machines on a board, bonds stake to each and commits them until round `committed_until`.
    pub fn list_machines<'info>(
        ctx: Context<'info, ListMachines<'info>>,
        committed_until: u32,
        machines: Vec<Machine>,
    ) -> Result<()> {
        instructions::list_machines(ctx, committed_until, machines)
    }

    /// Changes price and commitment of machines that are not leased, and makes their bonds whole, so that a
    /// suspended machine can be leased again.
    pub fn reprice_machines(ctx: Context<RepriceMachines>, offers: Vec<Offer>) -> Result<()> {
        instructions::reprice_machines(ctx, offers)
    }

    /// Takes machines out of leases that run: they lose their whole bonds when these are settled.
    pub fn forfeit_machines(ctx: Context<ForfeitMachines>, machines: Vec<u16>) -> Result<()> {
        instructions::forfeit_machines(ctx, machines)
    }

    /// Takes machines that are not leased off a board, with their whole bonds, a day after their last lease.
    /// Their earnings must be claimed first.
    pub fn retire_machines(ctx: Context<RetireMachines>, machines: Vec<u16>) -> Result<()> {
        instructions::retire_machines(ctx, machines)
    }

    /// Cuts vacant slots off the end of a board. Their rent goes to the suppliers that left them. Anybody may.
    pub fn trim_board<'info>(ctx: Context<'info, TrimBoard<'info>>) -> Result<()> {
        instructions::trim_board(ctx)
    }

    /// Closes an empty board and its payment vault. Rent goes to the creator.
    pub fn close_board(ctx: Context<CloseBoard>) -> Result<()> {
        instructions::close_board(ctx)
    }

    /// Opens a keeper's account. It needs stake for a seat, none to be paid for settling.
    pub fn register_keeper(ctx: Context<RegisterKeeper>) -> Result<()> {
        instructions::register_keeper(ctx)
    }

    /// Adds to a keeper's free stake, of which seats take their bonds.
    pub fn deposit_bond(ctx: Context<DepositBond>, amount: u64) -> Result<()> {
        instructions::deposit_bond(ctx, amount)
    }

    /// Asks back stake that no seat holds.
    pub fn request_unbond(ctx: Context<RequestUnbond>, amount: u64) -> Result<()> {
        instructions::request_unbond(ctx, amount)
    }

    /// Pays out stake that has unbonded.
    pub fn withdraw_bond(ctx: Context<WithdrawBond>) -> Result<()> {
        instructions::withdraw_bond(ctx)
    }

    /// Takes a vacant seat of a board's committee, first come, and bonds stake to it.
    pub fn take_seat(ctx: Context<TakeSeat>, seat: u8) -> Result<()> {
        instructions::take_seat(ctx, seat)
    }

    /// Vacates a seat. Its bond goes back to the keeper's free stake; its fees must be claimed first.
    pub fn leave_seat(ctx: Context<LeaveSeat>, seat: u8) -> Result<()> {
        instructions::leave_seat(ctx, seat)
    }

    /// Votes on the round that ended last: bit i of `bitmap` means that machine i answered this keeper.
    pub fn submit_round(
        ctx: Context<SubmitRound>,
        seat: u8,
        round: u32,
        pong_root: [u8; 32],
        bitmap: Vec<u8>,
    ) -> Result<()> {
        instructions::submit_round(ctx, seat, round, pong_root, bitmap)
    }

    /// Counts the round that was voted on and steps over those before it that nobody voted on; where no vote
    /// waits, steps over every round whose time to submit is over. Anybody may.
    pub fn close_round(ctx: Context<CloseRound>) -> Result<()> {
        instructions::close_round(ctx)
    }

    /// Pays a keeper what its seat has earned.
    pub fn claim_keeper_fees(ctx: Context<ClaimKeeperFees>, seat: u8) -> Result<()> {
        instructions::claim_keeper_fees(ctx, seat)
    }

    /// Closes the account of a keeper without seats and stake. Its lamports go to its authority.
    pub fn close_keeper(ctx: Context<CloseKeeper>) -> Result<()> {
        instructions::close_keeper(ctx)
    }

    /// Picks the machines, locks the payment and starts the lease with the next round.
    pub fn open_lease(ctx: Context<OpenLease>, args: OpenLeaseArgs) -> Result<()> {
        instructions::open_lease(ctx, args)
    }

    /// Lets a lease run for more rounds, at the prices and terms it was opened with.
    pub fn extend_lease(ctx: Context<ExtendLease>, rounds: u32, max_deposit: u64) -> Result<()> {
        instructions::extend_lease(ctx, rounds, max_deposit)
    }

    /// Ends a lease with the round that runs, its first at the earliest. The owner owes machines that kept their promise an hour, or
    /// 5 percent of the time that was left, the lesser; it is settled as any other.
    pub fn cancel_lease(ctx: Context<CancelLease>) -> Result<()> {
        instructions::cancel_lease(ctx)
    }

    /// Gives the right to a lease, and to all that is still to be claimed from it, to somebody else.
    pub fn transfer_lease(ctx: Context<TransferLease>, new_owner: Pubkey) -> Result<()> {
        instructions::transfer_lease(ctx, new_owner)
    }

    /// Swaps a machine that is down, abandoned or retired for the first that fits the lease's criteria, from
    /// the next round on.
    pub fn replace_node(
        ctx: Context<ReplaceNode>,
        old_slot: u16,
        max_deposit: u64,
        hint: Option<CutOff>,
    ) -> Result<()> {
        instructions::replace_node(ctx, old_slot, max_deposit, hint)
    }

    /// Pays the machines of a lease for the rounds they were up. Once every round of the lease is closed, also
    /// refunds the rest and slashes, for good. Anybody may, at any time and as often as they like.
    pub fn settle_lease(ctx: Context<SettleLease>) -> Result<()> {
        instructions::settle_lease(ctx)
    }

    /// Gives the owner of a lease what was not spent.
    pub fn claim_refund(ctx: Context<ClaimRefund>) -> Result<()> {
        instructions::claim_refund(ctx)
    }

    /// Pays the owner of a lease its part of the stake that the lease's machines lost.
    pub fn claim_compensation(ctx: Context<ClaimCompensation>) -> Result<()> {
        instructions::claim_compensation(ctx)
    }

    /// Closes the account of a settled lease that holds no money. Rent goes to whoever opened it. Anybody may.
    pub fn close_lease(ctx: Context<CloseLease>) -> Result<()> {
        instructions::close_lease(ctx)
    }

    /// Adds to the deposit of a metered lease. Anybody may.
    pub fn top_up_lease(ctx: Context<TopUpLease>, amount: u64) -> Result<()> {
        instructions::top_up_lease(ctx, amount)
    }

    /// Pays the machine of a metered lease what its buyer's voucher adds to those before. Anybody may, in any
    /// order.
    pub fn redeem_voucher(ctx: Context<RedeemVoucher>, slot: u16) -> Result<()> {
        instructions::redeem_voucher(ctx, slot)
    }

    /// Ends a metered lease an hour from now. Its owner may, and the machine's supplier.
    pub fn give_notice(ctx: Context<GiveNotice>) -> Result<()> {
        instructions::give_notice(ctx)
    }

    /// Opens the log of what a supplier's machines compute, to which `operator` may append.
    pub fn create_log(ctx: Context<CreateLog>, operator: Pubkey) -> Result<()> {
        instructions::create_log(ctx, operator)
    }

    /// Names the wallet that may append to a log.
    pub fn set_log_operator(ctx: Context<SetLogOperator>, operator: Pubkey) -> Result<()> {
        instructions::set_log_operator(ctx, operator)
    }

    /// Makes room in a log for machines of a board.
    pub fn open_lanes(ctx: Context<OpenLanes>, machines: Vec<u16>) -> Result<()> {
        instructions::open_lanes(ctx, machines)
    }

    /// Appends batches of receipts of machines of one board to their supplier's log.
    pub fn append_batches(ctx: Context<AppendBatches>, source: String, batches: Vec<Batch>) -> Result<()> {
        instructions::append_batches(ctx, source, batches)
    }

    /// Refuses unless a receipt is in a log. Changes nothing; returns a `VerifiedReceipt`.
    pub fn verify_receipt(
        ctx: Context<VerifyReceipt>,
        leaf: SumNode,
        place: u32,
        path: Vec<SumNode>,
        batch: BatchProof,
    ) -> Result<()> {
        instructions::verify_receipt(ctx, leaf, place, path, batch)
    }

    /// Refuses unless a batch is in a log: proves the sums of its header. Changes nothing.
    pub fn verify_batch(ctx: Context<VerifyReceipt>, batch: BatchProof) -> Result<()> {
        instructions::verify_batch(ctx, batch)
    }

    /// Demands to be shown in the log a receipt that a machine signed.
    pub fn demand_receipt(ctx: Context<DemandReceipt>, id: [u8; 32]) -> Result<()> {
        instructions::demand_receipt(ctx, id)
    }

    /// First half of an answer to a demand: shows the batch that has the receipt's number in it. Anybody may.
    pub fn show_batch(ctx: Context<ShowBatch>, batch: BatchProof) -> Result<()> {
        instructions::show_batch(ctx, batch)
    }

    /// Second half: shows the receipt in that batch, and ends the demand. Anybody may.
    pub fn answer_demand(ctx: Context<AnswerDemand>, path: Vec<SumNode>) -> Result<()> {
        instructions::answer_demand(ctx, path)
    }

    /// Ends a demand that nobody answered in time: the machine loses its whole bond. Anybody may.
    pub fn enforce_demand(ctx: Context<EnforceDemand>) -> Result<()> {
        instructions::enforce_demand(ctx)
    }

    /// Takes the bond of a machine that signed two receipts with one number. Anybody may.
    pub fn prove_equivocation(ctx: Context<ProveEquivocation>) -> Result<()> {
        instructions::prove_equivocation(ctx)
    }

    /// Closes the log of a supplier without machines.
    pub fn close_log(ctx: Context<CloseLog>) -> Result<()> {
        instructions::close_log(ctx)
    }
}
