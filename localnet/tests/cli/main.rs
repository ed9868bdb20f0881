//! The command line as a process against a local network, one transcript after the other.
//!
//! `TRYCMD=overwrite cargo nextest run -p leasehold-localnet --test cli` writes the output into the transcripts.
//! Read it before you commit it, and replace parts that differ in every run by `[..]`.

mod bot;
mod completeness;
mod guides;
#[cfg(unix)]
mod shell;
mod stage;
mod terminal;
mod token_2022;

use leasehold_client::MarketRef;
use stage::Stage;

/// Rounds of a day.
const DAY: u32 = 144;

/// A supplier and a buyer, in turn on the same board.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_and_a_buyer_from_the_first_stake_to_the_last_claim() {
    let stage = Stage::new(&["supplier", "buyer", "friend"]).await;
    stage.play("supplier/1-registers", "supplier");
    stage.play("supplier/2-lists", "supplier");
    stage.play("buyer/0-waits", "buyer");
    stage.pass(1).await;
    stage.vote(1, &[]).await;
    stage.play("buyer/1-asks", "buyer");
    stage.play("supplier/3-reprices", "supplier");
    stage.play("supplier/3-moves", "supplier");
    stage.play("buyer/2-opens", "buyer");
    stage.pass(1).await;
    stage.vote(2, &[0]).await;
    stage.play("buyer/3-changes", "buyer");
    stage.vote(1, &[]).await;
    stage.play("buyer/4-cancels", "buyer");
    stage.vote(2, &[]).await;
    stage.play("buyer/5-settles", "buyer");
    stage.play("supplier/4-forfeits", "supplier");
    stage.vote(20, &[]).await;
    stage.play("buyer/6-friend", "friend");
    stage.play("friend/1-lists", "friend");
    stage.pass(DAY + 6).await;
    stage.play("buyer/7-closes", "buyer");
    stage.play("supplier/5-leaves", "supplier");
    stage.play("friend/2-trims", "friend");
    stage.play("clerk/1-is-paid", stage::CLERK);
    stage.pass(15 * DAY).await;
    stage.play("supplier/6-is-paid", "supplier");
    stage.play("friend/3-closes", "friend");
    stage.play("clerk/2-leaves", stage::CLERK);
    stage.play("operator/9-withdraws", "authority");
    stage.pass(15 * DAY).await;
    stage.play("supplier/7-closes", "supplier");
    stage.play("operator/10-closes", "authority");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_is_created_paused_changed_and_handed_over() {
    let stage = Stage::new(&["stranger", "buyer"]).await;
    stage.play("operator/1-market", "authority");
    stage.play("operator/2-strangers", "stranger");
    stage.play("operator/3-parameters", "authority");
    stage.pass(2 * DAY + 1).await;
    stage.play("operator/4-applies", "stranger");
    stage.play("operator/5-hands-over", "authority");
    stage.play("operator/6-takes-over", "buyer");
    stage.play("operator/7-boards", "stranger");
    stage.play("operator/8-deploys", "stranger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_registers_bonds_and_leaves() {
    let stage = Stage::new(&["keeper"]).await;
    stage.play("keeper/1-registers", "keeper");
    stage.play("keeper/2-seats", "keeper");
    stage.play("keeper/3-exits", "keeper");
    stage.pass(15 * DAY).await;
    stage.play("keeper/4-is-paid", "keeper");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_on_two_boards_is_opened_connected_to_and_ended_as_one() {
    let stage = Stage::new(&["supplier", "buyer"]).await;
    stage.play("group/1-lists", "supplier");
    stage.keep_on(&stage.market.board(1)).await;
    stage.pass(1).await;
    stage.vote(1, &[]).await;
    stage.play("group/2-opens", "buyer");
    stage.pass(1).await;
    stage.vote(1, &[]).await;
    stage.play("group/3-connects", "buyer");
    stage.play("group/4-ends", "buyer");
    stage.vote(3, &[]).await;
    stage.play("group/5-settles", "buyer");
    stage.play("group/6-reprices", "supplier");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metered_lease_is_paid_by_vouchers_and_the_rest_refunded() {
    let stage = Stage::new(&["supplier", "buyer"]).await;
    stage.play("metered/1-lists", "supplier");
    stage.pass(1).await;
    stage.vote(1, &[]).await;
    stage.play("metered/2-opens", "buyer");
    stage.pass(1).await;
    stage.vote(1, &[]).await;
    stage.play("metered/3-pays", "buyer");
    stage.play("metered/4-ends", "buyer");
    stage.vote(8, &[]).await;
    stage.pass(3).await;
    stage.close_rounds(&stage.board()).await;
    stage.play("metered/5-settles", "buyer");
    stage.pass(DAY).await;
    stage.play("metered/6-leaves", "supplier");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_works_with_token_2022_mints() {
    let stage = Stage::new(&["supplier", "buyer"]).await;
    token_2022::mint(&stage.network, &["supplier", "buyer"]).await;
    stage.play("token-2022/1-creates", "supplier");
    stage.play("token-2022/2-leases", "buyer");
    stage.pass(8).await;
    let market = MarketRef::new(3, stage.market.payment_mint, stage.market.stake_mint);
    stage.close_rounds(&market.board(0)).await;
    stage.play("token-2022/3-settles", "buyer");
    stage.play("token-2022/4-unstakes", "supplier");
}
