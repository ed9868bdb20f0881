//! Leasehold: a permissionless market for GPU time.
//!
//! Suppliers stake tokens and list machines on boards. Buyers lease groups of machines. Keepers attest to their
//! uptime round by round. Settlement pays suppliers, refunds buyers and slashes broken promises.

// All arithmetic is checked, saturating or wrapping by name, and no cast loses anything.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )
)]
// Code of Anchor's macros trips these lints.
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
pub mod rules;
pub mod state;

use anchor_lang::prelude::*;
use instructions::*;
use math::sum_tree::SumNode;
use rules::{dispute::Namesake, view::LeaseView};
use state::{Params, Profile, Receipt};

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

    /// Creates a market. The signer pays its rent and becomes its authority.
    pub fn create_market(ctx: Context<CreateMarket>, args: CreateMarketArgs) -> Result<()> {
        instructions::create_market(ctx, args)
    }

    /// Proposes parameters. A second proposal replaces the first. Pass `None` to withdraw the pending proposal.
    pub fn propose_params(ctx: Context<Govern>, params: Option<Params>) -> Result<()> {
        instructions::propose_params(ctx, params)
    }

    /// Applies the proposed parameters after their timelock. Anybody may.
    pub fn apply_params(ctx: Context<ApplyParams>) -> Result<()> {
        instructions::apply_params(ctx)
    }

    /// Offers the market to a new authority, which has to accept. Pass `None` to withdraw the offer.
    pub fn propose_authority(ctx: Context<Govern>, authority: Option<Pubkey>) -> Result<()> {
        instructions::propose_authority(ctx, authority)
    }

    /// Accepts an offered market: the signer becomes its authority.
    pub fn accept_authority(ctx: Context<AcceptAuthority>) -> Result<()> {
        instructions::accept_authority(ctx)
    }

    /// Pauses or resumes the market. A pause stops listing, opening and extending, and nothing else.
    pub fn set_paused(ctx: Context<Govern>, paused: bool) -> Result<()> {
        instructions::set_paused(ctx, paused)
    }

    /// Pays a board's fees to the market's authority.
    pub fn withdraw_fees(ctx: Context<WithdrawFees>) -> Result<()> {
        instructions::withdraw_fees(ctx)
    }

    /// Burns the payment units of a board that are to be burned. Anybody may. If the board's creator signs and the board has
    /// no machines and leases, burns its keeper pool too, so that the board can be closed.
    pub fn burn_payments(ctx: Context<BurnPayments>) -> Result<()> {
        instructions::burn_payments(ctx)
    }

    /// Burns slashed stake. Anybody may.
    pub fn burn_slashed(ctx: Context<BurnSlashed>) -> Result<()> {
        instructions::burn_slashed(ctx)
    }

    /// Closes a market without boards, suppliers and keepers, and its stake vault. The rent goes to the authority.
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

    /// Requests free stake back. It can be withdrawn after the market's unbonding time.
    pub fn request_unstake(ctx: Context<RequestUnstake>, amount: u64) -> Result<()> {
        instructions::request_unstake(ctx, amount)
    }

    /// Pays out a supplier's stake that has unbonded.
    pub fn withdraw_stake(ctx: Context<WithdrawStake>) -> Result<()> {
        instructions::withdraw_stake(ctx)
    }

    /// Pays a supplier the earnings of all its machines on a board.
    pub fn claim_earnings(ctx: Context<ClaimEarnings>) -> Result<()> {
        instructions::claim_earnings(ctx)
    }

    /// Pays out the rent of slots that was returned: what the supplier's account holds above its own rent.
    pub fn reclaim_rent(ctx: Context<ReclaimRent>) -> Result<()> {
        instructions::reclaim_rent(ctx)
    }

    /// Creates a supplier's empty list of profiles: descriptions that its machines refer to.
    pub fn create_profiles(ctx: Context<CreateProfiles>) -> Result<()> {
        instructions::create_profiles(ctx)
    }

    /// Appends to a supplier's profiles, which machines name by their indices. Entries never change.
    pub fn add_profiles(ctx: Context<AddProfiles>, entries: Vec<Profile>) -> Result<()> {
        instructions::add_profiles(ctx, entries)
    }

    /// Closes the profiles of a supplier that has no machines. The rent goes to its authority.
    pub fn close_profiles(ctx: Context<CloseProfiles>) -> Result<()> {
        instructions::close_profiles(ctx)
    }

    /// Closes the account of a supplier that has no machines, stake, log or profiles. Its lamports go to its authority.
    pub fn close_supplier(ctx: Context<CloseSupplier>) -> Result<()> {
        instructions::close_supplier(ctx)
    }

    /// Adds an empty board to a market. Anybody may.
    pub fn create_board(ctx: Context<CreateBoard>) -> Result<()> {
        instructions::create_board(ctx)
    }

    /// Lists machines on a board, bonds stake to each and commits them until round `committed_until`, exclusive.
    pub fn list_machines<'info>(
        ctx: Context<'info, ListMachines<'info>>,
        committed_until: u32,
        machines: Vec<Machine>,
    ) -> Result<()> {
        instructions::list_machines(ctx, committed_until, machines)
    }

    /// Changes price and commitment of machines that are not leased, and tops up their bonds, so that a suspended
    /// machine can be leased again. The commitment of a leased machine can be shortened.
    pub fn reprice_machines(ctx: Context<RepriceMachines>, offers: Vec<Offer>) -> Result<()> {
        instructions::reprice_machines(ctx, offers)
    }

    /// Withholds machines that are neither leased nor bound from new leases, at once and whatever their commitment.
    /// `reprice_machines` offers them again.
    pub fn withhold_machines(ctx: Context<WithholdMachines>, machines: Vec<u16>) -> Result<()> {
        instructions::withhold_machines(ctx, machines)
    }

    /// Changes the addresses of machines, leased ones too.
    pub fn move_machines(ctx: Context<MoveMachines>, moves: Vec<Move>) -> Result<()> {
        instructions::move_machines(ctx, moves)
    }

    /// Forfeits machines: takes them out of running leases. They earn nothing from now on and lose their whole bonds when
    /// the leases are settled; after that they can retire.
    pub fn forfeit_machines(ctx: Context<ForfeitMachines>, machines: Vec<u16>) -> Result<()> {
        instructions::forfeit_machines(ctx, machines)
    }

    /// Retires machines that are not leased: takes them off the board and frees their bonds, once the dispute window of
    /// their last lease is over. Their earnings must be claimed first.
    pub fn retire_machines(ctx: Context<RetireMachines>, machines: Vec<u16>) -> Result<()> {
        instructions::retire_machines(ctx, machines)
    }

    /// Removes vacant slots from the end of a board. Their rent goes to their last suppliers. Anybody may.
    pub fn trim_board<'info>(ctx: Context<'info, TrimBoard<'info>>) -> Result<()> {
        instructions::trim_board(ctx)
    }

    /// Creates the price index of a hardware class on a board. Anybody may.
    pub fn create_index(ctx: Context<CreateIndex>, class: u16) -> Result<()> {
        instructions::create_index(ctx, class)
    }

    /// Records the day before (UTC) in a price index: the average price of what was paid since the last record, which bounds
    /// the prices that count from now on. Anybody may, once a day, twelve hours after the last time at the earliest.
    pub fn record_day(ctx: Context<RecordDay>) -> Result<()> {
        instructions::record_day(ctx)
    }

    /// Closes a price index whose board is closed. The rent goes to whoever created it. Anybody may.
    pub fn close_index(ctx: Context<CloseIndex>) -> Result<()> {
        instructions::close_index(ctx)
    }

    /// Closes an empty board and its payment vault. The rent goes to the board's creator.
    pub fn close_board(ctx: Context<CloseBoard>) -> Result<()> {
        instructions::close_board(ctx)
    }

    /// Opens a keeper's account. A seat needs stake; settling leases does not.
    pub fn register_keeper(ctx: Context<RegisterKeeper>) -> Result<()> {
        instructions::register_keeper(ctx)
    }

    /// Adds to a keeper's free stake, of which seats take their bonds.
    pub fn deposit_bond(ctx: Context<DepositBond>, amount: u64) -> Result<()> {
        instructions::deposit_bond(ctx, amount)
    }

    /// Requests free stake back. It can be withdrawn after the market's unbonding time.
    pub fn request_unbond(ctx: Context<RequestUnbond>, amount: u64) -> Result<()> {
        instructions::request_unbond(ctx, amount)
    }

    /// Pays out a keeper's stake that has unbonded.
    pub fn withdraw_bond(ctx: Context<WithdrawBond>) -> Result<()> {
        instructions::withdraw_bond(ctx)
    }

    /// Takes a vacant seat of a board's committee, first come, and bonds stake to it.
    pub fn take_seat(ctx: Context<TakeSeat>, seat: u8) -> Result<()> {
        instructions::take_seat(ctx, seat)
    }

    /// Leaves a seat. Its bond returns to the keeper's free stake. Its fees must be claimed first, unless the keeper forfeits
    /// them to the pool. Anybody may vacate a seat that has not voted for a day, two rounds at least; with its fees after 30
    /// days.
    pub fn leave_seat(ctx: Context<LeaveSeat>, seat: u8, forfeit_fees: bool) -> Result<()> {
        instructions::leave_seat(ctx, seat, forfeit_fees)
    }

    /// Adds to a board's keeper pool. Anybody may; it does not come back.
    pub fn fund_keepers(ctx: Context<FundKeepers>, amount: u64) -> Result<()> {
        instructions::fund_keepers(ctx, amount)
    }

    /// Votes on the round that ended last. Bit i of `bitmap` is set if machine i answered this keeper.
    pub fn submit_round(
        ctx: Context<SubmitRound>,
        seat: u8,
        round: u32,
        pong_root: [u8; 32],
        bitmap: Vec<u8>,
    ) -> Result<()> {
        instructions::submit_round(ctx, seat, round, pong_root, bitmap)
    }

    /// Counts the votes on a round, and skips the rounds before it that nobody voted on. If no vote is waiting, skips
    /// every round whose submit window is over. Anybody may.
    pub fn close_round(ctx: Context<CloseRound>) -> Result<()> {
        instructions::close_round(ctx)
    }

    /// Pays a keeper the fees that its seat has earned.
    pub fn claim_keeper_fees(ctx: Context<ClaimKeeperFees>, seat: u8) -> Result<()> {
        instructions::claim_keeper_fees(ctx, seat)
    }

    /// Closes the account of a keeper that has no seats or stake. Its lamports go to its authority.
    pub fn close_keeper(ctx: Context<CloseKeeper>) -> Result<()> {
        instructions::close_keeper(ctx)
    }

    /// Opens a lease: picks the machines, takes the deposit and starts with the next round.
    pub fn open_lease(ctx: Context<OpenLease>, args: OpenLeaseArgs) -> Result<()> {
        instructions::open_lease(ctx, args)
    }

    /// Extends a lease by more rounds, at the prices and terms it was opened with. A metered lease costs nothing more. Up to
    /// `max_leaving` machines that are not committed for so long leave at the old end.
    pub fn extend_lease(
        ctx: Context<ExtendLease>,
        rounds: u32,
        max_deposit: u64,
        max_leaving: u32,
    ) -> Result<()> {
        instructions::extend_lease(ctx, rounds, max_deposit, max_leaving)
    }

    /// Cancels a lease: it ends with the running round, or with its first one if it has not begun. The owner owes 5 percent of
    /// the time left for each machine, capped between an hour and a day. Of the machines in `contest`, the last two hours' pay
    /// is burned, and half as much of the owner's money.
    pub fn cancel_lease(ctx: Context<CancelLease>, contest: Vec<u16>) -> Result<()> {
        instructions::cancel_lease(ctx, contest)
    }

    /// Transfers a lease, and everything still to be claimed from it, to another owner. All sessions on its machines are cut,
    /// and nobody is let in until the new owner calls `set_access`.
    pub fn transfer_lease(ctx: Context<TransferLease>, new_owner: Pubkey) -> Result<()> {
        instructions::transfer_lease(ctx, new_owner)
    }

    /// Sets the SSH key that is let into the machines of a lease that is not over: `access` is the SHA-256 of the public key,
    /// `None` lets nobody in. Cuts all sessions, also if the key stays the same. With `wipe` the machines are wiped before
    /// anybody is let in.
    pub fn set_access(ctx: Context<SetAccess>, access: Option<[u8; 32]>, wipe: bool) -> Result<()> {
        instructions::set_access(ctx, access, wipe)
    }

    /// Replaces a machine, up or down, by the first one that fits the lease's criteria and has as many GPUs, from the next
    /// round on.
    pub fn replace_node(ctx: Context<ReplaceNode>, args: ReplaceNodeArgs) -> Result<()> {
        instructions::replace_node(ctx, args)
    }

    /// Pays the machines of a lease for the rounds they were up, but for what is kept until their end. Machines whose rounds
    /// are all closed are settled for good; with the last one, the rest is refunded. Anybody may, at any time and as often as
    /// they like.
    pub fn settle_lease(ctx: Context<SettleLease>) -> Result<()> {
        instructions::settle_lease(ctx)
    }

    /// Returns a lease as it stands, with what its settlement would do now. Changes nothing.
    pub fn view_lease(ctx: Context<ViewLease>) -> Result<LeaseView> {
        instructions::view_lease(ctx)
    }

    /// Pays the owner of a lease what was not spent.
    pub fn claim_refund(ctx: Context<ClaimRefund>) -> Result<()> {
        instructions::claim_refund(ctx)
    }

    /// Closes the account of a settled lease that holds no money, once its dispute window is over. The rent goes to
    /// whoever opened it. Anybody may.
    pub fn close_lease(ctx: Context<CloseLease>) -> Result<()> {
        instructions::close_lease(ctx)
    }

    /// Adds to the deposit of a metered lease. Anybody may.
    pub fn top_up_lease(ctx: Context<TopUpLease>, amount: u64) -> Result<()> {
        instructions::top_up_lease(ctx, amount)
    }

    /// Pays the machine of a metered lease what a voucher adds to those before. Anybody may, in any order. The instruction
    /// before must be that of the Ed25519 program which checks the signature.
    pub fn redeem_voucher(ctx: Context<RedeemVoucher>) -> Result<()> {
        instructions::redeem_voucher(ctx)
    }

    /// Ends a metered lease an hour after the running round. Its owner and the machine's supplier may, and anybody if the
    /// deposit does not cover the next hour's standby price: then with the running round, and the first hour at the earliest.
    pub fn give_notice(ctx: Context<GiveNotice>) -> Result<()> {
        instructions::give_notice(ctx)
    }

    /// Creates a supplier's compute log, to which `operator` may append.
    pub fn create_log(ctx: Context<CreateLog>, operator: Pubkey) -> Result<()> {
        instructions::create_log(ctx, operator)
    }

    /// Sets the wallet that may append to a log.
    pub fn set_log_operator(ctx: Context<SetLogOperator>, operator: Pubkey) -> Result<()> {
        instructions::set_log_operator(ctx, operator)
    }

    /// Opens lanes in a log for machines of a board. A slot keeps its lane for later machines.
    pub fn open_lanes(ctx: Context<OpenLanes>, machines: Vec<u16>) -> Result<()> {
        instructions::open_lanes(ctx, machines)
    }

    /// Appends batches of receipts to the log of their machines' supplier. All machines are of one board; `source` is the
    /// URL of the receipts.
    pub fn append_batches(ctx: Context<AppendBatches>, source: String, batches: Vec<Batch>) -> Result<()> {
        instructions::append_batches(ctx, source, batches)
    }

    /// Leaves out the next 2^20 numbers of a machine's receipts, in the lease that it serves. A node that lost its database
    /// calls it, and goes on from the lane's new number: it can't sign one of those again that it signed before.
    pub fn skip_receipts(ctx: Context<SkipReceipts>, slot: u16, lease: u32) -> Result<()> {
        instructions::skip_receipts(ctx, slot, lease)
    }

    /// Verifies that a receipt is in a log. Changes nothing; returns a `VerifiedReceipt`.
    pub fn verify_receipt(
        ctx: Context<VerifyReceipt>,
        leaf: SumNode,
        place: u32,
        path: Vec<SumNode>,
        batch: BatchProof,
    ) -> Result<()> {
        instructions::verify_receipt(ctx, leaf, place, path, batch)
    }

    /// Verifies that a batch is in a log, and thereby the sums in its header. Changes nothing.
    pub fn verify_batch(ctx: Context<VerifyReceipt>, batch: BatchProof) -> Result<()> {
        instructions::verify_batch(ctx, batch)
    }

    /// Demands proof that a receipt is in the log. Anybody may, for the market's `ask_fee`. The instruction before must be
    /// that of the Ed25519 program which checks the machine's signature.
    pub fn demand_receipt(ctx: Context<DemandReceipt>, id: [u8; 32], receipt: Receipt) -> Result<()> {
        instructions::demand_receipt(ctx, id, receipt)
    }

    /// First half of an answer to a demand: shows the batch that contains the receipt's number. Anybody may.
    pub fn show_batch(ctx: Context<ShowBatch>, shown: BatchToShow) -> Result<()> {
        instructions::show_batch(ctx, shown)
    }

    /// Second half of the answer: shows the receipt in that batch, which ends the demand. Anybody may, and is paid the demand's
    /// fee.
    pub fn answer_demand(ctx: Context<AnswerDemand>, path: Vec<SumNode>) -> Result<()> {
        instructions::answer_demand(ctx, path)
    }

    /// Enforces a demand that was not answered in time: the machine loses its whole bond, unless it has lost it already.
    /// Anybody may, and is paid the demand's fee.
    pub fn enforce_demand(ctx: Context<EnforceDemand>) -> Result<()> {
        instructions::enforce_demand(ctx)
    }

    /// Slashes the bond of a machine that signed two receipts with the same number: `receipt`, and another one with its
    /// head but for the time. Anybody may. The instruction before must be that of the Ed25519 program which checks both
    /// signatures.
    pub fn prove_equivocation(
        ctx: Context<ProveEquivocation>,
        receipt: Receipt,
        other: Namesake,
    ) -> Result<()> {
        instructions::prove_equivocation(ctx, receipt, other)
    }

    /// Closes the log of a supplier that has no machines. The rent goes to its authority; its receipts can no longer be
    /// verified.
    pub fn close_log(ctx: Context<CloseLog>) -> Result<()> {
        instructions::close_log(ctx)
    }
}
