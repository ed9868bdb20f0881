//! The database of receipts: numbers, order, batches and vouchers.

mod support;

use leasehold_node::leases::{Meter, Numbers, RunningLease};
use leasehold_node::receipts::store::{BatchKey, BatchState, NewReceipt};
use leasehold_node::receipts::{Store, StoreError};
use proptest::prelude::*;
use sqlx::{Connection, SqliteConnection};
use std::collections::HashSet;
use support::*;

struct Kept {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    store: Store,
}

async fn kept() -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipts.db");
    let store = Store::open(&path).await.unwrap();
    Kept { _folder: folder, path, store }
}

async fn append_one(store: &Store, slot: u32, lease: &RunningLease, price: u64) -> Result<u64, StoreError> {
    let signed = store.append(vec![new(slot, lease, price)]).await?;
    assert_eq!(signed.len(), 1);
    Ok(signed[0].receipt.seq)
}

#[tokio::test]
async fn numbers_count_from_zero_for_each_machine_through_all_its_leases() {
    let kept = kept().await;
    let (first, second) = (lease(1), lease(2));
    assert_eq!(append_one(&kept.store, 0, &first, 5).await.unwrap(), 0);
    assert_eq!(append_one(&kept.store, 0, &first, 6).await.unwrap(), 1);
    assert_eq!(append_one(&kept.store, 1, &first, 7).await.unwrap(), 0);
    assert_eq!(append_one(&kept.store, 0, &second, 8).await.unwrap(), 2);
    let tab = kept.store.tab(&key(0), 1).await.unwrap().unwrap();
    assert_eq!((tab.seq, tab.price, tab.units, tab.sealed), (2, 11, 1_600, 0));
    assert!(kept.store.tab(&key(2), 1).await.unwrap().is_none());

    // Another machine in the same slot begins anew.
    let mut other = (*machine(0)).clone();
    other.generation = 2;
    let receipt = NewReceipt { machine: other.into(), ..new(0, &second, 9) };
    assert_eq!(kept.store.append(vec![receipt]).await.unwrap()[0].receipt.seq, 0);
}

/// A database that was lost, or an older copy: numbers below `first` may have been signed. What vouchers have paid counts.
#[tokio::test]
async fn numbers_that_may_have_been_signed_are_left_out() {
    let kept = kept().await;
    let lease = RunningLease { numbers: Numbers { first: 0, limit: 3 }, ..metered(1, 1_000) };
    for seq in 0..2 {
        assert_eq!(append_one(&kept.store, 0, &lease, 5).await.unwrap(), seq);
    }
    let skipped = RunningLease { numbers: Numbers { first: 100, limit: 102 }, ..lease.clone() };
    let both = vec![new(0, &skipped, 5), new(0, &skipped, 5)];
    let signed = kept.store.append(both).await.unwrap();
    assert_eq!(signed.iter().map(|signed| signed.receipt.seq).collect::<Vec<_>>(), [100, 101]);
    let refused = append_one(&kept.store, 0, &skipped, 5).await.unwrap_err();
    assert!(matches!(refused, StoreError::NumbersUsedUp { limit: 102 }) && refused.is_refusal(), "{refused}");
    // Only those after the gap can still be appended.
    let [unsealed] = kept.store.unsealed().await.unwrap()[..] else { panic!() };
    assert_eq!((unsealed.first_seq, unsealed.count), (100, 2));
    let batch = kept.store.seal(&key(0), "https://a", 9).await.unwrap().unwrap();
    assert_eq!((batch.header.number, batch.header.first_seq, batch.header.count), (0, 100, 2));
    let tab = kept.store.tab(&key(0), 1).await.unwrap().unwrap();
    assert_eq!((tab.seq, tab.sealed, tab.price), (102, 102, 20));

    let meter = lease.meter.map(|meter| Meter { paid: 700, units: 30, ..meter });
    let lost = RunningLease { serial: 2, meter, numbers: Numbers { first: 50, limit: 90 }, ..lease };
    assert_eq!(append_one(&kept.store, 1, &lost, 5).await.unwrap(), 50);
    let tab = kept.store.tab(&key(1), 2).await.unwrap().unwrap();
    assert_eq!((tab.seq, tab.sealed, tab.price, tab.units), (51, 50, 705, 830));
    assert_eq!(tab.allowance(100, &lost.meter.unwrap()), 95);
    assert_eq!(tab.allowance(1_000, &lost.meter.unwrap()), 295);
}

#[tokio::test]
async fn a_database_knows_when_it_was_created() {
    let before = now_ms() / 1_000 * 1_000;
    let kept = kept().await;
    let created = kept.store.created_ms();
    assert!((before..=now_ms()).contains(&created), "{created}");
    kept.store.close().await;
    assert_eq!(Store::open(&kept.path).await.unwrap().created_ms(), created);
}

#[tokio::test]
async fn a_receipt_says_what_was_reported_and_is_found_by_its_id() {
    let kept = kept().await;
    let lease = metered(3, 1_000);
    let reported = new(4, &lease, 15);
    let signed = kept.store.append(vec![reported.clone()]).await.unwrap()[0];
    signed.verify().unwrap();
    let (receipt, work) = (signed.receipt, reported.work);
    assert!(receipt.is_of(&BOARD, 3));
    assert_eq!(receipt.node_key, machine(4).key.verifying_key().to_bytes());
    assert_eq!((receipt.buyer, receipt.mint), (lease.buyer.to_bytes(), lease.mint.to_bytes()));
    assert_eq!((receipt.cluster, receipt.class), (CLUSTER, 2));
    assert_eq!((receipt.model, receipt.request, receipt.response), (work.model, work.request, work.response));
    assert_eq!((receipt.units, receipt.price), (work.units, work.price));
    assert_eq!((receipt.tokens_in, receipt.tokens_out), (10, 20));
    assert_eq!((receipt.start_ms, receipt.end_ms), (work.start_ms, work.end_ms));
    let found = kept.store.receipt(&signed.id()).await.unwrap().unwrap();
    assert_eq!((found.signed, found.batch), (signed, None));
    assert!(kept.store.receipt(&[0; 32]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_call_is_kept_whole_or_not_at_all() {
    let kept = kept().await;
    let lease = metered(1, 1_000);
    let limited = |price| NewReceipt { limit: Some(10), ..new(0, &lease, price) };
    let refused = kept.store.append(vec![limited(6), limited(5)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Exposure { asked: 5, left: 4 }), "{refused}");
    assert!(kept.store.tab(&key(0), 1).await.unwrap().is_none());
    let signed = kept.store.append(vec![limited(6), limited(4)]).await.unwrap();
    assert_eq!(signed.iter().map(|signed| signed.receipt.seq).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn times_are_in_order_and_never_in_the_future() {
    let kept = kept().await;
    let lease = lease(1);
    let at = |start_ms, end_ms| {
        let mut receipt = new(0, &lease, 1);
        (receipt.work.start_ms, receipt.work.end_ms) = (start_ms, end_ms);
        vec![receipt]
    };
    let now = now_ms();
    let first = kept.store.append(at(now - 50, now)).await.unwrap()[0];
    let second = kept.store.append(at(now - 90, now - 80)).await.unwrap()[0];
    assert_eq!((first.receipt.end_ms, second.receipt.end_ms), (now, now));
    assert_eq!(second.receipt.start_ms, now - 90);
    assert!(matches!(kept.store.append(at(now, now - 1)).await, Err(StoreError::Times { .. })));
    assert!(matches!(kept.store.append(at(now, now + 60_000)).await, Err(StoreError::Future(_))));
}

#[tokio::test]
async fn a_lease_that_another_followed_takes_no_more_receipts() {
    let kept = kept().await;
    // By the rounds in which they are served: a machine may take over in a lease that is older than its last one.
    let (first, next) = (lease(5), RunningLease { from: lease(3).from + 1, ..lease(3) });
    assert_eq!(append_one(&kept.store, 0, &first, 1).await.unwrap(), 0);
    assert_eq!(append_one(&kept.store, 0, &next, 1).await.unwrap(), 1, "its numbers run on");
    let refused = append_one(&kept.store, 0, &first, 1).await.unwrap_err();
    assert!(matches!(refused, StoreError::LeaseOver { lease: 5, newer: 3 }), "{refused}");
    // What it signed in the first is sealed first.
    for (lease, first_seq) in [(5, 0), (3, 1)] {
        let batch = kept.store.seal(&key(0), "https://a", 10).await.unwrap().unwrap();
        assert_eq!((batch.header.lease, batch.header.first_seq, batch.header.count), (lease, first_seq, 1));
    }
    // Other machines of the lease are not concerned.
    append_one(&kept.store, 1, &lease(5), 1).await.unwrap();
}

#[tokio::test]
async fn sums_that_do_not_fit_are_refused() {
    let kept = kept().await;
    let lease = lease(1);
    append_one(&kept.store, 0, &lease, i64::MAX as u64).await.unwrap();
    assert!(matches!(append_one(&kept.store, 0, &lease, 1).await, Err(StoreError::Overflow)));
    assert!(matches!(append_one(&kept.store, 1, &lease, u64::MAX).await, Err(StoreError::Overflow)));
    append_one(&kept.store, 0, &lease, 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_at_the_same_time_get_different_numbers_and_a_reopened_database_goes_on() {
    let kept = kept().await;
    let mut seen = HashSet::new();
    for opened in 0..2 {
        let store = Store::open(&kept.path).await.unwrap();
        let tasks = (0..200).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { append_one(&store, 0, &lease(1), 1).await.unwrap() })
        });
        for number in futures::future::join_all(tasks).await {
            assert!(seen.insert(number.unwrap()));
        }
        assert_eq!(seen.len(), 200 * (opened + 1));
        store.close().await;
        assert!(matches!(append_one(&store, 0, &lease(1), 1).await, Err(StoreError::Closed)));
    }
    assert_eq!(seen, (0..400).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_one_database_give_no_number_twice() {
    let kept = kept().await;
    let other = Store::open(&kept.path).await.unwrap();
    let tasks = (0..100).map(|turn| {
        let store = if turn % 2 == 0 { kept.store.clone() } else { other.clone() };
        tokio::spawn(async move { append_one(&store, 0, &lease(1), 1).await.unwrap() })
    });
    let numbers = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap);
    assert_eq!(numbers.collect::<HashSet<_>>(), (0..100).collect());
}

#[tokio::test]
async fn a_new_database_goes_on_with_the_number_that_the_log_expects() {
    let kept = kept().await;
    let seal = async |least| {
        append_one(&kept.store, 0, &lease(1), 1).await.unwrap();
        let batch = kept.store.seal_from(&key(0), "https://a", 10, least).await.unwrap().unwrap();
        batch.key.number
    };
    assert_eq!(kept.store.next_number(&key(0)).await.unwrap(), 0);
    assert_eq!(seal(7).await, 7);
    assert_eq!(seal(7).await, 8, "its own count goes before");
    assert_eq!(seal(0).await, 9);
    assert_eq!(kept.store.next_number(&key(0)).await.unwrap(), 10);
}

#[tokio::test]
async fn what_is_sealed_never_changes() {
    let kept = kept().await;
    append_one(&kept.store, 0, &lease(1), 1).await.unwrap();
    let batch = kept.store.seal(&key(0), "https://a", 10).await.unwrap().unwrap();
    assert_eq!(kept.store.seal(&key(0), "https://a", 10).await.unwrap(), None);
    append_one(&kept.store, 0, &lease(1), 1).await.unwrap();
    assert_eq!(kept.store.batch(&batch.key).await.unwrap(), Some(batch));

    let url = format!("sqlite://{}", kept.path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for change in
        ["UPDATE batches SET count = 2", "UPDATE batches SET source = 'x'", "UPDATE receipts SET seq = 9"]
    {
        let refused = sqlx::query(change).execute(&mut connection).await.unwrap_err().to_string();
        assert!(refused.contains("never change"), "{refused}");
    }
}

#[tokio::test]
async fn a_batch_is_posted_once() {
    let kept = kept().await;
    for _ in 0..3 {
        append_one(&kept.store, 0, &lease(1), 1).await.unwrap();
        kept.store.seal(&key(0), "https://a", 10).await.unwrap().unwrap();
    }
    let numbers = async |state| {
        let batches = kept.store.batches(state).await.unwrap();
        batches.iter().map(|batch| (batch.key.number, batch.log_index)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(BatchState::Sealed).await, [(0, None), (1, None), (2, None)]);
    let batch = |number| BatchKey { machine: key(0), number };
    for _ in 0..2 {
        kept.store.mark_posted(batch(0), 17).await.unwrap();
    }
    let refused = kept.store.mark_posted(batch(0), 18).await.unwrap_err();
    assert!(matches!(refused, StoreError::PostedElsewhere(17)), "{refused}");
    assert!(matches!(kept.store.mark_posted(batch(3), 1).await, Err(StoreError::NoSuchBatch(_))));
    assert_eq!(numbers(BatchState::Sealed).await, [(1, None), (2, None)]);
    assert_eq!(numbers(BatchState::Posted).await, [(0, Some(17))]);
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_left_alone() {
    let kept = kept().await;
    kept.store.close().await;
    let url = format!("sqlite://{}", kept.path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("INSERT INTO schema_version VALUES (1000)").execute(&mut connection).await.unwrap();
    let refused = Store::open(&kept.path).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 1000, known: 1 }), "{refused}");
    let refused = Store::open(&kept.path.join("no/folder.db")).await.unwrap_err();
    assert!(refused.to_string().contains("check the path"), "{refused}");
}

#[tokio::test]
async fn redeemed_vouchers_are_due_no_more() {
    let kept = kept().await;
    let (one, two) = (metered(1, 1_000), metered(2, 1_000));
    for (lease, price) in [(&one, 10), (&two, 20)] {
        kept.store.put_voucher(signed_voucher(lease, price)).await.unwrap();
    }
    kept.store.mark_redeemed(&one.address, one.from, 10).await.unwrap();
    kept.store.mark_redeemed(&two.address, two.from, 15).await.unwrap();
    kept.store.mark_redeemed(&two.address, two.from, 5).await.unwrap();
    let due = kept.store.vouchers_due().await.unwrap();
    assert_eq!(
        due.iter().map(|due| (due.signed, due.redeemed)).collect::<Vec<_>>(),
        [(signed_voucher(&two, 20), 15)]
    );
    kept.store.put_voucher(signed_voucher(&one, 11)).await.unwrap();
    assert_eq!(kept.store.vouchers_due().await.unwrap().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn of_vouchers_in_any_order_the_highest_is_kept(prices in prop::collection::vec(0_u64..100, 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let kept = kept().await;
            let lease = metered(1, 1_000);
            let mut best = 0;
            for price in &prices {
                best = best.max(*price);
                let kept = kept.store.put_voucher(signed_voucher(&lease, *price)).await.unwrap();
                assert_eq!(kept.voucher.price, best);
            }
            let found = kept.store.best_voucher(&lease.address, lease.from).await.unwrap().unwrap();
            assert_eq!(found, signed_voucher(&lease, best));
            assert!(kept.store.best_voucher(&lease.address, lease.from + 1).await.unwrap().is_none());
            append_one(&kept.store, 0, &lease, 1).await.unwrap();
            assert_eq!(kept.store.tab(&key(0), 1).await.unwrap().unwrap().signed_price, best);
        });
    }
}
