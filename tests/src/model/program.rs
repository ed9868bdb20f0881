//! What the model is compared with.

use leasehold::state::{Board, Keeper, Lease, Market, Slot, Supplier};
use solana_pubkey::Pubkey;

use super::{Action, LeaseId, Rents, Who};

/// Seconds from proposing parameters to applying them: as few as allowed.
pub const TIMELOCK_SECS: u32 = 2 * 86_400;

/// The program and its accounts, whatever executes them. `None` for an account that does not exist.
pub trait Program {
    /// A copy that goes its own way from here on.
    fn fork(&self) -> Self;
    /// Executes an action. Returns the error code if it is refused; then nothing has changed.
    fn send(&mut self, action: &Action) -> Result<(), u32>;
    fn set_time(&mut self, now: i64);
    /// Rent of each kind of account; zeros if it has no lamports.
    fn rents(&self) -> Rents;

    fn key(&self, who: Who) -> Pubkey;
    fn supplier_address(&self, who: Who) -> Pubkey;

    fn market(&self) -> Option<Market>;
    fn supplier(&self, who: Who) -> Option<Supplier>;
    fn keeper(&self, who: Who) -> Option<Keeper>;
    fn board(&self, index: u32) -> Option<(Box<Board>, Vec<Slot>)>;
    fn lease(&self, id: LeaseId) -> Option<Lease>;

    /// Payment and stake tokens of a wallet.
    fn tokens(&self, who: Who) -> (u64, u64);
    fn payment_vault(&self, board: u32) -> u64;
    fn stake_vault(&self) -> u64;
    /// Payment and stake tokens of all wallets and vaults.
    fn supplies(&self) -> (u64, u64);

    /// The first difference that only this program has, such as lamports.
    fn compare_more(&self, _model: &super::Model) -> super::compare::Compared {
        Ok(())
    }

    /// The first invariant that the state, or its change since the last call, breaks.
    fn invariants(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Number of accounts of the program, vaults aside.
    fn accounts(&self) -> usize;
}
