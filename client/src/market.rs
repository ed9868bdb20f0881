//! References to a market and a board, as instruction builders take them.

use leasehold::state::Market;
use solana_pubkey::Pubkey;

use crate::address;

/// A market, with all that instructions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketRef {
    pub address: Pubkey,
    pub id: u64,
    pub payment_mint: Pubkey,
    pub stake_mint: Pubkey,
    /// Token programs of the mints: the owners of the mints' accounts.
    pub payment_token_program: Pubkey,
    pub stake_token_program: Pubkey,
}

impl MarketRef {
    /// A market that exists or is to be created, with two mints of the classic token program.
    pub fn new(id: u64, payment_mint: Pubkey, stake_mint: Pubkey) -> Self {
        MarketRef {
            address: address::market(id),
            id,
            payment_mint,
            stake_mint,
            payment_token_program: anchor_spl::token::ID,
            stake_token_program: anchor_spl::token::ID,
        }
    }

    /// The same market with these token programs for its mints.
    pub fn with_token_programs(self, payment: Pubkey, stake: Pubkey) -> Self {
        MarketRef { payment_token_program: payment, stake_token_program: stake, ..self }
    }

    /// The market of a decoded account, with these token programs for its mints.
    pub fn of(
        address: Pubkey,
        market: &Market,
        payment_token_program: Pubkey,
        stake_token_program: Pubkey,
    ) -> Self {
        MarketRef {
            address,
            id: market.id,
            payment_mint: market.payment_mint,
            stake_mint: market.stake_mint,
            payment_token_program,
            stake_token_program,
        }
    }

    /// One of the market's boards, or the one to be created next.
    pub fn board(&self, index: u32) -> BoardRef {
        BoardRef { address: address::board(&self.address, index), index, market: *self }
    }

    /// The board that `create_board` creates next, according to the market's account.
    pub fn next_board(&self, market: &Market) -> BoardRef {
        self.board(market.next_board)
    }

    pub fn stake_vault(&self) -> Pubkey {
        address::stake_vault(&self.address)
    }

    /// Account of the supplier with that wallet.
    pub fn supplier(&self, authority: &Pubkey) -> Pubkey {
        address::supplier(&self.address, authority)
    }

    /// Account of the keeper with that wallet.
    pub fn keeper(&self, authority: &Pubkey) -> Pubkey {
        address::keeper(&self.address, authority)
    }

    /// A wallet's associated token account for payments.
    pub fn payment_account(&self, owner: &Pubkey) -> Pubkey {
        address::token_account(owner, &self.payment_mint, &self.payment_token_program)
    }

    /// A wallet's associated token account for stake.
    pub fn stake_account(&self, owner: &Pubkey) -> Pubkey {
        address::token_account(owner, &self.stake_mint, &self.stake_token_program)
    }
}

/// A board, with all that instructions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardRef {
    pub address: Pubkey,
    pub index: u32,
    pub market: MarketRef,
}

impl BoardRef {
    pub fn payment_vault(&self) -> Pubkey {
        address::payment_vault(&self.address)
    }

    /// Address of the lease that `buyer` opens, or opened, on this board under the number `nonce`.
    pub fn lease(&self, buyer: &Pubkey, nonce: u64) -> Pubkey {
        address::lease(&self.address, buyer, nonce)
    }
}
