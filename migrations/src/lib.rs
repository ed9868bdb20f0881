//! Deploys a market as a file describes it: checks that the cluster runs the committed program, creates the market or
//! changes its parameters and classes, and creates boards. Everything that is as described stays.
//!
//! If a run ends early, or must wait for the market's timelock, the next run continues. A run that finds everything as
//! described sends nothing.

mod plan;
mod program;
mod report;
mod snapshot;

use std::path::PathBuf;

use clap::Parser;
use leasehold_operate::{
    act::{Executed, execute},
    chain::Chain,
    config::Settings,
    failure::Failure,
    flags::Global,
    market::file::{MarketFile, read_toml},
    outcome::Outcome,
    text::print_stderr,
};
use solana_pubkey::Pubkey;

use self::{plan::Deployment, program::Program, snapshot::Snapshot};
pub use self::{
    program::COMMITTED,
    report::{Finding, Report, State},
};

/// Deploys a market from a file: creates what is missing, proposes parameters that differ, and applies them in a run
/// after the timelock.
#[derive(Parser)]
#[command(name = "deploy", version)]
#[command(
    after_help = "Exit codes, as of leasehold: 0 all is as the file has it, or will be once a timelock is over; \
                        2 wrong usage, or something could not be reached, read or written; 3 refused: nothing \
                        changed; 4 not confirmed: nothing changed; 5 sent, and not all of it is \
                        known to have taken effect: run it again.\n\n\
                        Settings are taken from flags, then from the environment, then from the file of \
                        `solana config`, then defaults."
)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    /// The market, in TOML: see migrations/example.toml.
    pub file: PathBuf,
    /// Accept a cluster that runs other code than the committed programs/leasehold/leasehold.so.
    #[arg(long)]
    pub any_program: bool,
    /// Wallet that is the market's authority [default: the file's, or else the keypair's]
    #[arg(long, value_name = "WALLET")]
    pub authority: Option<Pubkey>,
}

/// Deploys, and prints the report.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let (report, failure) = deploy(args).await?;
    args.global.output.end(&report, failure)
}

/// Deploys, and returns the report, with the failure if it ended early.
pub async fn deploy(args: &Args) -> Result<(Report, Option<Failure>), Failure> {
    let file: MarketFile = read_toml(&args.file)?;
    let chain = Chain::new(Settings::load(&args.global)?);
    let program = Program::read(&chain).await?;
    let program = program.finding(&chain.settings.url, args.any_program)?;
    let file = pinned(file, args.authority)?;
    let snapshot = Snapshot::read(&chain, &file).await?;
    let Deployment { plan, mut findings } = plan::plan(&file, &snapshot)?;
    findings.insert(0, program);

    let dry_run = chain.settings.dry_run;
    if plan.steps.is_empty() {
        let outcome = Outcome::of_nothing(&plan, dry_run);
        return Ok((Report { outcome, findings }, None));
    }
    print_stderr(format!("{}\n", report::table(&findings, true)));
    let Executed { outcome, failure } = execute(&chain, &plan).await?;
    for finding in &mut findings {
        finding.end(outcome.transactions.len());
    }
    Ok((Report { outcome, findings }, failure))
}

/// The file with the authority of the flag. Both must agree.
fn pinned(file: MarketFile, flag: Option<Pubkey>) -> Result<MarketFile, Failure> {
    match (file.authority()?, flag) {
        (Some(file), Some(flag)) if file != flag => Err(Failure::Input(format!(
            "the file's authority is {file}, and --authority is {flag}: leave one out"
        ))),
        (_, Some(flag)) => Ok(MarketFile { authority: Some(flag.to_string()), ..file }),
        (_, None) => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_those_of_leasehold_before_and_after_the_file() {
        Args::command().debug_assert();
        for args in
            ["deploy -u d -y --dry-run a.toml", "deploy a.toml --any-program --url devnet --yes --dry-run"]
        {
            let args =
                Args::try_parse_from(args.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
            assert!(args.global.yes && args.global.dry_run && args.file.to_str() == Some("a.toml"));
        }
        assert_eq!(Args::try_parse_from(["deploy"]).err().map(|error| error.exit_code()), Some(2));
    }
}
