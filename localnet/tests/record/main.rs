//! A metered lease from the first answer to the last voucher: the node appends batches, survives a crash, redeems
//! vouchers and answers demands; an archive proves receipts.

mod command_line;
mod world;

use std::{net::Ipv4Addr, path::Path, time::Duration};

use leasehold::{
    constants::RECORD_SECS,
    state::{LeaseState, SKIP},
};
use leasehold_archive::{Archive, ArchiveSettings};
use leasehold_client::{
    address, instruction,
    record::{Proof, SignedReceipt},
};
use leasehold_node::receipts::store::BatchState;
use solana_signer::Signer;

use crate::world::{PRICE, ROUND_SECS, World, wait};

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_a_metered_lease_are_logged_paid_for_demanded_and_proved() {
    let world = World::new().await;
    let node = world.start("log.db").await;
    // Its database is younger than the lease: without a lane it can't know which numbers may have been signed.
    world.open_log().await;
    node.await_lease().await;
    let mut signed = node.answer(10).await;
    world.await_receipts(10).await;

    // Killed right after batches were sealed: transactions that append them may be in flight.
    let count = async || {
        let store = node.receipts.store();
        let [sealed, posted] = [BatchState::Sealed, BatchState::Posted].map(|state| store.batches(state));
        sealed.await.expect("batches").len() + posted.await.expect("batches").len()
    };
    for _ in 0..3 {
        let before = count().await;
        signed.extend(node.answer(5).await);
        wait("another batch is sealed", async || count().await > before).await;
    }
    node.kill().await;
    let node = world.start("log.db").await;
    node.await_lease().await;
    signed.extend(node.answer(5).await);
    world.await_receipts(30).await;
    assert!(signed.iter().enumerate().all(|(number, signed)| signed.receipt.seq == SKIP + number as u64));
    let posted = async || node.receipts.store().batches(BatchState::Posted).await.expect("batches");
    let (batches, _) = world.logged().await;
    wait("the node knows the index of every batch", async || posted().await.len() as u64 == batches).await;
    let mut places: Vec<_> = posted().await.iter().map(|batch| batch.log_index.expect("a place")).collect();
    places.sort_unstable();
    assert_eq!(places, (0..batches).collect::<Vec<_>>(), "every batch is in the log once");

    // Vouchers.
    node.pay(&world, 10).await;
    let paid = async |sum: u64| world.lease().await.meter.expect("a meter").paid == sum;
    wait("the voucher is redeemed", async || paid(10 * PRICE).await).await;
    node.pay(&world, 30).await;
    wait("the next voucher is redeemed", async || paid(30 * PRICE).await).await;
    assert_eq!(world.lease().await.meter.expect("a meter").seq, SKIP + 30);

    // A receipt is demanded; the node has lost the log's headers.
    node.stop().await;
    // While the network's clock is this host's.
    command_line::token(&world).await;
    world
        .network
        .advance(Duration::from_secs(u64::from(RECORD_SECS + 2 * ROUND_SECS)))
        .await
        .expect("the time");
    let wanted = &signed[17];
    let (lease, id) = (world.lease_address(), wanted.id());
    command_line::demand(&world, wanted).await;
    assert_eq!(world.lease().await.demands, 1);
    let node = world.start("fresh.db").await;
    wait("the demand is answered", async || world.lease().await.demands == 0).await;
    let gone = world.fetch().demand(address::demand(&id)).await.expect("an answer");
    assert!(gone.is_none());

    // An archive that is given nothing but the RPC address.
    let archive = Archive::start(ArchiveSettings {
        rpc: world.network.rpc_url().to_owned(),
        db: format!("sqlite:{}", world.folder.path().join("archive.db").display()),
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        logs: vec![],
        allow_private: true,
        poll: std::num::NonZeroU32::MIN,
        metrics: None,
        max_log_gib: std::num::NonZeroU32::MIN,
        max_gib: std::num::NonZeroU32::MIN,
    });
    let archive = archive.await.expect("an archive");
    let account = world.network.rpc().get_account_data(&world.log()).await.expect("the log");
    for signed in [&signed[0], &signed[17], &signed[29]] {
        let proof = prove(&archive, signed).await;
        assert_eq!(proof.verify(&account).expect("it holds").id, signed.id());
        assert_eq!(proof.receipt, *signed);
    }
    command_line::prove(&world, &archive, &signed[0]).await;
    archive.shutdown().await;

    // The database is lost in mid-lease, with receipts that are in no batch yet: no number is signed twice.
    signed.extend(node.answer(3).await);
    node.kill().await;
    world.lose_database();
    let node = world.start("log.db").await;
    node.await_lease().await;
    let later = node.answer(5).await;
    let last = signed.iter().map(|signed| signed.receipt.seq).max().expect("some");
    assert!(later.iter().all(|signed| signed.receipt.seq > last), "{last}");
    let lane = async || {
        let log = world.fetch().log(world.log()).await.expect("an answer").expect("the log");
        *log.account.lane(0, 0).expect("a lane")
    };
    let next = later[4].receipt.seq + 1;
    wait("the receipts after the gap are in the log", async || lane().await.next_seq == next).await;

    // After notice, a voucher is redeemed at once.
    node.pay(&world, 31).await;
    wait("the last voucher is redeemed", async || paid(31 * PRICE).await).await;
    let notice = instruction::give_notice(&world.board(), world.buyer.pubkey(), lease, None);
    world.send(&world.buyer, &[notice]).await;
    node.pay(&world, 32).await;
    wait("a voucher is redeemed after notice", async || paid(32 * PRICE).await).await;
    assert_eq!(world.lease().await.state, LeaseState::Cancelled);
    node.stop().await;
    assert!(Path::new(&world.folder.path().join("fresh.db")).is_file());
    command_line::convict(&world, &signed[29]).await;
}

async fn prove(archive: &Archive, signed: &SignedReceipt) -> Proof {
    let url = format!("http://{}/v1/proofs/{}", archive.local_addr(), hex::encode(signed.id()));
    let mut found = None;
    wait("the archive has the receipt", async || {
        let answer = reqwest::get(&url).await.expect("an answer");
        if answer.status().is_success() {
            found = Some(answer.json::<Proof>().await.expect("a proof"));
        }
        found.is_some()
    })
    .await;
    found.expect("a proof")
}
