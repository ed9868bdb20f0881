//! Challenges as a keeper sends them.

use crate::machines::Machine;
use leasehold_client::probe::{Challenge, PONG_LEN, Pong, Pubkey, SignedPong, SigningKey};
use leasehold_daemon::unix_ms;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

const ATTEMPTS: u32 = 3;
/// Time to answer one attempt.
const PATIENCE: Duration = Duration::from_secs(2);
/// Machines that are asked at a time.
const AT_A_TIME: usize = 64;

/// What came back from a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A valid answer.
    Answer,
    /// An answer from another address than the one that was asked. Keepers drop it.
    OtherSource(SocketAddr),
    /// An answer that the machine's key has not signed.
    OtherKey,
    Nothing,
}

/// Asks each machine at its endpoint, thrice at most.
pub(super) async fn ask(keeper: &SigningKey, machines: &[(&Machine, SocketAddr)]) -> io::Result<Vec<Heard>> {
    let mut heard = Vec::with_capacity(machines.len());
    for some in machines.chunks(AT_A_TIME) {
        heard.extend(ask_some(keeper, some).await?);
    }
    Ok(heard)
}

async fn ask_some(keeper: &SigningKey, machines: &[(&Machine, SocketAddr)]) -> io::Result<Vec<Heard>> {
    let challenges: Vec<_> = machines.iter().map(|(machine, _)| challenge(keeper, machine)).collect();
    let numbers: HashMap<_, _> =
        challenges.iter().enumerate().map(|(number, challenge)| (challenge.hash(), number)).collect();
    let mut heard = vec![Heard::Nothing; machines.len()];
    let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    // A host may have no IPv6.
    let v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok();
    for _ in 0..ATTEMPTS {
        for (number, (_, endpoint)) in machines.iter().enumerate() {
            let socket = if endpoint.is_ipv4() { Some(&v4) } else { v6.as_ref() };
            if let (Heard::Nothing, Some(socket)) = (heard[number], socket)
                && let Ok(datagram) = challenges[number].sign(keeper)
            {
                // What can't be sent is not answered.
                let _ = socket.send_to(&datagram, endpoint).await;
            }
        }
        let until = Instant::now() + PATIENCE;
        while heard.contains(&Heard::Nothing) {
            let (mut first, mut second) = ([0; PONG_LEN + 1], [0; PONG_LEN + 1]);
            let receive = async {
                tokio::select! {
                    received = v4.recv_from(&mut first) => (received, first),
                    received = receive_v6(v6.as_ref(), &mut second) => (received, second),
                }
            };
            let Ok((received, buffer)) = timeout_at(until, receive).await else { break };
            let Ok((length, source)) = received else { continue };
            let Ok(pong) = Pong::decode(buffer.get(..length).unwrap_or_default()) else { continue };
            let Some(&number) = numbers.get(&pong.challenge) else { continue };
            let (machine, endpoint) = machines[number];
            let key = Pubkey::from(machine.key.verifying_key().to_bytes());
            heard[number] = if SignedPong::new(&challenges[number], &pong, &key).is_err() {
                Heard::OtherKey
            } else if (source.ip(), source.port()) == (endpoint.ip(), endpoint.port()) {
                Heard::Answer
            } else {
                Heard::OtherSource(source)
            };
        }
        if !heard.contains(&Heard::Nothing) {
            break;
        }
    }
    Ok(heard)
}

async fn receive_v6(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

/// A challenge for the round that runs by this host's clock.
fn challenge(keeper: &SigningKey, machine: &Machine) -> Challenge {
    let unix_secs = unix_ms() / 1_000;
    let round = machine.round_secs.and_then(|secs| unix_secs.checked_div(secs.into()));
    Challenge {
        program: machine.program,
        market: machine.market,
        board: machine.board,
        slot: machine.slot,
        generation: machine.generation,
        round: round.and_then(|round| u32::try_from(round).ok()).unwrap_or_default(),
        cluster: [0; 4],
        keeper: Pubkey::from(keeper.verifying_key().to_bytes()),
        seed: rand::random(),
    }
}
