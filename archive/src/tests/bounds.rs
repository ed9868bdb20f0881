//! What one log may cost an archive.

use super::sources::{Source, serve_source};
use super::*;
use crate::fetch::fetch_due;
use crate::sample::signed;

/// An archive with room for so many bytes of each log and of all, and two logs of five batches of 10 receipts each.
async fn shared(database: &TestDb, each: u64, in_all: u64) -> (Shared, [Pubkey; 2]) {
    let db = Db::open(&database.url).await.unwrap();
    let logs = [1, 2].map(|byte| Pubkey::new_from_array([byte; 32]));
    let batches: Vec<_> = (0..5).map(|number| receipts(number * 10, 10)).collect();
    let headers: Vec<_> = (0..).zip(&batches).map(|(number, receipts)| batch(number, receipts)).collect();
    let source = Source::default();
    source.lock().unwrap().extend((0..).zip(batches.iter().map(|batch| signed(batch))));
    let url = serve_source(source).await;
    for log in &logs {
        db.append(log, &followed(1, 0, &url, &headers)).await.unwrap();
    }
    let room = Room { each, in_all };
    let new_batches = Notify::new();
    (Shared { db, metrics: Arc::default(), new_batches, room, told: Told::default() }, logs)
}

/// Tries all that is due until nothing is.
async fn fetch_all(shared: &Shared) {
    let downloader = Downloader::new(true).unwrap();
    while fetch_due(shared, &downloader).await.unwrap() > 0 {}
}

async fn stored(shared: &Shared, log: &Pubkey) -> usize {
    let mut stored = 0;
    for index in 0..5 {
        stored += usize::from(shared.db.leaves(log, index).await.unwrap().is_some());
    }
    stored
}

/// Bytes of a batch of 10 receipts.
const BATCH: u64 = 10 * 392;

#[tokio::test]
async fn an_archive_keeps_no_more_of_a_log_than_it_has_room_for() {
    for database in databases().await {
        let (shared, logs) = shared(&database, 4 * BATCH, u64::MAX).await;
        fetch_all(&shared).await;
        for log in &logs {
            // Two are downloaded at a time.
            assert_eq!(stored(&shared, log).await, 4);
            let (state, trouble) = shared.db.state(log, 4).await.unwrap().unwrap();
            assert_eq!(state, LeavesState::Missing);
            assert!(trouble.unwrap().contains("--max-log-gib allows more"));
        }
        // A fork that is dropped makes room.
        let other = BatchHeader { last_ms: 1, ..headers(1)[0] };
        shared.db.append(&logs[0], &followed(2, 0, "http://node", &[other])).await.unwrap();
        assert_eq!(shared.db.missing(0, 9, 1).await.unwrap()[0].stored, 0);
    }
}

#[tokio::test]
async fn an_archive_keeps_no_more_in_all_than_it_has_room_for() {
    for database in databases().await {
        let (shared, logs) = shared(&database, u64::MAX, 4 * BATCH).await;
        fetch_all(&shared).await;
        let both = stored(&shared, &logs[0]).await + stored(&shared, &logs[1]).await;
        assert_eq!(both, 4);
    }
}

#[tokio::test]
async fn batches_of_one_log_do_not_keep_the_others_waiting() {
    for database in databases().await {
        let (shared, logs) = shared(&database, u64::MAX, u64::MAX).await;
        let due = shared.db.missing(0, 4, 2).await.unwrap();
        let of = |log: &Pubkey| due.iter().filter(|missing| missing.address == *log).count();
        assert_eq!((of(&logs[0]), of(&logs[1])), (2, 2));
    }
}

#[tokio::test]
async fn what_is_missing_is_told_once_for_each_log() {
    let told = Told::default();
    let [log, other] = [1, 2].map(|byte| Pubkey::new_from_array([byte; 32]));
    assert!(told.is_new(log, Failure::Full) && told.is_new(log, Failure::Unreachable));
    assert!(!told.is_new(log, Failure::Full) && told.is_new(other, Failure::Full));
    assert!(told.forget(log) && !told.forget(log));
    assert!(told.is_new(log, Failure::Full) && !told.is_new(other, Failure::Full));
}
