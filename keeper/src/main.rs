//! `leasehold-keeper`: see [`leasehold_keeper::Args`].

use std::{process::ExitCode, sync::Arc, time::Duration};

use leasehold_client::rpc::{CallTimeout, connect};
use leasehold_daemon::{exit_code, logging, parse, print, signals::Shutdown};
use leasehold_keeper::{Args, Config, Keeper};
use solana_commitment_config::CommitmentConfig;
use tracing::info;

/// Timeout of one RPC request.
const RPC_TIMEOUT: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> ExitCode {
    exit_code("leasehold-keeper", run(parse::<Args>()).await)
}

async fn run(args: Args) -> anyhow::Result<()> {
    logging::init(args.filter()?, args.log_format);
    let mut shutdown = Shutdown::install()?;
    let config = Config::new(&args)?;
    let commitment = CommitmentConfig::confirmed();
    let rpc = connect(config.rpc.as_str(), CallTimeout::new(RPC_TIMEOUT), commitment);
    let keeper = Keeper::new(config.settings, config.keypair, Arc::new(rpc))?;
    print(format_args!("keeper {}", keeper.address()));
    if let Some(address) = keeper.metrics_addr() {
        print(format_args!("metrics on http://{address}/metrics"));
    }
    if config.once {
        keeper.once().await?;
    } else {
        keeper.run(shutdown.requested()).await?;
    }
    info!("stopped");
    Ok(())
}
