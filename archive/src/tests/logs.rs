//! Headers of logs in the database.

use super::*;
use crate::sample::BOARD;
use leasehold::math::mmr::{self, Range};

#[tokio::test]
async fn paths_and_roots_are_those_of_the_log_at_every_length() {
    for database in databases().await {
        let db = Db::open(&database.url).await.unwrap();
        let headers = headers(21);
        let (mut range, mut first) = (Range::default(), 0);
        // Several in each transaction.
        for (number, size) in [1usize, 2, 4, 5, 9].into_iter().enumerate() {
            let some = &headers[first..first + size];
            db.append(&log(), &followed(number as u8, first as u64, "http://node", some)).await.unwrap();
            some.iter().for_each(|header| range.append(header.leaf()));
            first += size;
            let known = db.known(&log()).await.unwrap().unwrap();
            assert_eq!(known.batches, first as u64);
            assert_eq!(known.followed, Some(Signature::from([number as u8; 64])));
            assert_eq!(
                db.root(&log(), known.batches).await.unwrap(),
                Some(mmr::root(&range.peaks(), known.batches))
            );
        }
        for batches in 0..=21 {
            for index in 0..batches {
                let proof = db.proof(&log(), index, batches).await.unwrap().unwrap();
                assert_eq!(Some(proof.path), range.path(index, batches));
                assert_eq!((proof.index, proof.header), (index, headers[index as usize]));
            }
            assert_eq!(db.proof(&log(), batches, batches).await.unwrap(), None);
        }
        assert_eq!(db.proof(&log(), 0, 22).await.unwrap(), None, "more than is known");
        assert_eq!(db.root(&BOARD, 0).await.unwrap(), None, "a log that was never followed");
        let found = db.find(&BOARD, 3, 70_002, 7).await.unwrap().unwrap();
        assert_eq!(found, Placed { log: log(), index: 7, header: headers[7] });
        assert_eq!(db.find(&BOARD, 3, 4_466, 7).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_source_with_a_character_that_no_database_takes_keeps_no_log_out() {
    for database in databases().await {
        let db = Db::open(&database.url).await.unwrap();
        let headers = headers(1);
        db.append(&log(), &followed(1, 0, "http://node/a\0b", &headers)).await.unwrap();
        let missing = db.missing(0, 1, 1).await.unwrap().remove(0);
        assert_eq!(missing.source, "http://node/a%00b", "the same URL");
    }
}

#[tokio::test]
async fn a_log_is_followed_from_where_it_ended_and_never_with_a_gap() {
    for database in databases().await {
        let db = Db::open(&database.url).await.unwrap();
        let headers = headers(6);
        db.append(&log(), &followed(1, 0, "http://node", &headers[..4])).await.unwrap();
        db.close().await;
        let db = Db::open(&database.url).await.unwrap();
        let known = db.known(&log()).await.unwrap().unwrap();
        assert_eq!((known.batches, known.followed), (4, Some(Signature::from([1; 64]))));
        let gap = db.append(&log(), &followed(2, 5, "http://node", &headers[5..])).await;
        assert!(matches!(gap, Err(DbError::Gap { first: 5, known: 4, .. })));
        assert_eq!(db.known(&log()).await.unwrap().unwrap().followed, known.followed, "all or nothing");
        db.follow_again(&log()).await.unwrap();
        assert_eq!(db.known(&log()).await.unwrap().unwrap().followed, None);
        // Batches that are the same stay, with their receipts.
        let missing = db.missing(0, 1, 1).await.unwrap().remove(0);
        assert!(db.store_leaves(&missing, b"receipts", &[[1; 32]]).await.unwrap());
        db.append(&log(), &followed(1, 0, "http://node", &headers[..4])).await.unwrap();
        assert_eq!(db.leaves(&log(), 0).await.unwrap().as_deref(), Some(&b"receipts"[..]));
        assert_eq!(db.known(&log()).await.unwrap().unwrap().batches, 4);
    }
}

#[tokio::test]
async fn batches_of_a_dropped_fork_are_deleted() {
    for database in databases().await {
        let db = Db::open(&database.url).await.unwrap();
        let headers = headers(7);
        db.append(&log(), &followed(1, 0, "http://node", &headers[..7])).await.unwrap();
        for missing in db.missing(0, 7, 7).await.unwrap() {
            let id = [missing.header.number as u8; 32];
            assert!(db.store_leaves(&missing, b"receipts", &[id]).await.unwrap());
        }
        let other = BatchHeader { last_ms: 1, ..headers[5] };
        db.append(&log(), &followed(2, 5, "http://node", &[other])).await.unwrap();
        let mut range = Range::default();
        headers[..5].iter().chain([&other]).for_each(|header| range.append(header.leaf()));
        assert_eq!(db.known(&log()).await.unwrap().unwrap().batches, 6);
        assert_eq!(db.root(&log(), 6).await.unwrap(), Some(mmr::root(&range.peaks(), 6)));
        assert!(db.receipt(&[4; 32]).await.unwrap().is_some());
        for number in 5..7 {
            assert_eq!(db.receipt(&[number; 32]).await.unwrap(), None);
            assert_eq!(db.leaves(&log(), u64::from(number)).await.unwrap(), None);
        }
        let totals = db.totals().await.unwrap();
        assert_eq!(totals, Totals { logs: 1, batches: 6, missing: 1, mismatched: 0 });
    }
}

#[tokio::test]
async fn a_database_is_of_the_first_cluster() {
    for database in databases().await {
        let db = Db::open(&database.url).await.unwrap();
        assert_eq!(db.cluster([1; 32]).await.unwrap(), [1; 32]);
        db.close().await;
        let db = Db::open(&database.url).await.unwrap();
        assert_eq!(db.cluster([2; 32]).await.unwrap(), [1; 32]);
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    for database in databases().await {
        let db = Db::open(&database.url).await.unwrap();
        sqlx::query("INSERT INTO schema_version VALUES (99)").execute(&db.pool).await.unwrap();
        let refused = Db::open(&database.url).await.unwrap_err();
        assert!(matches!(refused, DbError::Newer { found: 99, known: 4 }), "{refused}");
    }
    let refused = Db::open("mysql://somewhere").await.unwrap_err();
    assert!(refused.to_string().contains("give sqlite:PATH, or the URL of a"), "{refused}");
}
