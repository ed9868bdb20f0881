//! Mints of Token-2022, and extra tokens.

use anchor_spl::token_2022::spl_token_2022::{
    self,
    extension::{ExtensionType, metadata_pointer},
    instruction as token,
    state::Mint,
};
use leasehold_client::MarketRef;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_system_interface::instruction::create_account;

use crate::World;

/// Bytes reserved for a mint's metadata.
const METADATA: usize = 400;

impl World {
    /// A new Token-2022 mint. `extend` returns the instructions that initialise its extensions; the faucet is mint
    /// and freeze authority.
    pub fn create_mint_2022(
        &mut self,
        extensions: &[ExtensionType],
        extend: impl FnOnce(&Pubkey) -> Vec<Instruction>,
    ) -> Pubkey {
        let space =
            ExtensionType::try_calculate_account_len::<Mint>(extensions).expect("extensions of a mint");
        self.create_mint_of_len(space, extend)
    }

    /// Like [`World::create_mint_2022`], for an account of `space` bytes.
    pub fn create_mint_of_len(
        &mut self,
        space: usize,
        extend: impl FnOnce(&Pubkey) -> Vec<Instruction>,
    ) -> Pubkey {
        let (mint, faucet) = (self.key(), self.faucet.insecure_clone());
        let (key, program) = (mint.pubkey(), spl_token_2022::ID);
        let rent = self.svm.minimum_balance_for_rent_exemption(space + METADATA);
        let mut instructions = vec![create_account(&faucet.pubkey(), &key, rent, space as u64, &program)];
        instructions.extend(extend(&key));
        let authority = faucet.pubkey();
        let init = token::initialize_mint2(&program, &key, &authority, Some(&authority), 6);
        instructions.push(init.expect("valid mint"));
        self.ok(&instructions, &[&faucet, &mint]);
        key
    }

    /// A new Token-2022 mint that carries its own metadata.
    pub fn create_mint_with_metadata(&mut self) -> Pubkey {
        let program = spl_token_2022::ID;
        let mint = self.create_mint_2022(&[ExtensionType::MetadataPointer], |mint| {
            vec![metadata_pointer::instruction::initialize(&program, mint, None, Some(*mint)).expect("valid")]
        });
        let faucet = self.faucet.insecure_clone();
        let authority = faucet.pubkey();
        let describe = spl_token_metadata_interface::instruction::initialize(
            &program,
            &mint,
            &authority,
            &mint,
            &authority,
            "A dollar".into(),
            "USD".into(),
            "https://example.com/usd.json".into(),
        );
        self.ok(&[describe], &[&faucet]);
        mint
    }

    /// A token account of `owner` that is not the associated one.
    pub fn token_account(&mut self, mint: &Pubkey, owner: &Pubkey) -> Pubkey {
        let (account, faucet) = (self.key(), self.faucet.insecure_clone());
        let space = 165;
        let rent = self.svm.minimum_balance_for_rent_exemption(space);
        let program = spl_token_interface::ID;
        let create = create_account(&faucet.pubkey(), &account.pubkey(), rent, space as u64, &program);
        let init = token::initialize_account3(&program, &account.pubkey(), mint, owner);
        self.ok(&[create, init.expect("valid account")], &[&faucet, &account]);
        account.pubkey()
    }

    /// Gives a wallet all payment tokens that can still be minted.
    pub fn make_rich(&mut self, wallet: &Pubkey) {
        let (mint, program) = (self.market.payment_mint, self.market.payment_token_program);
        let data = self.data(&mint);
        let supply = u64::from_le_bytes(data[36..44].try_into().expect("eight bytes"));
        let (faucet, account) = (self.faucet.insecure_clone(), self.market.payment_account(wallet));
        let rest = token::mint_to(&program, &mint, &account, &faucet.pubkey(), &[], u64::MAX - supply);
        self.ok(&[rest.expect("valid amount")], &[&faucet]);
    }

    /// Mints stake tokens for a wallet.
    pub fn mint_stake(&mut self, wallet: &Pubkey, amount: u64) {
        let (mint, program) = (self.market.stake_mint, self.market.stake_token_program);
        let (faucet, account) = (self.faucet.insecure_clone(), self.market.stake_account(wallet));
        let stake = token::mint_to(&program, &mint, &account, &faucet.pubkey(), &[], amount);
        self.ok(&[stake.expect("valid amount")], &[&faucet]);
    }

    /// Uses a Token-2022 mint for the payments of a market that is not created yet.
    pub fn pay_in_2022(&mut self, mint: Pubkey) {
        let market = self.market;
        self.market = MarketRef::new(market.id, mint, market.stake_mint)
            .with_token_programs(spl_token_2022::ID, market.stake_token_program);
    }
}
