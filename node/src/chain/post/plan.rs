//! Plans which batches to append, from the sealed batches and a view of the chain.

use crate::leases::{View, half_record_secs};
use crate::receipts::store::{BatchKey, MachineKey, SealedBatch};
use leasehold::rules::batch::{is_next, latest_ms};
use leasehold::state::{BatchHeader, Lane};
use leasehold_client::BoardRef;
use solana_pubkey::Pubkey;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// Why a machine's batches can't be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obstacle {
    NoLog,
    NotOperator,
    NoBoard,
    NoLane,
    Left,
    Missing { expected: u32, first: u32 },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::NoLog => {
                write!(f, "the supplier has no log: create it with `leasehold log create --operator ADDRESS`")
            }
            Obstacle::NotOperator => write!(
                f,
                "`operator` in [chain] is not the log's operator: run `leasehold log operator ADDRESS` as the \
                 supplier"
            ),
            Obstacle::NoBoard => {
                write!(f, "the machine is no longer in the configuration: add it again")
            }
            Obstacle::NoLane => write!(
                f,
                "the log has no lane for the slot: run `leasehold log lanes --board NUMBER SLOT` as the supplier"
            ),
            Obstacle::Left => {
                write!(f, "the machine has left the slot: its last receipts can't be appended any more")
            }
            Obstacle::Missing { expected, first } => write!(
                f,
                "the log expects batch {expected} of the machine, the first in this database is {first}: restore the \
                 database of the batches between"
            ),
        }
    }
}

/// Batches of one board and source, each machine's in order: one transaction or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    pub board: BoardRef,
    pub source: String,
    pub batches: Vec<BatchHeader>,
}

/// A plan for the sealed batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Batches in the log whose places are not noted yet.
    pub posted: Vec<BatchKey>,
    pub append: Vec<Posting>,
    pub obstacles: BTreeMap<MachineKey, Obstacle>,
    /// Batches for which half of the time is over after which their receipts can be demanded.
    pub late: usize,
}

/// Plans from a view. `sealed` has each machine's batches in the order of their numbers. `authority` is the supplier's,
/// which may append like the operator. Machines in `paused` are left out.
pub fn plan(
    sealed: &[SealedBatch],
    view: &View,
    operator: &Pubkey,
    authority: Option<&Pubkey>,
    paused: &HashSet<MachineKey>,
) -> Plan {
    let mut plan = Plan::default();
    let mut groups: BTreeMap<(Pubkey, &str), Posting> = BTreeMap::new();
    for machine in sealed.chunk_by(|one, other| one.key.machine == other.key.machine) {
        let Some(key) = machine.first().map(|batch| batch.key.machine) else { continue };
        let mut lane = match lane(&key, view, operator, authority) {
            Ok(lane) => lane,
            Err(obstacle) => {
                plan.obstacles.insert(key, obstacle);
                continue;
            }
        };
        let next = lane.batches;
        let (posted, waiting) = machine.split_at(machine.partition_point(|batch| batch.key.number < next));
        plan.posted.extend(posted.iter().map(|batch| batch.key));
        let Some(board) = view.boards.get(&key.board) else { continue };
        plan.late +=
            waiting.iter().filter(|batch| is_late(&batch.header, board.header.round_secs, view.now)).count();
        if let Some(first) = waiting.first().map(|batch| batch.key.number).filter(|first| *first > next) {
            plan.obstacles.insert(key, Obstacle::Missing { expected: next, first });
            continue;
        }
        // The cluster's clock may be behind this host's.
        let latest = latest_ms(view.now).unwrap_or_default();
        let ready = waiting.iter().take_while(|batch| {
            let is_ready = is_next(&lane, batch.key.number) && batch.header.last_ms <= latest;
            is_ready && lane.advance(&batch.header).is_ok()
        });
        for batch in ready.filter(|_| !paused.contains(&key)) {
            let group = groups.entry((key.board, &batch.source)).or_insert_with(|| Posting {
                board: board.board,
                source: batch.source.clone(),
                batches: Vec::new(),
            });
            group.batches.push(batch.header);
        }
    }
    plan.append = groups.into_values().collect();
    plan
}

/// The lane of a machine, which tells the batch that the log expects next.
fn lane(
    machine: &MachineKey,
    view: &View,
    operator: &Pubkey,
    authority: Option<&Pubkey>,
) -> Result<Lane, Obstacle> {
    let (log, _) = view.log.as_ref().and_then(|log| log.view().ok()).ok_or(Obstacle::NoLog)?;
    if log.operator != *operator && authority != Some(operator) {
        return Err(Obstacle::NotOperator);
    }
    let place = (machine.board, machine.slot);
    let slot = view.slots.get(&place).ok_or(Obstacle::NoBoard)?;
    if slot.generation != machine.generation {
        return Err(Obstacle::Left);
    }
    view.lane(place).ok_or(Obstacle::NoLane)
}

/// True if half of the time is over after which the batch's receipts can be demanded.
fn is_late(header: &BatchHeader, round_secs: u32, now: i64) -> bool {
    let half = half_record_secs(round_secs);
    u64::try_from(now).unwrap_or(0) >= (header.last_ms / 1_000).saturating_add(half)
}

#[cfg(test)]
mod tests {
    use super::super::super::sample::{
        BOARD, OPERATOR, PLACE, SUPPLIER, batch as sealed, log, machine_key, view,
    };
    use super::*;

    fn planned(batches: &[u32], view: &View) -> Plan {
        let batches: Vec<_> = batches.iter().map(|number| sealed(*number)).collect();
        plan(&batches, view, &OPERATOR, None, &HashSet::new())
    }

    fn numbers(plan: &Plan) -> Vec<u32> {
        plan.append.iter().flat_map(|posting| &posting.batches).map(|header| header.number).collect()
    }

    fn obstacle(plan: &Plan) -> Option<Obstacle> {
        plan.obstacles.get(&machine_key()).copied()
    }

    #[test]
    fn batches_in_the_log_are_not_appended_again() {
        let plan = planned(&[0, 1, 2, 3], &view());
        assert_eq!(numbers(&plan), [2, 3]);
        assert_eq!(plan.posted.iter().map(|key| key.number).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((plan.append.len(), obstacle(&plan)), (1, None));
        assert_eq!(plan.append[0].board.index, 1);
        let plan = planned(&[0, 1], &view());
        assert_eq!((plan.posted.len(), plan.append.len()), (2, 0));
    }

    #[test]
    fn no_batch_is_skipped() {
        let plan = planned(&[3, 4], &view());
        assert_eq!(obstacle(&plan), Some(Obstacle::Missing { expected: 2, first: 3 }));
        assert_eq!(numbers(&plan), [0; 0]);
        assert_eq!(numbers(&planned(&[2, 4], &view())), [2], "batches after a gap wait");
    }

    #[test]
    fn a_new_machine_in_the_slot_begins_with_batch_0() {
        let mut view = view();
        let lane = Lane { generation: 1, ..view.lane(PLACE).unwrap() };
        view.log = Some(log(&[lane]));
        assert_eq!(numbers(&planned(&[0, 1], &view)), [0, 1]);
        view.slots.get_mut(&PLACE).unwrap().generation = 3;
        assert_eq!(obstacle(&planned(&[0, 1], &view)), Some(Obstacle::Left));
    }

    #[test]
    fn every_obstacle_says_what_to_do() {
        let without = |change: fn(&mut View)| {
            let mut view = view();
            change(&mut view);
            obstacle(&planned(&[2], &view)).unwrap()
        };
        assert_eq!(without(|view| view.log = None), Obstacle::NoLog);
        assert_eq!(without(|view| view.log = Some(log(&[]))), Obstacle::NoLane);
        assert_eq!(without(|view| view.slots.clear()), Obstacle::NoBoard);
        let plan = plan(&[sealed(2)], &view(), &BOARD, Some(&SUPPLIER), &HashSet::new());
        assert_eq!(obstacle(&plan), Some(Obstacle::NotOperator));
        assert!(Obstacle::NoLane.to_string().contains("`leasehold log lanes --board NUMBER SLOT`"));
    }

    #[test]
    fn the_suppliers_authority_may_append_too() {
        let plan = plan(&[sealed(2)], &view(), &BOARD, Some(&BOARD), &HashSet::new());
        assert_eq!(numbers(&plan), [2]);
    }

    #[test]
    fn batches_that_the_program_refused_are_paused() {
        let plan = plan(&[sealed(2)], &view(), &OPERATOR, None, &[machine_key()].into());
        assert_eq!((plan.append.len(), plan.obstacles.len()), (0, 0));
    }

    #[test]
    fn one_transaction_has_one_source() {
        let moved = SealedBatch { source: "http://other".to_owned(), ..sealed(3) };
        let plan = plan(&[sealed(2), moved], &view(), &OPERATOR, None, &HashSet::new());
        let sources: Vec<_> = plan.append.iter().map(|posting| posting.source.as_str()).collect();
        assert_eq!(sources, ["http://node", "http://other"]);
    }

    #[test]
    fn batches_from_the_future_wait_and_old_ones_are_late() {
        let mut view = view();
        view.now = i64::try_from(sealed(2).header.last_ms / 1_000).unwrap() - 61;
        assert_eq!(numbers(&planned(&[2], &view)), [0; 0]);
        view.now += 2;
        let plan = planned(&[2], &view);
        assert_eq!((numbers(&plan), plan.late), (vec![2], 0));
        view.now += 3_600 + 61;
        assert_eq!(planned(&[2, 3], &view).late, 2);
    }
}
