//! A node with machines, and a prober and targets to probe them.
#![allow(dead_code, reason = "each test file uses its own part")]

use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_keeper::prober::{ProbeReport, ProbeTiming, Prober, ProberConfig, RoundContext, Target};
use leasehold_node::{Machine, Node, NodeConfig, Serving};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

pub const CONTEXT: RoundContext = RoundContext {
    program: Pubkey::new_from_array([1; 32]),
    market: Pubkey::new_from_array([2; 32]),
    board: Pubkey::new_from_array([3; 32]),
    round: 5,
    cluster: [0xc1; 4],
};

/// Quick, for machines on this host: 0.2, 0.4 and 0.8 s to answer.
pub const QUICK: ProbeTiming = ProbeTiming {
    window: Duration::from_millis(100),
    attempts: 3,
    attempt_timeout: Duration::from_millis(200),
    deadline: Duration::from_secs(10),
};

pub fn prober(n: u8) -> Prober {
    prober_of(n, ProberConfig { allow_private: true, ..ProberConfig::default() })
}

pub fn prober_of(n: u8, config: ProberConfig) -> Prober {
    Prober::new(SigningKey::from_bytes(&[n; 32]), config)
}

/// Probes until the round can be voted on: on a busy host that may take several. The RPC node answers meanwhile.
pub async fn probe(prober: &Prober, targets: &[Target], timing: &ProbeTiming) -> ProbeReport {
    prober.hearing().expect_every(Duration::from_secs(7_200));
    loop {
        prober.hearing().note();
        let report = prober.probe_round(&CONTEXT, targets, timing).await.unwrap();
        match report.fault {
            Some(fault) => println!("not voted on: {fault}"),
            None => return report,
        }
    }
}

pub fn key(slot: u32) -> SigningKey {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&slot.to_le_bytes());
    SigningKey::from_bytes(&seed)
}

pub fn public(key: &SigningKey) -> Pubkey {
    Pubkey::from(key.verifying_key().to_bytes())
}

pub fn machine(slot: u32) -> Machine {
    Machine {
        program: CONTEXT.program,
        market: CONTEXT.market,
        board: CONTEXT.board,
        slot,
        generation: 1,
        round_secs: None,
        key: key(slot),
    }
}

pub fn target(slot: u32, endpoint: SocketAddr) -> Target {
    Target { slot, generation: 1, node_key: public(&key(slot)), endpoint }
}

pub fn targets(slots: Range<u32>, endpoint: SocketAddr) -> Vec<Target> {
    slots.map(|slot| target(slot, endpoint)).collect()
}

pub async fn node(listen: &[&str], slots: Range<u32>) -> Node {
    let listen = listen.iter().map(|address| address.parse().unwrap()).collect();
    let serving = Serving { machines: slots.map(machine).collect(), keepers: None };
    Node::bind(NodeConfig { listen, serving, ..NodeConfig::default() }).await.unwrap()
}
