//! A market in LiteSVM: mints, wallets, time, transactions and the reading of accounts.

use anchor_lang::AccountDeserialize;
use anchor_spl::token_2022::spl_token_2022::instruction as token;
use leasehold::{
    constants::DISPUTE_SECS,
    state::{HardwareClass, Lease, Market, Params, RoundRules},
};
use leasehold_client::{BoardRef, MarketRef, instruction};
use litesvm::{
    LiteSVM,
    types::{TransactionMetadata, TransactionResult},
};
use solana_clock::Clock;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::{VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_system_interface::instruction::create_account;
use solana_transaction::versioned::VersionedTransaction;

/// The compiled program, as `cargo xtask build` writes it.
pub const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/leasehold/leasehold.so");
/// Unix time at which every test begins: the start of a round.
pub const START: i64 = 1_767_225_600;
/// Base units of a payment token, and of a stake token.
pub const USD: u64 = 1_000_000;
pub const STAKE: u64 = 1_000_000_000;
/// Balances of each wallet at the start: lamports, payment units, stake units.
pub const LAMPORTS: u64 = 100_000_000_000;
pub const PAYMENTS: u64 = 1_000_000_000 * USD;
pub const STAKES: u64 = 10_000_000 * STAKE;

/// Seconds of the timelock of every market, and the hash that stands for the cluster's genesis.
pub const TIMELOCK: u32 = 2 * 86_400;
pub const GENESIS: [u8; 32] = *b"LiteSVM!, the tests' own cluster";
/// Lamports that a demand costs.
pub const ASK_FEE: u64 = 200_000;

/// A market in a virtual machine.
pub struct World {
    pub svm: LiteSVM,
    pub market: MarketRef,
    pub authority: Keypair,
    /// Mints both tokens.
    pub(crate) faucet: Keypair,
    keys: Keys,
}

/// Keypairs, the same in every run: addresses depend on keys, and compute units on addresses, because the
/// program searches for their bumps.
#[derive(Clone, Default)]
pub struct Keys(u64);

impl Keys {
    /// The next keypair.
    pub fn draw(&mut self) -> Keypair {
        self.0 += 1;
        let mut seed = *b"a keypair of Leasehold's tests..";
        seed[24..].copy_from_slice(&self.0.to_le_bytes());
        Keypair::new_from_array(seed)
    }
}

/// A fork: the two worlds share their past and nothing else.
impl Clone for World {
    fn clone(&self) -> Self {
        World {
            svm: self.svm.clone(),
            market: self.market,
            authority: self.authority.insecure_clone(),
            faucet: self.faucet.insecure_clone(),
            keys: self.keys.clone(),
        }
    }
}

/// Rules of most tests: rounds of ten minutes, three seats, two equal votes decide.
pub fn rules() -> RoundRules {
    RoundRules {
        round_secs: 600,
        submit_secs: 300,
        seats: 3,
        threshold: 2,
        abandon_rounds: 4,
        sla_bps: 9_500,
    }
}

/// Parameters of most tests.
pub fn params() -> Params {
    let class = |name: &str, weight_bps| {
        let mut padded = [0; 16];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        HardwareClass { name: padded, weight_bps }
    };
    Params {
        bond_unit: 100 * STAKE,
        keeper_bond: 1_000 * STAKE,
        keeper_fee: USD / 100,
        keeper_fee_max: USD / 10,
        ask_fee: ASK_FEE,
        unbonding_secs: 14 * 86_400,
        min_rounds: 1,
        max_rounds: 10_000,
        fee_bps: 300,
        keeper_share_bps: 4_000,
        hold_bps: 2_000,
        standby_bps: 1_000,
        slash_multiplier_bps: 20_000,
        up_votes: 2,
        classes: vec![class("RTX 4090", 10_000), class("A100 80GB", 25_000), class("H100 80GB", 40_000)],
    }
}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

impl World {
    /// A market with the usual rules and one board.
    pub fn new() -> Self {
        World::with(rules(), params())
    }

    /// A market with these rules and one board.
    pub fn with(rules: RoundRules, params: Params) -> Self {
        let mut world = World::without_market();
        world.open_market(rules, params);
        world
    }

    /// Creates the market `self.market` and its first board.
    pub fn open_market(&mut self, rules: RoundRules, params: Params) {
        let authority = self.authority.insecure_clone();
        let key = authority.pubkey();
        let create = instruction::create_market(&self.market, key, GENESIS, TIMELOCK, rules, params);
        self.ok(&[create], &[&authority]);
        let board = instruction::create_board(&self.board(), key);
        self.ok(&[board], &[&authority]);
        self.fund(&key);
    }

    /// The program, two mints, a funded authority.
    pub fn without_market() -> Self {
        let mut svm = LiteSVM::new();
        svm.add_program_from_file(leasehold::ID, PROGRAM).expect("the committed program loads");
        let mut keys = Keys::default();
        let (authority, faucet) = (keys.draw(), keys.draw());
        svm.airdrop(&faucet.pubkey(), LAMPORTS * 100).expect("lamports");
        let mut world = World {
            svm,
            market: MarketRef::new(1, Pubkey::default(), Pubkey::default()),
            authority,
            faucet,
            keys,
        };
        world.set_time(START);
        let (payment, stake) = (world.create_mint(6), world.create_mint(9));
        world.market = MarketRef::new(1, payment, stake);
        let authority = world.authority.pubkey();
        world.svm.airdrop(&authority, LAMPORTS).expect("lamports");
        world
    }

    /// The market's first board.
    pub fn board(&self) -> BoardRef {
        self.market.board(0)
    }

    /// A new keypair, without lamports.
    pub fn key(&mut self) -> Keypair {
        self.keys.draw()
    }

    /// A new classic mint; the faucet is its authority.
    pub fn create_mint(&mut self, decimals: u8) -> Pubkey {
        let (mint, faucet) = (self.key(), self.faucet.insecure_clone());
        let space = 82;
        let rent = self.svm.minimum_balance_for_rent_exemption(space);
        let program = spl_token_interface::ID;
        let create = create_account(&faucet.pubkey(), &mint.pubkey(), rent, space as u64, &program);
        let init = token::initialize_mint2(&program, &mint.pubkey(), &faucet.pubkey(), None, decimals);
        self.ok(&[create, init.expect("valid mint")], &[&faucet, &mint]);
        mint.pubkey()
    }

    /// A new wallet with lamports, payment and stake tokens.
    pub fn wallet(&mut self) -> Keypair {
        let wallet = self.key();
        self.fund(&wallet.pubkey());
        wallet
    }

    /// Gives a wallet lamports, payment and stake tokens.
    pub fn fund(&mut self, wallet: &Pubkey) {
        self.svm.airdrop(wallet, LAMPORTS).expect("lamports");
        let market = self.market;
        let faucet = self.faucet.insecure_clone();
        let mut instructions = vec![];
        for (mint, program, amount) in [
            (market.payment_mint, market.payment_token_program, PAYMENTS),
            (market.stake_mint, market.stake_token_program, STAKES),
        ] {
            let account = leasehold_client::address::token_account(wallet, &mint, &program);
            instructions.push(
                spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent(
                    &faucet.pubkey(),
                    wallet,
                    &mint,
                    &program,
                ),
            );
            let mint_to = token::mint_to(&program, &mint, &account, &faucet.pubkey(), &[], amount);
            instructions.push(mint_to.expect("valid amount"));
        }
        self.ok(&instructions, &[&faucet]);
    }

    /// Sends one transaction; the first signer pays.
    #[expect(clippy::result_large_err, reason = "it is LiteSVM's own")]
    pub fn send(&mut self, instructions: &[Instruction], signers: &[&Keypair]) -> TransactionResult {
        self.svm.expire_blockhash();
        let transaction = self.transaction(instructions, signers);
        self.svm.send_transaction(transaction)
    }

    /// A v0 transaction with the largest limit of compute units.
    pub fn transaction(&self, instructions: &[Instruction], signers: &[&Keypair]) -> VersionedTransaction {
        let mut all = vec![ComputeBudgetInstruction::set_compute_unit_limit(1_400_000)];
        all.extend_from_slice(instructions);
        let payer = signers.first().expect("somebody pays").pubkey();
        let message =
            v0::Message::try_compile(&payer, &all, &[], self.svm.latest_blockhash()).expect("compiles");
        VersionedTransaction::try_new(VersionedMessage::V0(message), signers).expect("everybody signs")
    }

    /// Sends one transaction, which must succeed.
    #[track_caller]
    pub fn ok(&mut self, instructions: &[Instruction], signers: &[&Keypair]) -> TransactionMetadata {
        match self.send(instructions, signers) {
            Ok(meta) => meta,
            Err(failed) => panic!("{:?}\n{}", failed.err, failed.meta.pretty_logs()),
        }
    }

    pub fn now(&self) -> i64 {
        self.svm.get_sysvar::<Clock>().unix_timestamp
    }

    /// Sets the cluster's clock.
    pub fn set_time(&mut self, now: i64) {
        let clock = self.svm.get_sysvar::<Clock>();
        self.svm.set_sysvar(&Clock { unix_timestamp: now, slot: clock.slot + 1, ..clock });
    }

    /// Advances the clock.
    pub fn pass(&mut self, secs: i64) {
        self.set_time(self.now() + secs);
    }

    /// The running round.
    pub fn round(&self) -> u32 {
        self.with_board(|board, _| board.round_at(self.now()).expect("in range"))
    }

    /// Ends the running round: goes one second into the next. Returns the round that ended.
    pub fn end_round(&mut self) -> u32 {
        let round = self.round();
        let end = self.with_board(|board, _| board.round_end(round));
        self.set_time(end + 1);
        round
    }

    /// Goes one second into a round.
    pub fn go_to_round(&mut self, round: u32) {
        let begin = self.with_board(|board, _| board.round_end(round - 1));
        self.set_time(begin + 1);
    }

    /// Goes to the end of the dispute window of every idle machine's last lease, on the first board.
    pub fn end_disputes(&mut self) {
        let over = self.with_board(|board, slots| {
            let until = slots.iter().filter(|slot| slot.lease == 0).map(|slot| slot.lease_until).max();
            until.map(|until| board.round_end(until + board.rounds_in(DISPUTE_SECS) - 1)).unwrap_or_default()
        });
        self.set_time(self.now().max(over));
    }

    pub fn data(&self, address: &Pubkey) -> Vec<u8> {
        self.svm.get_account(address).map(|account| account.data).unwrap_or_default()
    }

    pub fn account<T: AccountDeserialize>(&self, address: &Pubkey) -> T {
        T::try_deserialize(&mut &self.data(address)[..]).expect("an account of that type")
    }

    pub fn market_account(&self) -> Market {
        self.account(&self.market.address)
    }

    /// The lease with that serial on the first board.
    pub fn lease(&self, serial: u32) -> Lease {
        self.account(&self.lease_address(serial))
    }

    /// Address of the lease with that serial on the first board.
    #[track_caller]
    pub fn lease_address(&self, serial: u32) -> Pubkey {
        let board = self.board().address;
        let accounts = self.svm.get_program_accounts(&leasehold::ID);
        let mut leases = accounts.into_iter().filter_map(|(address, account)| {
            Some((address, Lease::try_deserialize(&mut &account.data[..]).ok()?))
        });
        let found = leases.find(|(_, lease)| lease.board == board && lease.serial == serial);
        found.expect("the lease exists").0
    }

    /// Reads the first board.
    pub fn with_board<T>(
        &self,
        read: impl FnOnce(&leasehold::state::Board, &[leasehold::state::Slot]) -> T,
    ) -> T {
        let data = self.data(&self.board().address);
        let (board, slots) = leasehold::state::split(&data).expect("a board");
        read(board, slots)
    }

    pub fn slot(&self, index: u16) -> leasehold::state::Slot {
        self.with_board(|_, slots| slots[usize::from(index)])
    }

    /// Balance of a token account, in base units; 0 if the account does not exist.
    pub fn tokens(&self, account: &Pubkey) -> u64 {
        let data = self.data(account);
        data.get(64..72).map_or(0, |amount| u64::from_le_bytes(amount.try_into().expect("eight bytes")))
    }

    pub fn payments_of(&self, wallet: &Pubkey) -> u64 {
        self.tokens(&self.market.payment_account(wallet))
    }

    pub fn stake_of(&self, wallet: &Pubkey) -> u64 {
        self.tokens(&self.market.stake_account(wallet))
    }

    pub fn lamports(&self, account: &Pubkey) -> u64 {
        self.svm.get_balance(account).unwrap_or_default()
    }
}
