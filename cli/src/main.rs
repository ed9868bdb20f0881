//! `leasehold`: see [`leasehold_cli::args::Cli`].

use std::process::ExitCode;

use leasehold_cli::{
    args::{Cli, parse},
    run, stop,
    text::tell,
};

#[tokio::main]
async fn main() -> ExitCode {
    stop::end_until_heard();
    match run(parse::<Cli>()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(format!("leasehold: {failure}"));
            failure.exit_code()
        }
    }
}
