//! The database of receipts: numbers, order, batches and vouchers.

mod support;

use leasehold_node::leases::{Meter, Numbers, RunningLease};
use leasehold_node::receipts::store::{BatchKey, BatchState, Exposure, NewReceipt, PARTS};
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
    assert_eq!((receipt.units, receipt.price), (work.units, 15));
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
    let exposure = Exposure { lease: 10, spender: 100 };
    let limited = |price| NewReceipt { limit: Some(exposure), ..new(0, &lease, price) };
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
    assert!(matches!(refused, StoreError::Newer { found: 1000, known: 2 }), "{refused}");
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

/// A receipt of a lease whose work costs that many millionths of a payment unit.
fn small(slot: u32, lease: &RunningLease, parts: u128) -> NewReceipt {
    let mut receipt = new(slot, lease, 0);
    receipt.work.price = parts;
    receipt
}

/// 500 answers of a tenth of a unit or so cost what their sum costs, of each machine and lease for itself, wherever the node
/// is restarted.
#[tokio::test]
async fn what_is_less_than_a_unit_is_carried_to_the_next_receipt() {
    let mut kept = kept().await;
    let (first, second, third) = (metered(1, 1_000), metered(2, 1_000), metered(3, 1_000));
    let (mut owed, mut billed) = ([0u128; 3], [0u64; 3]);
    for turn in 0..500u128 {
        let parts = [123_457, 999_999, 1_000_001 + turn * 7];
        let group = vec![small(0, &first, parts[0]), small(1, &second, parts[1]), small(2, &third, parts[2])];
        for (place, signed) in kept.store.append(group).await.unwrap().iter().enumerate() {
            owed[place] += parts[place];
            billed[place] += signed.receipt.price;
            assert_eq!(
                u128::from(billed[place]),
                owed[place] / u128::from(PARTS),
                "to the unit, at any time"
            );
        }
        if turn % 125 == 60 {
            kept.store.close().await;
            kept.store = Store::open(&kept.path).await.unwrap();
        }
    }
    assert_eq!(billed, [61, 499, 500]);
    for (slot, lease) in [(0, 1), (1, 2), (2, 3)] {
        let tab = kept.store.tab(&key(slot), lease).await.unwrap().unwrap();
        let place = slot as usize;
        assert_eq!(u128::from(tab.price) * u128::from(PARTS) + u128::from(tab.rest), owed[place]);
    }
    // The next lease of a machine begins at zero.
    let next = kept.store.append(vec![small(1, &metered(9, 1_000), 999_999)]).await.unwrap();
    assert_eq!(next[0].receipt.price, 0);
}

#[tokio::test]
async fn the_rest_of_a_refused_receipt_is_not_carried() {
    let kept = kept().await;
    let lease = metered(1, 1_000);
    let exposure = Exposure { lease: 1, spender: 100 };
    let limited = |parts| NewReceipt { limit: Some(exposure), ..small(0, &lease, parts) };
    kept.store.append(vec![limited(900_000)]).await.unwrap();
    let refused = kept.store.append(vec![limited(1_200_000)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Exposure { asked: 2, left: 1 }), "{refused}");
    let price = kept.store.append(vec![limited(100_000)]).await.unwrap()[0].receipt.price;
    assert_eq!(price, 1);
}

/// A spender with many leases, each within its limit, owes no more than the spender's limit, whoever restarts.
#[tokio::test]
async fn all_leases_of_a_spender_share_one_limit() {
    let mut kept = kept().await;
    let exposure = Exposure { lease: 100, spender: 250 };
    let of = |slot: u32, price| {
        let lease = RunningLease { address: address(slot), ..metered(slot + 1, 10_000) };
        NewReceipt { limit: Some(exposure), ..new(slot, &lease, price) }
    };
    // Also within one group.
    kept.store.append(vec![of(0, 100), of(1, 100)]).await.unwrap();
    kept.store.close().await;
    kept.store = Store::open(&kept.path).await.unwrap();
    let refused = kept.store.append(vec![of(2, 40), of(3, 11)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::SpenderExposure { asked: 11, left: 10 }), "{refused}");
    kept.store.append(vec![of(2, 40)]).await.unwrap();
    let debt = kept.store.debt(&spender_key(), now_ms(), (&key(9), 9)).await.unwrap();
    assert_eq!(debt, 240);
    assert_eq!(kept.store.debt(&spender_key(), now_ms(), (&key(2), 3)).await.unwrap(), 200);
    // Another spender is not concerned, and what is signed for exposes nobody.
    let mut other = of(4, 100);
    let mut lease = (*other.lease).clone();
    lease.meter = lease.meter.map(|meter| Meter { spender: address(77), ..meter });
    other.lease = lease.into();
    kept.store.append(vec![other]).await.unwrap();
    let paid = signed_voucher(&of(3, 0).lease, 60);
    kept.store.put_voucher(paid).await.unwrap();
    kept.store.append(vec![of(3, 60)]).await.unwrap();
    let refused = kept.store.append(vec![of(3, 11)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::SpenderExposure { left: 10, .. }), "{refused}");
    // An hour later it counts no more.
    assert_eq!(kept.store.debt(&spender_key(), now_ms() + 3_700_000, (&key(9), 9)).await.unwrap(), 0);
}

fn spender_key() -> leasehold_client::probe::Pubkey {
    metered(1, 1).meter.unwrap().spender
}

#[tokio::test]
async fn receipts_are_deleted_once_their_lease_cannot_be_disputed_and_in_small_steps() {
    let kept = kept().await;
    let batch_of = async |lease: &RunningLease, count: u64| {
        let receipts = (0..count).map(|_| new(0, lease, 1)).collect();
        let signed = kept.store.append(receipts).await.unwrap();
        (kept.store.seal(&key(0), "https://a", 100).await.unwrap().unwrap(), signed)
    };
    let (old, signed) = batch_of(&lease(1), 25).await;
    let (unposted, kept_too) = batch_of(&lease(1), 3).await;
    let (newer, newest) = batch_of(&lease(2), 5).await;
    for (batch, index) in [(&old, 0), (&newer, 2)] {
        kept.store.mark_posted(batch.key, index).await.unwrap();
    }
    let tabs = kept.store.running_tabs().await.unwrap();
    assert_eq!(tabs.iter().map(|tab| tab.lease).collect::<Vec<_>>(), [1, 2]);
    kept.store.mark_ended(vec![tabs[0].id], 1_000).await.unwrap();
    assert_eq!(kept.store.running_tabs().await.unwrap(), [tabs[1]]);

    assert_eq!(kept.store.prune(1_000, 10).await.unwrap(), 0, "not yet");
    let place = kept.store.batch_place(&old.key).await.unwrap().unwrap();
    let mut steps = Vec::new();
    loop {
        match kept.store.prune(1_001, 10).await.unwrap() {
            0 => break,
            deleted => steps.push(deleted),
        }
    }
    assert_eq!(steps, [10, 10, 5], "each step is bounded");
    for receipt in &signed {
        assert!(kept.store.receipt(&receipt.id()).await.unwrap().is_none());
    }
    // What is not in the log, or of a lease that runs, stays.
    for receipt in kept_too.iter().chain(&newest) {
        assert!(kept.store.receipt(&receipt.id()).await.unwrap().is_some());
    }
    let gone = kept.store.batch_bytes(&place, 0, 5).await.unwrap_err();
    assert!(matches!(gone, StoreError::Pruned) && gone.is_refusal(), "{gone}");
    assert!(kept.store.batch_place(&old.key).await.unwrap().unwrap().is_pruned);
    // Numbers go on: nothing is sealed or signed twice.
    assert_eq!(kept.store.batch(&old.key).await.unwrap().unwrap().header, old.header);
    assert_eq!(kept.store.next_number(&key(0)).await.unwrap(), newer.key.number + 1);
    kept.store.mark_posted(unposted.key, 1).await.unwrap();
    assert_eq!(kept.store.prune(1_001, 10).await.unwrap(), 3);
    // A lease that was taken for over and signs again is not.
    kept.store.mark_ended(vec![tabs[1].id], 1_000).await.unwrap();
    append_one(&kept.store, 0, &lease(2), 1).await.unwrap();
    assert_eq!(kept.store.running_tabs().await.unwrap(), [tabs[1]]);
    assert_eq!(kept.store.prune(1_001, 10).await.unwrap(), 0);
}

/// A disk that is full, or a database that another program has locked: nothing more is begun, and it goes on by itself.
#[tokio::test]
async fn a_database_that_cannot_be_written_is_noticed_and_goes_on_when_it_can() {
    let kept = kept().await;
    append_one(&kept.store, 0, &lease(1), 1).await.unwrap();
    kept.store.check().await.unwrap();
    let url = format!("sqlite://{}", kept.path.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let failed = append_one(&kept.store, 0, &lease(1), 1).await.unwrap_err();
    assert!(!failed.is_refusal(), "{failed}");
    assert!(!kept.store.check().await.unwrap_err().is_refusal());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    kept.store.check().await.unwrap();
    assert_eq!(append_one(&kept.store, 0, &lease(1), 1).await.unwrap(), 1, "no number was used up");
}

/// The database of the last version has no remainders.
#[tokio::test]
async fn a_database_of_the_first_schema_is_migrated() {
    let kept = kept().await;
    append_one(&kept.store, 0, &lease(1), 7).await.unwrap();
    kept.store.close().await;
    let url = format!("sqlite://{}", kept.path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for step in [
        "DROP INDEX tabs_spender",
        "DROP INDEX tabs_running",
        "DROP INDEX batches_kept",
        "ALTER TABLE tabs DROP COLUMN rest",
        "ALTER TABLE tabs DROP COLUMN paid",
        "ALTER TABLE tabs DROP COLUMN ended_ms",
        "ALTER TABLE batches DROP COLUMN pruned",
        "UPDATE schema_version SET version = 1",
    ] {
        sqlx::query(step).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let store = Store::open(&kept.path).await.unwrap();
    let tab = store.tab(&key(0), 1).await.unwrap().unwrap();
    assert_eq!((tab.seq, tab.price, tab.rest), (1, 7, 0));
    assert_eq!(append_one(&store, 0, &lease(1), 1).await.unwrap(), 1);
}

/// A full disk makes SQLite roll a transaction back by itself, as this trigger does.
#[tokio::test]
async fn the_database_is_written_again_once_the_disk_has_room() {
    let kept = kept().await;
    let lease = metered(1, 1_000);
    append_one(&kept.store, 0, &lease, 5).await.unwrap();
    let url = format!("sqlite://{}", kept.path.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON receipts BEGIN SELECT RAISE (ROLLBACK, 'the disk is full'); END";
    sqlx::query(full).execute(&mut other).await.unwrap();
    for _ in 0..3 {
        append_one(&kept.store, 0, &lease, 5).await.unwrap_err();
    }
    sqlx::query("DROP TRIGGER full").execute(&mut other).await.unwrap();
    // There must be room for receipts, not for a changed row alone.
    let room = kept.path.with_file_name("receipts.db-room");
    std::fs::create_dir(&room).unwrap();
    kept.store.check().await.unwrap_err();
    std::fs::remove_dir(&room).unwrap();
    kept.store.check().await.unwrap();
    assert!(!room.exists());
    assert_eq!(append_one(&kept.store, 0, &lease, 5).await.unwrap(), 1);
    kept.store.put_voucher(signed_voucher(&lease, 10)).await.unwrap();
    kept.store.check().await.unwrap();
}
