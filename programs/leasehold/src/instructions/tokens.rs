use anchor_lang::prelude::*;
use anchor_spl::{
    associated_token::get_associated_token_address_with_program_id,
    token_2022::spl_token_2022::{
        self,
        extension::{BaseStateWithExtensions, ExtensionType, StateWithExtensions},
    },
    token_interface::{self, Mint, TokenAccount, TokenInterface},
};

use crate::{
    constants::{PAYMENT_VAULT_SEED, STAKE_VAULT_SEED},
    error::LeaseholdError,
    state::{Board, Market},
};

/// Tokens that move between a wallet's account and a vault.
#[derive(Accounts)]
pub struct Tokens<'info> {
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// A board's payment vault or a market's stake vault.
    #[account(mut)]
    pub vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// Where tokens come from or go to.
    #[account(mut)]
    pub wallet: Box<InterfaceAccount<'info, TokenAccount>>,
    pub token_program: Interface<'info, TokenInterface>,
}

impl<'info> Tokens<'info> {
    /// Refuses anything but a market's stake vault.
    pub fn validate_stake(&self, market: &Account<'info, Market>) -> Result<()> {
        let key = market.key();
        self.validate(&[STAKE_VAULT_SEED, key.as_ref(), &[market.stake_vault_bump]], market.stake_mint)
    }

    /// Refuses anything but a board's payment vault. The board has no record of the mint: the vault has.
    pub fn validate_payment(&self, board_key: &Pubkey, board: &Board) -> Result<()> {
        let seeds: &[&[u8]] = &[PAYMENT_VAULT_SEED, board_key.as_ref(), &[board.vault_bump]];
        self.validate(seeds, self.vault.mint)
    }

    fn validate(&self, vault_seeds: &[&[u8]], mint: Pubkey) -> Result<()> {
        let vault = Pubkey::create_program_address(vault_seeds, &crate::ID)
            .map_err(|_| LeaseholdError::WrongVault)?;
        require_keys_eq!(self.vault.key(), vault, LeaseholdError::WrongVault);
        require_keys_eq!(self.mint.key(), mint, LeaseholdError::WrongMint);
        // That the wallet is not the vault itself, Anchor sees to.
        require_keys_eq!(self.wallet.mint, mint, LeaseholdError::WrongMint);
        Ok(())
    }

    /// The owner is paid where it says; anybody else may only have the owner's associated account paid, as long as it is the
    /// owner's: who was given it by a signature (`SetAuthority`) must not have all later income sent there.
    pub fn validate_claim(&self, signer: &Pubkey, owner: &Pubkey) -> Result<()> {
        if signer == owner {
            return Ok(());
        }
        let account =
            get_associated_token_address_with_program_id(owner, &self.mint.key(), self.token_program.key);
        require_keys_eq!(self.wallet.key(), account, LeaseholdError::WrongDestination);
        require_keys_eq!(self.wallet.owner, *owner, LeaseholdError::WrongDestination);
        Ok(())
    }

    /// From the wallet to the vault.
    pub fn take(&self, authority: &Signer<'info>, amount: u64) -> Result<()> {
        let accounts = token_interface::TransferChecked {
            from: self.wallet.to_account_info(),
            mint: self.mint.to_account_info(),
            to: self.vault.to_account_info(),
            authority: authority.to_account_info(),
        };
        let context = CpiContext::new(self.token_program.key(), accounts);
        token_interface::transfer_checked(context, amount, self.mint.decimals)
    }

    /// From the vault to the wallet, signed by the vault's authority.
    pub fn give(&self, authority: AccountInfo<'info>, seeds: &[&[u8]], amount: u64) -> Result<()> {
        let accounts = token_interface::TransferChecked {
            from: self.vault.to_account_info(),
            mint: self.mint.to_account_info(),
            to: self.wallet.to_account_info(),
            authority,
        };
        let signer = [seeds];
        let context = CpiContext::new_with_signer(self.token_program.key(), accounts, &signer);
        token_interface::transfer_checked(context, amount, self.mint.decimals)
    }

    /// Closes an unused vault: tokens that somebody sent there unasked go to the wallet, rent to `receiver`.
    pub fn close_vault(
        &self,
        authority: AccountInfo<'info>,
        seeds: &[&[u8]],
        receiver: AccountInfo<'info>,
    ) -> Result<()> {
        if self.vault.amount > 0 {
            self.give(authority.clone(), seeds, self.vault.amount)?;
        }
        let accounts = token_interface::CloseAccount {
            account: self.vault.to_account_info(),
            destination: receiver,
            authority,
        };
        let signer = [seeds];
        token_interface::close_account(CpiContext::new_with_signer(
            self.token_program.key(),
            accounts,
            &signer,
        ))
    }
}

/// Refuses mints under which a vault's balance could change behind the ledger's back.
///
/// Classic mints pass. Of Token-2022's extensions only metadata does.
pub fn validate_mint(mint: &AccountInfo) -> Result<()> {
    if *mint.owner != spl_token_2022::ID {
        return Ok(());
    }
    let data = mint.try_borrow_data()?;
    let state = StateWithExtensions::<spl_token_2022::state::Mint>::unpack(&data)?;
    let harmless = |extension: &ExtensionType| {
        matches!(extension, ExtensionType::MetadataPointer | ExtensionType::TokenMetadata)
    };
    // An extension younger than this program can't be read, and is not allowed either.
    let extensions = state.get_extension_types().map_err(|_| LeaseholdError::MintExtension)?;
    require!(extensions.iter().all(harmless), LeaseholdError::MintExtension);
    Ok(())
}
