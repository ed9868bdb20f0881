//! Mints and balances, from accounts of the two token programs.

use anchor_spl::token_2022::spl_token_2022::{
    extension::StateWithExtensions,
    state::{Account as TokenState, Mint},
};
use solana_pubkey::Pubkey;

use super::{Fetch, FetchError, Raw};

/// Properties of a mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintInfo {
    pub decimals: u8,
    /// The token program that owns the mint.
    pub token_program: Pubkey,
    /// May freeze token accounts, vaults included; `None` if nobody may.
    pub freeze_authority: Option<Pubkey>,
}

impl Fetch<'_> {
    /// Balance of a token account in base units; `None` if it doesn't exist.
    pub async fn balance(&self, address: Pubkey) -> Result<Option<u64>, FetchError> {
        self.raw(address).await?.map(|raw| raw.token_balance()).transpose()
    }

    /// A mint, of either token program.
    ///
    /// # Errors
    /// [`FetchError::Missing`], [`FetchError::Token`] or [`FetchError::Rpc`].
    pub async fn mint(&self, address: Pubkey) -> Result<MintInfo, FetchError> {
        self.existing(address).await?.mint()
    }
}

impl Raw {
    fn mint(&self) -> Result<MintInfo, FetchError> {
        self.require_token_program()?;
        let state = StateWithExtensions::<Mint>::unpack(&self.data);
        let mint = state.map_err(|_| FetchError::Token { address: self.address })?.base;
        Ok(MintInfo {
            decimals: mint.decimals,
            token_program: self.owner,
            freeze_authority: mint.freeze_authority.into(),
        })
    }

    /// Any program can own accounts that decode as mints or token accounts.
    fn require_token_program(&self) -> Result<(), FetchError> {
        let known = [anchor_spl::token::ID, anchor_spl::token_2022::ID].contains(&self.owner);
        if known { Ok(()) } else { Err(FetchError::Token { address: self.address }) }
    }

    pub(super) fn token_balance(&self) -> Result<u64, FetchError> {
        self.require_token_program()?;
        let state = StateWithExtensions::<TokenState>::unpack(&self.data);
        Ok(state.map_err(|_| FetchError::Token { address: self.address })?.base.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_accounts_of_the_token_programs_are_mints() {
        let mut data = vec![0; 82];
        (data[44], data[45]) = (6, 1); // decimals, initialized
        let raw =
            |owner| Raw { address: Pubkey::new_from_array([7; 32]), owner, lamports: 1, data: data.clone() };
        for program in [anchor_spl::token::ID, anchor_spl::token_2022::ID] {
            let expected = MintInfo { decimals: 6, token_program: program, freeze_authority: None };
            assert_eq!(raw(program).mint().unwrap(), expected);
        }
        assert!(matches!(raw(leasehold::ID).mint(), Err(FetchError::Token { .. })));
        let mut frozen = raw(anchor_spl::token::ID);
        frozen.data[46] = 1;
        frozen.data[50..82].fill(9);
        assert_eq!(frozen.mint().unwrap().freeze_authority, Some(Pubkey::new_from_array([9; 32])));
    }
}
