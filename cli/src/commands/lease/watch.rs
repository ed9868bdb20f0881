//! `leasehold lease watch`.

use std::cmp::Reverse;

use clap::Args;
use serde::Serialize;

use super::{
    leased::Leased,
    selection::LeaseArgs,
    show::{Node, Shown},
};
use crate::live::{self, LiveArgs, Size, capped, span, with_strips};
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    table::{Table, count, labelled},
    time::{rfc3339, start_of},
};

/// Machines that a line of a log names at most.
const NAMED: usize = 8;

#[derive(Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    #[command(flatten)]
    pub live: LiveArgs,
}

/// A lease at a moment.
#[derive(Debug, Serialize)]
struct Moment {
    /// Of the chain's clock.
    time: String,
    /// Until the lease begins, and until it ends; 0 once it has.
    secs_to_start: u64,
    secs_to_end: u64,
    #[serde(flatten)]
    facts: Facts,
}

#[derive(Debug, Serialize)]
struct Facts {
    #[serde(flatten)]
    shown: Shown,
    /// Stake that all machines would lose if the lease were settled as it stands.
    at_stake: Money,
}

pub async fn run(chain: &Chain, args: WatchArgs) -> Result<(), Failure> {
    let first = args.lease.load(chain).await?;
    let read = async || {
        let (leased, now) = (reload(chain, &first).await?, chain.fetch().now().await?);
        Moment::new(&leased, now)
    };
    live::watch(chain.settings.output, args.live, read).await
}

/// Reads the accounts that change again: lease and board.
async fn reload(chain: &Chain, leased: &Leased) -> Result<Leased, Failure> {
    let (address, fetch) = (leased.address, chain.fetch());
    let lease = chain.lease(address).await?;
    let data = fetch.board(lease.board).await?;
    Ok(Leased { address, lease, data, board: leased.board, market: leased.market.clone() })
}

impl Moment {
    fn new(leased: &Leased, now: i64) -> Result<Self, Failure> {
        let Leased { lease, market, .. } = leased;
        let mut shown = Shown::new(leased, now)?;
        shown.nodes.sort_by_key(|node| {
            (Reverse((node.failing, node.slash.amount, node.down, node.unseen)), node.slot)
        });
        let at_stake = shown.nodes.iter().fold(0u64, |sum, node| sum.saturating_add(node.slash.amount));
        let secs_to = |round| u64::try_from(start_of(&lease.terms, round).saturating_sub(now)).unwrap_or(0);
        Ok(Moment {
            time: rfc3339(now),
            secs_to_start: secs_to(lease.from),
            secs_to_end: secs_to(lease.until),
            facts: Facts { shown, at_stake: market.stake.money(at_stake) },
        })
    }

    /// "open, ends in 3 h 20 min".
    fn phase(&self) -> String {
        let state = self.facts.shown.lease.state;
        match (self.secs_to_start, self.secs_to_end) {
            _ if self.settled() => state.to_owned(),
            (0, 0) => format!("{state}, ended and not settled yet"),
            (0, secs) => format!("{state}, ends in {}", span(secs)),
            (secs, _) => format!("{state}, begins in {}", span(secs)),
        }
    }

    fn settled(&self) -> bool {
        self.facts.shown.lease.state == "settled"
    }

    /// Machines that are down or have left, by slot.
    fn down(&self) -> Vec<u16> {
        let nodes = &self.facts.shown.nodes;
        let mut slots: Vec<_> = nodes.iter().filter(|node| node.failing).map(|node| node.slot).collect();
        slots.sort_unstable();
        slots
    }

    fn machines(&self) -> String {
        let all = count(usize::try_from(self.facts.shown.lease.machines).unwrap_or(usize::MAX), "machine");
        match self.down()[..] {
            [] => all,
            ref down => format!("{all}, {} down", down.len()),
        }
    }
}

impl live::Frame for Moment {
    type Facts = Facts;

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn draw(&self, size: Size) -> String {
        let Facts { shown: Shown { lease, nodes, slashed, .. }, at_stake } = &self.facts;
        let number = |money: &Money| money.token.number(money.amount);
        let lines = [
            ("Lease:", format!("{}:{}  {}", lease.board, lease.serial, lease.lease)),
            ("State:", self.phase()),
            ("Time:", format!("{}, {} to {}", self.time, lease.start, lease.end)),
            ("Machines:", self.machines()),
        ];
        let money = if self.settled() {
            [
                ("Spent:", number(&lease.spent)),
                ("Burned:", number(&lease.burned)),
                ("Refund due:", lease.refund_due.to_string()),
                ("Slashed:", slashed.to_string()),
            ]
        } else {
            [
                ("Spent:", format!("{}, {} more owed", number(&lease.spent), number(&lease.owed))),
                ("Held back:", lease.kept.to_string()),
                ("Left:", lease.left.to_string()),
                ("At stake:", at_stake.to_string()),
            ]
        };
        let head = labelled(lines.into_iter().chain(money));
        if nodes.is_empty() {
            return head;
        }
        // An empty line and the table's head stand between.
        let room = size.rows.saturating_sub(head.lines().count() + 2);
        let (rows, left_out) = capped(nodes, room);
        let mut table = Table::new(&[">SLOT", "CLASS", ">UP", ">DOWN", ">UNSEEN", "PROMISE", ">LOSES"]);
        for node in rows {
            table.row(vec![
                node.slot.to_string(),
                node.class.clone(),
                node.up.to_string(),
                node.down.to_string(),
                node.unseen.to_string(),
                node.promise(),
                number(&node.slash),
            ]);
        }
        let strips: Vec<_> = rows.iter().map(|node| node.history.as_str()).collect();
        let mut text = format!("{head}\n\n{}", with_strips(&table, &strips, size.columns));
        if left_out > 0 {
            text += &format!("\nand {} more", count(left_out, "machine"));
        }
        text
    }

    fn line(&self) -> String {
        let Facts { shown: Shown { lease, nodes, slashed, .. }, at_stake } = &self.facts;
        let number = |money: &Money| money.token.number(money.amount);
        let (phase, machines, spent) = (self.phase(), self.machines(), number(&lease.spent));
        let start = format!("{} lease {}:{} {phase}: {machines}", self.time, lease.board, lease.serial);
        if self.settled() {
            let (due, slashed) = (number(&lease.refund_due), number(slashed));
            return format!("{start}; spent {spent}, refund due {due}, slashed {slashed}");
        }
        let down = self.down();
        let named: Vec<_> = down.iter().take(NAMED).map(u16::to_string).collect();
        let which = match down.len() {
            0 => String::new(),
            1 => format!(" (slot {})", named.join(", ")),
            all if all > NAMED => format!(" (slots {} and more)", named.join(", ")),
            _ => format!(" (slots {})", named.join(", ")),
        };
        let sum = |rounds: fn(&Node) -> u32| nodes.iter().map(|node| u64::from(rounds(node))).sum::<u64>();
        let [up, down, unseen] = [sum(|node| node.up), sum(|node| node.down), sum(|node| node.unseen)];
        let [owed, kept, left, at_stake] = [&lease.owed, &lease.kept, &lease.left, at_stake].map(number);
        format!(
            "{start}{which}; rounds up {up}, down {down}, unseen {unseen}; spent {spent}, owed {owed}, held back {kept}, \
             left {left}; at stake {at_stake}"
        )
    }

    fn is_last(&self) -> bool {
        self.settled()
    }
}

#[cfg(test)]
mod tests {
    use leasehold::state::Slot;
    use leasehold_client::sample::change;
    use live::Frame;

    use super::{super::leased::tests::sample, *};

    /// Round 1,000 of 990 to 1,009 runs.
    const NOW: i64 = 600_000;
    const WIDE: Size = Size { rows: 40, columns: 200 };

    #[test]
    fn a_log_tells_a_lease_in_a_line() {
        let line = Moment::new(&sample(1), NOW).unwrap().line();
        // 18 rounds up at 60 each, all of them kept.
        let expected = "1970-01-07T22:40:00Z lease 0:1 open, ends in 1 h 40 min: 2 machines; rounds up 18, \
                        down 2, unseen 0; spent 0, owed 0, held back 0.00108, left 0.00132; at stake 0.02";
        assert_eq!(line, expected);
        let mut leased = sample(1);
        change(&mut leased.data.account, |_, slots| slots[1].flags = Slot::ABANDONED);
        let line = Moment::new(&leased, NOW).unwrap().line();
        assert!(
            line.contains(": 2 machines, 1 down (slot 1); ") && line.ends_with("at stake 1.02"),
            "{line}"
        );
    }

    #[test]
    fn the_worst_machines_stand_first_and_the_rest_is_counted() {
        let mut leased = sample(1);
        change(&mut leased.data.account, |_, slots| slots[1].flags = Slot::ABANDONED);
        let moment = Moment::new(&leased, NOW).unwrap();
        let text = moment.draw(WIDE);
        let rows: Vec<_> = text.lines().rev().take(2).map(str::trim_start).collect();
        assert!(rows[1].starts_with("1  RTX 4090  10     0       0  abandoned      1  ....."), "{text}");
        assert!(rows[0].starts_with("0  RTX 4090   8     2       0  downtime    0.02  ....."), "{text}");
        assert!(rows[0].ends_with("#x###x####"));
        let small = moment.draw(Size { rows: 11, columns: 80 });
        assert_eq!((small.lines().count(), small.lines().last()), (11, Some("and 2 machines more")));
        assert!(small.contains("Spent:      0, 0 more owed\n"), "{small}");
    }

    #[test]
    fn only_facts_and_no_clock_make_a_change() {
        let (now, later) = (Moment::new(&sample(1), NOW).unwrap(), Moment::new(&sample(1), NOW + 5).unwrap());
        let facts = |moment: &Moment| serde_json::to_value(moment.facts()).unwrap();
        assert_eq!(facts(&now), facts(&later));
        let json = serde_json::to_value(&later).unwrap();
        assert_eq!(
            (&json["secs_to_end"], &json["secs_to_start"], &json["kept"]["amount"]),
            (&5_995.into(), &0.into(), &"1080".into())
        );
        assert_eq!((&json["at_stake"]["amount"], &json["nodes"][0]["slot"]), (&"2".into(), &0.into()));
    }

    #[test]
    fn the_view_says_when_a_lease_begins_and_ends() {
        let at = |now| Moment::new(&sample(1), now).unwrap();
        assert_eq!(at(990 * 600 - 60).phase(), "open, begins in 1 min 0 s");
        assert_eq!(at(1_010 * 600).phase(), "open, ended and not settled yet");
        assert!(!at(NOW).is_last());
        let settled = Moment::new(&sample(2), NOW).unwrap();
        assert!(settled.is_last() && settled.phase() == "settled");
        let line = settled.line();
        assert!(line.ends_with(" settled: 1 machine; spent 0, refund due 0.00004, slashed 0.1"), "{line}");
        assert!(settled.draw(WIDE).contains("Refund due:  0.00004 of "), "{}", settled.draw(WIDE));
    }
}
