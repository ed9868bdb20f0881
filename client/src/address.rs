//! Addresses of the program's accounts.
//!
//! Every function searches for the canonical bump, which costs some microseconds: keep addresses that are needed often.

use leasehold::constants::{
    BOARD_SEED, DEMAND_SEED, INDEX_SEED, KEEPER_SEED, LEASE_SEED, LOG_SEED, MARKET_SEED, PAYMENT_VAULT_SEED,
    PROFILES_SEED, STAKE_VAULT_SEED, SUPPLIER_SEED,
};
use solana_pubkey::Pubkey;

fn find(seeds: &[&[u8]]) -> Pubkey {
    Pubkey::find_program_address(seeds, &leasehold::ID).0
}

/// A market by its number.
pub fn market(id: u64) -> Pubkey {
    find(&[MARKET_SEED, &id.to_le_bytes()])
}

/// Token account that holds all stake of a market.
pub fn stake_vault(market: &Pubkey) -> Pubkey {
    find(&[STAKE_VAULT_SEED, market.as_ref()])
}

/// Account of the supplier whose wallet is `authority`.
pub fn supplier(market: &Pubkey, authority: &Pubkey) -> Pubkey {
    find(&[SUPPLIER_SEED, market.as_ref(), authority.as_ref()])
}

/// A market's board; the first has index 0.
pub fn board(market: &Pubkey, index: u32) -> Pubkey {
    find(&[BOARD_SEED, market.as_ref(), &index.to_le_bytes()])
}

/// Token account that holds the payments of a board.
pub fn payment_vault(board: &Pubkey) -> Pubkey {
    find(&[PAYMENT_VAULT_SEED, board.as_ref()])
}

/// Account of the keeper whose wallet is `authority`.
pub fn keeper(market: &Pubkey, authority: &Pubkey) -> Pubkey {
    find(&[KEEPER_SEED, market.as_ref(), authority.as_ref()])
}

/// The lease that `buyer` opened, or opens, on a board under the number `nonce`.
pub fn lease(board: &Pubkey, buyer: &Pubkey, nonce: u64) -> Pubkey {
    find(&[LEASE_SEED, board.as_ref(), buyer.as_ref(), &nonce.to_le_bytes()])
}

/// Descriptions of a supplier's machines, by the address of its account.
pub fn profiles(supplier: &Pubkey) -> Pubkey {
    find(&[PROFILES_SEED, supplier.as_ref()])
}

/// Price index of a hardware class on a board.
pub fn index(board: &Pubkey, class: u16) -> Pubkey {
    find(&[INDEX_SEED, board.as_ref(), &class.to_le_bytes()])
}

/// Compute log of a supplier, by the address of its account.
pub fn log(supplier: &Pubkey) -> Pubkey {
    find(&[LOG_SEED, supplier.as_ref()])
}

/// Demand to show the receipt with that id in the log.
pub fn demand(id: &[u8; 32]) -> Pubkey {
    find(&[DEMAND_SEED, id])
}

/// Signer of the program's events.
pub fn event_authority() -> Pubkey {
    find(&[b"__event_authority"])
}

/// A wallet's associated token account: the only account that a claim made by another wallet is paid to.
pub fn token_account(owner: &Pubkey, mint: &Pubkey, token_program: &Pubkey) -> Pubkey {
    anchor_spl::associated_token::get_associated_token_address_with_program_id(owner, mint, token_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_accounts_share_an_address() {
        let (one, two) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
        let mut all = vec![
            market(0),
            market(1),
            stake_vault(&one),
            supplier(&one, &two),
            supplier(&two, &one),
            board(&one, 0),
            board(&one, 1),
            payment_vault(&one),
            keeper(&one, &two),
            lease(&one, &two, 1),
            lease(&one, &two, 2),
            lease(&two, &one, 1),
            profiles(&one),
            index(&one, 0),
            index(&one, 1),
            log(&one),
            log(&two),
            demand(&[1; 32]),
            event_authority(),
        ];
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
