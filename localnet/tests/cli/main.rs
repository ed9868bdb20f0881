//! The command line, transcript by transcript, as a process against a local network.
//!
//! `TRYCMD=overwrite cargo nextest run -p leasehold-localnet --test cli` writes what was printed into the
//! transcripts, to be read before it is kept; what differs in every run is then to be replaced by `[..]`.

mod question;
mod stage;

use stage::Stage;

/// A supplier's whole life, and a buyer's beside it: each goes on where the other has left the board.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_and_a_buyer_from_the_first_stake_to_the_last_claim() {
    let stage = Stage::new(&["supplier", "buyer", "friend"]).await;
    stage.play("supplier/1-registers", "supplier");
    stage.play("supplier/2-lists", "supplier");
    stage.play("buyer/1-asks", "buyer");
    stage.play("supplier/3-reprices", "supplier");
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
    stage.pass(150).await;
    stage.play("buyer/7-closes", "buyer");
    stage.play("supplier/5-leaves", "supplier");
    stage.pass(15 * 144).await;
    stage.play("supplier/6-is-paid", "supplier");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_is_made_paused_changed_and_handed_over() {
    let stage = Stage::new(&["stranger", "buyer"]).await;
    stage.play("operator/1-market", "authority");
    stage.play("operator/2-strangers", "stranger");
    stage.play("operator/3-parameters", "authority");
    stage.pass(1).await;
    stage.play("operator/4-applies", "stranger");
    stage.play("operator/5-hands-over", "authority");
    stage.play("operator/6-takes-over", "buyer");
    stage.play("operator/7-boards", "stranger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_registers_bonds_and_leaves() {
    let stage = Stage::new(&["keeper"]).await;
    stage.play("keeper/1-registers", "keeper");
    stage.play("keeper/2-exits", "keeper");
    stage.pass(15 * 144).await;
    stage.play("keeper/3-is-paid", "keeper");
}
