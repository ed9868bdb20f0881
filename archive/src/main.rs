//! `leasehold-archive`: see [`leasehold_archive`].

use clap::Parser;
use leasehold_archive::{Archive, ArchiveSettings};
use leasehold_daemon::logging::LogFormat;
use leasehold_daemon::signals::Shutdown;
use leasehold_daemon::{exit_code, logging, parse, print};
use std::process::ExitCode;
use tracing::info;

/// Follows compute logs, stores their receipts and serves proofs.
///
/// Logs are rebuilt from the events of their transactions; receipts are downloaded from the URLs that suppliers name
/// and checked against the logs. SIGTERM and SIGINT stop the archive after the requests under
/// way; SIGHUP is ignored.
#[derive(Parser)]
#[command(name = "leasehold-archive", version)]
struct Args {
    #[command(flatten)]
    settings: ArchiveSettings,
    /// Log level: error, warn, info, debug or trace; or a filter such as leasehold_archive=debug.
    #[arg(long, value_name = "FILTER", env = "LEASEHOLD_ARCHIVE_LOG", default_value = "info")]
    log: String,
    /// Form of log lines: text, or JSON with one object a line.
    #[arg(long, value_name = "FORMAT", env = "LEASEHOLD_ARCHIVE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code("leasehold-archive", run(parse::<Args>()).await)
}

async fn run(args: Args) -> anyhow::Result<()> {
    logging::init(logging::filter(&args.log)?, args.log_format);
    let mut shutdown = Shutdown::install()?;
    let archive = Archive::start(args.settings).await?;
    print(format_args!("archive on http://{}", archive.local_addr()));
    if let Some(address) = archive.metrics_addr() {
        print(format_args!("metrics on http://{address}/metrics"));
    }
    let end = tokio::select! {
        () = shutdown.requested() => Ok(()),
        other = archive.failed() => Err(other.into()),
    };
    archive.shutdown().await;
    info!("stopped");
    end
}
