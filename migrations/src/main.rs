//! `deploy`: see [`leasehold_migrations`].

use std::process::ExitCode;

use leasehold_migrations::{Args, run};
use leasehold_operate::{parse::parse, text::print_stderr};

#[tokio::main]
async fn main() -> ExitCode {
    match run(&parse::<Args>()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_stderr(format!("deploy: {failure}"));
            failure.exit_code()
        }
    }
}
