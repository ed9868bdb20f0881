//! The first market, created by the program's own instructions.

use leasehold_client::instruction;
use leasehold_localnet::{Genesis, Network, Options, open_market, program};

#[tokio::test]
async fn a_market_and_its_board_are_opened() {
    let options = Options { program: Some(program().expect("the program")), ..Options::default() };
    let network = Network::start(options).await.expect("a network");
    let market = open_market(&network, Genesis::new(10).committee(5, 3)).await.expect("a market");

    let rpc = network.rpc();
    for address in [market.address, market.board(0).address] {
        assert_eq!(rpc.get_account(&address).await.expect("an account").owner, leasehold::ID);
    }
    for (vault, mint) in [
        (market.stake_vault(), network.stake_mint()),
        (market.board(0).payment_vault(), network.payment_mint()),
    ] {
        let vault = rpc.get_token_account(&vault).await.expect("an answer").expect("a token account");
        assert_eq!(vault.mint, mint.to_string());
        assert_eq!(vault.token_amount.amount, "0");
    }

    // The real program answers, with an error code of its own.
    let sender = network.sender();
    let again = instruction::create_board(&market.board(0), sender.payer());
    let error = sender.send(&[again], &[]).await.expect_err("the board exists");
    assert!(error.code().is_some(), "{error}");
}
