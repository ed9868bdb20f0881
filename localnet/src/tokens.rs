//! Instructions of the token program that create mints and fund wallets.

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_system_interface::instruction::{create_account, transfer};
use spl_associated_token_account_interface::{
    address::get_associated_token_address, instruction::create_associated_token_account_idempotent,
};
use spl_token_interface::instruction::{initialize_mint2, mint_to};

use crate::{error::NetworkError, options::Grant};

/// Serialized length of a classic SPL mint.
pub(crate) const MINT_BYTES: usize = 82;

/// Creates `mint`, which must sign, with `authority` as mint authority and no freeze authority.
pub(crate) fn create_mint(
    payer: &Pubkey,
    mint: &Pubkey,
    authority: &Pubkey,
    decimals: u8,
    rent: u64,
) -> Result<[Instruction; 2], NetworkError> {
    let program = spl_token_interface::ID;
    Ok([
        create_account(payer, mint, rent, MINT_BYTES as u64, &program),
        initialize_mint2(&program, mint, authority, None, decimals)
            .map_err(|error| NetworkError::Start(error.to_string()))?,
    ])
}

/// Transfers lamports of the payer to a wallet and mints tokens into its associated accounts.
pub(crate) fn grant(
    grant: &Grant,
    payer: &Pubkey,
    faucet: &Pubkey,
    mints: [Pubkey; 2],
) -> Result<Vec<Instruction>, NetworkError> {
    let program = spl_token_interface::ID;
    let mut instructions = vec![transfer(payer, &grant.wallet, grant.lamports)];
    for (mint, amount) in mints.iter().zip([grant.payment, grant.stake]) {
        if amount > 0 {
            let account = get_associated_token_address(&grant.wallet, mint);
            instructions.push(create_associated_token_account_idempotent(
                payer,
                &grant.wallet,
                mint,
                &program,
            ));
            instructions.push(
                mint_to(&program, mint, &account, faucet, &[], amount)
                    .map_err(|error| NetworkError::Start(error.to_string()))?,
            );
        }
    }
    Ok(instructions)
}
