//! Vouchers: the one with the highest price of each lease, since it replaces all before it.

use super::job::Job;
use super::{Store, StoreError, rows};
use leasehold_client::probe::Pubkey;
use leasehold_client::record::SignedVoucher;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

/// A voucher for more than the chain has paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueVoucher {
    pub signed: SignedVoucher,
    /// Payment units that are known to be redeemed.
    pub redeemed: u64,
}

impl Store {
    /// Stores a verified voucher if it is the best of its lease so far. Returns the best.
    ///
    /// # Errors
    /// [`StoreError::Overflow`] for a price beyond 2^63.
    pub async fn put_voucher(&self, signed: SignedVoucher) -> Result<SignedVoucher, StoreError> {
        self.ask(|reply| Job::Voucher(Box::new(signed), reply)).await
    }

    /// The voucher with the highest price for the lease with that address and first round.
    pub async fn best_voucher(&self, lease: &Pubkey, from: u32) -> Result<Option<SignedVoucher>, StoreError> {
        let row = sqlx::query("SELECT signed FROM vouchers WHERE lease = ? AND first_round = ?")
            .bind(lease.as_array().as_slice())
            .bind(from)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(voucher).transpose()
    }

    /// Vouchers for more than was redeemed.
    pub async fn vouchers_due(&self) -> Result<Vec<DueVoucher>, StoreError> {
        let found = sqlx::query("SELECT signed, redeemed FROM vouchers WHERE price > redeemed")
            .fetch_all(&self.readers)
            .await?;
        let due = |row| Ok(DueVoucher { signed: voucher(row)?, redeemed: rows::number(row, "redeemed")? });
        found.iter().map(due).collect()
    }

    /// Notes how much of a lease the chain has paid in all. Pass the price of its best voucher if no more can be redeemed,
    /// because the deposit is used up or the lease is settled.
    pub async fn mark_redeemed(&self, lease: &Pubkey, from: u32, price: u64) -> Result<(), StoreError> {
        let lease = lease.to_bytes();
        self.ask(|reply| Job::Redeemed { lease, from, price, reply }).await
    }
}

fn voucher(row: &SqliteRow) -> Result<SignedVoucher, StoreError> {
    SignedVoucher::from_bytes(row.try_get("signed")?)
        .map_err(|_| StoreError::Malformed("a malformed voucher"))
}

pub(super) async fn keep(
    connection: &mut SqliteConnection,
    signed: &SignedVoucher,
) -> Result<SignedVoucher, StoreError> {
    let price = i64::try_from(signed.voucher.price).map_err(|_| StoreError::Overflow)?;
    sqlx::query(
        "INSERT INTO vouchers (lease, first_round, price, signed, redeemed) VALUES (?, ?, ?, ?, 0) \
         ON CONFLICT (lease, first_round) DO UPDATE SET price = excluded.price, signed = excluded.signed \
         WHERE excluded.price > price",
    )
    .bind(signed.voucher.lease.as_slice())
    .bind(signed.voucher.from)
    .bind(price)
    .bind(signed.to_bytes().to_vec())
    .execute(&mut *connection)
    .await?;
    let best = sqlx::query("SELECT signed FROM vouchers WHERE lease = ? AND first_round = ?")
        .bind(signed.voucher.lease.as_slice())
        .bind(signed.voucher.from)
        .fetch_one(connection)
        .await?;
    voucher(&best)
}

pub(super) async fn mark_redeemed(
    connection: &mut SqliteConnection,
    lease: &[u8; 32],
    from: u32,
    price: u64,
) -> Result<(), StoreError> {
    let price = i64::try_from(price).map_err(|_| StoreError::Overflow)?;
    sqlx::query("UPDATE vouchers SET redeemed = max(redeemed, ?) WHERE lease = ? AND first_round = ?")
        .bind(price)
        .bind(lease.as_slice())
        .bind(from)
        .execute(connection)
        .await?;
    Ok(())
}
