//! `cargo localnet`: runs a local network with Leasehold on it until it is interrupted.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use leasehold_client::keypair;
use leasehold_localnet::{Genesis, Grant, Network, Options, open_market, program};
use solana_keypair::{Keypair, write_keypair_file};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::signal::unix::{SignalKind, signal};

/// Lamports, payment units and stake units for each funded wallet.
const FUNDS: [u64; 3] = [1_000_000_000_000, 1_000_000_000_000, 1_000_000_000_000_000];

/// Runs a Solana network in this process, with Leasehold, two mints and a market, until Ctrl-C.
#[derive(Parser)]
#[command(name = "localnet")]
struct Args {
    /// Port for JSON-RPC; 0 for any free port
    #[arg(long, default_value_t = 8899)]
    port: u16,

    /// Port for websockets; 0 for any free port
    #[arg(long, default_value_t = 8900)]
    ws_port: u16,

    /// Length of the market's rounds in seconds, 10 to 3600
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=3_600))]
    round_secs: u32,

    /// Keeper seats of a board, 1 to 15; more than half of them call a machine down (9 of 13). With 1, one keeper is enough
    #[arg(long, default_value_t = 13, value_parser = clap::value_parser!(u8).range(1..=15))]
    seats: u8,

    /// Wallet to fund with 1,000 SOL, 1,000,000 payment tokens and 1,000,000 stake tokens; can be repeated
    #[arg(long, value_name = "ADDRESS")]
    fund: Vec<Pubkey>,

    /// Keypair file of a wallet to fund in the same way; created if it does not exist. Can be repeated
    #[arg(long, value_name = "FILE")]
    wallet: Vec<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    // Before the network starts, so that no signal is missed.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot install signal handlers")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot install signal handlers")?;
    tokio::select! {
        network = start(args) => {
            // Kept until the signal; dropping it stops the network.
            let _network = network?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn start(args: Args) -> Result<Network> {
    let options = Options {
        rpc_port: Some(args.port),
        ws_port: Some(args.ws_port),
        slot: Duration::from_millis(400),
        program: Some(program()?),
        ..Options::default()
    };
    let network = Network::start(options).await?;
    // 13 seats have the protocol's default threshold of 9, others the smallest majority.
    let genesis = Genesis::new(args.round_secs);
    let genesis = match args.seats {
        13 => genesis,
        seats => genesis.committee(seats, seats / 2 + 1),
    };
    let market = open_market(&network, genesis).await?;
    let [lamports, payment, stake] = FUNDS;
    let wallets: Vec<_> = args.wallet.iter().map(|file| wallet(file)).collect::<Result<_>>()?;
    let funded = args.fund.iter().copied().chain(wallets.iter().copied());
    network.fund_all(funded.map(|wallet| Grant { wallet, lamports, payment, stake })).await?;

    println!("rpc          {}", network.rpc_url());
    println!("websocket    {}", network.ws_url());
    println!("program      {}", leasehold::ID);
    println!("market       {} {}", market.id, market.address);
    println!("payment_mint {}", network.payment_mint());
    println!("stake_mint   {}", network.stake_mint());
    for (file, wallet) in args.wallet.iter().zip(wallets) {
        println!("wallet       {wallet} {}", file.display());
    }
    Ok(network)
}

/// Address of the keypair in a file, which is created if it does not exist.
fn wallet(file: &Path) -> Result<Pubkey> {
    if file.exists() {
        return Ok(keypair::read(file)?.pubkey());
    }
    let keypair = Keypair::new();
    // This error is not `Send`.
    write_keypair_file(&keypair, file).map_err(|error| anyhow!("{}: {error}", file.display()))?;
    Ok(keypair.pubkey())
}
