use leasehold::{
    instructions::{Offer, OpenLeaseArgs},
    state::RoundRules,
};
use leasehold_client::{BoardRef, MarketRef, instruction};
use solana_instruction::{Instruction, error::InstructionError};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction_error::TransactionError;

use crate::{
    COMMITTED, KeeperActor, STAKE, SupplierActor, USD, World, anything, bitmap, machine, params, rules,
    submit,
};

/// A call of an instruction that succeeds.
pub struct Case {
    /// The instruction's name.
    pub name: &'static str,
    pub instruction: Instruction,
    pub signers: Vec<Keypair>,
}

/// A world in which every instruction of the program has something to do: what tests bend that hold for
/// all of them. Nothing is kept of what runs here.
pub struct Catalogue {
    pub world: World,
    pub cases: Vec<Case>,
    /// Pays for every transaction, and has no part in any.
    pub payer: Keypair,
    /// Has a supplier's and a keeper's account in both markets.
    pub mallory: Keypair,
    /// The supplier, the keepers and the buyer of the cases.
    pub supplier: SupplierActor,
    pub keepers: Vec<KeeperActor>,
    pub buyer: Keypair,
    /// Was offered the market.
    pub heir: Keypair,
    /// Mallory's market, with the same mints, and its board.
    pub other: BoardRef,
    /// Another board of the first market.
    pub second: BoardRef,
    /// Slots of the first board. The last is vacant, the one before it idle.
    pub slots: u16,
}

/// Leases of the catalogue: one that was slashed and holds money, one that can be closed, one that runs.
const SLASHED: u32 = 1;
const CLOSABLE: u32 = 2;
pub const RUNNING: u32 = 3;
/// Slot of a machine that is down in the lease that runs.
const DOWN: u16 = 3;

impl Default for Catalogue {
    fn default() -> Self {
        Catalogue::new()
    }
}

impl Catalogue {
    pub fn new() -> Self {
        Catalogue::of(7)
    }

    /// The first board has that many slots, at least 7.
    pub fn of(slots: u16) -> Self {
        let mut world = World::with(RoundRules { seats: 5, threshold: 3, ..rules() }, params());
        let (payer, mallory, buyer, heir) = (world.wallet(), world.wallet(), world.wallet(), world.wallet());
        let (supplier, leaver) = (world.supplier(), world.supplier());
        let keepers = world.keepers(4);
        let market = world.market;
        let (board, second) = (market.board(0), market.board(1));
        let other = world.market_of_mallory(&mallory);
        world.announce(&heir, &supplier, &keepers[0]);
        world.board_with_history(slots, &supplier, &leaver, &keepers, &buyer);

        let cases = vec![];
        let mut catalogue =
            Catalogue { world, cases, payer, mallory, supplier, keepers, buyer, heir, other, second, slots };
        catalogue.add_market_cases(&board);
        catalogue.add_supplier_cases(&board, &leaver);
        catalogue.add_board_cases(&board);
        catalogue.add_round_cases(&board);
        catalogue.add_lease_cases(&board);
        catalogue
    }

    fn add(&mut self, name: &'static str, instruction: Instruction, signer: &Keypair) {
        self.cases.push(Case { name, instruction, signers: vec![signer.insecure_clone()] });
    }

    fn add_for_anybody(&mut self, name: &'static str, instruction: Instruction) {
        self.cases.push(Case { name, instruction, signers: vec![] });
    }

    fn add_market_cases(&mut self, board: &BoardRef) {
        let market = board.market;
        let authority = self.world.authority.insecure_clone();
        let (key, heir) = (authority.pubkey(), self.heir.insecure_clone());
        let (payments, stakes) = (market.payment_account(&key), market.stake_account(&key));
        let (empty, fresh) = (numbered(&market, 3), numbered(&market, 4));
        let create = instruction::create_market(&fresh, key, 86_400, rules(), params());
        self.add("create_market", create, &authority);
        let propose = instruction::propose_params(&market, key, Some(params()));
        self.add("propose_params", propose, &authority);
        self.add_for_anybody("apply_params", instruction::apply_params(&market));
        self.add("propose_authority", instruction::propose_authority(&market, key, None), &authority);
        self.add("accept_authority", instruction::accept_authority(&market, heir.pubkey()), &heir);
        self.add("set_paused", instruction::set_paused(&market, key, false), &authority);
        self.add("withdraw_fees", instruction::withdraw_fees(board, key, payments), &authority);
        let withdraw = instruction::withdraw_market_stake(board, key, stakes);
        self.add("withdraw_market_stake", withdraw, &authority);
        self.add_for_anybody("burn_slashed", instruction::burn_slashed(board));
        self.add("close_market", instruction::close_market(&empty, key, stakes), &authority);
    }

    fn add_supplier_cases(&mut self, board: &BoardRef, leaver: &SupplierActor) {
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
    }

    fn add_board_cases(&mut self, board: &BoardRef) {
        let (wallet, authority) =
            (self.supplier.wallet.insecure_clone(), self.world.authority.insecure_clone());
        let (key, account) = (wallet.pubkey(), self.supplier.account);
        let until = self.world.round() + COMMITTED;
        let idle = self.slots - 2;
        let third = board.market.board(2);
        self.add("create_board", instruction::create_board(&third, authority.pubkey()), &authority);
        let list = instruction::list_machines(board, key, until, vec![machine(self.slots)], &[]);
        self.add("list_machines", list, &wallet);
        let offer = Offer { slot: idle, price: USD, committed_until: until };
        self.add("reprice_machines", instruction::reprice_machines(board, key, vec![offer]), &wallet);
        let retire = instruction::retire_machines(board, key, account, vec![idle]);
        self.add("retire_machines", retire, &wallet);
        self.add_for_anybody("trim_board", instruction::trim_board(board, &[account]));
        let payments = board.market.payment_account(&authority.pubkey());
        let close = instruction::close_board(&self.second, authority.pubkey(), payments);
        self.add("close_board", close, &authority);
    }

    fn add_round_cases(&mut self, board: &BoardRef) {
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
        let leave = instruction::leave_seat(board, leaver.pubkey(), self.keepers[3].account, 3);
        self.add("leave_seat", leave, &leaver);
        let round = self.world.round() - 1;
        let machines = self.world.with_board(|board, _| board.slots_at(round + 1));
        let vote = submit(board, &self.keepers[0], round, bitmap(machines, |_| true));
        self.add("submit_round", vote, &voter);
        self.add_for_anybody("close_round", instruction::close_round(board));
        self.add("claim_keeper_fees", instruction::claim_keeper_fees(board, key, payments, 0), &voter);
        self.add("close_keeper", instruction::close_keeper(&market, idle.pubkey()), &idle);
    }

    fn add_lease_cases(&mut self, board: &BoardRef) {
        let (owner, key) = (self.buyer.insecure_clone(), self.buyer.pubkey());
        let market = board.market;
        let (payments, stakes) = (market.payment_account(&key), market.stake_account(&key));
        let (slashed, running) = (board.lease(SLASHED), board.lease(RUNNING));
        let args: OpenLeaseArgs = self.world.lease_args(anything(), 1, 10);
        self.add("open_lease", instruction::open_lease(board, key, payments, args), &owner);
        let extend = instruction::extend_lease(board, key, running, payments, 5, u64::MAX);
        self.add("extend_lease", extend, &owner);
        self.add("cancel_lease", instruction::cancel_lease(board, key, running), &owner);
        let heir = self.heir.pubkey();
        self.add("transfer_lease", instruction::transfer_lease(key, running, heir), &owner);
        let hint = self.world.hint(&anything(), 1, 1);
        let replace = instruction::replace_node(board, key, running, payments, DOWN, u64::MAX, hint);
        self.add("replace_node", replace, &owner);
        let keeper = self.keepers[0].account;
        let caller = self.keepers[0].wallet.insecure_clone();
        let settle = instruction::settle_lease(board, caller.pubkey(), running, Some(keeper));
        self.add("settle_lease", settle, &caller);
        self.add("claim_refund", instruction::claim_refund(board, key, slashed, payments), &owner);
        let claim = instruction::claim_compensation(board, key, slashed, stakes);
        self.add("claim_compensation", claim, &owner);
        let close = instruction::close_lease(board, key, board.lease(CLOSABLE));
        self.add_for_anybody("close_lease", close);
    }

    /// The case of an instruction.
    #[track_caller]
    pub fn case(&self, name: &str) -> &Case {
        self.cases.iter().find(|case| case.name == name).expect("every instruction has a case")
    }

    /// Runs an instruction that these sign; the payer pays. Nothing is kept of what it does.
    pub fn run(&self, instruction: &Instruction, signers: &[&Keypair]) -> Result<(), InstructionError> {
        let mut all = vec![&self.payer];
        all.extend(signers);
        let transaction = self.world.transaction(core::slice::from_ref(instruction), &all);
        match self.world.svm.simulate_transaction(transaction) {
            Ok(_) => Ok(()),
            Err(failed) => match failed.err {
                TransactionError::InstructionError(1, error) => Err(error),
                other => panic!("the transaction was refused, not the instruction: {other:?}"),
            },
        }
    }

    /// Asserts that a case, bent like this and signed as before, is refused with exactly that error.
    #[track_caller]
    pub fn refuses(&self, name: &str, bend: impl Fn(&mut Instruction), error: impl Into<u32>) {
        let signers: Vec<_> = self.case(name).signers.iter().collect();
        self.refuses_signed(name, bend, &signers, error);
    }

    /// Asserts that a case, bent like this and signed by these, is refused with exactly that error.
    #[track_caller]
    pub fn refuses_signed(
        &self,
        name: &str,
        bend: impl Fn(&mut Instruction),
        signers: &[&Keypair],
        error: impl Into<u32>,
    ) {
        let case = self.case(name);
        let mut instruction = case.instruction.clone();
        bend(&mut instruction);
        assert_ne!(instruction, case.instruction, "{name} was not bent");
        let found = self.run(&instruction, signers);
        assert_eq!(found, Err(custom(error)), "{name}");
    }
}

/// Puts an account in the place of another, wherever an instruction names that.
pub fn swap(from: Pubkey, to: Pubkey) -> impl Fn(&mut Instruction) {
    move |instruction| {
        for meta in instruction.accounts.iter_mut().filter(|meta| meta.pubkey == from) {
            meta.pubkey = to;
        }
    }
}

/// What a program's own error looks like from outside.
pub fn custom(error: impl Into<u32>) -> InstructionError {
    InstructionError::Custom(error.into())
}

/// Another market with the same mints.
fn numbered(market: &MarketRef, id: u64) -> MarketRef {
    MarketRef::new(id, market.payment_mint, market.stake_mint)
}

/// What came before the cases.
impl World {
    /// Opens market 2 with a board for mallory, who is a supplier and a keeper in both markets; and market 3,
    /// empty; and a second board in the first.
    fn market_of_mallory(&mut self, mallory: &Keypair) -> BoardRef {
        let key = mallory.pubkey();
        let (other, empty) = (numbered(&self.market, 2), numbered(&self.market, 3));
        let authority = self.authority.insecure_clone();
        let create = instruction::create_market(&other, key, 86_400, rules(), params());
        self.ok(&[create, instruction::create_board(&other.board(0), key)], &[mallory]);
        for market in [self.market, other] {
            let supplier = instruction::register_supplier(&market, key);
            self.ok(&[supplier, instruction::register_keeper(&market, key)], &[mallory]);
        }
        let create = instruction::create_market(&empty, authority.pubkey(), 86_400, rules(), params());
        let second = instruction::create_board(&self.market.board(1), authority.pubkey());
        self.ok(&[create], &[&authority]);
        self.ok(&[second], &[&authority]);
        other.board(0)
    }

    /// Proposes what can then be applied and accepted, and asks stake back that can then be withdrawn.
    fn announce(&mut self, heir: &Keypair, supplier: &SupplierActor, keeper: &KeeperActor) {
        let (market, authority) = (self.market, self.authority.insecure_clone());
        let params = instruction::propose_params(&market, authority.pubkey(), Some(params()));
        let offer = instruction::propose_authority(&market, authority.pubkey(), Some(heir.pubkey()));
        self.ok(&[params, offer], &[&authority]);
        let unstake = instruction::request_unstake(&market, supplier.wallet.pubkey(), STAKE);
        self.ok(&[unstake], &[&supplier.wallet]);
        let key = keeper.wallet.pubkey();
        let bond = instruction::deposit_bond(&market, key, market.stake_account(&key), 2 * STAKE);
        self.ok(&[bond, instruction::request_unbond(&market, key, STAKE)], &[&keeper.wallet]);
        self.pass(14 * 86_400);
    }

    /// Lists machines, lets three leases begin and two of them end, with a machine down in each that lasts.
    fn board_with_history(
        &mut self,
        slots: u16,
        supplier: &SupplierActor,
        leaver: &SupplierActor,
        keepers: &[KeeperActor],
        buyer: &Keypair,
    ) {
        let board = self.board();
        let machines: Vec<_> = (0..slots).map(machine).collect();
        self.list(supplier, COMMITTED, &machines);
        self.list(leaver, COMMITTED, &[machine(slots)]);
        for (actor, slot) in [(supplier, slots - 1), (leaver, slots)] {
            let retire =
                instruction::retire_machines(&board, actor.wallet.pubkey(), actor.account, vec![slot]);
            self.ok(&[retire], &[&actor.wallet]);
        }
        for (serial, machines, rounds) in [(SLASHED, 2, 2), (CLOSABLE, 1, 2), (RUNNING, 2, 100)] {
            assert_eq!(self.open(buyer, anything(), machines, rounds), serial);
        }
        self.end_round();
        for _ in 0..2 {
            self.attest(keepers, |machine| machine != 1);
        }
        for serial in [SLASHED, CLOSABLE] {
            self.settle(buyer, serial);
        }
        let wallet = self.market.payment_account(&buyer.pubkey());
        let claim = instruction::claim_refund(&board, buyer.pubkey(), board.lease(CLOSABLE), wallet);
        self.ok(&[claim], &[buyer]);
        // Pays the keepers, out of the fees that the settlements brought.
        self.attest(keepers, |machine| machine != u32::from(DOWN));
        let key = keepers[3].wallet.pubkey();
        let claim = instruction::claim_keeper_fees(&board, key, self.market.payment_account(&key), 3);
        self.ok(&[claim], &[&keepers[3].wallet]);
        // One round without votes can be closed, the next can be voted on.
        self.end_round();
        self.end_round();
    }

    /// Somebody with a keeper's account and stake enough for a seat.
    pub fn keeper_with_bond(&mut self) -> Keypair {
        let (wallet, market) = (self.wallet(), self.market);
        let key = wallet.pubkey();
        let bond = instruction::deposit_bond(&market, key, market.stake_account(&key), 1_000 * STAKE);
        self.ok(&[instruction::register_keeper(&market, key), bond], &[&wallet]);
        wallet
    }
}
