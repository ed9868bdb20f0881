//! `leasehold`: see [`leasehold_cli::args::Cli`].

use std::process::ExitCode;

use leasehold_cli::{args::Cli, run};
use leasehold_operate::{parse::parse, stop, text::print_stderr};

#[tokio::main]
async fn main() -> ExitCode {
    stop::end_until_heard();
    match run(parse::<Cli>()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print_stderr(format!("leasehold: {failure}"));
            failure.exit_code()
        }
    }
}
