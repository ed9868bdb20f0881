//! The cases of markets, suppliers, boards, keepers and leases.

use leasehold::{
    instructions::{Move, Offer, OpenLeaseArgs, ReplaceNodeArgs},
    rules::extend::Allowance,
};
use leasehold_client::{BoardRef, instruction};
use solana_signer::Signer;

use super::{CLOSABLE, Catalogue, DOWN, RUNNING, SLASHED, numbered};
use crate::{
    COMMITTED, GENESIS, STAKE, SupplierActor, TIMELOCK, USD, anything, bitmap, machine, params, profile,
    rules, submit,
};

impl Catalogue {
    pub(super) fn add_market_cases(&mut self, board: &BoardRef) {
        let market = board.market;
        let authority = self.world.authority.insecure_clone();
        let (key, heir) = (authority.pubkey(), self.heir.insecure_clone());
        let (payments, stakes) = (market.payment_account(&key), market.stake_account(&key));
        let (empty, fresh) = (numbered(&market, 3), numbered(&market, 4));
        let create = instruction::create_market(&fresh, key, GENESIS, TIMELOCK, rules(), params());
        self.add("create_market", create, &authority);
        let proposed = self.world.market_account().params;
        let propose = instruction::propose_params(&market, key, Some(proposed));
        self.add("propose_params", propose, &authority);
        self.add_for_anybody("apply_params", instruction::apply_params(&market));
        self.add("propose_authority", instruction::propose_authority(&market, key, None), &authority);
        self.add("accept_authority", instruction::accept_authority(&market, heir.pubkey()), &heir);
        self.add("set_paused", instruction::set_paused(&market, key, false), &authority);
        self.add("withdraw_fees", instruction::withdraw_fees(board, key, payments), &authority);
        self.add_for_anybody("burn_payments", instruction::burn_payments(board, None));
        self.add_for_anybody("burn_slashed", instruction::burn_slashed(board));
        self.add("close_market", instruction::close_market(&empty, key, stakes), &authority);
    }

    pub(super) fn add_supplier_cases(&mut self, board: &BoardRef, leaver: &SupplierActor) {
        let market = board.market;
        let (wallet, newcomer) = (self.supplier.wallet.insecure_clone(), self.world.wallet());
        let (key, account) = (wallet.pubkey(), self.supplier.account);
        let (payments, stakes) = (market.payment_account(&key), market.stake_account(&key));
        let register = instruction::register_supplier(&market, newcomer.pubkey());
        self.add("register_supplier", register, &newcomer);
        self.add("deposit_stake", instruction::deposit_stake(&market, key, stakes, STAKE), &wallet);
        self.add("request_unstake", instruction::request_unstake(&market, key, STAKE), &wallet);
        self.add("withdraw_stake", instruction::withdraw_stake(&market, key, stakes), &wallet);
        self.add("claim_earnings", instruction::claim_earnings(board, key, account, payments), &wallet);
        let reclaim = instruction::reclaim_rent(&market, leaver.wallet.pubkey());
        self.add("reclaim_rent", reclaim, &leaver.wallet);
        let idle = self.world.wallet();
        self.world.ok(&[instruction::register_supplier(&market, idle.pubkey())], &[&idle]);
        self.add("close_supplier", instruction::close_supplier(&market, idle.pubkey()), &idle);
        let former = leaver.wallet.pubkey();
        self.add("create_profiles", instruction::create_profiles(&market, key), &wallet);
        self.add(
            "add_profiles",
            instruction::add_profiles(&market, former, vec![profile(8)]),
            &leaver.wallet,
        );
        self.add("close_profiles", instruction::close_profiles(&market, former), &leaver.wallet);
    }

    pub(super) fn add_board_cases(&mut self, board: &BoardRef) {
        let (wallet, authority) =
            (self.supplier.wallet.insecure_clone(), self.world.authority.insecure_clone());
        let (key, account) = (wallet.pubkey(), self.supplier.account);
        let until = self.world.round() + COMMITTED;
        let idle = self.slots - 2;
        let third = board.market.board(2);
        self.add("create_board", instruction::create_board(&third, authority.pubkey()), &authority);
        let list = instruction::list_machines(board, key, until, vec![machine(self.slots)], &[]);
        self.add("list_machines", list, &wallet);
        let offer = Offer { slot: idle, price: USD, committed_until: until, bond: 0 };
        self.add("reprice_machines", instruction::reprice_machines(board, key, vec![offer]), &wallet);
        let endpoint = machine(self.slots).endpoint;
        let moves = vec![Move { slot: idle, endpoint }];
        self.add("move_machines", instruction::move_machines(board, key, moves), &wallet);
        self.add("withhold_machines", instruction::withhold_machines(board, key, vec![idle]), &wallet);
        let retire = instruction::retire_machines(board, key, account, vec![idle]);
        self.add("retire_machines", retire, &wallet);
        let forfeit = instruction::forfeit_machines(board, key, vec![DOWN + 1]);
        self.add("forfeit_machines", forfeit, &wallet);
        self.add_for_anybody("trim_board", instruction::trim_board(board, &[account]));
        let payments = board.market.payment_account(&authority.pubkey());
        let close = instruction::close_board(&self.second, authority.pubkey(), payments);
        self.add("close_board", close, &authority);
        let payer = authority.pubkey();
        self.add("create_index", instruction::create_index(board, payer, 1), &authority);
        self.add_for_anybody("record_day", instruction::record_day(board, 0));
        let closed = numbered(&board.market, 3).board(0);
        self.add_for_anybody("close_index", instruction::close_index(&closed, payer, 0));
    }

    pub(super) fn add_round_cases(&mut self, board: &BoardRef) {
        let market = board.market;
        let (voter, leaver) =
            (self.keepers[0].wallet.insecure_clone(), self.keepers[3].wallet.insecure_clone());
        let (newcomer, idle) = (self.world.wallet(), self.world.wallet());
        self.world.ok(&[instruction::register_keeper(&market, idle.pubkey())], &[&idle]);
        let key = voter.pubkey();
        let (payments, stakes) = (market.payment_account(&key), market.stake_account(&key));
        let register = instruction::register_keeper(&market, newcomer.pubkey());
        self.add("register_keeper", register, &newcomer);
        self.add("deposit_bond", instruction::deposit_bond(&market, key, stakes, STAKE), &voter);
        self.add("request_unbond", instruction::request_unbond(&market, key, STAKE), &voter);
        self.add("withdraw_bond", instruction::withdraw_bond(&market, key, stakes), &voter);
        let seated = self.world.keeper_with_bond();
        self.add("take_seat", instruction::take_seat(board, seated.pubkey(), 4), &seated);
        let leave = instruction::leave_seat(board, leaver.pubkey(), self.keepers[3].account, 3, false);
        self.add("leave_seat", leave, &leaver);
        let fund = instruction::fund_keepers(board, key, payments, USD);
        self.add("fund_keepers", fund, &voter);
        let round = self.world.round() - 1;
        let machines = self.world.with_board(|board, _| board.slots_at(round + 1));
        let vote = submit(board, &self.keepers[0], round, bitmap(machines, |_| true));
        self.add("submit_round", vote, &voter);
        self.add_for_anybody("close_round", instruction::close_round(board));
        self.add("claim_keeper_fees", instruction::claim_keeper_fees(board, key, payments, 0), &voter);
        self.add("close_keeper", instruction::close_keeper(&market, idle.pubkey()), &idle);
    }

    pub(super) fn add_lease_cases(&mut self, board: &BoardRef) {
        let (owner, key) = (self.buyer.insecure_clone(), self.buyer.pubkey());
        let market = board.market;
        let payments = market.payment_account(&key);
        let (slashed, running) = (self.world.lease_address(SLASHED), self.world.lease_address(RUNNING));
        let args: OpenLeaseArgs = self.world.lease_args(&owner, anything(), 1, 10);
        self.add("open_lease", instruction::open_lease(board, key, payments, args), &owner);
        let extend = instruction::extend_lease(
            board,
            key,
            key,
            running,
            payments,
            5,
            Allowance { max_deposit: u64::MAX, max_leaving: 0 },
        );
        self.add("extend_lease", extend, &owner);
        self.add("cancel_lease", instruction::cancel_lease(board, key, running, vec![]), &owner);
        let heir = self.heir.pubkey();
        self.add("transfer_lease", instruction::transfer_lease(key, running, heir), &owner);
        let set = instruction::set_access(key, running, Some([1; 32]), true);
        self.add("set_access", set, &owner);
        let hint = self.world.hint(&anything(), 1, 1);
        let args = ReplaceNodeArgs {
            old_slot: DOWN,
            max_deposit: u64::MAX,
            contest: false,
            avoid: vec![],
            min_bond: 0,
            hint,
        };
        let replace = instruction::replace_node(board, key, key, running, payments, args);
        self.add("replace_node", replace, &owner);
        self.add_for_anybody("settle_lease", instruction::settle_lease(board, running));
        self.add_for_anybody("view_lease", instruction::view_lease(board, running));
        self.add("claim_refund", instruction::claim_refund(board, key, slashed, payments), &owner);
        let close = instruction::close_lease(board, key, self.world.lease_address(CLOSABLE));
        self.add_for_anybody("close_lease", close);
    }
}
