//! Sealing: whatever was appended and however it is cut, the batches hold just that.

mod support;

use leasehold::math::sum_tree::climb;
use leasehold_client::record::SignedReceipt;
use leasehold_node::receipts::Store;
use leasehold_node::receipts::store::{BatchKey, NewReceipt, SealedBatch};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use support::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        slot: u32,
        prices: Vec<u64>,
    },
    /// The machine's next lease begins.
    NextLease {
        slot: u32,
    },
    Seal {
        slot: u32,
        most: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0_u32..2;
    prop_oneof![
        4 => (slot.clone(), prop::collection::vec(0_u64..1_000, 1..9))
            .prop_map(|(slot, prices)| Step::Append { slot, prices }),
        1 => slot.clone().prop_map(|slot| Step::NextLease { slot }),
        2 => (slot, 1_u32..12).prop_map(|(slot, most)| Step::Seal { slot, most }),
    ]
}

/// Receipts that each machine signed, in order, by slot.
type Signed = BTreeMap<u32, Vec<SignedReceipt>>;

async fn check(store: &Store, signed: &Signed, batches: &[SealedBatch]) {
    for (slot, receipts) in signed {
        let mut left = receipts.as_slice();
        let (mut number, mut last_ms) = (0, 0);
        for batch in batches.iter().filter(|batch| u32::from(batch.key.machine.slot) == *slot) {
            let header = batch.header;
            let (own, rest) = left.split_at(header.count as usize);
            assert_eq!(batch.key, BatchKey { machine: key(*slot), number });
            assert_eq!(header.number, number);
            assert_eq!(header.node_key, machine(*slot).key.verifying_key().to_bytes());
            assert_eq!(header.source, <[u8; 32]>::from(Sha256::digest("https://a")));
            assert!(own.iter().all(|signed| signed.receipt.lease == header.lease));
            assert_eq!(header.first_seq, own[0].receipt.seq);
            assert_eq!(header.root.units, own.iter().map(|signed| signed.receipt.units).sum::<u64>());
            assert_eq!(header.root.price, own.iter().map(|signed| signed.receipt.price).sum::<u64>());
            assert_eq!(header.first_ms, own[0].receipt.end_ms);
            assert_eq!(header.last_ms, own.last().unwrap().receipt.end_ms);
            assert!(last_ms <= header.first_ms && header.first_ms <= header.last_ms);
            assert_eq!(store.batch_receipts(&batch.key).await.unwrap().unwrap(), own);
            for (place, signed) in own.iter().enumerate() {
                let kept = store.receipt(&signed.id()).await.unwrap().unwrap();
                assert_eq!(kept.batch, Some((batch.key, place as u32)));
                let path = store.path(&batch.key, place as u32).await.unwrap().unwrap();
                let proven = climb(signed.receipt.leaf(), place as u32, header.count, &path).unwrap();
                assert_eq!(proven.root, header.root);
            }
            assert!(store.path(&batch.key, header.count).await.unwrap().is_none());
            left = rest;
            number += 1;
            last_ms = header.last_ms;
        }
        let unsealed = store.unsealed().await.unwrap().into_iter();
        let waiting = unsealed.filter(|range| range.machine == key(*slot)).collect::<Vec<_>>();
        assert_eq!(waiting.iter().map(|range| range.count).sum::<u64>(), left.len() as u64);
        for range in waiting {
            let first = left.iter().find(|signed| signed.receipt.lease == range.lease).unwrap();
            assert_eq!((range.first_seq, range.first_ms), (first.receipt.seq, first.receipt.end_ms));
        }
    }
}

async fn play(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("receipts.db")).await.unwrap();
    let (mut leases, mut signed, mut batches) = ([1, 1], Signed::new(), Vec::new());
    for step in steps {
        match step {
            Step::Append { slot, prices } => {
                let lease = lease(leases[slot as usize]);
                let receipts = prices.into_iter().map(|price| new(slot, &lease, price)).collect();
                signed.entry(slot).or_default().extend(store.append(receipts).await.unwrap());
            }
            Step::NextLease { slot } => leases[slot as usize] += 1,
            Step::Seal { slot, most } => {
                let batch = store.seal(&key(slot), "https://a", most).await.unwrap();
                assert!(batch.as_ref().is_none_or(|batch| batch.header.count <= most));
                batches.extend(batch);
            }
        }
    }
    check(&store, &signed, &batches).await;
    for slot in 0..2 {
        while let Some(batch) = store.seal(&key(slot), "https://a", u32::MAX).await.unwrap() {
            batches.push(batch);
        }
    }
    check(&store, &signed, &batches).await;
    assert!(store.unsealed().await.unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn batches_hold_every_receipt_once_and_in_order(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}

#[tokio::test]
async fn a_batch_is_of_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("receipts.db")).await.unwrap();
    let mut other = (*machine(0)).clone();
    other.key = machine(1).key.clone();
    let lease = lease(1);
    store.append(vec![new(0, &lease, 1), new(0, &lease, 1)]).await.unwrap();
    store.append(vec![NewReceipt { machine: other.into(), ..new(0, &lease, 1) }]).await.unwrap();
    let first = store.seal(&key(0), "https://a", 10).await.unwrap().unwrap().header;
    let second = store.seal(&key(0), "https://a", 10).await.unwrap().unwrap().header;
    assert_eq!((first.count, second.count), (2, 1));
    assert_eq!(first.node_key, machine(0).key.verifying_key().to_bytes());
    assert_eq!(second.node_key, machine(1).key.verifying_key().to_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealing_twice_at_the_same_time_seals_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("receipts.db")).await.unwrap();
    let lease = lease(1);
    store.append((0..100).map(|_| new(0, &lease, 1)).collect()).await.unwrap();
    let machine = key(0);
    let attempts = (0..8).map(|_| store.seal(&machine, "https://a", 60));
    let sealed = futures::future::join_all(attempts).await;
    let counts: u32 =
        sealed.into_iter().filter_map(|sealed| sealed.ok().flatten()).map(|batch| batch.header.count).sum();
    let unsealed: u64 = store.unsealed().await.unwrap().iter().map(|range| range.count).sum();
    assert!(counts >= 60 && u64::from(counts) + unsealed == 100);
}
