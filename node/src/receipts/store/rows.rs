//! Rows of the database as types.

use super::{BatchKey, MachineKey, SealedBatch, StoreError, Tab};
use leasehold::state::BatchHeader;
use leasehold_client::probe::Pubkey;
use leasehold_client::record::SignedReceipt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqliteExecutor};

/// The columns that [`tab`] reads.
pub(super) const TAB: &str = "SELECT tabs.id, board, slot, generation, tabs.lease, address, \
    tabs.first_round, cluster, spender, seq, units, tabs.price, rest, paid, sealed, last_ms, \
    vouchers.price AS signed_price FROM tabs \
    LEFT JOIN vouchers ON vouchers.lease = tabs.address AND vouchers.first_round = tabs.first_round ";

/// The columns that [`batch`] reads.
pub(super) const BATCH: &str = "SELECT header, source, log_index FROM batches ";

pub(super) fn bytes<const N: usize>(row: &SqliteRow, column: &str) -> Result<[u8; N], StoreError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| StoreError::Malformed("bytes of a wrong length"))
}

/// An unsigned number from a column.
pub(super) fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
    T::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Malformed("a number out of range"))
}

fn optional<T>(
    row: &SqliteRow,
    column: &str,
    read: impl Fn(&SqliteRow, &str) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    use sqlx::ValueRef;
    if row.try_get_raw(column)?.is_null() { Ok(None) } else { read(row, column).map(Some) }
}

pub(super) fn signed(row: &SqliteRow) -> Result<SignedReceipt, StoreError> {
    SignedReceipt::from_bytes(row.try_get("signed")?)
        .map_err(|_| StoreError::Malformed("a malformed receipt"))
}

pub(super) fn tab(row: &SqliteRow) -> Result<(i64, Tab), StoreError> {
    let key = |row: &SqliteRow, column: &str| Ok(Pubkey::new_from_array(bytes(row, column)?));
    let machine = MachineKey {
        board: key(row, "board")?,
        slot: number(row, "slot")?,
        generation: number(row, "generation")?,
    };
    let tab = Tab {
        machine,
        lease: number(row, "lease")?,
        address: key(row, "address")?,
        from: number(row, "first_round")?,
        cluster: bytes(row, "cluster")?,
        spender: optional(row, "spender", key)?,
        seq: number(row, "seq")?,
        units: number(row, "units")?,
        price: number(row, "price")?,
        rest: number(row, "rest")?,
        paid: number(row, "paid")?,
        sealed: number(row, "sealed")?,
        last_ms: number(row, "last_ms")?,
        signed_price: optional(row, "signed_price", number)?.unwrap_or(0),
    };
    Ok((row.try_get("id")?, tab))
}

pub(super) fn batch(row: &SqliteRow) -> Result<SealedBatch, StoreError> {
    let header: [u8; BatchHeader::LEN] = bytes(row, "header")?;
    let header: BatchHeader = bytemuck::pod_read_unaligned(&header);
    let log_index = optional(row, "log_index", number)?;
    Ok(SealedBatch { key: BatchKey::of(&header), header, source: row.try_get("source")?, log_index })
}

/// The machine's tab of its last lease.
pub(super) async fn newest_tab(
    connection: &mut SqliteConnection,
    machine: &MachineKey,
) -> Result<Option<(i64, Tab)>, StoreError> {
    const WHERE: &str = "WHERE board = ? AND slot = ? AND generation = ? ORDER BY tabs.id DESC LIMIT 1";
    let row = sqlx::query(&[TAB, WHERE].concat())
        .bind(machine.board.as_array().as_slice())
        .bind(machine.slot)
        .bind(machine.generation)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(tab).transpose()
}

/// Price in the best voucher of a lease.
pub(super) async fn signed_price(
    connection: impl SqliteExecutor<'_>,
    lease: &Pubkey,
    from: u32,
) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT price FROM vouchers WHERE lease = ? AND first_round = ?")
        .bind(lease.as_array().as_slice())
        .bind(from)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map_or(Ok(0), |row| number(row, "price"))
}

/// A spender's tabs that were used since that time in Unix milliseconds: their row, and the payment units that nobody has
/// signed for.
pub(super) async fn debts(
    connection: impl SqliteExecutor<'_>,
    spender: &Pubkey,
    since_ms: u64,
) -> Result<Vec<(i64, u64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT tabs.id, max(tabs.price - max(coalesce(vouchers.price, 0), paid), 0) AS debt FROM tabs \
         LEFT JOIN vouchers ON vouchers.lease = tabs.address AND vouchers.first_round = tabs.first_round \
         WHERE spender = ? AND last_ms >= ?",
    )
    .bind(spender.as_array().as_slice())
    .bind(i64::try_from(since_ms).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, number(row, "debt")?))).collect()
}

/// Updates a tab's counters.
pub(super) async fn update_tab(
    connection: &mut SqliteConnection,
    id: i64,
    tab: &Tab,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE tabs SET seq = ?, units = ?, price = ?, rest = ?, sealed = ?, last_ms = ?, ended_ms = NULL WHERE id = ?")
        .bind(tab.seq as i64)
        .bind(tab.units as i64)
        .bind(tab.price as i64)
        .bind(tab.rest)
        .bind(tab.sealed as i64)
        .bind(tab.last_ms as i64)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Inserts a tab. Returns the row's number.
pub(super) async fn insert_tab(connection: &mut SqliteConnection, tab: &Tab) -> Result<i64, StoreError> {
    let inserted = sqlx::query(
        "INSERT INTO tabs (board, slot, generation, lease, address, first_round, cluster, spender, seq, \
         units, price, rest, paid, sealed, last_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(tab.machine.board.as_array().as_slice())
    .bind(tab.machine.slot)
    .bind(tab.machine.generation)
    .bind(tab.lease)
    .bind(tab.address.as_array().as_slice())
    .bind(tab.from)
    .bind(tab.cluster.as_slice())
    .bind(tab.spender.as_ref().map(|spender| spender.as_array().as_slice()))
    .bind(tab.seq as i64)
    .bind(tab.units as i64)
    .bind(tab.price as i64)
    .bind(tab.rest)
    .bind(tab.paid as i64)
    .bind(tab.sealed as i64)
    .bind(tab.last_ms as i64)
    .execute(connection)
    .await?;
    Ok(inserted.last_insert_rowid())
}
