//! Deletes receipts that nobody can dispute any more.

use super::job::Job;
use super::{MachineKey, Store, StoreError, rows};
use sqlx::{Row, SqliteConnection};

/// A tab of a lease that is not known to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningTab {
    /// Its row.
    pub id: i64,
    pub machine: MachineKey,
    /// Serial of the lease.
    pub lease: u32,
}

impl Store {
    /// Tabs whose leases are not known to be over.
    pub async fn running_tabs(&self) -> Result<Vec<RunningTab>, StoreError> {
        let query = [rows::TAB, "WHERE ended_ms IS NULL"].concat();
        let found = sqlx::query(&query).fetch_all(&self.readers).await?;
        let tabs = found.iter().map(rows::tab);
        tabs.map(|tab| tab.map(|(id, tab)| RunningTab { id, machine: tab.machine, lease: tab.lease }))
            .collect()
    }

    /// Notes that the leases of these tabs were over at that time in Unix milliseconds. A receipt that is signed later
    /// takes the note back.
    pub async fn mark_ended(&self, tabs: Vec<i64>, at_ms: u64) -> Result<(), StoreError> {
        self.ask(|reply| Job::Ended(tabs, at_ms, reply)).await
    }

    /// Deletes receipts of a batch in the log whose lease was over before that time in Unix milliseconds: `most` at a time,
    /// so that no other request waits for long. Returns how many were deleted; 0 if there are none left.
    pub async fn prune(&self, ended_before_ms: u64, most: u32) -> Result<u64, StoreError> {
        self.ask(|reply| Job::Prune { ended_before_ms, most, reply }).await
    }
}

pub(super) async fn mark_ended(
    connection: &mut SqliteConnection,
    tabs: &[i64],
    at_ms: u64,
) -> Result<(), StoreError> {
    let at_ms = i64::try_from(at_ms).map_err(|_| StoreError::Overflow)?;
    for tab in tabs {
        sqlx::query("UPDATE tabs SET ended_ms = ? WHERE id = ? AND ended_ms IS NULL")
            .bind(at_ms)
            .bind(tab)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn delete(
    connection: &mut SqliteConnection,
    ended_before_ms: u64,
    most: u32,
) -> Result<u64, StoreError> {
    let found = sqlx::query(
        "SELECT tab, first_seq, count, pruned FROM batches JOIN tabs ON tabs.id = batches.tab \
         WHERE log_index IS NOT NULL AND pruned < count AND ended_ms < ? LIMIT 1",
    )
    .bind(i64::try_from(ended_before_ms).unwrap_or(i64::MAX))
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = found else { return Ok(0) };
    let tab: i64 = row.try_get("tab")?;
    let (first, count): (i64, i64) = (row.try_get("first_seq")?, row.try_get("count")?);
    let pruned: i64 = row.try_get("pruned")?;
    let upto = count.min(pruned.saturating_add(most.max(1).into()));
    sqlx::query("DELETE FROM receipts WHERE tab = ? AND seq >= ? AND seq < ?")
        .bind(tab)
        .bind(first.saturating_add(pruned))
        .bind(first.saturating_add(upto))
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE batches SET pruned = ? WHERE tab = ? AND first_seq = ?")
        .bind(upto)
        .bind(tab)
        .bind(first)
        .execute(connection)
        .await?;
    Ok(upto.abs_diff(pruned))
}
