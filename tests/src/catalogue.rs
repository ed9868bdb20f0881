use leasehold::{
    constants::RECORD_ROUNDS,
    instructions::{Batch, Machine, Offer, OpenLeaseArgs},
    state::RoundRules,
};
use leasehold_client::{
    BoardRef, MarketRef, address, instruction,
    record::{SignedReceipt, signatures},
};
use solana_instruction::{Instruction, error::InstructionError};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction_error::TransactionError;

use crate::{
    Archive, COMMITTED, KeeperActor, SOURCE, STAKE, SupplierActor, USD, World, anything, bitmap, events,
    machine, node_key, params, rules, signing_machine, submit, tree,
};

/// A call of an instruction that succeeds.
pub struct Case {
    /// The instruction's name.
    pub name: &'static str,
    /// The Ed25519 program's, where the instruction relies on a signature that it checks.
    pub before: Option<Instruction>,
    pub instruction: Instruction,
    pub signers: Vec<Keypair>,
}

impl Case {
    /// What a transaction has to hold.
    pub fn instructions(&self) -> Vec<Instruction> {
        self.before.iter().chain([&self.instruction]).cloned().collect()
    }
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
    /// Receipts of the metered lease's machine. The first four are a batch in the log, and the first three of
    /// them are demanded: one in vain, one to show the batch of, one whose batch is shown.
    receipts: Vec<SignedReceipt>,
    /// The supplier's log.
    archive: Archive,
}

/// Leases of the catalogue: one that was slashed and holds money, one that can be closed, one that runs, one
/// that runs and is paid by use.
const SLASHED: u32 = 1;
const CLOSABLE: u32 = 2;
pub const RUNNING: u32 = 3;
const METERED: u32 = 4;
/// Slot of the machine that is leased by use.
const BY_USE: u16 = 5;
/// Slot of a machine that is down in the lease that runs; the next one serves in it too, and is up.
const DOWN: u16 = 3;

impl Default for Catalogue {
    fn default() -> Self {
        Catalogue::new()
    }
}

impl Catalogue {
    pub fn new() -> Self {
        Catalogue::of(8)
    }

    /// The first board has that many slots, at least 8.
    pub fn of(slots: u16) -> Self {
        let mut world = World::with(RoundRules { seats: 5, threshold: 3, ..rules() }, params());
        let (payer, mallory, buyer, heir) = (world.wallet(), world.wallet(), world.wallet(), world.wallet());
        let (supplier, leaver) = (world.supplier(), world.supplier());
        let keepers = world.keepers(4);
        let market = world.market;
        let (board, second) = (market.board(0), market.board(1));
        let other = world.market_of_mallory(&mallory);
        world.announce(&heir, &supplier, &keepers[0]);
        let (receipts, archive) = world.board_with_history(slots, &supplier, &leaver, &keepers, &buyer);

        let cases = vec![];
        let mut catalogue = Catalogue {
            world,
            cases,
            payer,
            mallory,
            supplier,
            keepers,
            buyer,
            heir,
            other,
            second,
            slots,
            receipts,
            archive,
        };
        catalogue.add_market_cases(&board);
        catalogue.add_supplier_cases(&board, &leaver);
        catalogue.add_board_cases(&board);
        catalogue.add_round_cases(&board);
        catalogue.add_lease_cases(&board);
        catalogue.add_metered_cases(&board);
        catalogue.add_log_cases(&board, &leaver);
        catalogue.add_dispute_cases(&board);
        catalogue
    }

    fn add(&mut self, name: &'static str, instruction: Instruction, signer: &Keypair) {
        self.cases.push(Case { name, before: None, instruction, signers: vec![signer.insecure_clone()] });
    }

    fn add_for_anybody(&mut self, name: &'static str, instruction: Instruction) {
        self.cases.push(Case { name, before: None, instruction, signers: vec![] });
    }

    /// After an instruction of the Ed25519 program.
    fn add_signed(
        &mut self,
        name: &'static str,
        [before, instruction]: [Instruction; 2],
        signers: &[&Keypair],
    ) {
        let signers = signers.iter().map(|signer| signer.insecure_clone()).collect();
        self.cases.push(Case { name, before: Some(before), instruction, signers });
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
        let forfeit = instruction::forfeit_machines(board, key, vec![DOWN + 1]);
        self.add("forfeit_machines", forfeit, &wallet);
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

    fn add_metered_cases(&mut self, board: &BoardRef) {
        let (owner, lease) = (self.buyer.insecure_clone(), board.lease(METERED));
        let key = owner.pubkey();
        let wallet = board.market.payment_account(&key);
        self.add("top_up_lease", instruction::top_up_lease(board, key, lease, wallet, USD), &owner);
        let voucher = self.world.voucher(METERED, USD);
        let redeem = self.world.redeem_instructions(METERED, &voucher, BY_USE);
        self.add_signed("redeem_voucher", redeem, &[]);
        self.add("give_notice", instruction::give_notice(board, key, lease, None), &owner);
    }

    fn add_log_cases(&mut self, board: &BoardRef, leaver: &SupplierActor) {
        let wallet = self.supplier.wallet.insecure_clone();
        let (key, account, log) =
            (wallet.pubkey(), self.supplier.account, address::log(&self.supplier.account));
        let without = leaver.wallet.pubkey();
        let create = instruction::create_log(without, leaver.account, without);
        self.add("create_log", create, &leaver.wallet);
        self.add("set_log_operator", instruction::set_log_operator(key, account, without), &wallet);
        let idle = self.slots - 2;
        self.add("open_lanes", instruction::open_lanes(board, key, account, vec![idle]), &wallet);
        let next = batch(&self.receipts[4..], 1);
        let append = instruction::append_batches(board, key, account, SOURCE, vec![next]);
        self.add("append_batches", append, &wallet);
        let proof = self.archive.proof(log, 0, 0);
        self.add_for_anybody("verify_receipt", proof.instruction());
        self.add_for_anybody("verify_batch", instruction::verify_batch(log, proof.batch()));
        let gone = self.world.supplier();
        let key = gone.wallet.pubkey();
        self.world.ok(&[instruction::create_log(key, gone.account, key)], &[&gone.wallet]);
        self.add("close_log", instruction::close_log(key, gone.account), &gone.wallet);
    }

    fn add_dispute_cases(&mut self, board: &BoardRef) {
        let (claimant, lease) = (self.buyer.insecure_clone(), board.lease(METERED));
        let log = address::log(&self.supplier.account);
        let demand = self.world.demand_instructions(&claimant, &self.receipts[3]);
        self.add_signed("demand_receipt", demand, &[&claimant]);
        let shown = self.archive.proof(log, 0, 1);
        let show = instruction::show_batch(address::demand(&shown.receipt.id()), log, shown.batch());
        self.add_for_anybody("show_batch", show);
        let wanted = self.archive.proof(log, 0, 2);
        let demand = address::demand(&wanted.receipt.id());
        let answer = instruction::answer_demand(claimant.pubkey(), lease, demand, wanted.path);
        self.add("answer_demand", answer, &claimant);
        let (keeper, caller) = (self.keepers[0].account, self.keepers[0].wallet.insecure_clone());
        let overdue = address::demand(&self.receipts[0].id());
        let enforce = instruction::enforce_demand(
            board,
            caller.pubkey(),
            claimant.pubkey(),
            lease,
            overdue,
            Some(keeper),
        );
        self.add("enforce_demand", enforce, &caller);
        let one = self.receipts[4];
        let mut lie = one.receipt;
        lie.price += 1;
        let lie = SignedReceipt::sign(&node_key(BY_USE), lie);
        let prove = instruction::prove_equivocation(board, caller.pubkey(), lease, Some(keeper));
        self.add_signed("prove_equivocation", [signatures::of_both(&one, &lie), prove], &[&caller]);
    }

    /// The case of an instruction.
    #[track_caller]
    pub fn case(&self, name: &str) -> &Case {
        self.cases.iter().find(|case| case.name == name).expect("every instruction has a case")
    }

    /// Runs an instruction that these sign, behind what its case has before it; the payer pays. Nothing is
    /// kept of what it does.
    pub fn run(&self, instruction: &Instruction, signers: &[&Keypair]) -> Result<(), InstructionError> {
        let mut all = vec![&self.payer];
        all.extend(signers);
        // Instructions are told apart by the first eight bytes of their data.
        let same = |case: &&Case| case.instruction.data.get(..8) == instruction.data.get(..8);
        let before = self.cases.iter().find(same).and_then(|case| case.before.clone());
        let instructions: Vec<_> = before.into_iter().chain([instruction.clone()]).collect();
        let transaction = self.world.transaction(&instructions, &all);
        match self.world.svm.simulate_transaction(transaction) {
            Ok(_) => Ok(()),
            Err(failed) => match failed.err {
                TransactionError::InstructionError(index, error)
                    if usize::from(index) == instructions.len() =>
                {
                    Err(error)
                }
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

/// A batch of the metered lease.
fn batch(receipts: &[SignedReceipt], number: u32) -> Batch {
    let end_ms = receipts[0].receipt.end_ms;
    Batch {
        slot: BY_USE,
        lease: METERED,
        number,
        count: u32::try_from(receipts.len()).expect("a batch"),
        root: tree(receipts).root(),
        first_ms: end_ms,
        last_ms: end_ms,
    }
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

    /// Lists machines, lets four leases begin and two of them end, with a machine down in one that lasts. The
    /// machine of the last signs receipts, some of which are demanded, and some come to the log.
    fn board_with_history(
        &mut self,
        slots: u16,
        supplier: &SupplierActor,
        leaver: &SupplierActor,
        keepers: &[KeeperActor],
        buyer: &Keypair,
    ) -> (Vec<SignedReceipt>, Archive) {
        let board = self.board();
        let of = |slot| if slot == BY_USE { signing_machine(slot) } else { machine(slot) };
        let machines: Vec<Machine> = (0..slots).map(of).collect();
        self.list(supplier, COMMITTED, &machines);
        self.list(leaver, COMMITTED, &[machine(slots)]);
        for (actor, slot) in [(supplier, slots - 1), (leaver, slots)] {
            let retire =
                instruction::retire_machines(&board, actor.wallet.pubkey(), actor.account, vec![slot]);
            self.ok(&[retire], &[&actor.wallet]);
        }
        for (serial, machines, rounds) in [(SLASHED, 2, 2), (CLOSABLE, 1, 2), (RUNNING, 2, 300)] {
            assert_eq!(self.open(buyer, anything(), machines, rounds), serial);
        }
        assert_eq!(self.open_metered(buyer, 50 * USD, 300), METERED);
        self.end_round();
        let receipts: Vec<_> = (0..6).map(|seq| self.signed(METERED, BY_USE, seq)).collect();
        for _ in 0..2 {
            self.attest(keepers, |machine| machine != 1);
        }
        for serial in [SLASHED, CLOSABLE] {
            self.settle(buyer, serial);
        }
        let wallet = self.market.payment_account(&buyer.pubkey());
        let claim = instruction::claim_refund(&board, buyer.pubkey(), board.lease(CLOSABLE), wallet);
        self.ok(&[claim], &[buyer]);
        self.go_to_round(self.round() + RECORD_ROUNDS);
        let archive = self.log_with_demands(supplier, buyer, &receipts);
        // Until nobody can dispute the leases that ended.
        self.end_disputes();
        // Pays the keepers, out of the fees that the settlements brought.
        self.attest(keepers, |machine| machine != u32::from(DOWN));
        let key = keepers[3].wallet.pubkey();
        let claim = instruction::claim_keeper_fees(&board, key, self.market.payment_account(&key), 3);
        self.ok(&[claim], &[&keepers[3].wallet]);
        // One round without votes can be closed, the next can be voted on.
        self.end_round();
        self.end_round();
        (receipts, archive)
    }

    /// Opens the supplier's log, appends the first four receipts and demands three of them: one that nobody
    /// answers, one to show the batch of, and one whose batch is shown.
    fn log_with_demands(
        &mut self,
        supplier: &SupplierActor,
        claimant: &Keypair,
        receipts: &[SignedReceipt],
    ) -> Archive {
        let (board, key) = (self.board(), supplier.wallet.pubkey());
        let create = instruction::create_log(key, supplier.account, key);
        let lanes = instruction::open_lanes(&board, key, supplier.account, vec![BY_USE]);
        let first = batch(&receipts[..4], 0);
        let append = instruction::append_batches(&board, key, supplier.account, SOURCE, vec![first]);
        let meta = self.ok(&[create, lanes, append], &[&supplier.wallet]);
        let mut archive = Archive::default();
        for event in events(&meta) {
            if let leasehold_client::event::Event::BatchesAppended(appended) = event {
                archive.add(appended.headers[0], receipts[..4].to_vec());
            }
        }
        for receipt in &receipts[..3] {
            self.demand(claimant, receipt);
        }
        let shown = archive.proof(address::log(&supplier.account), 0, 2);
        let show = instruction::show_batch(address::demand(&shown.receipt.id()), shown.log, shown.batch());
        self.ok(&[show], &[&supplier.wallet]);
        archive
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
