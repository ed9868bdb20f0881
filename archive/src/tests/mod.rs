//! The archive on a database: SQLite always, and Postgres if `LEASEHOLD_TEST_POSTGRES` has the URL of a server on which
//! schemas can be created.

mod bounds;
mod logs;
mod sources;
mod spam;

use super::*;
use crate::leaves::Failure;
use crate::sample::{batch, receipts};
use leasehold::state::BatchHeader;
use leasehold_client::address;
use leasehold_client::history::{AppendedBatches, LogTransaction};
use solana_signature::Signature;

const SUPPLIER: Pubkey = Pubkey::new_from_array([0x50; 32]);

fn log() -> Pubkey {
    address::log(&SUPPLIER)
}

/// A database of the test's own.
struct TestDb {
    url: String,
    _folder: Option<tempfile::TempDir>,
}

async fn databases() -> Vec<TestDb> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("archive.db").display());
    let mut databases = vec![TestDb { url, _folder: Some(folder) }];
    if let Ok(url) = std::env::var("LEASEHOLD_TEST_POSTGRES") {
        sqlx::any::install_default_drivers();
        let schema = format!("test_{:016x}", rand::random::<u64>());
        let pool = sqlx::AnyPool::connect(&url).await.unwrap();
        sqlx::query(&format!("CREATE SCHEMA {schema}")).execute(&pool).await.unwrap();
        pool.close().await;
        let mark = if url.contains('?') { '&' } else { '?' };
        databases.push(TestDb { url: format!("{url}{mark}options[search_path]={schema}"), _folder: None });
    }
    databases
}

/// Batches; number n has n + 1 receipts.
fn headers(count: u32) -> Vec<BatchHeader> {
    let mut first = 0;
    let header = |number| {
        let receipts = receipts(first, u64::from(number) + 1);
        first += receipts.len() as u64;
        batch(number, &receipts)
    };
    (0..count).map(header).collect()
}

fn followed(number: u8, first: u64, source: &str, headers: &[BatchHeader]) -> LogTransaction {
    let appended = AppendedBatches { first, source: source.to_owned(), headers: headers.to_vec() };
    LogTransaction { signature: Signature::from([number; 64]), appended: vec![appended] }
}
