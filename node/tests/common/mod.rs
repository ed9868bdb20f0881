//! Machines, keepers and a socket to ask with.
#![allow(dead_code, reason = "each test file uses its own part")]

use leasehold_client::probe::{Challenge, PONG_LEN, Pong, Pubkey, SignedPong, SigningKey};
use leasehold_node::{Machine, Node, NodeConfig, Serving};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

pub const PROGRAM: Pubkey = Pubkey::new_from_array([1; 32]);
pub const MARKET: Pubkey = Pubkey::new_from_array([2; 32]);
pub const BOARD: Pubkey = Pubkey::new_from_array([3; 32]);

pub fn keeper() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

pub fn public(key: &SigningKey) -> Pubkey {
    Pubkey::from(key.verifying_key().to_bytes())
}

pub fn machine(slot: u32) -> Machine {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&slot.to_le_bytes());
    Machine {
        program: PROGRAM,
        market: MARKET,
        board: BOARD,
        slot,
        generation: 1,
        round_secs: None,
        key: SigningKey::from_bytes(&seed),
    }
}

pub fn serving(slots: std::ops::Range<u32>) -> Serving {
    Serving { machines: slots.map(machine).collect(), keepers: None }
}

/// A challenge of `keeper()` to `machine(slot)`.
pub fn challenge(slot: u32) -> Challenge {
    Challenge {
        program: PROGRAM,
        market: MARKET,
        board: BOARD,
        slot,
        generation: 1,
        round: 5,
        cluster: [0xc1; 4],
        keeper: public(&keeper()),
        seed: [slot as u8; 32],
    }
}

pub fn datagram(challenge: &Challenge) -> Vec<u8> {
    challenge.sign(&keeper()).unwrap().to_vec()
}

pub async fn node(listen: &[&str], serving: Serving) -> Node {
    let listen = listen.iter().map(|address| address.parse().unwrap()).collect();
    Node::bind(NodeConfig { listen, serving, ..NodeConfig::default() }).await.unwrap()
}

pub struct Asker {
    pub socket: UdpSocket,
    to: SocketAddr,
}

impl Asker {
    pub async fn new(from: &str, to: SocketAddr) -> Self {
        Self { socket: UdpSocket::bind(from).await.unwrap(), to }
    }

    pub async fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.to).await.unwrap();
    }

    /// The next datagram that comes within `wait`.
    pub async fn receive(&self, wait: Duration) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        let length = timeout(wait, self.socket.recv(&mut buffer)).await.ok()?.unwrap();
        Some(buffer[..length].to_vec())
    }

    pub async fn hears_nothing(&self) -> bool {
        self.receive(Duration::from_millis(300)).await.is_none()
    }

    /// True if the machine gives a valid answer to the challenge.
    pub async fn is_answered(&self, challenge: &Challenge) -> bool {
        self.send(&datagram(challenge)).await;
        let Some(answer) = self.receive(Duration::from_secs(2)).await else { return false };
        assert_eq!(answer.len(), PONG_LEN);
        let pong = Pong::decode(&answer).unwrap();
        SignedPong::new(challenge, &pong, &public(&machine(challenge.slot).key)).is_ok()
    }
}

/// Waits for something that happens in another task.
pub async fn until(mut happened: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not happen");
}
