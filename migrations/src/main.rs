//! `deploy`: see [`leasehold_migrations`].

use std::process::ExitCode;

use leasehold_cli::{args::parse, text::tell};
use leasehold_migrations::{Args, run};

#[tokio::main]
async fn main() -> ExitCode {
    match run(&parse::<Args>()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(format!("deploy: {failure}"));
            failure.exit_code()
        }
    }
}
