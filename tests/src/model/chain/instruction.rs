//! An action as the program's instructions.

use leasehold::{instructions::OpenLeaseArgs, rules::extend::Allowance};
use leasehold_client::instruction;
use solana_instruction::Instruction;

use super::Chain;
use crate::{
    GENESIS,
    model::{Action, LeaseId, TIMELOCK_SECS, Who},
};

impl Chain {
    /// The instructions of an action; before the last there may be one that checks signatures.
    pub(super) fn instructions(&self, action: &Action) -> Vec<Instruction> {
        match *action {
            Action::RedeemVoucher { lease, slot, price } => self.redeem_voucher(lease, slot, price),
            Action::ProveEquivocation { lease, slot } => self.prove_equivocation(lease, slot),
            _ => vec![self.instruction(action)],
        }
    }

    fn instruction(&self, action: &Action) -> Instruction {
        use Action::*;
        let market = &self.world.market;
        let payments = |who: &Who| self.of(*who).payments;
        let stake = |who: &Who| self.of(*who).stake;
        let key = |who: &Who| self.of(*who).key;
        let supplier = |who: &Who| self.of(*who).supplier;
        let keeper = |who: &Who| self.of(*who).keeper;
        let board = |index: &u32| self.board_and_vault(*index).0;
        let lease = |id: &LeaseId| self.lease_address(*id);
        match action {
            CreateMarket { by } => {
                let (rules, params) = (crate::rules(), crate::params());
                instruction::create_market(market, key(by), GENESIS, TIMELOCK_SECS, rules, params)
            }
            ProposeParams { by, params } => {
                instruction::propose_params(market, key(by), params.as_deref().cloned())
            }
            ApplyParams => instruction::apply_params(market),
            ProposeAuthority { by, to } => {
                instruction::propose_authority(market, key(by), to.as_ref().map(key))
            }
            AcceptAuthority { by } => instruction::accept_authority(market, key(by)),
            SetPaused { by, paused } => instruction::set_paused(market, key(by), *paused),
            WithdrawFees { by, board: index, to } => {
                instruction::withdraw_fees(&board(index), key(by), payments(to))
            }
            BurnSlashed { board: index } => instruction::burn_slashed(&board(index)),
            BurnPayments { board: index, creator } => {
                instruction::burn_payments(&board(index), creator.as_ref().map(key))
            }
            CloseMarket { by } => instruction::close_market(market, key(by), stake(by)),
            RegisterSupplier { by } => instruction::register_supplier(market, key(by)),
            DepositStake { by, amount } => instruction::deposit_stake(market, key(by), stake(by), *amount),
            RequestUnstake { by, amount } => instruction::request_unstake(market, key(by), *amount),
            WithdrawStake { by, to } => instruction::withdraw_stake(market, key(by), stake(to)),
            ClaimEarnings { by, supplier: of, board: index, to } => {
                instruction::claim_earnings(&board(index), key(by), supplier(of), payments(to))
            }
            ReclaimRent { by } => instruction::reclaim_rent(market, key(by)),
            CloseSupplier { by } => instruction::close_supplier(market, key(by)),
            CreateBoard { by } => {
                let index = self.world.market_account().next_board;
                instruction::create_board(&board(&index), key(by))
            }
            ListMachines { by, board: index, until, machines, former } => {
                let former: Vec<_> = former.iter().map(supplier).collect();
                instruction::list_machines(&board(index), key(by), *until, machines.clone(), &former)
            }
            RepriceMachines { by, board: index, offers } => {
                instruction::reprice_machines(&board(index), key(by), offers.clone())
            }
            WithholdMachines { by, board: index, slots } => {
                instruction::withhold_machines(&board(index), key(by), slots.clone())
            }
            MoveMachines { by, board: index, moves } => {
                instruction::move_machines(&board(index), key(by), moves.clone())
            }
            RetireMachines { by, supplier: of, board: index, slots } => {
                instruction::retire_machines(&board(index), key(by), supplier(of), slots.clone())
            }
            ForfeitMachines { by, board: index, slots } => {
                instruction::forfeit_machines(&board(index), key(by), slots.clone())
            }
            TrimBoard { board: index, suppliers } => {
                let suppliers: Vec<_> = suppliers.iter().map(supplier).collect();
                instruction::trim_board(&board(index), &suppliers)
            }
            CloseBoard { by, board: index } => instruction::close_board(&board(index), key(by), payments(by)),
            RegisterKeeper { by } => instruction::register_keeper(market, key(by)),
            DepositBond { by, amount } => instruction::deposit_bond(market, key(by), stake(by), *amount),
            RequestUnbond { by, amount } => instruction::request_unbond(market, key(by), *amount),
            WithdrawBond { by, to } => instruction::withdraw_bond(market, key(by), stake(to)),
            TakeSeat { by, board: index, seat } => instruction::take_seat(&board(index), key(by), *seat),
            LeaveSeat { by, keeper: of, board: index, seat, forfeit_fees } => {
                instruction::leave_seat(&board(index), key(by), keeper(of), *seat, *forfeit_fees)
            }
            FundKeepers { by, board: index, amount } => {
                instruction::fund_keepers(&board(index), key(by), payments(by), *amount)
            }
            SubmitRound { by, board: index, seat, round, bitmap } => {
                instruction::submit_round(&board(index), key(by), *seat, *round, [1; 32], bitmap.clone())
            }
            CloseRound { board: index } => instruction::close_round(&board(index)),
            ClaimKeeperFees { by, board: index, seat, to } => {
                instruction::claim_keeper_fees(&board(index), key(by), payments(to), *seat)
            }
            CloseKeeper { by } => instruction::close_keeper(market, key(by)),
            OpenLease { by, owner, board: index, args } => {
                let args = OpenLeaseArgs { owner: key(owner), ..(**args).clone() };
                instruction::open_lease(&board(index), key(by), payments(by), args)
            }
            ExtendLease { by, payer, lease: id, rounds, max_deposit, max_leaving } => {
                let allowed = Allowance { max_deposit: *max_deposit, max_leaving: *max_leaving };
                let board = board(&id.board);
                instruction::extend_lease(
                    &board,
                    key(by),
                    key(payer),
                    lease(id),
                    payments(payer),
                    *rounds,
                    allowed,
                )
            }
            CancelLease { by, lease: id, contest } => {
                instruction::cancel_lease(&board(&id.board), key(by), lease(id), contest.clone())
            }
            TransferLease { by, lease: id, to } => instruction::transfer_lease(key(by), lease(id), key(to)),
            SetAccess { by, lease: id, access, wipe } => {
                instruction::set_access(key(by), lease(id), *access, *wipe)
            }
            ReplaceNode { by, payer, lease: id, args } => {
                let (board, args) = (board(&id.board), args.clone());
                instruction::replace_node(&board, key(by), key(payer), lease(id), payments(payer), args)
            }
            TopUpLease { by, lease: id, amount } => {
                instruction::top_up_lease(&board(&id.board), key(by), lease(id), payments(by), *amount)
            }
            GiveNotice { by, lease: id, supplier: of } => {
                instruction::give_notice(&board(&id.board), key(by), lease(id), of.as_ref().map(supplier))
            }
            SettleLease { lease: id } => instruction::settle_lease(&board(&id.board), lease(id)),
            ClaimRefund { by, lease: id, to } => {
                instruction::claim_refund(&board(&id.board), key(by), lease(id), payments(to))
            }
            CloseLease { lease: id, buyer } => {
                instruction::close_lease(&board(&id.board), key(buyer), lease(id))
            }
            RedeemVoucher { .. } | ProveEquivocation { .. } => unreachable!("they need a signature"),
        }
    }
}
