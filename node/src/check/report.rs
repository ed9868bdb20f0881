//! What was found, as a table or as JSON.

use serde::Serialize;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Warning,
    Error,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "ERROR",
        })
    }
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub check: &'static str,
    pub status: Status,
    pub found: String,
    /// What to do; `None` if there is nothing to do.
    pub advice: Option<String>,
}

/// Everything that was tried, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub rows: Vec<Row>,
}

/// Examples that a row names.
const EXAMPLES: usize = 5;

impl Report {
    pub(super) fn ok(&mut self, check: &'static str, found: String) {
        self.rows.push(Row { check, status: Status::Ok, found, advice: None });
    }

    pub(super) fn warning(&mut self, check: &'static str, found: String, advice: &str) {
        self.rows.push(Row { check, status: Status::Warning, found, advice: Some(advice.to_owned()) });
    }

    pub(super) fn error(&mut self, check: &'static str, found: String, advice: &str) {
        self.rows.push(Row { check, status: Status::Error, found, advice: Some(advice.to_owned()) });
    }

    /// True if nothing that was found keeps the machines from working.
    pub fn is_passed(&self) -> bool {
        self.rows.iter().all(|row| row.status != Status::Error)
    }

    /// The first row of a check.
    pub fn row(&self, check: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.check == check)
    }
}

/// The first few of many things, and how many more there are.
pub(super) fn some_of(things: &[String]) -> String {
    let mut text = things.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join("; ");
    if let Some(more) = things.len().checked_sub(EXAMPLES).filter(|more| *more > 0) {
        text += &format!("; and {more} more");
    }
    text
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.check.len()).max().unwrap_or_default();
        for Row { check, status, found, advice } in &self.rows {
            writeln!(f, "{status:<7}  {check:<width$}  {found}")?;
            if let Some(advice) = advice {
                writeln!(f, "{:<7}  {:<width$}  To do: {advice}", "", "")?;
            }
        }
        let count = |status| self.rows.iter().filter(|row| row.status == status).count();
        write!(f, "{} errors, {} warnings", count(Status::Error), count(Status::Warning))
    }
}
