//! `leasehold machine watch`.

use std::cmp::Reverse;

use clap::Args;
use leasehold_client::fetch::Fetched;
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    market::MarketView,
    table::{Table, count},
    time::rfc3339,
};
use serde::Serialize;

use super::{
    OwnArgs,
    show::{Line, Machines},
};
use crate::{
    live::{self, LiveArgs, Size, capped, with_strips},
    ports::yes_or_no,
};

#[derive(Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub machines: OwnArgs,
    /// Try to connect to each machine at every reading, and say whether its port answers: it does while it has a tenant.
    #[arg(long)]
    pub check_port: bool,
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Machines of a supplier at a moment.
#[derive(Debug, Serialize)]
struct Moment {
    /// Of the chain's clock.
    time: String,
    #[serde(flatten)]
    facts: Facts,
}

#[derive(Debug, Serialize)]
struct Facts {
    #[serde(flatten)]
    shown: Machines,
    leased: usize,
    /// Down in the last closed round.
    down: usize,
    /// Earned by all and not claimed.
    earned: Money,
}

pub async fn run(chain: &Chain, args: WatchArgs) -> Result<(), Failure> {
    let WatchArgs { machines: OwnArgs { market, supplier, board }, check_port, live } = args;
    let (wallet, view) = (chain.wallet_or(supplier)?, chain.market(market.id.0).await?);
    let mut begun = false;
    let read = async || {
        let (boards, now) = (chain.boards(&market.id.0, board).await?, chain.fetch().now().await?);
        let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
        let mut shown = Machines::new(&view, &views, &wallet);
        // The last machine may retire while it is watched; watching none from the start is an error.
        if !begun {
            shown.require_some()?;
            begun = true;
        }
        if check_port {
            shown.try_ports().await;
        }
        Ok(Moment::new(&view, shown, now))
    };
    live::watch(chain.settings.output, live, read).await
}

impl Moment {
    fn new(market: &MarketView, mut shown: Machines, now: i64) -> Self {
        shown.machines.sort_by_key(|line| (Reverse((is_down(line), is_out(line))), line.board, line.slot));
        let lines = &shown.machines;
        let earned = lines.iter().fold(0u64, |sum, line| sum.saturating_add(line.earnings.amount));
        let facts = Facts {
            leased: lines.iter().filter(|line| line.lease.is_some()).count(),
            down: lines.iter().filter(|line| is_down(line)).count(),
            earned: market.payment.money(earned),
            shown,
        };
        Moment { time: rfc3339(now), facts }
    }

    fn summary(&self) -> String {
        let Facts { shown, leased, down, earned } = &self.facts;
        let machines = count(shown.machines.len(), "machine");
        format!("{machines}, {leased} leased, {down} down; unclaimed earnings: {earned}")
    }
}

/// Verdict of the last closed round.
fn now(line: &Line) -> &'static str {
    match line.history.chars().last() {
        Some('#') => "up",
        Some('x') => "down",
        Some('o') => "unseen",
        _ => "void",
    }
}

fn is_down(line: &Line) -> bool {
    now(line) == "down"
}

/// True if it can't be leased until its supplier acts.
fn is_out(line: &Line) -> bool {
    matches!(line.state, "suspended" | "barred")
}

impl live::Frame for Moment {
    type Facts = Facts;

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn draw(&self, size: Size) -> String {
        let machines = &self.facts.shown.machines;
        let head = format!("{}  {}\n{}", self.time, self.facts.shown.supplier, self.summary());
        if machines.is_empty() {
            return head;
        }
        // An empty line and the table's head stand between.
        let (rows, left_out) = capped(machines, size.rows.saturating_sub(head.lines().count() + 2));
        let was_tried = self.facts.shown.was_tried();
        let mut heads = vec![">BOARD", ">SLOT", "STATE", ">LEASE", "NOW"];
        heads.extend(was_tried.then_some("ANSWERS"));
        heads.extend(["CLASS", ">PRICE/H", ">EARNED", ">UP", ">DOWN"]);
        let mut table = Table::new(&heads);
        let number = |money: &Money| money.token.number(money.amount);
        for line in rows {
            let mut row = vec![
                line.board.to_string(),
                line.slot.to_string(),
                line.state.to_owned(),
                line.lease.map_or_else(|| "-".to_owned(), |lease| lease.to_string()),
                now(line).to_owned(),
            ];
            row.extend(was_tried.then(|| yes_or_no(line.answers).to_owned()));
            row.extend([
                line.class.clone(),
                number(&line.price),
                number(&line.earnings),
                line.up.to_string(),
                line.down.to_string(),
            ]);
            table.row(row);
        }
        let strips: Vec<_> = rows.iter().map(|line| line.history.as_str()).collect();
        let mut text = format!("{head}\n\n{}", with_strips(&table, &strips, size.columns));
        if left_out > 0 {
            text += &format!("\nand {} more", count(left_out, "machine"));
        }
        text
    }

    fn line(&self) -> String {
        let lines = &self.facts.shown.machines;
        let sum = |rounds: fn(&Line) -> u32| lines.iter().map(|line| u64::from(rounds(line))).sum::<u64>();
        let (up, down) = (sum(|line| line.up), sum(|line| line.down));
        format!("{} {}; rounds up {up}, down {down}", self.time, self.summary())
    }

    fn is_last(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use leasehold::state::{SlotState, ring_bit};
    use leasehold_client::sample::{NEXT_ROUND, change, snapshot, wallet};
    use leasehold_operate::sample::view;
    use live::Frame;

    use super::*;

    /// Supplier 0's machines in slots 0 and 1, of which 1 was down in the last round.
    fn moment(now: i64) -> Moment {
        let mut data = snapshot().boards.remove(0).data;
        change(&mut data, |_, slots| {
            let bit = 1 << ring_bit(NEXT_ROUND - 1);
            slots[1].history_up &= !bit;
            slots[1].history_down |= bit;
            slots[0].state = SlotState::Suspended as u8;
        });
        Moment::new(&view(), Machines::new(&view(), &[data.view().unwrap()], &wallet(0)), now)
    }

    #[test]
    fn machines_that_are_down_stand_first() {
        let text = moment(600_000).draw(Size { rows: 40, columns: 200 });
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("2 machines, 2 leased, 1 down; unclaimed earnings: 0.00054 of "));
        let expected = "    0     1  leased         1  down  RTX 4090  0.00036  0.00027  10     0  .....";
        assert!(lines[4].starts_with(expected) && lines[4].ends_with("#########x"), "{text}");
        assert!(lines[5].contains("suspended      1  up    "), "{text}");
        let small = moment(600_000).draw(Size { rows: 5, columns: 80 });
        assert_eq!((small.lines().count(), small.lines().last()), (5, Some("and 2 machines more")));
    }

    #[test]
    fn a_log_tells_machines_in_a_line_and_time_is_no_change() {
        let (now, later) = (moment(600_000), moment(600_005));
        let line = now.line();
        assert!(line.starts_with("1970-01-07T22:40:00Z 2 machines, 2 leased, 1 down; unclaimed"), "{line}");
        assert!(line.ends_with("; rounds up 18, down 2"), "{line}");
        let facts = |moment: &Moment| serde_json::to_value(moment.facts()).unwrap();
        assert_eq!(facts(&now), facts(&later));
        let json = serde_json::to_value(&later).unwrap();
        assert_eq!((&json["down"], &json["earned"]["amount"]), (&1.into(), &"540".into()));
        assert_eq!(
            (&json["machines"][0]["slot"], &json["time"]),
            (&1.into(), &"1970-01-07T22:40:05Z".into())
        );
    }

    #[test]
    fn a_supplier_without_machines_gets_a_sentence() {
        let none = Moment::new(&view(), Machines::new(&view(), &[], &wallet(5)), 0);
        assert!(none.draw(Size { rows: 9, columns: 80 }).contains("0 machines, 0 leased"));
    }
}
