//! `deploy`: see [`leasehold_migrations`].

use std::process::ExitCode;

use clap::Parser;
use leasehold_migrations::{Args, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("deploy: {failure}");
            failure.exit_code()
        }
    }
}
