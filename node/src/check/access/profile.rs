//! A profile's own look at this host: its script `check`.

use super::{Access, Printed, run};
use crate::check::Report;
use tokio::process::Command;

const CHECK: &str = "profile";

/// Runs the script, which prints rows of three fields with tabs between them: `ok`, `warning` or `error`; what was found; what
/// to do.
pub(super) async fn check(access: &Access, report: &mut Report) {
    let Some(folder) = &access.profile else {
        return report.warning(
            CHECK,
            "hooks of your own, at which this command doesn't look".to_owned(),
            "try them by hand, twice each: both must be idempotent",
        );
    };
    let script = folder.join("check");
    let mut command = Command::new(&script);
    command.env("LEASEHOLD_GPUS", access.gpus.join(","));
    let (script, advice) = (script.display(), "repair what it says, or install the package again");
    match run(&mut command).await {
        Err(error) => report.error(
            CHECK,
            format!("cannot run {script} ({error})"),
            "install the package, or correct `profile` in [access]: vm, container or metal",
        ),
        Ok(Printed { is_success: true, out, .. }) if !out.is_empty() => {
            out.lines().for_each(|line| add(line, report));
        }
        Ok(Printed { out, err, .. }) => {
            // What it found before it broke off.
            out.lines().for_each(|line| add(line, report));
            let why = err.lines().next_back().unwrap_or("it said nothing");
            report.error(CHECK, format!("{script} failed: {why}"), advice);
        }
    }
}

fn add(line: &str, report: &mut Report) {
    let mut fields = line.splitn(3, '\t').map(clean);
    let (status, found, advice) = (fields.next(), fields.next(), fields.next().unwrap_or_default());
    match (status.as_deref(), found) {
        (Some("ok"), Some(found)) => report.ok(CHECK, found),
        (Some("warning"), Some(found)) => report.warning(CHECK, found, &advice),
        (Some("error"), Some(found)) => report.error(CHECK, found, &advice),
        _ => report.error(CHECK, format!("unreadable row: {}", clean(line)), "install the package again"),
    }
}

fn clean(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}
