//! `leasehold lease show`.

use std::fmt;

use leasehold::{
    rules::replace::require_replaceable,
    state::{Meter, Slot},
};
use leasehold_client::slash::{SlashCause, slash_report};
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    table::{Table, labelled},
};
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::{leased::Leased, list::Line, selection::LeaseArgs};

/// A lease and its machines.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    pub lease: Line,
    pub market: String,
    pub owner: String,
    pub buyer: String,
    pub slashed: Money,
    /// Set if it is paid by use.
    pub meter: Option<Metered>,
    /// Empty once it is settled.
    pub nodes: Vec<Node>,
}

/// Meter of a lease, and the use that vouchers have paid for.
#[derive(Debug, Serialize)]
pub struct Metered {
    /// Key that signs call tokens and vouchers.
    pub spender: String,
    /// Receipts and compute units.
    pub seq: String,
    pub units: String,
    pub paid: Money,
}

/// A machine of a lease.
#[derive(Debug, Serialize)]
pub struct Node {
    pub slot: u16,
    pub node_key: String,
    pub class: String,
    /// For an hour.
    pub price: Money,
    /// Closed rounds of the lease by verdict.
    pub up: u32,
    pub down: u32,
    pub unknown: u32,
    /// True if it can be replaced.
    pub replaceable: bool,
    /// Rule that takes its bond as it stands, and how much of it.
    pub rule: &'static str,
    pub slash: Money,
    /// Verdicts of the rounds that the board remembers, the oldest first: # up, x down, . unknown.
    pub history: String,
}

pub async fn run(chain: &Chain, args: LeaseArgs) -> Result<(), Failure> {
    chain.settings.output.print(&Shown::new(&args.load(chain).await?)?)
}

impl Shown {
    pub fn new(leased: &Leased) -> Result<Self, Failure> {
        let Leased { address, lease, market, .. } = leased;
        let view = leased.view()?;
        let node = |(slot, machine)| Node::new(leased, slot, machine).transpose();
        Ok(Shown {
            lease: Line::new(market, *address, &view, lease)?,
            market: market.reference.address.to_string(),
            owner: lease.owner.to_string(),
            buyer: lease.buyer.to_string(),
            slashed: market.stake.money(lease.slashed),
            meter: lease.meter.as_ref().map(|meter| Metered::new(leased, meter)),
            nodes: view.leased(lease.serial).filter_map(node).collect::<Result<_, _>>()?,
        })
    }
}

impl Metered {
    fn new(leased: &Leased, meter: &Meter) -> Self {
        Metered {
            spender: meter.spender.to_string(),
            seq: meter.seq.to_string(),
            units: meter.units.to_string(),
            paid: leased.market.payment.money(leased.lease.paid.saturating_add(leased.lease.fees)),
        }
    }
}

impl Node {
    fn new(leased: &Leased, slot: u16, machine: &Slot) -> Result<Option<Self>, Failure> {
        let view = leased.view()?;
        let Some(report) = slash_report(&view, slot, &leased.lease)? else { return Ok(None) };
        // The strip lives as long as the board that it is read from.
        let history = view.slot(slot).map(|slot| view.uptime_strip(slot)).unwrap_or_default();
        Ok(Some(Node {
            slot,
            node_key: Pubkey::new_from_array(machine.node_key).to_string(),
            class: leased.market.class_name(machine.traits.class),
            price: leased.market.payment.money(machine.price),
            up: report.up,
            down: report.down,
            unknown: report.unknown,
            replaceable: require_replaceable(view.header, machine, &leased.lease).is_ok(),
            rule: match report.cause {
                None => "kept",
                Some(SlashCause::Downtime) => "downtime",
                Some(SlashCause::Abandoned) => "abandoned",
                Some(SlashCause::Forfeited) => "forfeited",
                Some(SlashCause::Convicted) => "convicted",
            },
            slash: leased.market.stake.money(report.slash),
            history,
        }))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let lease = &self.lease;
        let lines = [
            ("Lease:", format!("{} ({}:{})", lease.lease, lease.board, lease.serial)),
            ("State:", lease.state.to_owned()),
            ("Owner:", self.owner.clone()),
            ("Rounds:", format!("{} to {}", lease.from, lease.until.saturating_sub(1))),
            ("Time:", format!("{} to {}", lease.start, lease.end)),
            ("Machines:", lease.machines.to_string()),
            ("Deposit:", lease.deposit.to_string()),
            ("Spent:", format!("{}, {} more owed", lease.spent, lease.owed.token.number(lease.owed.amount))),
            ("Left:", lease.left.to_string()),
            ("Refund due:", lease.refund_due.to_string()),
            ("Slashed:", self.slashed.to_string()),
            ("Compensation due:", lease.compensation_due.to_string()),
        ];
        let meter = self.meter.as_ref().map(|meter| {
            let Metered { spender, seq, units, paid } = meter;
            let paid = format!("{paid}, for {seq} receipts of {units} compute units");
            [("Spender:", spender.clone()), ("Vouchers paid:", paid)]
        });
        f.write_str(&labelled(lines.into_iter().chain(meter.into_iter().flatten())))?;
        if self.nodes.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&[
            ">SLOT",
            "CLASS",
            ">PRICE/H",
            ">UP",
            ">DOWN",
            ">UNKNOWN",
            "PROMISE",
            ">LOSES",
            "LAST ROUNDS",
        ]);
        for node in &self.nodes {
            table.row(vec![
                node.slot.to_string(),
                node.class.clone(),
                node.price.token.number(node.price.amount),
                node.up.to_string(),
                node.down.to_string(),
                node.unknown.to_string(),
                node.rule.to_owned(),
                node.slash.token.number(node.slash.amount),
                node.history.clone(),
            ]);
        }
        write!(f, "\n\n{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{leased::tests::sample, meter::tests::metered},
        *,
    };

    #[test]
    fn a_lease_shows_what_its_machines_did() {
        let shown = Shown::new(&sample(1)).unwrap();
        let text = shown.to_string();
        assert!(text.contains("Left:              0.00132 of "), "{text}");
        let rows: Vec<_> = text.lines().rev().take(2).collect();
        let strip = ".".repeat(54);
        let slot_0 =
            format!("   0  RTX 4090  0.00036   8     2        0  downtime      1  {strip}#x###x####");
        let slot_1 =
            format!("   1  RTX 4090  0.00036  10     0        0  kept          0  {strip}##########");
        assert_eq!(rows, [slot_1, slot_0]);
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            (&json["nodes"][0]["slash"]["amount"], &json["nodes"][0]["down"]),
            (&"100".into(), &2.into())
        );
        assert_eq!((&json["serial"], &json["left"]["amount"]), (&1.into(), &"1320".into()));
    }

    #[test]
    fn a_metered_lease_shows_its_meter() {
        let shown = Shown::new(&metered()).unwrap();
        let text = shown.to_string();
        let mint = leasehold_operate::amount::short(&shown.lease.deposit.token.mint);
        let paid = format!("Vouchers paid:     0.0006 of {mint}, for 5 receipts of 250 compute units\n");
        assert!(text.contains(&paid), "{text}");
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!((&json["meter"]["seq"], &json["meter"]["paid"]["amount"]), (&"5".into(), &"600".into()));
        assert!(serde_json::to_value(Shown::new(&sample(1)).unwrap()).unwrap()["meter"].is_null());
    }

    #[test]
    fn a_settled_lease_has_let_its_machines_go() {
        let shown = Shown::new(&sample(2)).unwrap();
        assert!(shown.nodes.is_empty() && shown.lease.state == "settled");
        assert!(!shown.to_string().contains("SLOT"));
    }
}
