//! Expected refusals, and the invariants.

use leasehold_client::{
    account::Account,
    address,
    invariants::{self, BoardState, Snapshot},
};
use solana_instruction::{Instruction, error::InstructionError};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_transaction_error::TransactionError;

use crate::World;

impl World {
    /// Sends an instruction that must be refused with exactly that error: one of the program, of Anchor, or the code
    /// of a token program.
    #[track_caller]
    pub fn fails(&mut self, instruction: Instruction, signers: &[&Keypair], error: impl Into<u32>) {
        let code = error.into();
        assert_eq!(self.refusal(instruction, signers), Some(code), "expected {code}");
    }

    /// Sends an instruction that must be refused. Returns its custom error code; `None` for any other error.
    #[track_caller]
    pub fn refusal(&mut self, instruction: Instruction, signers: &[&Keypair]) -> Option<u32> {
        match self.instruction_error(instruction, signers) {
            InstructionError::Custom(code) => Some(code),
            other => {
                println!("{other:?}");
                None
            }
        }
    }

    /// Sends an instruction that must be refused. Returns the error.
    #[track_caller]
    pub fn instruction_error(&mut self, instruction: Instruction, signers: &[&Keypair]) -> InstructionError {
        let failed = match self.send(&[instruction], signers) {
            Ok(meta) => panic!("was not refused\n{}", meta.pretty_logs()),
            Err(failed) => failed,
        };
        println!("{}", failed.meta.pretty_logs());
        match failed.err {
            // Instruction 0 sets the compute budget.
            TransactionError::InstructionError(1, error) => error,
            other => panic!("the transaction was refused, not the instruction: {other:?}"),
        }
    }

    /// Sends instructions. The last one must be refused with exactly that error.
    #[track_caller]
    pub fn fails_last(&mut self, instructions: &[Instruction], signers: &[&Keypair], error: impl Into<u32>) {
        let code = error.into();
        let failed = match self.send(instructions, signers) {
            Ok(meta) => panic!("was not refused\n{}", meta.pretty_logs()),
            Err(failed) => failed,
        };
        println!("{}", failed.meta.pretty_logs());
        // Instruction 0 sets the compute budget.
        let last = u8::try_from(instructions.len()).expect("few instructions");
        let expected = TransactionError::InstructionError(last, InstructionError::Custom(code));
        assert_eq!(failed.err, expected, "expected {code}");
    }

    /// All accounts of the market, and the balances of its vaults.
    pub fn snapshot(&self) -> Snapshot {
        let market = self.market.address;
        let mut snapshot = Snapshot {
            address: market,
            market: self.market_account(),
            stake_vault: self.tokens(&self.market.stake_vault()),
            unasked_stake: 0,
            suppliers: vec![],
            keepers: vec![],
            boards: vec![],
        };
        let mut leases = vec![];
        for (address, account) in self.svm.get_program_accounts(&leasehold::ID) {
            match Account::decode(&account.data).expect("an account of the program") {
                Account::Supplier(supplier) if supplier.market == market => {
                    snapshot.suppliers.push((address, *supplier));
                }
                Account::Keeper(keeper) if keeper.market == market => {
                    snapshot.keepers.push((address, *keeper));
                }
                Account::Board(data) if data.view().expect("a board").header.market == market => {
                    let payment_vault = self.tokens(&address::payment_vault(&address));
                    let board =
                        BoardState { address, data, payment_vault, unasked_payments: 0, leases: vec![] };
                    snapshot.boards.push(board);
                }
                Account::Lease(lease) => leases.push((address, *lease)),
                _ => {}
            }
        }
        for (address, lease) in leases {
            let home = snapshot.boards.iter_mut().find(|board| board.address == lease.board);
            if let Some(board) = home {
                board.leases.push((address, lease));
            }
        }
        snapshot
    }

    /// Asserts every invariant that the state shows.
    #[track_caller]
    pub fn assert_invariants(&self) {
        assert_holds(&self.snapshot());
    }

    /// Asserts every invariant after somebody sent unasked tokens to the vaults of the market and its first board.
    #[track_caller]
    pub fn assert_invariants_with_unasked(&self, stake: u64, payments: u64) {
        let mut snapshot = self.snapshot();
        snapshot.unasked_stake = stake;
        let first: Pubkey = self.board().address;
        for board in snapshot.boards.iter_mut().filter(|board| board.address == first) {
            board.unasked_payments = payments;
        }
        assert_holds(&snapshot);
    }
}

#[track_caller]
fn assert_holds(snapshot: &Snapshot) {
    let report = invariants::check(snapshot);
    assert!(report.checked > 0 && report.is_ok(), "{report}");
}

/// System program: an account with that address exists already.
pub const SYSTEM_ACCOUNT_IN_USE: u32 = 0;
/// Token programs: the balance is too small.
pub const TOKEN_INSUFFICIENT_FUNDS: u32 = 1;
/// Token programs: the signer is not the account's owner.
pub const TOKEN_OWNER_MISMATCH: u32 = 4;
