//! A bot that leases the cheapest machine of a market, if it is cheap enough.
//!
//! It is written for people who know Anchor: `anchor-client` reads accounts and sends, `leasehold-client` adds
//! addresses, quotes, events and errors as sentences, which the interface description can't provide.

mod bot;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anchor_client::{Client, Cluster, CommitmentConfig};
use anyhow::Result;
use clap::Parser;
use leasehold_client::{keypair, redact};

use crate::bot::Order;

/// Leases the cheapest machine of a market, unless it costs more than a limit.
#[derive(Parser)]
#[command(name = "leasehold-bot", version)]
struct Args {
    /// JSON-RPC URL of the cluster
    #[arg(long, default_value = "http://127.0.0.1:8899")]
    url: String,
    /// Keypair file of the buyer, as solana-keygen writes it
    #[arg(long, value_name = "FILE")]
    keypair: PathBuf,
    /// Number of the market
    #[arg(long, default_value_t = 1)]
    market: u64,
    /// Rounds to lease the machine for
    #[arg(long, default_value_t = 6)]
    rounds: u32,
    /// Most to pay for a GPU and hour, in base units of the payment mint
    #[arg(long, value_name = "UNITS")]
    max_price: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The URL in an error may hold a key.
            eprintln!("error: {}", redact::text(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let buyer = keypair::read(&args.keypair)?;
    // The websocket URL is for subscriptions, which the bot doesn't use.
    let cluster = Cluster::Custom(args.url.clone(), args.url);
    let client = Client::new_with_options(cluster, Arc::new(buyer), CommitmentConfig::confirmed());
    let program = client.program(leasehold::ID)?;

    let order = Order { market: args.market, rounds: args.rounds, max_price: args.max_price };
    let Some(offer) = bot::cheapest(&program, &order).await? else {
        println!("no machine is free for {} at most", order.max_price);
        return Ok(());
    };
    println!(
        "cheapest: slot {} of board {} for {} in all",
        offer.slot(),
        offer.board.index,
        offer.quote.deposit
    );
    let leased = bot::lease(&program, &offer).await?;
    println!("lease {} from round {} until round {}", leased.address, leased.lease.from, leased.lease.until);
    for event in bot::events(&program, &leased.signature).await? {
        println!("event {}: {event}", event.name());
    }
    Ok(())
}
