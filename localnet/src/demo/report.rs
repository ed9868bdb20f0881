//! The report: leases, transactions, verdicts, invariants and a proof, as read from the chain.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, Result};
use leasehold::{
    constants::SECS_PER_HOUR,
    math::{pricing::gross, settlement::kept},
    state::{Lease, Slot},
};
use leasehold_client::{
    error::Refusal,
    invariants::{self, Snapshot},
};
use serde::{Serialize, Serializer};

use super::{
    Cost, Demo, claims::Burned, faults::Faults, inference::Proved, leases::Opened, shell::Shown, stage::Stage,
};
use crate::network::{PAYMENT_DECIMALS, STAKE_DECIMALS};

/// Default length of a round, in seconds.
const USUAL_ROUND: u64 = 600;

/// The result of a lease.
#[derive(Clone, Debug, Serialize)]
pub struct LeaseReport {
    #[serde(skip)]
    pub name: String,
    #[serde(skip)]
    pub asked: u32,
    /// Machines that the program picked.
    pub machines: u32,
    /// Machines that were never down and not forfeited.
    pub up: u32,
    /// Payment units that the buyer paid in.
    #[serde(skip)]
    pub deposit: u64,
    /// Payment units of the machines' pay, fees included, that were kept until their ends.
    pub kept: u64,
    /// Payment units to suppliers.
    pub paid: u64,
    /// Payment units back to the buyer.
    pub refunded: u64,
    /// Payment units burned: damages, what was contested, and what leaving cost.
    pub burned: u64,
    /// Stake units that its machines lost.
    pub slashed: u64,
}

/// Everything that the demo prints at the end. Serialises to its JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub leases: Vec<LeaseReport>,
    pub transactions: BTreeMap<&'static str, Cost>,
    #[serde(serialize_with = "counts")]
    pub invariants: invariants::Report,
    /// What was burned in all.
    pub burned: Burned,
    /// The proof of one inference.
    pub receipt: Proved,
    /// What the shell of one machine's tenant showed; an error, as null, says why it was left out.
    #[serde(serialize_with = "shown")]
    pub shell: Result<Shown, String>,
    #[serde(skip)]
    pub verdicts: Verdicts,
    #[serde(skip)]
    pub round_secs: u32,
}

/// Verdicts on machines in all closed rounds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdicts {
    pub up: u64,
    pub down: u64,
}

fn counts<S: Serializer>(report: &invariants::Report, serializer: S) -> Result<S::Ok, S::Error> {
    let violated = report.violated.len() as u64;
    BTreeMap::from([("checked", report.checked), ("violated", violated)]).serialize(serializer)
}

fn shown<S: Serializer>(shell: &Result<Shown, String>, serializer: S) -> Result<S::Ok, S::Error> {
    shell.as_ref().ok().serialize(serializer)
}

/// What is left once everybody has claimed.
pub(super) struct End<'a> {
    pub state: &'a Snapshot,
    pub invariants: invariants::Report,
    pub burned: Burned,
    pub receipt: Proved,
    pub shell: Result<Shown, String>,
}

pub(super) async fn report(
    stage: &Stage,
    demo: &Demo,
    leases: &[Opened],
    faults: &Faults,
    End { state, invariants, burned, receipt, shell }: End<'_>,
) -> Result<Report> {
    let mut verdicts = Verdicts::default();
    for board in &state.boards {
        for slot in board.data.view()?.slots {
            verdicts.up += u64::from(slot.up);
            verdicts.down += u64::from(slot.down);
        }
    }
    let mut reports = Vec::new();
    for lease in leases {
        let account = lease.read(stage).await?;
        let board = state.boards.iter().find(|board| board.address == lease.board.address);
        let view = board.context("a board is gone")?.data.view()?;
        // A settled machine keeps the counters of its last lease.
        let stayed_up = |index: &&u16| {
            let forfeited = faults.forfeited.contains(&(lease.board.address, **index));
            !forfeited && view.slot(**index).is_some_and(|slot| slot.lease_down == 0 && slot.lease_up > 0)
        };
        let up = lease.slots.iter().filter(stayed_up).count();
        let served = lease.slots.iter().chain(&lease.replaced).filter_map(|index| view.slot(*index));
        let kept = served.map(|slot| kept_of(&account, slot)).sum::<Result<u64, Refusal>>()?;
        reports.push(LeaseReport {
            name: lease.name.clone(),
            asked: lease.asked,
            machines: account.machines,
            up: u32::try_from(up).unwrap_or(u32::MAX),
            deposit: account.deposit,
            kept,
            paid: account.paid,
            refunded: account.refunded,
            burned: account.burned,
            slashed: account.slashed,
        });
    }
    Ok(Report {
        leases: reports,
        transactions: stage.costs.all(),
        invariants,
        burned,
        receipt,
        shell,
        verdicts,
        round_secs: demo.round_secs,
    })
}

/// Payment units of a machine's pay that were kept until its end.
fn kept_of(lease: &Lease, slot: &Slot) -> Result<u64, Refusal> {
    let hourly = lease.hourly(slot)?;
    let earned = gross(hourly, lease.terms.round_secs, slot.lease_up)?;
    Ok(kept(earned, hourly, lease.terms.hold_bps)?)
}

impl Report {
    /// Lamports for an hour of one machine's attestation: fees of votes and of closing rounds, divided by the verdicts.
    /// `None` if there were no verdicts.
    pub fn attestation(&self) -> Option<f64> {
        let lamports: u64 = ["submit_round", "close_round"]
            .iter()
            .filter_map(|kind| self.transactions.get(kind))
            .map(|cost| cost.lamports)
            .sum();
        let hours = (self.verdicts.up + self.verdicts.down) as f64 * f64::from(self.round_secs)
            / SECS_PER_HOUR as f64;
        (hours > 0.0).then(|| lamports as f64 / hours)
    }
}

impl Report {
    /// True if all that the demo shows holds. A shell that was left out fails nothing.
    pub fn is_ok(&self) -> bool {
        let shell = self.shell.as_ref().is_ok_and(|shown| !(shown.login && shown.cut));
        self.invariants.is_ok() && self.receipt.verified && !shell
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(
            f,
            "{:32} {:>6} {:>6} {:>6} {:>14} {:>14} {:>14} {:>14} {:>14} {:>14}",
            "lease", "GPUs", "picked", "up", "deposit", "kept", "paid", "refunded", "burned", "slashed"
        )?;
        for lease in &self.leases {
            let LeaseReport { name, asked, machines, up, deposit, kept, paid, refunded, burned, slashed } =
                lease;
            write!(f, "{name:32} {asked:>6} {machines:>6} {up:>6}")?;
            for units in [deposit, kept, paid, refunded, burned] {
                write!(f, " {:>14}", tokens(*units, PAYMENT_DECIMALS, 6))?;
            }
            writeln!(f, " {:>14}", tokens(*slashed, STAKE_DECIMALS, 3))?;
        }
        writeln!(
            f,
            "Amounts are in payment tokens, slashed in stake tokens. Kept: the part of the machines' pay that waited for"
        )?;
        writeln!(
            f,
            "their ends. What was not paid, refunded or burned is fees. Burned in all, and gone for good: {} payment",
            tokens(self.burned.payments, PAYMENT_DECIMALS, 6)
        )?;
        writeln!(
            f,
            "tokens, and {} stake tokens, which is all that was slashed.\n",
            tokens(self.burned.stake, STAKE_DECIMALS, 3)
        )?;
        writeln!(
            f,
            "{:24} {:>8} {:>10} {:>10} {:>12}",
            "transaction", "count", "CU max", "bytes max", "lamports"
        )?;
        for (kind, Cost { count, cu_max, bytes_max, lamports }) in &self.transactions {
            writeln!(f, "{kind:24} {count:>8} {cu_max:>10} {bytes_max:>10} {lamports:>12}")?;
        }
        writeln!(f)?;
        if let Some(lamports) = self.attestation() {
            let usual = lamports * f64::from(self.round_secs) / USUAL_ROUND as f64;
            writeln!(
                f,
                "attestation: {lamports:.1} lamports per machine-hour with rounds of {} s, {usual:.1} with rounds of {USUAL_ROUND} s",
                self.round_secs
            )?;
        }
        let Verdicts { up, down } = self.verdicts;
        writeln!(f, "verdicts: {up} up, {down} down")?;
        writeln!(f, "invariants: {}", self.invariants)?;
        match &self.shell {
            Ok(Shown { login, cut }) => {
                let done = |done: &bool| if *done { "yes" } else { "NO" };
                writeln!(
                    f,
                    "shell: logged in with the key that the chain names: {}; cut at the end of the lease: {}",
                    done(login),
                    done(cut)
                )?;
            }
            Err(reason) => writeln!(f, "shell: left out, since {reason}")?,
        }
        let Proved { lamports_per_inference, steps, .. } = &self.receipt;
        write!(
            f,
            "\none inference, proved from its id alone; recording it cost {lamports_per_inference:.1} lamports:\n{steps}"
        )
    }
}

/// An amount in tokens, truncated to `shown` decimals.
fn tokens(units: u64, decimals: u8, shown: usize) -> String {
    let whole = 10u64.pow(decimals.into());
    let rest = format!("{:0width$}", units % whole, width = decimals.into());
    format!("{}.{}", units / whole, rest.get(..shown).unwrap_or(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_exactly_the_documented_keys() {
        let lease = LeaseReport {
            name: "any".to_owned(),
            asked: 9,
            machines: 7,
            up: 6,
            deposit: 100,
            kept: 81,
            paid: 80,
            refunded: 11,
            burned: 7,
            slashed: 5,
        };
        let cost = Cost { count: 2, cu_max: 90, bytes_max: 300, lamports: 10_000 };
        let invariants = invariants::Report { checked: 12, violated: vec!["one".to_owned()] };
        let report = Report {
            leases: vec![lease],
            transactions: BTreeMap::from([("submit_round", cost)]),
            invariants,
            burned: Burned { payments: 7, stake: 5 },
            receipt: Proved {
                id: "aa".to_owned(),
                verified: true,
                lamports_per_inference: 5.0,
                steps: "every step".to_owned(),
            },
            shell: Ok(Shown { login: true, cut: true }),
            verdicts: Verdicts { up: 10, down: 2 },
            round_secs: 10,
        };
        let expected = serde_json::json!({
            "leases": [{
                "machines": 7, "up": 6, "kept": 81, "paid": 80, "refunded": 11, "burned": 7, "slashed": 5,
            }],
            "transactions": { "submit_round": { "count": 2, "cu_max": 90, "bytes_max": 300 } },
            "invariants": { "checked": 12, "violated": 1 },
            "burned": { "payments": 7, "stake": 5 },
            "receipt": { "id": "aa", "verified": true, "lamports_per_inference": 5.0 },
            "shell": { "login": true, "cut": true },
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
        let left_out = Report { shell: Err("it needs root".to_owned()), ..report.clone() };
        assert!(serde_json::to_value(&left_out).unwrap()["shell"].is_null());
        assert!(left_out.to_string().contains("shell: left out, since it needs root"));
        // 12 machine-rounds of 10 seconds cost 10,000 lamports.
        assert_eq!(report.attestation(), Some(300_000.0));
        assert_eq!(Report { verdicts: Verdicts::default(), ..report }.attestation(), None);
    }

    #[test]
    fn amounts_are_shown_in_tokens() {
        assert_eq!(tokens(1_234_567, 6, 6), "1.234567");
        assert_eq!(tokens(5, 6, 6), "0.000005");
        assert_eq!(tokens(2_000_000_001, 9, 3), "2.000");
    }
}
