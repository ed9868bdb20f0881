//! The chain as the keeper plans by it; everything is read by [`Reader`].

mod reader;

pub use reader::{ReadError, Reader};

use std::{
    collections::BTreeMap,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
};

use leasehold::{
    rules::settle::settles_from,
    state::{Board, Keeper, Slot, Traits},
};
use leasehold_client::{BoardRef, MarketRef, board::BoardView};
use solana_pubkey::Pubkey;

use crate::prober::Target;

/// A keeper's view of the chain, read at one time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Unix time of the cluster in milliseconds, never ahead of it.
    pub now_ms: i64,
    /// The keeper's wallet.
    pub me: Pubkey,
    pub market: MarketRef,
    /// Governs the market.
    pub authority: Pubkey,
    /// Stake units to bond for a seat.
    pub keeper_bond: u64,
    /// The keeper's account; `None` if it has none.
    pub keeper: Option<Keeper>,
    /// Lamports of the keeper's wallet.
    pub lamports: u64,
    /// Stake units in the wallet's associated token account.
    pub stake: u64,
    /// Number of the market's next board.
    pub next_board: u32,
    pub boards: Vec<BoardSnapshot>,
    /// Numbers of boards that were asked for and don't exist.
    pub missing: Vec<u32>,
}

/// A board.
#[derive(Clone, Debug)]
pub struct BoardSnapshot {
    pub board: BoardRef,
    pub header: Box<Board>,
    /// Its slots; `None` if the keeper does not work on the board or they could not be read.
    pub fleet: Option<Arc<Fleet>>,
}

impl BoardSnapshot {
    /// The header, without slots.
    pub fn view(&self) -> BoardView<'_> {
        BoardView { header: &self.header, slots: &[] }
    }

    /// The seat that a wallet holds.
    pub fn seat_of(&self, keeper: &Pubkey) -> Option<u8> {
        self.view().seat_of(keeper).map(|(index, _)| index)
    }
}

/// A board's machines to probe and leases to settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The round in which the machines below are probed.
    pub round: u32,
    /// Machines that get a verdict in that round.
    pub targets: Arc<[Target]>,
    /// Leases that are not settled: by serial, the round from which they can be settled for good, see [`settles_from`].
    pub leases: BTreeMap<u32, u32>,
}

impl Fleet {
    /// Reads a board's slots.
    pub fn of(board: &BoardView, round: u32) -> Self {
        let attested = |(_, slot): &(u16, &Slot)| slot.attested_from <= round;
        let target = |(index, slot): (u16, &Slot)| Target {
            slot: index.into(),
            generation: slot.generation,
            node_key: Pubkey::from(slot.node_key),
            endpoint: SocketAddr::new(Ipv6Addr::from(slot.endpoint.ip).into(), slot.endpoint.port()),
        };
        // A slot names its lease until that is settled, and all machines of a lease end together. Only a lease's account
        // says whether it is paid by use, and the keeper reads none: with thousands of leases on a board, that would be
        // thousands of accounts in every round. A metered lease has one machine, which allows it. A lease by the hour of
        // one such machine looks the same, and is settled as late as if its last voucher were waited for.
        let mut ends = BTreeMap::new();
        for slot in board.slots.iter().filter(|slot| slot.lease != 0) {
            let allows_meter = slot.traits.flags & Traits::METERED != 0;
            ends.entry(slot.lease)
                .and_modify(|(until, may_be_metered): &mut (u32, bool)| {
                    (*until, *may_be_metered) = (slot.lease_until.max(*until), false);
                })
                .or_insert((slot.lease_until, allows_meter));
        }
        let leases =
            ends.into_iter().map(|(serial, (until, metered))| (serial, settles_from(until, metered)));
        let leases = leases.collect();
        Self { round, targets: board.machines().filter(attested).map(target).collect(), leases }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold::{constants::VOUCHER_ROUNDS, state::SlotState};

    #[test]
    fn a_lease_that_may_be_paid_by_use_waits_for_its_last_voucher() {
        let header: Board = bytemuck::Zeroable::zeroed();
        let leased = |serial, flags| {
            let mut slot: Slot = bytemuck::Zeroable::zeroed();
            (slot.lease, slot.lease_until, slot.state) = (serial, 100, SlotState::Leased as u8);
            slot.traits.flags = flags;
            slot
        };
        // A lease of two machines is paid by the hour, whatever they allow.
        let slots = [
            leased(1, 0),
            leased(2, Traits::METERED),
            leased(3, Traits::METERED),
            leased(3, Traits::METERED),
            leased(0, 0),
        ];
        let fleet = Fleet::of(&BoardView { header: &header, slots: &slots }, 0);
        let later = 100 + VOUCHER_ROUNDS;
        assert_eq!(fleet.leases, [(1, 100), (2, later), (3, 100)].into());
    }
}
