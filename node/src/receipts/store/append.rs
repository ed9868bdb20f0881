//! Numbers, signs and inserts the receipts of one group.

use super::{MachineKey, NewReceipt, StoreError, Tab, rows};
use crate::leases::{Numbers, RunningLease};
use crate::receipts::signer::{PARTS, Signer};
use leasehold_client::probe::Pubkey;
use leasehold_client::record::SignedReceipt;
use leasehold_daemon::unix_ms;
use sqlx::{QueryBuilder, SqliteConnection};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Receipts in one statement: each statement is a trip to the database's thread.
const ROWS: usize = 64;
/// Allowed difference of this host's clock from the inference server's, in milliseconds.
const SKEW_MS: u64 = 1_000;
/// Time for which a spender's debts count.
pub(super) const HOUR_MS: u64 = 3_600_000;

/// A tab with the receipts of this group.
struct Open {
    /// Its row; `None` if there is none yet.
    id: Option<i64>,
    tab: Tab,
}

struct Row {
    /// Index in [`Appending::tabs`].
    tab: usize,
    signed: SignedReceipt,
}

/// The receipts of one group, before they are inserted.
#[derive(Default)]
pub(super) struct Appending {
    tabs: Vec<Open>,
    /// Each machine's tab of its newest lease.
    newest: HashMap<MachineKey, usize>,
    rows: Vec<Row>,
    /// What nobody had signed for when this group began, by spender and row of the tab.
    debts: HashMap<Pubkey, Vec<(i64, u64)>>,
}

impl Appending {
    /// Numbers and signs all receipts, or refuses all of them.
    pub(super) async fn append(
        &mut self,
        connection: &mut SqliteConnection,
        signer: &Signer,
        receipts: Vec<NewReceipt>,
    ) -> Result<Vec<SignedReceipt>, StoreError> {
        // Changed tabs, applied once the last receipt is accepted.
        let mut drafts: HashMap<usize, Tab> = HashMap::new();
        let mut fresh = Vec::with_capacity(receipts.len());
        for new in receipts {
            let index = self.open(connection, &new).await?;
            let others = self.debt_of_others(connection, &new, index, &drafts).await?;
            let tab = drafts.entry(index).or_insert_with(|| self.tabs[index].tab.clone());
            let signed = next(tab, &new, others, signer)?;
            fresh.push(Row { tab: index, signed });
        }
        for (index, tab) in drafts {
            self.tabs[index].tab = tab;
        }
        let answer = fresh.iter().map(|row| row.signed).collect();
        self.rows.append(&mut fresh);
        Ok(answer)
    }

    /// Payment units of the spender's other leases that nobody has signed for; 0 if the receipt's price is not limited.
    async fn debt_of_others(
        &mut self,
        connection: &mut SqliteConnection,
        new: &NewReceipt,
        own: usize,
        drafts: &HashMap<usize, Tab>,
    ) -> Result<u64, StoreError> {
        let (Some(_), Some(meter)) = (new.limit, new.lease.meter) else { return Ok(0) };
        let stored = match self.debts.entry(meter.spender) {
            Entry::Occupied(stored) => stored.into_mut(),
            Entry::Vacant(place) => {
                let since = unix_ms().saturating_sub(HOUR_MS);
                place.insert(rows::debts(connection, &meter.spender, since).await?)
            }
        };
        let open = |row: &i64| self.tabs.iter().any(|open| open.id == Some(*row));
        let stored = stored.iter().filter(|(row, _)| !open(row)).map(|(_, debt)| *debt);
        let tabs = self
            .tabs
            .iter()
            .enumerate()
            .filter(|(index, open)| *index != own && open.tab.spender == Some(meter.spender));
        let tabs = tabs.map(|(index, open)| drafts.get(&index).unwrap_or(&open.tab).debt(0));
        Ok(stored.chain(tabs).fold(0, u64::saturating_add))
    }

    /// Index of the tab that a receipt belongs to.
    async fn open(
        &mut self,
        connection: &mut SqliteConnection,
        new: &NewReceipt,
    ) -> Result<usize, StoreError> {
        let machine = MachineKey::of(&new.machine).ok_or(StoreError::NoSuchSlot(new.machine.slot))?;
        let lease = &*new.lease;
        let newest = match self.newest.get(&machine) {
            Some(index) => Some(*index),
            None => rows::newest_tab(connection, &machine).await?.map(|(id, tab)| {
                self.tabs.push(Open { id: Some(id), tab });
                self.tabs.len() - 1
            }),
        };
        let index = match newest.map(|index| (index, &self.tabs[index].tab)) {
            Some((index, tab)) if tab.lease == lease.serial => index,
            // The machine serves another lease by now.
            Some((_, tab)) if tab.from > lease.from => {
                return Err(StoreError::LeaseOver { lease: lease.serial, newer: tab.lease });
            }
            before => {
                // A machine's numbers and times run on through all its leases.
                let (seq, last_ms) = before.map_or((0, 0), |(_, tab)| (tab.seq, tab.last_ms));
                let signed_price = rows::signed_price(connection, &lease.address, lease.from).await?;
                let tab = Tab { seq, sealed: seq, last_ms, signed_price, ..blank(machine, lease) };
                self.tabs.push(Open { id: None, tab });
                self.tabs.len() - 1
            }
        };
        self.newest.insert(machine, index);
        Ok(index)
    }

    /// Writes tabs and receipts.
    pub(super) async fn flush(mut self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let mut ids = Vec::with_capacity(self.tabs.len());
        for Open { id, tab } in &self.tabs {
            ids.push(match id {
                Some(id) => rows::update_tab(connection, *id, tab).await.map(|()| *id)?,
                // Opened for a receipt that was then refused.
                None if tab.seq == tab.sealed => 0,
                None => rows::insert_tab(connection, tab).await?,
            });
        }
        while !self.rows.is_empty() {
            let rows = self.rows.drain(..self.rows.len().min(ROWS)).collect::<Vec<_>>();
            let mut insert = QueryBuilder::new("INSERT INTO receipts (tab, seq, id, signed) ");
            insert.push_values(&rows, |mut values, row| {
                values.push_bind(ids[row.tab]);
                values.push_bind(row.signed.receipt.seq as i64);
                values.push_bind(row.signed.id().to_vec());
                values.push_bind(row.signed.to_bytes().to_vec());
            });
            insert.build().execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// A tab without receipts. What vouchers have paid in a metered lease was for receipts of a database that was lost.
fn blank(machine: MachineKey, lease: &RunningLease) -> Tab {
    let (units, price) = lease.meter.map_or((0, 0), |meter| (meter.units, meter.paid));
    Tab {
        machine,
        lease: lease.serial,
        address: lease.address,
        from: lease.from,
        cluster: lease.cluster,
        spender: lease.meter.map(|meter| meter.spender),
        seq: 0,
        units,
        price,
        rest: 0,
        paid: price,
        sealed: 0,
        last_ms: 0,
        signed_price: 0,
    }
}

/// Adds a receipt to the tab and signs it. `others`: see [`Appending::debt_of_others`].
fn next(tab: &mut Tab, new: &NewReceipt, others: u64, signer: &Signer) -> Result<SignedReceipt, StoreError> {
    let mut work = new.work;
    if work.start_ms > work.end_ms {
        return Err(StoreError::Times { start: work.start_ms, end: work.end_ms });
    }
    // A time in the future would delay the machine's batches until then.
    let ahead = work.end_ms.saturating_sub(unix_ms());
    if ahead > SKEW_MS {
        return Err(StoreError::Future(ahead));
    }
    let (asked, rest) = whole(work.price.checked_add(tab.rest.into()).ok_or(StoreError::Overflow)?)?;
    if let (Some(limit), Some(meter)) = (new.limit, &new.lease.meter) {
        let left = tab.allowance(limit.lease, meter);
        if asked > left {
            return Err(StoreError::Exposure { asked, left });
        }
        let unsigned = tab.debt(meter.paid).saturating_add(others);
        let left = limit.spender.saturating_sub(unsigned);
        // What is signed for exposes nobody.
        let signed = tab.allowance(0, meter);
        if asked.saturating_sub(signed) > left {
            return Err(StoreError::SpenderExposure { asked, left: left.saturating_add(signed) });
        }
    }
    // SQLite has no larger numbers than 2^63 - 1.
    let sum = |sum: u64, more: u64| {
        sum.checked_add(more).filter(|sum| i64::try_from(*sum).is_ok()).ok_or(StoreError::Overflow)
    };
    let (units, price) = (sum(tab.units, work.units)?, sum(tab.price, asked)?);
    let Numbers { first, limit } = new.lease.numbers;
    if tab.seq < first {
        // What is in no batch yet is in one of the database that was lost, or can't be in any more.
        (tab.seq, tab.sealed) = (first, first);
    }
    let seq = tab.seq;
    if seq >= limit {
        return Err(StoreError::NumbersUsedUp { limit });
    }
    tab.seq = sum(seq, 1)?;
    work.end_ms = work.end_ms.max(tab.last_ms);
    (tab.units, tab.price, tab.rest, tab.last_ms) = (units, price, rest, work.end_ms);
    Ok(signer.sign(&new.machine, &new.lease, seq, &work, asked))
}

/// Whole payment units, and the millionths that are left.
fn whole(parts: u128) -> Result<(u64, u32), StoreError> {
    let units = u64::try_from(parts / u128::from(PARTS)).map_err(|_| StoreError::Overflow)?;
    let rest = u32::try_from(parts % u128::from(PARTS)).map_err(|_| StoreError::Overflow)?;
    Ok((units, rest))
}
