//! `leasehold machine show`.

use std::fmt;

use leasehold::state::{Slot, SlotState};
use leasehold_client::{board::BoardView, fetch::Fetched};
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::ShowArgs;
use crate::{
    amount::Money,
    chain::{Chain, MarketView},
    criteria::Country,
    failure::Failure,
    table::Table,
    time::{rfc3339, start_of},
};

/// Machines of a supplier.
#[derive(Debug, Serialize)]
pub struct Machines {
    pub supplier: String,
    pub machines: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub struct Line {
    pub board: u32,
    pub slot: u16,
    pub state: &'static str,
    /// Serial of the running lease.
    pub lease: Option<u32>,
    pub node_key: String,
    pub class: String,
    pub gpus: u8,
    pub speed: u8,
    pub country: String,
    pub price: Money,
    pub score: u16,
    /// First round that it isn't promised for, and when that begins.
    pub committed_until: u32,
    pub committed_to: String,
    pub bond: Money,
    /// Earned and not claimed.
    pub earnings: Money,
    /// Rounds since it was listed, by verdict.
    pub up: u32,
    pub down: u32,
    /// Verdicts of the rounds that the board remembers, the oldest first: # up, x down, . unknown.
    pub history: String,
}

pub async fn run(chain: &Chain, args: ShowArgs) -> Result<(), Failure> {
    let wallet = chain.wallet_or(args.supplier)?;
    let market = chain.market(args.market.id.0).await?;
    let boards = chain.boards(&args.market.id.0, args.board).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    chain.settings.output.print(&Machines::new(&market, &views, &wallet))
}

impl Machines {
    pub fn new(market: &MarketView, boards: &[BoardView], wallet: &Pubkey) -> Self {
        let supplier = market.reference.supplier(wallet);
        let machines = boards.iter().flat_map(|board| {
            board.of_supplier(supplier).map(move |(index, slot)| Line::new(market, board, index, slot))
        });
        Machines { supplier: wallet.to_string(), machines: machines.collect() }
    }
}

/// What a machine's state is called.
fn state(slot: &Slot) -> &'static str {
    match slot.state {
        state if state == SlotState::Idle as u8 => "idle",
        state if state == SlotState::Leased as u8 => "leased",
        state if state == SlotState::Suspended as u8 => "suspended",
        state if state == SlotState::Barred as u8 => "barred",
        _ => "vacant",
    }
}

impl Line {
    fn new(market: &MarketView, board: &BoardView, index: u16, slot: &Slot) -> Self {
        let own = board.slot(index);
        Line {
            board: board.header.index,
            slot: index,
            state: state(slot),
            lease: (slot.lease != 0).then_some(slot.lease),
            node_key: Pubkey::new_from_array(slot.node_key).to_string(),
            class: market.class_name(slot.traits.class),
            gpus: slot.traits.gpus,
            speed: slot.traits.speed,
            country: Country(slot.traits.country).to_string(),
            price: market.payment.money(slot.price),
            score: slot.score,
            committed_until: slot.committed_until,
            committed_to: rfc3339(start_of(board.header.round_secs, slot.committed_until)),
            bond: market.stake.money(slot.bond),
            earnings: market.payment.money(slot.accrued),
            up: slot.up,
            down: slot.down,
            history: own.map(|slot| board.uptime_strip(slot)).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Machines {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.machines.is_empty() {
            return write!(f, "{} has no machines there.", self.supplier);
        }
        let mut table = Table::new(&[
            ">BOARD", ">SLOT", "STATE", ">LEASE", "CLASS", ">GPUS", ">PRICE/H", ">BOND", ">EARNED", ">UP",
            ">DOWN", "PROMISED",
        ]);
        let number = |money: &Money| money.token.number(money.amount);
        for line in &self.machines {
            table.row(vec![
                line.board.to_string(),
                line.slot.to_string(),
                line.state.to_owned(),
                line.lease.map_or_else(|| "-".to_owned(), |lease| lease.to_string()),
                line.class.clone(),
                line.gpus.to_string(),
                number(&line.price),
                number(&line.bond),
                number(&line.earnings),
                line.up.to_string(),
                line.down.to_string(),
                line.committed_to.clone(),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample::{snapshot, wallet};

    use super::*;
    use crate::chain::tests::view;

    #[test]
    fn machines_stand_in_a_table_with_what_they_earned() {
        let data = snapshot().boards.remove(0).data;
        let shown = Machines::new(&view(), &[data.view().unwrap()], &wallet(0));
        let expected = "\
BOARD  SLOT  STATE   LEASE  CLASS     GPUS  PRICE/H  BOND   EARNED  UP  DOWN  PROMISED
    0     0  leased      1  RTX 4090     1  0.00036     1  0.00027   8     2  1970-01-14T21:20:00Z
    0     1  leased      1  RTX 4090     1  0.00036     1  0.00027  10     0  1970-01-14T21:20:00Z";
        assert_eq!(shown.to_string(), expected);
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            (&json["machines"][0]["bond"]["amount"], &json["machines"][1]["lease"]),
            (&"100".into(), &1.into())
        );
        let none = Machines::new(&view(), &[], &wallet(5));
        assert!(none.to_string().ends_with("has no machines there."));
    }
}
