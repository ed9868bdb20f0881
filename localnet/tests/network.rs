//! The network: mints and wallets, a clock that follows the wall clock, ports that close.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use leasehold_localnet::{Grant, Network, NetworkError, Options};
use solana_keypair::Keypair;
use solana_signer::Signer;
use spl_associated_token_account_interface::address::get_associated_token_address;
use tokio::time::{sleep, timeout};

async fn network() -> Network {
    Network::start(Options::default()).await.expect("a network")
}

fn grant(wallet: &Keypair, lamports: u64) -> Grant {
    Grant { wallet: wallet.pubkey(), lamports, payment: 0, stake: 0 }
}

/// The wall clock in Unix seconds.
fn wall() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs().try_into().expect("seconds")
}

#[tokio::test]
async fn wallets_are_funded_by_transactions() {
    let network = network().await;
    let wallet = Keypair::new().pubkey();
    let grant = Grant { wallet, lamports: 7_000_000, payment: 1_500_000, stake: 2_000_000_000 };
    network.fund(grant).await.expect("funding");
    network.fund(grant).await.expect("funding again");

    let rpc = network.rpc();
    assert_eq!(rpc.get_balance(&wallet).await.expect("balance"), 14_000_000);
    for (mint, decimals, amount) in
        [(network.payment_mint(), 6, "3000000"), (network.stake_mint(), 9, "4000000000")]
    {
        let account = get_associated_token_address(&wallet, &mint);
        let balance = rpc.get_token_account_balance(&account).await.expect("token balance");
        assert_eq!((balance.decimals, balance.amount.as_str()), (decimals, amount));
        let supply = rpc.get_token_supply(&mint).await.expect("supply");
        assert_eq!(supply.amount, amount);
    }
}

#[tokio::test]
async fn the_clock_follows_the_wall_clock_and_can_be_advanced() {
    let network = network().await;
    await_time(&network, wall() + 3, 0).await;
    let before = network.time().await.expect("time");
    let hour = network.advance(Duration::from_secs(3_600)).await.expect("an hour later");
    assert!((before + 3_600..=wall() + 3_600).contains(&hour), "{hour}");
    await_time(&network, wall() + 3_602, 3_600).await;
}

/// Waits until the chain's time reaches `time`. On the way it must never be more than `ahead` seconds ahead of the wall
/// clock. How far it lags behind depends on how busy the machine is.
async fn await_time(network: &Network, time: i64, ahead: i64) {
    let reached = async {
        loop {
            let now = network.time().await.expect("time");
            let latest = wall() + ahead;
            assert!(now <= latest, "the chain's time is {now}, later than {latest}");
            if now >= time {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(120), reached).await.expect("the clock advances");
}

#[tokio::test]
async fn two_networks_run_side_by_side_and_close_their_ports() {
    let (one, two) = tokio::join!(network(), network());
    assert_ne!(one.rpc_url(), two.rpc_url());
    let wallet = Keypair::new();
    one.fund(grant(&wallet, 1_000_000)).await.expect("funding");
    assert_eq!(one.rpc().get_balance(&wallet.pubkey()).await.expect("balance"), 1_000_000);
    assert_eq!(two.rpc().get_balance(&wallet.pubkey()).await.expect("balance"), 0);

    let ports = [one.rpc_url(), one.ws_url()].map(|url| {
        let (_, address) = url.split_once("://").expect("an address");
        address.parse::<SocketAddr>().expect("an address")
    });
    assert!(ports.iter().all(|port| TcpStream::connect(port).is_ok()));
    drop(one);
    assert!(ports.iter().all(|port| TcpStream::connect(port).is_err()));
    two.fund(grant(&wallet, 1_000_000)).await.expect("the other still runs");
}

#[tokio::test]
async fn start_fails_when_a_port_is_taken() {
    let network = network().await;
    let (_, port) = network.rpc_url().rsplit_once(':').expect("a port");
    let port = port.parse().expect("a port");
    let second = Network::start(Options { rpc_port: Some(port), ..Options::default() }).await;
    assert!(matches!(second, Err(NetworkError::Port { port: taken, .. }) if taken == port));
}
