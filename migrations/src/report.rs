//! Report of a deployment.

use std::fmt;

use leasehold_operate::{outcome::Outcome, table::Table};
use serde::Serialize;

/// State of a finding; in a dry run, the state that it would reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is as the file has it, or not in the file.
    Unchanged,
    /// It was missing.
    Created,
    /// Parameters were proposed, to be applied after the market's timelock.
    Proposed,
    /// Proposed parameters that differ from the file were withdrawn.
    Withdrawn,
    /// Parameters are proposed as in the file, and the timelock runs.
    Waiting,
    /// Proposed parameters were applied.
    Updated,
    /// Its transaction failed, or one before it.
    NotDone,
}

impl State {
    /// `planned`: nothing was done yet.
    fn text(self, planned: bool) -> &'static str {
        match (self, planned) {
            (State::Unchanged, _) => "unchanged",
            (State::Waiting, _) => "waiting",
            (State::NotDone, _) => "not done",
            (State::Created, false) => "created",
            (State::Created, true) => "would be created",
            (State::Proposed, false) => "proposed",
            (State::Proposed, true) => "would be proposed",
            (State::Withdrawn, false) => "withdrawn",
            (State::Withdrawn, true) => "would be withdrawn",
            (State::Updated, false) => "updated",
            (State::Updated, true) => "would be updated",
        }
    }
}

/// One thing that the file speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// "program", "market", "parameters", "boards" or "board 3".
    pub what: String,
    pub state: State,
    pub detail: String,
    /// Transaction of the plan that does it.
    #[serde(skip)]
    pub step: Option<usize>,
}

impl Finding {
    pub fn new(what: impl Into<String>, state: State, detail: impl Into<String>) -> Self {
        Finding { what: what.into(), state, detail: detail.into(), step: None }
    }

    /// Done by the plan's transaction of that number, from 0.
    pub fn by(self, step: usize) -> Self {
        Finding { step: Some(step), ..self }
    }

    /// Notes how far the plan's transactions came.
    pub fn end(&mut self, transactions: usize) {
        if self.step.is_some_and(|step| step >= transactions) {
            self.state = State::NotDone;
        }
    }
}

/// Findings and actions of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub outcome: Outcome,
    pub findings: Vec<Finding>,
}

/// Findings below each other. `planned`: nothing was done yet.
pub fn table(findings: &[Finding], planned: bool) -> Table {
    let mut table = Table::new(&["ITEM", "STATE", "DETAIL"]);
    for Finding { what, state, detail, .. } in findings {
        table.row(vec![what.clone(), state.text(planned).to_owned(), detail.clone()]);
    }
    table
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}\n\n", table(&self.findings, self.outcome.dry_run))?;
        if self.outcome.transactions.is_empty() {
            return write!(f, "{}: nothing to send", self.outcome.action);
        }
        write!(f, "{}", self.outcome)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_operate::plan::Plan;

    use super::*;

    #[test]
    fn a_report_tells_what_was_found_and_what_was_not_done() {
        let mut findings = vec![
            Finding::new("program", State::Unchanged, "sha256 00"),
            Finding::new("market", State::Created, "7").by(0),
            Finding::new("board 0", State::Created, "").by(1),
        ];
        let planned = table(&findings, true).to_string();
        assert!(planned.contains("market   would be created  7"), "{planned}");
        findings.iter_mut().for_each(|finding| finding.end(1));
        let states: Vec<_> = findings.iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Unchanged, State::Created, State::NotDone]);

        let report = Report { outcome: Outcome::of_nothing(&Plan::new("Deploy market 7"), false), findings };
        assert!(report.to_string().ends_with("Deploy market 7: nothing to send"), "{report}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json["findings"][2],
            serde_json::json!({ "what": "board 0", "state": "not_done", "detail": "" })
        );
        assert_eq!(
            (&json["action"], &json["transactions"]),
            (&"Deploy market 7".into(), &serde_json::json!([]))
        );
    }
}
