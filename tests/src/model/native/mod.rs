//! The program's rules on plain structs, without a virtual machine: what the handlers do, but for accounts, rent and
//! signatures. Thousands of sequences a minute.

mod board;
mod lease;
mod run;

use std::collections::BTreeMap;

use anchor_lang::error::Error;
use leasehold::{
    error::LeaseholdError,
    math::add32,
    state::{Board, Keeper, Lease, Market, Params, RoundRules, Slot, StakeLedger, Supplier},
};
use solana_pubkey::Pubkey;

use super::{AUTHORITY, Action, LeaseId, Program, Rents, Who, everybody};

/// Why an instruction is refused.
pub enum Failure {
    Program(Error),
    /// A required account does not exist.
    Missing,
    /// The account to create exists.
    Exists,
    /// A wallet has too few tokens.
    Tokens,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Program(error.into())
    }
}

impl Failure {
    /// The code with which the compiled program refuses.
    fn code(self) -> u32 {
        match self {
            Failure::Program(Error::AnchorError(error)) => error.error_code_number,
            Failure::Program(Error::ProgramError(error)) => panic!("{error}"),
            Failure::Missing => 3_012,
            Failure::Exists => 0,
            Failure::Tokens => 1,
        }
    }
}

pub type Done<T = ()> = Result<T, Failure>;

/// A market, its boards and its suppliers.
type Parts<'a> = (&'a mut Market, &'a mut BTreeMap<u32, Home>, &'a mut BTreeMap<Who, Supplier>);

/// A board and its payment vault.
#[derive(Clone)]
pub struct Home {
    pub board: Box<Board>,
    pub slots: Vec<Slot>,
    pub vault: u64,
}

/// A market and its accounts.
#[derive(Clone)]
pub struct Native {
    pub now: i64,
    pub market: Option<Market>,
    pub suppliers: BTreeMap<Who, Supplier>,
    pub keepers: BTreeMap<Who, Keeper>,
    pub boards: BTreeMap<u32, Home>,
    pub leases: BTreeMap<LeaseId, Lease>,
    /// Payment and stake tokens.
    pub wallets: BTreeMap<Who, (u64, u64)>,
    pub stake_vault: u64,
}

fn require(holds: bool, error: LeaseholdError) -> Done {
    if holds { Ok(()) } else { Err(error.into()) }
}

/// An address that nothing else has.
fn address(kind: u8, number: u8, nonce: u64) -> Pubkey {
    let mut bytes = [kind; 32];
    bytes[1] = number;
    bytes[8..16].copy_from_slice(&nonce.to_le_bytes());
    Pubkey::new_from_array(bytes)
}

impl Native {
    /// A new market of [`AUTHORITY`], without boards; everybody has so many tokens.
    pub fn new(rules: RoundRules, params: Params, now: i64, tokens: (u64, u64)) -> Self {
        let authority = key(AUTHORITY);
        let market = Market {
            version: Market::VERSION,
            bump: 0,
            stake_vault_bump: 0,
            paused: false,
            id: 1,
            genesis: [7; 32],
            authority,
            pending_authority: None,
            payment_mint: address(2, 0, 0),
            stake_mint: address(2, 1, 0),
            next_board: 0,
            boards: 0,
            members: 0,
            timelock_secs: super::TIMELOCK_SECS,
            rules,
            params,
            pending_params: None,
            reserved: [0; 64],
        };
        Native {
            now,
            market: Some(market),
            suppliers: BTreeMap::new(),
            keepers: BTreeMap::new(),
            boards: BTreeMap::new(),
            leases: BTreeMap::new(),
            wallets: everybody().map(|who| (who, tokens)).collect(),
            stake_vault: 0,
        }
    }

    fn market_mut(&mut self) -> Done<&mut Market> {
        self.market.as_mut().ok_or(Failure::Missing)
    }

    /// The parts of the market that most instructions need at once.
    fn parts(&mut self) -> Done<Parts<'_>> {
        Ok((self.market.as_mut().ok_or(Failure::Missing)?, &mut self.boards, &mut self.suppliers))
    }

    fn home(&mut self, board: u32) -> Done<&mut Home> {
        self.boards.get_mut(&board).ok_or(Failure::Missing)
    }

    /// A lease with its board.
    fn lease_at_home(&mut self, id: LeaseId) -> Done<(&mut Home, &mut Lease)> {
        let lease = self.leases.get_mut(&id).ok_or(Failure::Missing)?;
        Ok((self.boards.get_mut(&id.board).ok_or(Failure::Missing)?, lease))
    }

    /// Moves payment tokens from a wallet to a board's vault.
    fn take_payments(&mut self, by: Who, board: u32, amount: u64) -> Done {
        let wallet = self.wallets.get_mut(&by).ok_or(Failure::Missing)?;
        wallet.0 = wallet.0.checked_sub(amount).ok_or(Failure::Tokens)?;
        self.home(board)?.vault += amount;
        Ok(())
    }

    fn give_payments(&mut self, to: Who, board: u32, amount: u64) -> Done {
        let vault = &mut self.home(board)?.vault;
        *vault = vault.checked_sub(amount).ok_or(Failure::Tokens)?;
        self.wallets.get_mut(&to).ok_or(Failure::Missing)?.0 += amount;
        Ok(())
    }

    fn take_stake(&mut self, by: Who, amount: u64) -> Done {
        let wallet = self.wallets.get_mut(&by).ok_or(Failure::Missing)?;
        wallet.1 = wallet.1.checked_sub(amount).ok_or(Failure::Tokens)?;
        self.stake_vault += amount;
        Ok(())
    }

    fn give_stake(&mut self, to: Who, amount: u64) -> Done {
        self.stake_vault = self.stake_vault.checked_sub(amount).ok_or(Failure::Tokens)?;
        self.wallets.get_mut(&to).ok_or(Failure::Missing)?.1 += amount;
        Ok(())
    }

    fn join(&mut self) -> Done {
        let market = self.market_mut()?;
        market.members = add32(market.members, 1)?;
        Ok(())
    }
}

pub(super) fn key(who: Who) -> Pubkey {
    address(1, who.0, 0)
}

fn supplier_address(who: Who) -> Pubkey {
    address(3, who.0, 0)
}

fn board_address(index: u32) -> Pubkey {
    address(4, 0, index.into())
}

fn new_supplier(who: Who) -> Supplier {
    Supplier {
        version: Supplier::VERSION,
        bump: 0,
        market: Pubkey::default(),
        authority: key(who),
        stake: StakeLedger::default(),
        machines: 0,
        reserved: [0; 96],
    }
}

fn new_keeper(who: Who) -> Keeper {
    Keeper {
        version: Keeper::VERSION,
        bump: 0,
        market: Pubkey::default(),
        authority: key(who),
        stake: StakeLedger::default(),
        locked: 0,
        seats: 0,
        reserved: [0; 64],
    }
}

impl Program for Native {
    fn fork(&self) -> Self {
        self.clone()
    }

    fn send(&mut self, action: &Action) -> Result<(), u32> {
        let mut after = self.clone();
        after.run(action).map_err(Failure::code)?;
        *self = after;
        Ok(())
    }

    fn set_time(&mut self, now: i64) {
        self.now = now;
    }

    fn rents(&self) -> Rents {
        Rents::default()
    }

    fn key(&self, who: Who) -> Pubkey {
        key(who)
    }

    fn supplier_address(&self, who: Who) -> Pubkey {
        supplier_address(who)
    }

    fn market(&self) -> Option<Market> {
        self.market.clone()
    }

    fn supplier(&self, who: Who) -> Option<Supplier> {
        self.suppliers.get(&who).cloned()
    }

    fn keeper(&self, who: Who) -> Option<Keeper> {
        self.keepers.get(&who).cloned()
    }

    fn board(&self, index: u32) -> Option<(Box<Board>, Vec<Slot>)> {
        self.boards.get(&index).map(|home| (home.board.clone(), home.slots.clone()))
    }

    fn lease(&self, id: LeaseId) -> Option<Lease> {
        self.leases.get(&id).cloned()
    }

    fn tokens(&self, who: Who) -> (u64, u64) {
        self.wallets.get(&who).copied().unwrap_or_default()
    }

    fn payment_vault(&self, board: u32) -> u64 {
        self.boards.get(&board).map_or(0, |home| home.vault)
    }

    fn stake_vault(&self) -> u64 {
        self.stake_vault
    }

    fn supplies(&self) -> (u64, u64) {
        let vaults: u64 = self.boards.values().map(|home| home.vault).sum();
        let sums = self.wallets.values().fold((0, 0), |sum, wallet| (sum.0 + wallet.0, sum.1 + wallet.1));
        (sums.0 + vaults, sums.1 + self.stake_vault)
    }

    fn accounts(&self) -> usize {
        let members = self.suppliers.len() + self.keepers.len();
        members + self.boards.len() + self.leases.len() + usize::from(self.market.is_some())
    }
}
