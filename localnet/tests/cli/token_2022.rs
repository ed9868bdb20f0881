//! Token-2022 mints, and tokens of them.

use anchor_spl::token_2022::spl_token_2022;
use leasehold_localnet::Network;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_system_interface::instruction::create_account;
use spl_associated_token_account_interface::{
    address::get_associated_token_address_with_program_id,
    instruction::create_associated_token_account_idempotent,
};

use crate::stage::wallet;

/// Decimals of both mints; they differ from those of the local network's own mints.
const DECIMALS: [(&str, u8); 2] = [("payments of Token-2022", 2), ("stake of Token-2022", 0)];
const MINT_BYTES: usize = 82;

/// Creates both mints and gives each person 100,000 base units of both.
pub async fn mint(network: &Network, people: &[&str]) {
    let (program, sender) = (spl_token_2022::ID, network.sender());
    let payer = sender.payer();
    let rent = network.rpc().get_minimum_balance_for_rent_exemption(MINT_BYTES).await.expect("the rent");
    for (name, decimals) in DECIMALS {
        let mint: Keypair = wallet(name);
        let key: Pubkey = mint.pubkey();
        let space = u64::try_from(MINT_BYTES).expect("a length");
        let made = spl_token_2022::instruction::initialize_mint2(&program, &key, &payer, None, decimals);
        let instructions = [create_account(&payer, &key, rent, space, &program), made.expect("a mint")];
        sender.send(&instructions, &[&mint]).await.expect("a mint");
        for owner in people.iter().map(|name| wallet(name).pubkey()) {
            let account = get_associated_token_address_with_program_id(&owner, &key, &program);
            let tokens = spl_token_2022::instruction::mint_to(&program, &key, &account, &payer, &[], 100_000);
            let create = create_associated_token_account_idempotent(&payer, &owner, &key, &program);
            sender.send(&[create, tokens.expect("tokens")], &[]).await.expect("tokens");
        }
    }
}
