//! The file that describes a market's parameters.

use leasehold::state::{HardwareClass, Params, RoundRules};
use leasehold_client::error::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::view::{is_of_names, name};
use crate::{
    amount::{Token, percent, sol},
    failure::Failure,
    text::line,
};

/// Parameters in TOML and JSON: amounts with the decimals of their mints, rates in basis points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamsFile {
    /// Bond of one GPU of a class of weight 1, in stake.
    pub bond_unit: String,
    /// Bond of a keeper for each of its seats, in stake.
    pub keeper_bond: String,
    /// Least and most pay of a keeper for a vote in a quorate round, in payments.
    pub keeper_fee: String,
    pub keeper_fee_max: String,
    /// Lamports that a demand for a receipt costs.
    pub ask_fee: u64,
    pub unbonding_secs: u32,
    /// Fewest and most rounds of a lease.
    pub min_rounds: u32,
    pub max_rounds: u32,
    pub fee_bps: u16,
    pub keeper_share_bps: u16,
    /// Part of a machine's pay that is kept until the end of its lease.
    pub hold_bps: u16,
    /// Part of its hourly price that a machine of a metered lease is paid for rounds up.
    pub standby_bps: u16,
    pub slash_multiplier_bps: u32,
    /// Votes for a machine that make it up.
    pub up_votes: u8,
    pub classes: Vec<Class>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub name: String,
    pub weight_bps: u32,
}

impl ParamsFile {
    /// Parameters of a market that deals in these mints.
    pub fn of(payment: Token, stake: Token, params: &Params) -> Self {
        let class = |class: &HardwareClass| Class { name: name(class), weight_bps: class.weight_bps };
        ParamsFile {
            bond_unit: stake.number(params.bond_unit),
            keeper_bond: stake.number(params.keeper_bond),
            keeper_fee: payment.number(params.keeper_fee),
            keeper_fee_max: payment.number(params.keeper_fee_max),
            ask_fee: params.ask_fee,
            unbonding_secs: params.unbonding_secs,
            min_rounds: params.min_rounds,
            max_rounds: params.max_rounds,
            fee_bps: params.fee_bps,
            keeper_share_bps: params.keeper_share_bps,
            hold_bps: params.hold_bps,
            standby_bps: params.standby_bps,
            slash_multiplier_bps: params.slash_multiplier_bps,
            up_votes: params.up_votes,
            classes: params.classes.iter().map(class).collect(),
        }
    }

    /// The parameters for the program, which are valid by its rules in a market with those round rules.
    pub fn params(&self, rules: &RoundRules, payment: Token, stake: Token) -> Result<Params, Failure> {
        let params = Params {
            bond_unit: stake.parse(&self.bond_unit)?.amount,
            keeper_bond: stake.parse(&self.keeper_bond)?.amount,
            keeper_fee: payment.parse(&self.keeper_fee)?.amount,
            keeper_fee_max: payment.parse(&self.keeper_fee_max)?.amount,
            ask_fee: self.ask_fee,
            unbonding_secs: self.unbonding_secs,
            min_rounds: self.min_rounds,
            max_rounds: self.max_rounds,
            fee_bps: self.fee_bps,
            keeper_share_bps: self.keeper_share_bps,
            hold_bps: self.hold_bps,
            standby_bps: self.standby_bps,
            slash_multiplier_bps: self.slash_multiplier_bps,
            up_votes: self.up_votes,
            classes: self.classes.iter().map(Class::hardware).collect::<Result<_, _>>()?,
        };
        params.validate(rules).map_err(Refusal::from)?;
        Ok(params)
    }

    /// Changes from `old`.
    pub fn changes(&self, old: &ParamsFile) -> Vec<Change> {
        let change = |(new, old): (Line, Line)| {
            let text = format!("{} (was {})", new.text, old.text);
            (new.text != old.text).then_some(Change { line: Line { text, ..new }, was: old.value })
        };
        let mut changes: Vec<_> = self.lines().into_iter().zip(old.lines()).filter_map(change).collect();
        for Change { line, .. } in &mut changes {
            if line.name == "classes" {
                line.text = class_changes(&self.classes, &old.classes);
            }
        }
        changes
    }

    /// The parameters in words, and for programs as in a file.
    pub fn lines(&self) -> Vec<Line> {
        let class = |class: &Class| format!("{} (weight {})", class.name, class.weight_bps);
        let classes = self.classes.iter().map(class).collect::<Vec<_>>().join(", ");
        let ParamsFile { min_rounds, max_rounds, fee_bps, keeper_share_bps, .. } = self;
        let ParamsFile { keeper_fee, keeper_fee_max, hold_bps, standby_bps, up_votes, .. } = self;
        let line = |label, name, text, value| Line { label, name, text, value };
        vec![
            line(
                "Bond:",
                "bond_unit",
                format!("{} for a GPU of weight 10000", self.bond_unit),
                json!(self.bond_unit),
            ),
            line(
                "Keeper's bond:",
                "keeper_bond",
                format!("{} for a seat", self.keeper_bond),
                json!(self.keeper_bond),
            ),
            line(
                "Keeper's fee:",
                "keeper_fees",
                format!("{keeper_fee} to {keeper_fee_max} for a vote"),
                json!({ "keeper_fee": keeper_fee, "keeper_fee_max": keeper_fee_max }),
            ),
            line(
                "Demand:",
                "ask_fee",
                format!("{} for demanding a receipt", sol(self.ask_fee)),
                json!(self.ask_fee),
            ),
            line(
                "Unbonding:",
                "unbonding_secs",
                format!("{} seconds", self.unbonding_secs),
                json!(self.unbonding_secs),
            ),
            line(
                "Lease:",
                "lease_rounds",
                format!("{min_rounds} to {max_rounds} rounds"),
                json!({ "min_rounds": min_rounds, "max_rounds": max_rounds }),
            ),
            line(
                "Fee:",
                "market_fee",
                format!("{}, of which keepers get {}", percent(*fee_bps), percent(*keeper_share_bps)),
                json!({ "fee_bps": fee_bps, "keeper_share_bps": keeper_share_bps }),
            ),
            line(
                "Votes for up:",
                "up_votes",
                format!("{up_votes} {} a machine up", if *up_votes == 1 { "makes" } else { "make" }),
                json!(up_votes),
            ),
            line(
                "Held back:",
                "hold_bps",
                format!(
                    "{} of a machine's pay, two hours of it at least, until it leaves its lease",
                    percent(*hold_bps)
                ),
                json!(hold_bps),
            ),
            line(
                "Standby:",
                "standby_bps",
                format!("{} of the hourly price in a metered lease", percent(*standby_bps)),
                json!(standby_bps),
            ),
            line(
                "Slash:",
                "slash_multiplier_bps",
                format!("{} of the bond for being down all the time", percent(self.slash_multiplier_bps)),
                json!(self.slash_multiplier_bps),
            ),
            line("Classes:", "classes", classes, json!(self.classes)),
        ]
    }
}

/// Parameters that belong together: in words, and for programs under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub label: &'static str,
    pub name: &'static str,
    pub text: String,
    pub value: Value,
}

/// A changed line, with its value before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub line: Line,
    pub was: Value,
}

/// Changes of the classes: new ones, and those with another name or weight.
fn class_changes(new: &[Class], old: &[Class]) -> String {
    let change = |(place, class): (usize, &Class)| match old.get(place) {
        None => Some(format!("adds {} (weight {})", class.name, class.weight_bps)),
        Some(was) if was == class => None,
        Some(was) => Some(format!(
            "{} (weight {}) was {} (weight {})",
            class.name, class.weight_bps, was.name, was.weight_bps
        )),
    };
    new.iter().enumerate().filter_map(change).collect::<Vec<_>>().join(", ")
}

impl Class {
    fn hardware(&self) -> Result<HardwareClass, Failure> {
        let mut name = [0; 16];
        let bytes = self.name.as_bytes();
        let place = name.get_mut(..bytes.len()).filter(|_| !bytes.is_empty());
        let place = place.ok_or_else(|| {
            Failure::Input(format!(
                "class name {:?} does not have 1 to 16 bytes: choose another",
                line(&self.name)
            ))
        })?;
        if !self.name.chars().all(is_of_names) || self.name.trim() != self.name {
            let text = "has characters other than printable ASCII, or spaces at its ends";
            return Err(Failure::Input(format!("class name {:?} {text}: choose another", line(&self.name))));
        }
        place.copy_from_slice(bytes);
        Ok(HardwareClass { name, weight_bps: self.weight_bps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::view;

    #[test]
    fn a_file_has_all_that_the_market_has() {
        let market = view();
        let file = ParamsFile::of(market.payment, market.stake, &market.account.params);
        assert_eq!((file.bond_unit.as_str(), file.keeper_fee.as_str()), ("1", "0.000002"));
        let text = toml::to_string(&file).unwrap();
        let read: ParamsFile = toml::from_str(&text).unwrap();
        assert_eq!(
            read.params(&market.account.rules, market.payment, market.stake).unwrap(),
            market.account.params
        );
        assert!(toml::from_str::<ParamsFile>(&format!("extra = 1\n{text}")).is_err());
    }

    #[test]
    fn a_class_name_of_a_file_takes_no_hold_of_a_terminal_and_looks_like_no_other() {
        let market = view();
        let old = ParamsFile::of(market.payment, market.stake, &market.account.params);
        for name in ["\u{1b}[9A\u{1b}[J", "\u{410}100", "A\u{200b}", "A\n", "A ", " A"] {
            let class = Class { name: name.to_owned(), weight_bps: 10_000 };
            let classes = [old.classes.clone(), vec![class]].concat();
            let new = ParamsFile { classes, fee_bps: 3_000, ..old.clone() };
            let refused = new.params(&market.account.rules, market.payment, market.stake).unwrap_err();
            assert!(refused.code() == 2 && !refused.to_string().contains('\u{1b}'), "{refused}");
        }
    }

    #[test]
    fn programs_read_each_parameter_as_a_file_has_it() {
        let market = view();
        let file = ParamsFile::of(market.payment, market.stake, &market.account.params);
        let mut values = serde_json::Map::new();
        for Line { name, value, .. } in file.lines() {
            match value {
                Value::Object(parts) => values.extend(parts),
                value => drop(values.insert(name.to_owned(), value)),
            }
        }
        assert_eq!(Value::Object(values), json!(file));
    }

    #[test]
    fn changes_are_listed_class_by_class() {
        let market = view();
        let old = ParamsFile::of(market.payment, market.stake, &market.account.params);
        assert_eq!(old.changes(&old), []);
        let class = |name: &str, weight_bps| Class { name: name.to_owned(), weight_bps };
        let classes = vec![class("RTX 4090", 9_000), class("H100 80GB", 60_000)];
        let new = ParamsFile { classes, keeper_bond: "1".to_owned(), ..old.clone() };
        let expected = "RTX 4090 (weight 9000) was RTX 4090 (weight 10000), adds H100 80GB (weight 60000)";
        let changes = new.changes(&old);
        let [bond, classes] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((bond.line.label, bond.line.name), ("Keeper's bond:", "keeper_bond"));
        assert_eq!(bond.line.text, "1 for a seat (was 0.5 for a seat)");
        assert_eq!((&bond.line.value, &bond.was), (&json!("1"), &json!("0.5")));
        assert_eq!((classes.line.name, classes.line.text.as_str()), ("classes", expected));
        assert_eq!((&classes.line.value, &classes.was), (&json!(new.classes), &json!(old.classes)));
    }

    #[test]
    fn what_the_program_would_refuse_is_refused_at_once() {
        let market = view();
        let file = ParamsFile::of(market.payment, market.stake, &market.account.params);
        let refused = |file: ParamsFile| {
            file.params(&market.account.rules, market.payment, market.stake).unwrap_err().code()
        };
        assert_eq!(refused(ParamsFile { fee_bps: 3_001, ..file.clone() }), 3);
        assert_eq!(refused(ParamsFile { classes: Vec::new(), ..file.clone() }), 3);
        assert_eq!(refused(ParamsFile { keeper_fee: "0.0000001".to_owned(), ..file.clone() }), 2);
        let long = Class { name: "a".repeat(17), weight_bps: 1 };
        assert_eq!(refused(ParamsFile { classes: vec![long], ..file }), 2);
    }
}
