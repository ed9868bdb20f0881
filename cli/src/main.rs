//! `leasehold`: see [`leasehold_cli::args::Cli`].

use std::process::ExitCode;

use clap::Parser;
use leasehold_cli::{args::Cli, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("leasehold: {failure}");
            failure.exit_code()
        }
    }
}
