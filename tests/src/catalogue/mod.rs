//! A successful call of every instruction, for the tests that change one thing in each and expect a refusal.
//!
//! A new instruction gets a case in one of the `add_..._cases` functions; if the case needs state that is not
//! there yet, `history` creates it. `every_instruction_has_a_case_that_succeeds` fails until the case exists.

mod cases;
mod history;
mod record;

use leasehold::state::{Params, RoundRules};
use leasehold_client::{BoardRef, MarketRef, record::SignedReceipt};
use solana_instruction::{Instruction, error::InstructionError};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_transaction_error::TransactionError;

use crate::{Archive, KeeperActor, SupplierActor, World, params, rules};

/// A call of an instruction that succeeds.
pub struct Case {
    /// The instruction's name.
    pub name: &'static str,
    /// The instruction of the Ed25519 program, if `instruction` relies on a signature that it checks.
    pub before: Option<Instruction>,
    pub instruction: Instruction,
    pub signers: Vec<Keypair>,
}

impl Case {
    /// The instructions of the transaction, in order.
    pub fn instructions(&self) -> Vec<Instruction> {
        self.before.iter().chain([&self.instruction]).cloned().collect()
    }
}

/// A world in which every instruction of the program has a case that succeeds. Cases are simulated, so that each finds
/// the same state.
pub struct Catalogue {
    pub world: World,
    pub cases: Vec<Case>,
    /// Pays for every transaction, and takes no other part in any.
    pub payer: Keypair,
    /// The attacker: has a supplier's and a keeper's account in both markets.
    pub mallory: Keypair,
    /// The supplier, the keepers and the buyer of the cases.
    pub supplier: SupplierActor,
    pub keepers: Vec<KeeperActor>,
    pub buyer: Keypair,
    /// Was offered the market.
    pub heir: Keypair,
    /// The board of Mallory's market, which has the same mints.
    pub other: BoardRef,
    /// Another board of the first market.
    pub second: BoardRef,
    /// Number of slots of the first board. The last is vacant, the one before it idle.
    pub slots: u16,
    /// Receipts of the metered lease's machine. The first four are a batch in the log. The first three are
    /// demanded: one is overdue, one waits for `show_batch`, one for `answer_demand`.
    receipts: Vec<SignedReceipt>,
    /// The supplier's log.
    archive: Archive,
}

/// A lease that was slashed and holds money.
const SLASHED: u32 = 1;
/// A lease that can be closed.
const CLOSABLE: u32 = 2;
/// A lease by the hour that is running.
pub const RUNNING: u32 = 3;
/// A metered lease that is running.
const METERED: u32 = 4;
/// Slot of the metered lease's machine.
const METERED_SLOT: u16 = 5;
/// Slot of a machine that is down in the running lease. The next slot is in that lease too, and up.
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

    /// A catalogue whose first board has `slots` slots, at least 8.
    pub fn of(slots: u16) -> Self {
        let mut world =
            World::with(RoundRules { seats: 5, threshold: 3, ..rules() }, Params { up_votes: 3, ..params() });
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

    /// Adds a case that needs no signer but the payer.
    fn add_for_anybody(&mut self, name: &'static str, instruction: Instruction) {
        self.cases.push(Case { name, before: None, instruction, signers: vec![] });
    }

    /// Adds a case that follows an instruction of the Ed25519 program.
    fn add_signed(
        &mut self,
        name: &'static str,
        [before, instruction]: [Instruction; 2],
        signers: &[&Keypair],
    ) {
        let signers = signers.iter().map(|signer| signer.insecure_clone()).collect();
        self.cases.push(Case { name, before: Some(before), instruction, signers });
    }

    /// The case of an instruction.
    #[track_caller]
    pub fn case(&self, name: &str) -> &Case {
        self.cases.iter().find(|case| case.name == name).expect("every instruction has a case")
    }

    /// Simulates an instruction with these signers, after the Ed25519 instruction of its case, if it has one.
    pub fn run(&self, instruction: &Instruction, signers: &[&Keypair]) -> Result<(), InstructionError> {
        let mut all = vec![&self.payer];
        all.extend(signers);
        // The first eight bytes of its data identify an instruction.
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

    /// Asserts that a case, changed by `change` and signed as before, is refused with exactly `error`.
    #[track_caller]
    pub fn refuses(&self, name: &str, change: impl Fn(&mut Instruction), error: impl Into<u32>) {
        let signers: Vec<_> = self.case(name).signers.iter().collect();
        self.refuses_signed(name, change, &signers, error);
    }

    /// Asserts that a case, changed by `change` and signed by `signers`, is refused with exactly `error`.
    #[track_caller]
    pub fn refuses_signed(
        &self,
        name: &str,
        change: impl Fn(&mut Instruction),
        signers: &[&Keypair],
        error: impl Into<u32>,
    ) {
        let case = self.case(name);
        let mut instruction = case.instruction.clone();
        change(&mut instruction);
        assert_ne!(instruction, case.instruction, "{name} was not changed");
        let found = self.run(&instruction, signers);
        assert_eq!(found, Err(custom(error)), "{name}");
    }
}

/// Replaces account `from` by `to` everywhere in an instruction.
pub fn swap(from: Pubkey, to: Pubkey) -> impl Fn(&mut Instruction) {
    move |instruction| {
        for meta in instruction.accounts.iter_mut().filter(|meta| meta.pubkey == from) {
            meta.pubkey = to;
        }
    }
}

/// A program's own error, as the runtime reports it.
pub fn custom(error: impl Into<u32>) -> InstructionError {
    InstructionError::Custom(error.into())
}

/// Market `id` with the same mints.
fn numbered(market: &MarketRef, id: u64) -> MarketRef {
    MarketRef::new(id, market.payment_mint, market.stake_mint)
}
