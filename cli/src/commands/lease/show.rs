//! `leasehold lease show`.

use std::fmt;

use clap::Args;
use leasehold::{
    math::settlement::Burned,
    state::{LeaseState, Meter, Slot},
};
use leasehold_client::{
    access,
    meter::{self, MeterState},
    quote::standing,
    slash::{SlashCause, slash_report},
};
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    progress::with_spinner,
    table::{Table, labelled},
    time::{rfc3339, start_of},
};
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::{leased::Leased, list::Line, selection::LeaseArgs};
use crate::{
    burned::{self, NamedBurned},
    commands::{machine::endpoint::address, quote::metered::RESERVED},
    ports::{all_answer, yes_or_no},
};

#[derive(Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Try to connect to each machine, and say whether its port answers. Keepers' verdicts know nothing of it.
    #[arg(long)]
    pub check_port: bool,
}

/// A lease and its machines.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    pub lease: Line,
    pub market: String,
    pub owner: String,
    pub buyer: String,
    /// Fingerprint of the SSH key that is let into its machines, as OpenSSH shows it; `None` if nobody is let in.
    pub access: Option<String>,
    /// Number of changes of the key and of the owner, and the one with which the machines were last to be wiped.
    pub access_epoch: u32,
    pub data_epoch: u32,
    pub slashed: Money,
    /// Machines that leave it before its end, or left it and are not settled yet.
    pub leaving: Option<Leavers>,
    /// Set if it is paid by use.
    pub meter: Option<Metered>,
    /// What is burned if it is settled as it stands, by reason.
    pub burns: NamedBurned,
    /// The same in words.
    #[serde(skip)]
    burn_lines: Vec<String>,
    /// Empty once it is settled.
    pub nodes: Vec<Node>,
}

/// Machines that leave a lease before its end.
#[derive(Debug, Serialize)]
pub struct Leavers {
    pub machines: usize,
    /// When the last of them leaves.
    pub by: String,
    /// True if all of them have left.
    #[serde(skip)]
    gone: bool,
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
    /// Standing of the meter now, `None` once it is settled.
    pub now: Option<MeterNow>,
}

/// A meter at a moment.
#[derive(Debug, Serialize)]
pub struct MeterNow {
    /// Price per hour that the machine is paid for rounds up, besides vouchers.
    pub standby: Money,
    /// Most that vouchers can pay in all; the rest is reserved for the standby price until an hour from now.
    pub voucher_limit: Money,
    pub reserve: Money,
    /// True if less is left than that, so that anybody may end the lease with the running round.
    pub short: bool,
}

/// A machine of a lease.
#[derive(Debug, Serialize)]
pub struct Node {
    pub slot: u16,
    pub node_key: String,
    pub class: String,
    pub gpus: u8,
    /// Per GPU and hour, and per hour of the whole machine.
    pub price: Money,
    pub hourly: Money,
    /// Closed rounds of the lease by verdict.
    pub up: u32,
    pub down: u32,
    pub unseen: u32,
    pub void: u32,
    /// True if it was down in the last closed round, or broke its promise for good.
    pub failing: bool,
    /// True if its owner left it, and if it contested it.
    pub left: bool,
    pub contested: bool,
    /// Earned for rounds up, fees included, and the part that is kept until its end.
    pub earned: Money,
    pub kept: Money,
    /// Burned because of it as it stands, by reason.
    pub burns: NamedBurned,
    /// Rule that takes its bond as it stands, and how much of it.
    pub rule: &'static str,
    pub slash: Money,
    /// Verdicts of the rounds that the board remembers, the oldest first: # up, x down, o unseen, . void.
    pub history: String,
    /// True if its port accepts connections. `None` if that was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
}

pub async fn run(chain: &Chain, args: ShowArgs) -> Result<(), Failure> {
    let (leased, now) = (args.lease.load(chain).await?, chain.fetch().now().await?);
    let mut shown = Shown::new(&leased, now)?;
    if args.check_port {
        with_spinner("Trying the machines' ports", shown.try_ports(&leased)).await?;
    }
    chain.settings.output.print(&shown)
}

impl Shown {
    pub fn new(leased: &Leased, now: i64) -> Result<Self, Failure> {
        let Leased { address, lease, market, .. } = leased;
        let view = leased.view()?;
        let burned = match lease.state {
            LeaseState::Settled => Burned::default(),
            _ => standing(&view, lease)?.burned,
        };
        let node = |(slot, machine)| Node::new(leased, slot, machine).transpose();
        Ok(Shown {
            lease: Line::new(market, *address, &view, lease)?,
            market: market.reference.address.to_string(),
            owner: lease.owner.to_string(),
            buyer: lease.buyer.to_string(),
            access: lease.access.as_ref().map(access::display),
            access_epoch: lease.access_epoch,
            data_epoch: lease.data_epoch,
            slashed: market.stake.money(lease.slashed),
            leaving: Leavers::new(leased, now)?,
            meter: lease.meter.as_ref().map(|meter| Metered::new(leased, meter, now)).transpose()?,
            burns: NamedBurned::new(market, &burned)?,
            burn_lines: burned::reasoned(market, &burned),
            nodes: view.leased(lease.serial).filter_map(node).collect::<Result<_, _>>()?,
        })
    }
}

impl Shown {
    async fn try_ports(&mut self, leased: &Leased) -> Result<(), Failure> {
        let view = leased.view()?;
        let endpoint = |node: &Node| view.slot(node.slot).map(|slot| address(&slot.endpoint));
        let endpoints: Vec<_> = self.nodes.iter().filter_map(endpoint).collect();
        for (node, answer) in self.nodes.iter_mut().zip(all_answer(&endpoints).await) {
            node.answers = Some(answer);
        }
        Ok(())
    }

    /// Who is let in, and the access epoch.
    fn access(&self) -> String {
        format!("{}, epoch {}", self.access.as_deref().unwrap_or("nobody"), self.access_epoch)
    }
}

impl Leavers {
    /// `None` if no machine leaves early.
    fn new(leased: &Leased, now: i64) -> Result<Option<Self>, Failure> {
        let (lease, view) = (&leased.lease, leased.view()?);
        let ends = view.leased(lease.serial).map(|(_, slot)| slot.lease_until);
        let ends: Vec<_> = ends.filter(|until| *until < lease.until).collect();
        let Some(last) = ends.iter().max() else { return Ok(None) };
        let by = start_of(&lease.terms, *last);
        Ok(Some(Leavers { machines: ends.len(), by: rfc3339(by), gone: by <= now }))
    }
}

impl fmt::Display for Leavers {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Leavers { machines, by, gone } = self;
        let leave = match (machines, gone) {
            (_, true) => "left",
            (1, false) => "leaves",
            _ => "leave",
        };
        write!(f, "{machines} that {leave} by {by}")
    }
}

impl Metered {
    fn new(leased: &Leased, meter: &Meter, now: i64) -> Result<Self, Failure> {
        let Leased { lease, market, .. } = leased;
        let money = |amount| market.payment.money(amount);
        let now = match lease.state {
            LeaseState::Settled => None,
            _ => {
                let MeterState { standby, limit, reserve, is_short, .. } =
                    meter::state(&leased.view()?, lease, now)?;
                Some(MeterNow {
                    standby: money(standby),
                    voucher_limit: money(limit),
                    reserve: money(reserve),
                    short: is_short,
                })
            }
        };
        Ok(Metered {
            spender: meter.spender.to_string(),
            seq: meter.seq.to_string(),
            units: meter.units.to_string(),
            paid: money(meter.paid),
            now,
        })
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
            gpus: machine.traits.gpus,
            price: leased.market.payment.money(machine.price),
            hourly: leased.market.payment.money(machine.hourly()),
            up: report.up,
            down: report.down,
            unseen: report.unseen,
            void: report.void,
            failing: view.was_down(machine) || machine.has_broken_promise(),
            left: machine.has(Slot::LEFT),
            contested: machine.has(Slot::CONTESTED),
            earned: leased.market.payment.money(report.earned),
            kept: leased.market.payment.money(report.kept),
            burns: NamedBurned::new(&leased.market, &report.burned)?,
            rule: match report.cause {
                None => "kept",
                Some(SlashCause::Downtime) => "downtime",
                Some(SlashCause::Abandoned) => "abandoned",
                Some(SlashCause::Forfeited) => "forfeited",
                Some(SlashCause::Convicted) => "convicted",
            },
            slash: leased.market.stake.money(report.slash),
            history,
            answers: None,
        }))
    }
}

impl Node {
    /// Whether its promise is kept, and whether it was left.
    pub fn promise(&self) -> String {
        let left = match (self.left, self.contested) {
            (false, _) => "",
            (true, false) => ", left",
            (true, true) => ", left, contested",
        };
        format!("{}{left}", self.rule)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let lease = &self.lease;
        let number = |money: &Money| money.token.number(money.amount);
        let leaving = self.leaving.as_ref().map(|leaving| format!(", and {leaving}")).unwrap_or_default();
        let lines = [
            ("Lease:", format!("{} ({}:{})", lease.lease, lease.board, lease.serial)),
            ("State:", lease.state.to_owned()),
            ("Owner:", self.owner.clone()),
            ("Access:", self.access()),
            ("Rounds:", format!("{} to {}", lease.from, lease.until.saturating_sub(1))),
            ("Time:", format!("{} to {}", lease.start, lease.end)),
            ("GPUs:", lease.gpus()),
            ("Machines:", format!("{}{leaving}", lease.machines)),
            ("Deposit:", lease.deposit.to_string()),
            ("Spent:", format!("{}, {} more owed", lease.spent, number(&lease.owed))),
            ("Held back:", format!("{} of the machines' pay, until each leaves", lease.kept)),
            ("Left:", lease.left.to_string()),
            ("Refunded:", format!("{}, {} of it to be claimed", lease.refunded, number(&lease.refund_due))),
            ("Burned:", lease.burned.to_string()),
        ];
        let burns = self.burn_lines.iter().map(|line| ("Burned at the end:", line.clone()));
        let lines = lines.into_iter().chain(burns).chain([("Slashed:", self.slashed.to_string())]);
        let meter = self.meter.as_ref().map(|meter| {
            let Metered { spender, seq, units, paid, now } = meter;
            let paid = format!("{paid}, for {seq} receipts of {units} units of use");
            let mut lines = vec![("Spender:", spender.clone()), ("Vouchers paid:", paid)];
            if let Some(MeterNow { standby, voucher_limit, reserve, short }) = now {
                let (limit, reserve) = (number(voucher_limit), number(reserve));
                let limit = format!("{limit} at most in all; {reserve} is reserved: {RESERVED}");
                lines.push(("Standby:", format!("{standby} an hour for rounds up, besides vouchers")));
                lines.push(("Vouchers:", limit));
                if *short {
                    let text =
                        "less is left than an hour's standby price: anybody may end the lease, so top it up";
                    lines.push(("SHORT:", text.to_owned()));
                }
            }
            lines
        });
        f.write_str(&labelled(lines.chain(meter.into_iter().flatten())))?;
        if self.nodes.is_empty() {
            return Ok(());
        }
        let was_tried = self.nodes.iter().any(|node| node.answers.is_some());
        let mut heads = vec![">SLOT"];
        heads.extend(was_tried.then_some("ANSWERS"));
        heads.extend([
            "CLASS",
            ">GPUS",
            ">PRICE/GPU/H",
            ">UP",
            ">DOWN",
            ">UNSEEN",
            ">VOID",
            ">EARNED",
            ">HELD",
            ">BURNED",
            "PROMISE",
            ">LOSES",
            "LAST ROUNDS",
        ]);
        let mut table = Table::new(&heads);
        for node in &self.nodes {
            let mut row = vec![node.slot.to_string()];
            row.extend(was_tried.then(|| yes_or_no(node.answers).to_owned()));
            row.extend([
                node.class.clone(),
                node.gpus.to_string(),
                number(&node.price),
                node.up.to_string(),
                node.down.to_string(),
                node.unseen.to_string(),
                node.void.to_string(),
                number(&node.earned),
                number(&node.kept),
                number(&node.burns.total),
                node.promise(),
                node.slash.token.number(node.slash.amount),
                node.history.clone(),
            ]);
            table.row(row);
        }
        write!(f, "\n\n{table}")
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample::change;
    use serde_json::Value;

    use super::{
        super::{leased::tests::sample, meter::tests::metered},
        *,
    };

    #[test]
    fn a_lease_shows_what_its_machines_did() {
        let shown = Shown::new(&sample(1), 600_000).unwrap();
        let text = shown.to_string();
        assert!(text.contains("Left:               0.00132 of "), "{text}");
        let mint = leasehold_operate::amount::short(&shown.lease.deposit.token.mint);
        let burned =
            format!("Burned at the end:  0.00006 of {mint} of the machines' pay, for rounds down beyond ");
        assert!(text.contains(&burned), "{text}");
        let rows: Vec<_> = text.lines().rev().take(2).collect();
        let strip = ".".repeat(54);
        let slot_0 = format!(
            "   0  RTX 4090     1      0.00036   8     2       0     0  0.00048  0.00048  0.00006  downtime   0.02  {strip}#x###x####"
        );
        let slot_1 = format!(
            "   1  RTX 4090     1      0.00036  10     0       0     0   0.0006   0.0006        0  kept          0  {strip}##########"
        );
        assert_eq!(rows, [slot_1, slot_0]);
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            (&json["nodes"][0]["slash"]["amount"], &json["nodes"][0]["down"]),
            (&"2".into(), &2.into())
        );
        assert_eq!((&json["serial"], &json["left"]["amount"]), (&1.into(), &"1320".into()));
        assert_eq!(
            (&json["gpus"], &json["gpus_asked"], &json["leaving"]),
            (&2.into(), &2.into(), &Value::Null)
        );
    }

    #[test]
    fn a_lease_shows_who_is_let_in() {
        let mut leased = sample(1);
        let told = |leased: &Leased| Shown::new(leased, 600_000).unwrap();
        assert!(told(&leased).to_string().contains("Access:             nobody, epoch 0\n"));
        (leased.lease.access, leased.lease.access_epoch, leased.lease.data_epoch) = (Some([7; 32]), 3, 2);
        let key = "SHA256:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        let text = told(&leased).to_string();
        assert!(text.contains(&format!("Access:             {key}, epoch 3\n")), "{text}");
        let json = serde_json::to_value(told(&leased)).unwrap();
        assert_eq!(json["access"], key);
        assert_eq!((&json["access_epoch"], &json["data_epoch"]), (&3.into(), &2.into()));
    }

    #[test]
    fn gpus_are_those_of_the_machines_whatever_was_asked_for() {
        let mut leased = sample(1);
        change(&mut leased.data.account, |_, slots| slots[1].traits.gpus = 8);
        let shown = Shown::new(&leased, 600_000).unwrap();
        assert_eq!((shown.lease.gpus, shown.lease.gpus_asked), (Some(9), 2));
        let settled = Shown::new(&sample(2), 600_000).unwrap();
        assert!(settled.to_string().contains("GPUs:       1 asked for\n"), "{settled}");
        assert_eq!(serde_json::to_value(settled).unwrap()["gpus"], Value::Null);
    }

    #[test]
    fn a_machine_that_leaves_early_is_counted_apart() {
        let mut leased = sample(1);
        change(&mut leased.data.account, |_, slots| slots[1].lease_until = 1_005);
        let told = |now| Shown::new(&leased, now).unwrap().to_string();
        let machines = "Machines:           2, and 1 that";
        let text = told(600_000);
        assert!(text.contains(&format!("{machines} leaves by 1970-01-07T23:30:00Z\n")), "{text}");
        assert!(text.contains("GPUs:               1\n"), "{text}");
        assert!(told(1_005 * 600).contains(&format!("{machines} left by ")));
    }

    #[test]
    fn a_metered_lease_shows_its_meter() {
        let shown = Shown::new(&metered(), 600_000).unwrap();
        let text = shown.to_string();
        let mint = leasehold_operate::amount::short(&shown.lease.deposit.token.mint);
        let paid = format!("Vouchers paid:      0.0006 of {mint}, for 5 receipts of 250 units of use\n");
        assert!(text.contains(&paid), "{text}");
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!((&json["meter"]["seq"], &json["meter"]["paid"]["amount"]), (&"5".into(), &"600".into()));
        let now = &json["meter"]["now"];
        assert_eq!((&now["standby"]["amount"], &now["short"]), (&"36".into(), &false.into()));
        assert_eq!(
            (&now["voucher_limit"]["amount"], &now["reserve"]["amount"]),
            (&"2298".into(), &"102".into())
        );
        assert!(serde_json::to_value(Shown::new(&sample(1), 600_000).unwrap()).unwrap()["meter"].is_null());
    }

    #[test]
    fn a_settled_lease_has_let_its_machines_go() {
        let shown = Shown::new(&sample(2), 600_000).unwrap();
        assert!(shown.nodes.is_empty() && shown.lease.state == "settled");
        assert!(!shown.to_string().contains("SLOT"));
    }
}
