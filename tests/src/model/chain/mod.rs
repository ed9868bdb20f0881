//! The compiled program in a virtual machine.

mod instruction;
mod record;

use std::{cell::RefCell, collections::HashMap};

use anchor_lang::{AccountDeserialize, Space};
use ed25519_dalek::SigningKey;
use leasehold::state::{
    Board as Header, Keeper, Lease, Market as MarketAccount, Params, RoundRules, Slot, Supplier, board_len,
    split,
};
use leasehold_client::{
    BoardRef,
    invariants::{self, Snapshot},
};
use solana_instruction::{Instruction, error::InstructionError};
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

use super::{
    AUTHORITY, Action, LeaseId, Model, Program, Rents, TIMELOCK_SECS, Who,
    compare::{Compared, same},
    everybody,
};
use crate::{GENESIS, World, node_key};

/// Bytes of a vault: no allowed mint needs more.
const TOKEN_ACCOUNT: usize = 165;
/// Keys that machines of the sequences have.
const NODE_KEYS: u16 = 256;

/// The real program, with a wallet for everybody.
pub struct Chain {
    pub world: World,
    accounts: Vec<Accounts>,
    /// Pays for all transactions, so that lamports which other wallets gain or lose are rent.
    payer: Pubkey,
    stake_vault: Pubkey,
    /// Keys of machines, which sign receipts.
    node_keys: HashMap<[u8; 32], SigningKey>,
    // Cached addresses: finding one takes longer than most instructions.
    boards: RefCell<HashMap<u32, (BoardRef, Pubkey)>>,
    leases: RefCell<HashMap<LeaseId, Pubkey>>,
    /// The state at the last check of the invariants.
    before: Option<Snapshot>,
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
            node_keys: (0..NODE_KEYS)
                .map(node_key)
                .map(|key| (key.verifying_key().to_bytes(), key))
                .collect(),
            boards: RefCell::default(),
            leases: RefCell::default(),
            before: None,
        };
        let (market, authority) = (chain.world.market, chain.of(AUTHORITY).key);
        let create = leasehold_client::instruction::create_market(
            &market,
            authority,
            GENESIS,
            TIMELOCK_SECS,
            rules,
            params,
        );
        chain.process(&[create]).expect("a lawful market");
        chain
    }

    fn of(&self, who: Who) -> &Accounts {
        &self.accounts[usize::from(who.0)]
    }

    /// Lamports that a wallet has gained since before the market was created.
    fn lamports_gained(&self, who: Who) -> i64 {
        let accounts = self.of(who);
        self.world.lamports(&accounts.key) as i64 - accounts.lamports as i64
    }

    /// A board and its payment vault.
    fn board_and_vault(&self, index: u32) -> (BoardRef, Pubkey) {
        let mut boards = self.boards.borrow_mut();
        *boards.entry(index).or_insert_with(|| {
            let board = self.world.market.board(index);
            (board, board.payment_vault())
        })
    }

    fn lease_address(&self, id: LeaseId) -> Pubkey {
        let (board, buyer) = (self.board_and_vault(id.board).0, self.of(id.buyer).key);
        *self.leases.borrow_mut().entry(id).or_insert_with(|| board.lease(&buyer, id.nonce))
    }

    /// Executes instructions in one transaction. Returns the error code of the last one if it is refused.
    fn process(&mut self, instructions: &[Instruction]) -> Result<(), u32> {
        let blockhash = self.world.svm.latest_blockhash();
        let message = Message::new_with_blockhash(instructions, Some(&self.payer), &blockhash);
        let signatures = vec![Default::default(); message.header.num_required_signatures.into()];
        let transaction = VersionedTransaction { signatures, message: VersionedMessage::Legacy(message) };
        let last = instructions.len() - 1;
        match self.world.svm.send_transaction(transaction) {
            Ok(_) => Ok(()),
            Err(failed) => match failed.err {
                TransactionError::InstructionError(index, InstructionError::Custom(code))
                    if usize::from(index) == last =>
                {
                    Err(code)
                }
                other => panic!("{other:?}\n{}", failed.meta.pretty_logs()),
            },
        }
    }

    /// The account at an address; `None` if there is none.
    fn account<T: AccountDeserialize>(&self, address: &Pubkey) -> Option<T> {
        let data = self.world.data(address);
        (!data.is_empty()).then(|| T::try_deserialize(&mut &data[..]).expect("an account of that type"))
    }

    fn supply(&self, mint: &Pubkey) -> u64 {
        let data = self.world.data(mint);
        u64::from_le_bytes(data[36..44].try_into().expect("eight bytes"))
    }
}

impl Program for Chain {
    fn fork(&self) -> Self {
        Chain {
            world: self.world.clone(),
            accounts: self.accounts.clone(),
            payer: self.payer,
            stake_vault: self.stake_vault,
            node_keys: self.node_keys.clone(),
            boards: self.boards.clone(),
            leases: self.leases.clone(),
            before: None,
        }
    }

    fn send(&mut self, action: &Action) -> Result<(), u32> {
        let instructions = self.instructions(action);
        self.process(&instructions)
    }

    fn set_time(&mut self, now: i64) {
        self.world.set_time(now);
    }

    fn rents(&self) -> Rents {
        let rent = |len| self.world.svm.minimum_balance_for_rent_exemption(len) as i64;
        Rents {
            market: rent(8 + MarketAccount::INIT_SPACE),
            vault: rent(TOKEN_ACCOUNT),
            supplier: rent(8 + Supplier::INIT_SPACE),
            keeper: rent(8 + Keeper::INIT_SPACE),
            lease: rent(Lease::len(0)),
            replaced: rent(Lease::len(1)) - rent(Lease::len(0)),
            board: rent(board_len(0)),
            slot: rent(board_len(1)) - rent(board_len(0)),
            payment_vault: rent(TOKEN_ACCOUNT),
        }
    }

    fn key(&self, who: Who) -> Pubkey {
        self.of(who).key
    }

    fn supplier_address(&self, who: Who) -> Pubkey {
        self.of(who).supplier
    }

    fn market(&self) -> Option<MarketAccount> {
        self.account(&self.world.market.address)
    }

    fn supplier(&self, who: Who) -> Option<Supplier> {
        self.account(&self.of(who).supplier)
    }

    fn keeper(&self, who: Who) -> Option<Keeper> {
        self.account(&self.of(who).keeper)
    }

    fn board(&self, index: u32) -> Option<(Box<Header>, Vec<Slot>)> {
        let data = self.world.data(&self.board_and_vault(index).0.address);
        let (header, slots) = split(&data).ok()?;
        Some((Box::new(*header), slots.to_vec()))
    }

    fn lease(&self, id: LeaseId) -> Option<Lease> {
        self.account(&self.lease_address(id))
    }

    fn tokens(&self, who: Who) -> (u64, u64) {
        let accounts = self.of(who);
        (self.world.tokens(&accounts.payments), self.world.tokens(&accounts.stake))
    }

    fn payment_vault(&self, board: u32) -> u64 {
        self.world.tokens(&self.board_and_vault(board).1)
    }

    fn stake_vault(&self) -> u64 {
        self.world.tokens(&self.stake_vault)
    }

    fn supplies(&self) -> (u64, u64) {
        let market = self.world.market;
        // The wallet that pays for transactions has tokens too.
        (self.supply(&market.payment_mint) - crate::PAYMENTS, self.supply(&market.stake_mint) - crate::STAKES)
    }

    fn compare_more(&self, model: &Model) -> Compared {
        for who in everybody() {
            same!(self.lamports_gained(who), model.wallet(who).lamports, "{who:?}'s lamports");
            let lamports = self.world.lamports(&self.of(who).supplier) as i64;
            same!(lamports, model.lamports_of_supplier(who), "lamports of {who:?}'s supplier account");
        }
        for (index, board) in &model.boards {
            let lamports = self.world.lamports(&self.board_and_vault(*index).0.address) as i64;
            let rent = model.rents.board + model.rents.slot * board.slots.len() as i64;
            same!(lamports, rent, "board {index}'s rent");
        }
        Ok(())
    }

    fn invariants(&mut self) -> Result<(), String> {
        let snapshot = self.world.snapshot();
        let mut report = invariants::check(&snapshot);
        if let Some(before) = &self.before {
            report.extend(invariants::check_progress(before, &snapshot));
        }
        self.before = Some(snapshot);
        if report.is_ok() { Ok(()) } else { Err(report.to_string()) }
    }

    fn accounts(&self) -> usize {
        self.world.remaining_accounts().len()
    }
}
