//! `leasehold log show`.

use std::fmt;

use leasehold::state::Lane;
use leasehold_client::{board::BoardView, fetch::Fetched, record::LogData};
use leasehold_operate::{
    amount::Money,
    failure::Failure,
    market::MarketView,
    table::{Table, labelled, slots},
    time::rfc3339,
};
use serde::Serialize;
use solana_pubkey::Pubkey;

/// A compute log.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub log: String,
    pub supplier: String,
    /// Wallet that may append, besides the supplier's.
    pub operator: String,
    /// Totals of all that was appended.
    pub batches: String,
    pub receipts: String,
    pub units: String,
    pub price: Money,
    pub lanes: Vec<LaneLine>,
    /// Machines that the log has no room for.
    pub without_lane: Vec<MachineLine>,
}

/// Where the batches of one slot stand.
#[derive(Debug, Serialize)]
pub struct LaneLine {
    /// Number of the board.
    pub board: u32,
    pub slot: u16,
    pub generation: u32,
    /// Serial of the lease of its last batch, the number of the next receipt in that lease, and the time of the last
    /// one. `None` before the first batch.
    pub lease: Option<u32>,
    pub next_seq: Option<String>,
    pub last: Option<String>,
    pub batches: u32,
}

#[derive(Debug, Serialize)]
pub struct MachineLine {
    /// Number of the board.
    pub board: u32,
    pub slot: u16,
}

impl Shown {
    pub fn new(
        market: &MarketView,
        wallet: Pubkey,
        log: &Fetched<LogData>,
        boards: &[BoardView],
    ) -> Result<Self, Failure> {
        let (header, lanes) = log.account.view()?;
        let own = |board: &BoardView| {
            let index = board.header.index;
            let machines = board.of_supplier(market.reference.supplier(&wallet));
            machines.map(|(slot, _)| MachineLine { board: index, slot }).collect::<Vec<_>>()
        };
        let machines = boards.iter().flat_map(own);
        Ok(Shown {
            log: log.address.to_string(),
            supplier: wallet.to_string(),
            operator: header.operator.to_string(),
            batches: header.batches.to_string(),
            receipts: header.receipts.to_string(),
            units: header.units.to_string(),
            price: market.payment.money(header.price),
            lanes: lanes.iter().map(LaneLine::new).collect(),
            without_lane: machines
                .filter(|machine| log.account.lane(machine.board, machine.slot).is_none())
                .collect(),
        })
    }
}

impl LaneLine {
    fn new(lane: &Lane) -> Self {
        let used = lane.batches > 0;
        let secs = i64::try_from(lane.last_ms / 1_000).unwrap_or(i64::MAX);
        LaneLine {
            board: lane.board,
            slot: lane.slot,
            generation: lane.generation,
            lease: used.then_some(lane.lease),
            next_seq: used.then(|| lane.next_seq.to_string()),
            last: used.then(|| rfc3339(secs)),
            batches: lane.batches,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let lines = [
            ("Log:", self.log.clone()),
            ("Supplier:", self.supplier.clone()),
            ("Operator:", self.operator.clone()),
            ("Batches:", self.batches.clone()),
            ("Receipts:", self.receipts.clone()),
            ("Units:", self.units.clone()),
            ("Price:", self.price.to_string()),
        ];
        f.write_str(&labelled(lines))?;
        if !self.lanes.is_empty() {
            let mut table = Table::new(&[
                ">BOARD",
                ">SLOT",
                ">GENERATION",
                ">BATCHES",
                ">LEASE",
                ">NEXT RECEIPT",
                "LAST",
            ]);
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            for lane in &self.lanes {
                table.row(vec![
                    lane.board.to_string(),
                    lane.slot.to_string(),
                    lane.generation.to_string(),
                    lane.batches.to_string(),
                    or_none(lane.lease.map(|lease| lease.to_string())),
                    or_none(lane.next_seq.clone()),
                    or_none(lane.last.clone()),
                ]);
            }
            write!(f, "\n\n{table}")?;
        }
        for board in self.without_lane.chunk_by(|one, other| one.board == other.board) {
            let Some(first) = board.first() else { continue };
            let slots = slots(&board.iter().map(|machine| machine.slot).collect::<Vec<_>>());
            write!(f, "\n\nWithout a lane on board {}: {slots}", first.board)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample::{snapshot, wallet};
    use leasehold_operate::sample::view;

    use super::{super::tests::sample, *};

    #[test]
    fn a_log_shows_its_sums_its_lanes_and_the_machines_without_one() {
        let snapshot = snapshot();
        let views = [snapshot.boards[0].data.view().unwrap()];
        let shown = Shown::new(&view(), wallet(0), &sample(&[1]), &views).unwrap();
        let text = shown.to_string();
        assert!(text.contains("Receipts:  5\n"), "{text}");
        let expected = "
BOARD  SLOT  GENERATION  BATCHES  LEASE  NEXT RECEIPT  LAST
    0     1           0        1      1             5  1970-01-07T22:40:00Z

Without a lane on board 0: slot 0";
        assert!(text.ends_with(expected), "{text}");
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!((&json["batches"], &json["lanes"][0]["next_seq"]), (&"1".into(), &"5".into()));
        assert_eq!(json["without_lane"], serde_json::json!([{ "board": 0, "slot": 0 }]));
        let fresh = LaneLine::new(&bytemuck::Zeroable::zeroed());
        assert!(fresh.lease.is_none() && fresh.last.is_none());
    }
}
