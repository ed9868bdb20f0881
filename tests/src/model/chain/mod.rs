//! The same instructions sent to the real program.

use std::{cell::RefCell, collections::HashMap};

use anchor_lang::Space;
use leasehold::{
    instructions::OpenLeaseArgs,
    state::{Keeper, Lease, Market as MarketAccount, Params, RoundRules, Supplier, board_len},
};
use leasehold_client::{BoardRef, MarketRef, instruction};
use solana_instruction::{Instruction, error::InstructionError};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

use super::{AUTHORITY, Action, LeaseId, Rents, Who, everybody};
use crate::World;

/// Seconds from proposing parameters to applying them.
pub const TIMELOCK_SECS: u32 = 3_600;
/// Bytes of a vault: no allowed mint needs more.
const TOKEN_ACCOUNT: usize = 165;

/// The real program, with a wallet for everybody.
pub struct Chain {
    pub world: World,
    accounts: Vec<Accounts>,
    /// Pays for all transactions, so that lamports which other wallets gain or lose are rent.
    payer: Pubkey,
    stake_vault: Pubkey,
    // Cached addresses: finding one takes longer than most instructions.
    boards: RefCell<HashMap<u32, (BoardRef, Pubkey)>>,
    leases: RefCell<HashMap<(u32, u32), Pubkey>>,
}

/// Addresses of a wallet.
#[derive(Clone, Copy)]
pub struct Accounts {
    pub key: Pubkey,
    /// Token accounts.
    pub payments: Pubkey,
    pub stake: Pubkey,
    /// Accounts of the program.
    pub supplier: Pubkey,
    pub keeper: Pubkey,
    /// Lamports before the market was created.
    lamports: u64,
}

impl Chain {
    /// A new market of [`AUTHORITY`], without boards.
    pub fn new(rules: RoundRules, params: Params, pays_in_2022: bool) -> Self {
        let mut world = World::without_market();
        if pays_in_2022 {
            let mint = world.create_mint_with_metadata();
            world.pay_in_2022(mint);
        }
        // The runtime checks signatures; other tests cover them.
        let svm = std::mem::take(&mut world.svm);
        world.svm = svm.with_sigverify(false).with_blockhash_check(false).with_transaction_history(0);
        let market = world.market;
        let accounts = everybody().map(|_| {
            let key = world.wallet().pubkey();
            Accounts {
                key,
                payments: market.payment_account(&key),
                stake: market.stake_account(&key),
                supplier: market.supplier(&key),
                keeper: market.keeper(&key),
                lamports: world.lamports(&key),
            }
        });
        let accounts = accounts.collect();
        let payer = world.wallet().pubkey();
        let mut chain = Chain {
            world,
            accounts,
            payer,
            stake_vault: market.stake_vault(),
            boards: RefCell::default(),
            leases: RefCell::default(),
        };
        let authority = chain.key(AUTHORITY);
        let create = instruction::create_market(&chain.market(), authority, TIMELOCK_SECS, rules, params);
        chain.process(create).expect("a lawful market");
        chain
    }

    /// A copy that goes its own way from here on.
    pub fn fork(&self) -> Self {
        Chain {
            world: self.world.clone(),
            accounts: self.accounts.clone(),
            payer: self.payer,
            stake_vault: self.stake_vault,
            boards: self.boards.clone(),
            leases: self.leases.clone(),
        }
    }

    pub fn rents(&self) -> Rents {
        let rent = |len| self.world.svm.minimum_balance_for_rent_exemption(len) as i64;
        Rents {
            market: rent(8 + MarketAccount::INIT_SPACE),
            vault: rent(TOKEN_ACCOUNT),
            supplier: rent(8 + Supplier::INIT_SPACE),
            keeper: rent(8 + Keeper::INIT_SPACE),
            lease: rent(8 + Lease::INIT_SPACE),
            board: rent(board_len(0)),
            slot: rent(board_len(1)) - rent(board_len(0)),
            payment_vault: rent(TOKEN_ACCOUNT),
        }
    }

    pub fn market(&self) -> MarketRef {
        self.world.market
    }

    pub fn stake_vault(&self) -> Pubkey {
        self.stake_vault
    }

    pub fn accounts(&self, who: Who) -> &Accounts {
        &self.accounts[usize::from(who.0)]
    }

    pub fn key(&self, who: Who) -> Pubkey {
        self.accounts(who).key
    }

    /// Lamports that a wallet has gained since before the market was created.
    pub fn lamports_gained(&self, who: Who) -> i64 {
        let accounts = self.accounts(who);
        self.world.lamports(&accounts.key) as i64 - accounts.lamports as i64
    }

    pub fn board(&self, index: u32) -> BoardRef {
        self.board_and_vault(index).0
    }

    /// A board and its payment vault.
    pub fn board_and_vault(&self, index: u32) -> (BoardRef, Pubkey) {
        let mut boards = self.boards.borrow_mut();
        *boards.entry(index).or_insert_with(|| {
            let board = self.market().board(index);
            (board, board.payment_vault())
        })
    }

    pub fn lease_address(&self, id: LeaseId) -> Pubkey {
        let board = self.board(id.board);
        *self.leases.borrow_mut().entry((id.board, id.serial)).or_insert_with(|| board.lease(id.serial))
    }

    /// Executes an action on the program. Returns the error code if it is refused.
    pub fn send(&mut self, action: &Action) -> Result<(), u32> {
        let instruction = self.instruction(action);
        self.process(instruction)
    }

    fn process(&mut self, instruction: Instruction) -> Result<(), u32> {
        let blockhash = self.world.svm.latest_blockhash();
        let message = Message::new_with_blockhash(&[instruction], Some(&self.payer), &blockhash);
        let signatures = vec![Default::default(); message.header.num_required_signatures.into()];
        let transaction = VersionedTransaction { signatures, message: VersionedMessage::Legacy(message) };
        match self.world.svm.send_transaction(transaction) {
            Ok(_) => Ok(()),
            Err(failed) => match failed.err {
                TransactionError::InstructionError(0, InstructionError::Custom(code)) => Err(code),
                other => panic!("{other:?}\n{}", failed.meta.pretty_logs()),
            },
        }
    }

    fn instruction(&self, action: &Action) -> Instruction {
        use Action::*;
        let market = &self.market();
        let payments = |who: &Who| self.accounts(*who).payments;
        let stake = |who: &Who| self.accounts(*who).stake;
        let key = |who: &Who| self.key(*who);
        let supplier = |who: &Who| self.accounts(*who).supplier;
        let keeper = |who: &Who| self.accounts(*who).keeper;
        let board = |index: &u32| self.board(*index);
        let lease = |id: &LeaseId| self.lease_address(*id);
        match action {
            CreateMarket { by } => {
                let (rules, params) = (crate::rules(), crate::params());
                instruction::create_market(market, key(by), TIMELOCK_SECS, rules, params)
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
            WithdrawMarketStake { by, board: index, to } => {
                instruction::withdraw_market_stake(&board(index), key(by), stake(to))
            }
            BurnSlashed { board: index } => instruction::burn_slashed(&board(index)),
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
            LeaveSeat { by, keeper: of, board: index, seat } => {
                instruction::leave_seat(&board(index), key(by), keeper(of), *seat)
            }
            SubmitRound { by, board: index, seat, round, bitmap } => {
                instruction::submit_round(&board(index), key(by), *seat, *round, [1; 32], bitmap.clone())
            }
            CloseRound { board: index } => instruction::close_round(&board(index)),
            ClaimKeeperFees { by, board: index, seat, to } => {
                instruction::claim_keeper_fees(&board(index), key(by), payments(to), *seat)
            }
            CloseKeeper { by } => instruction::close_keeper(market, key(by)),
            OpenLease { by, board: index, args } => {
                let args: OpenLeaseArgs = **args;
                instruction::open_lease(&board(index), key(by), payments(by), args)
            }
            ExtendLease { by, lease: id, rounds, max_deposit } => {
                let (board, lease) = (board(&id.board), lease(id));
                instruction::extend_lease(&board, key(by), lease, payments(by), *rounds, *max_deposit)
            }
            CancelLease { by, lease: id } => instruction::cancel_lease(&board(&id.board), key(by), lease(id)),
            TransferLease { by, lease: id, to } => instruction::transfer_lease(key(by), lease(id), key(to)),
            ReplaceNode { by, lease: id, slot, max_deposit, hint } => {
                let (board, lease) = (board(&id.board), lease(id));
                instruction::replace_node(&board, key(by), lease, payments(by), *slot, *max_deposit, *hint)
            }
            SettleLease { by, lease: id, keeper: of } => {
                let keeper = of.as_ref().map(keeper);
                instruction::settle_lease(&board(&id.board), key(by), lease(id), keeper)
            }
            ClaimRefund { by, lease: id, to } => {
                instruction::claim_refund(&board(&id.board), key(by), lease(id), payments(to))
            }
            ClaimCompensation { by, lease: id, to } => {
                instruction::claim_compensation(&board(&id.board), key(by), lease(id), stake(to))
            }
            CloseLease { lease: id, buyer } => {
                instruction::close_lease(&board(&id.board), key(buyer), lease(id))
            }
        }
    }
}
