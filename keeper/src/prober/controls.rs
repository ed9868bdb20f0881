//! Controls: machines of this process that are probed together with those of the board, to tell the keeper's own faults from
//! the machines'.

use super::Target;
use leasehold_client::probe::{CHALLENGE_LEN, Pubkey, SignedChallenge, SigningKey};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Number of controls: one for so many machines, within bounds.
const MACHINES_EACH: usize = 96;
const COUNT: RangeInclusive<usize> = 16..=64;

/// Controls that answer until they are dropped.
pub(super) struct Controls {
    pub(super) targets: Vec<Target>,
    _answering: JoinSet<()>,
}

impl Controls {
    /// Controls for a round with so many machines, on a loopback address.
    pub(super) async fn start(machines: usize) -> io::Result<Self> {
        let socket = match UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await {
            Ok(socket) => socket,
            Err(_) => UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await?,
        };
        let key = SigningKey::from_bytes(&rand::random());
        let (node_key, endpoint) = (Pubkey::from(key.verifying_key().to_bytes()), socket.local_addr()?);
        let count = (machines / MACHINES_EACH).clamp(*COUNT.start(), *COUNT.end());
        // No board has slots so high.
        let slots = (0..=u32::MAX).rev().take(count);
        let targets = slots.map(|slot| Target { slot, generation: 0, node_key, endpoint }).collect();
        let mut answering = JoinSet::new();
        answering.spawn(answer(socket, key));
        Ok(Self { targets, _answering: answering })
    }
}

async fn answer(socket: UdpSocket, key: SigningKey) {
    let mut buffer = [0; CHALLENGE_LEN + 1];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let challenge = buffer.get(..length).and_then(|bytes| SignedChallenge::decode(bytes).ok());
        if let Some(SignedChallenge { challenge, .. }) = challenge {
            // An answer that is lost counts against this host, as it should.
            let _ = socket.send_to(&challenge.answer(&key).encode(), from).await;
        }
    }
}
