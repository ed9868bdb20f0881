//! Answers of a node to challenges, on real sockets.

mod common;

use common::*;
use leasehold_client::probe::{CHALLENGE_LEN, Challenge, PONG_LEN, Pong, SignedPong};
use leasehold_daemon::metrics::MetricsError;
use leasehold_node::{Machine, Node, NodeConfig, NodeError, Outcome, SameMachine, Serving};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn answers_over_ipv4_and_ipv6() {
    let node = node(&["127.0.0.1:0", "[::1]:0"], serving(0..2)).await;
    let [v4, v6] = node.local_addrs() else { panic!("two addresses") };
    assert!(Asker::new("127.0.0.1:0", *v4).await.is_answered(&challenge(0)).await);
    assert!(Asker::new("[::1]:0", *v6).await.is_answered(&challenge(1)).await);
    until(|| node.count(Outcome::Answered) == 2).await;
    node.shutdown().await;
}

#[tokio::test]
async fn the_ipv6_wildcard_takes_ipv4_too() {
    let node = node(&["[::]:0"], serving(0..1)).await;
    let port = node.local_addr().port();
    assert!(Asker::new("127.0.0.1:0", ([127, 0, 0, 1], port).into()).await.is_answered(&challenge(0)).await);
    let v6 = format!("[::1]:{port}").parse().unwrap();
    assert!(Asker::new("[::1]:0", v6).await.is_answered(&challenge(0)).await);
}

#[tokio::test]
async fn both_wildcards_share_a_port() {
    let port = UdpSocket::bind("[::]:0").await.unwrap().local_addr().unwrap().port();
    let node = node(&[&format!("[::]:{port}"), &format!("0.0.0.0:{port}")], serving(0..1)).await;
    assert!(Asker::new("127.0.0.1:0", ([127, 0, 0, 1], port).into()).await.is_answered(&challenge(0)).await);
    node.shutdown().await;
    assert!(UdpSocket::bind(format!("[::]:{port}")).await.is_ok(), "the port is free after a shutdown");
}

#[tokio::test]
async fn answers_leave_from_the_address_that_was_asked() {
    let node = node(&["0.0.0.0:0", "[::]:0"], serving(0..1)).await;
    let [v4, v6] = node.local_addrs() else { panic!("two addresses") };
    // By its routes, Linux would answer from 127.0.0.1. [::] takes IPv4 too, as its port is its own.
    let asked = [("127.0.0.2", v4), ("127.0.0.1", v4), ("127.1.2.3", v6), ("127.0.0.1", v6), ("::1", v6)];
    for (address, socket) in asked {
        let to = SocketAddr::new(address.parse().unwrap(), socket.port());
        let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let asker = Asker::new(from, to).await;
        asker.send(&datagram(&challenge(0))).await;
        let mut buffer = [0; 256];
        let (length, source) = timeout(PATIENCE, asker.socket.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((length, source), (PONG_LEN, to));
    }
}

#[tokio::test]
async fn datagrams_that_the_kernel_joins_are_answered_one_by_one() {
    let node = node(&["127.0.0.1:0"], serving(0..40)).await;
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let state = quinn_udp::UdpSocketState::new((&sender).into()).unwrap();
    let challenges: Vec<_> = (0..40).flat_map(|slot| datagram(&challenge(slot))).collect();
    let joined = state.max_gso_segments().min(40);
    for contents in challenges.chunks(joined * CHALLENGE_LEN) {
        let transmit = quinn_udp::Transmit {
            destination: node.local_addr(),
            ecn: None,
            contents,
            segment_size: Some(CHALLENGE_LEN),
            src_ip: None,
        };
        state.try_send((&sender).into(), &transmit).unwrap();
    }
    until(|| node.count(Outcome::Answered) == 40).await;
}

#[tokio::test]
async fn challenges_are_answered_while_the_rest_of_the_process_is_busy() {
    let node = node(&["127.0.0.1:0"], serving(0..1)).await;
    let asker = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(PATIENCE)).unwrap();
    asker.send_to(&datagram(&challenge(0)), node.local_addr()).unwrap();
    // Blocks the only thread of this runtime.
    assert_eq!(asker.recv(&mut [0; 256]).unwrap(), PONG_LEN);
}

#[tokio::test]
async fn keepers_that_have_gone_do_no_harm_to_others() {
    let node = node(&["127.0.0.1:0"], serving(0..1)).await;
    for gone in 1..=20 {
        // The answer finds a closed port, of which an ICMP message tells the node.
        Asker::new("127.0.0.1:0", node.local_addr()).await.send(&datagram(&challenge(0))).await;
        until(|| node.count(Outcome::Answered) + node.count(Outcome::SendFailed) == gone).await;
    }
    assert!(Asker::new("127.0.0.1:0", node.local_addr()).await.is_answered(&challenge(0)).await);
}

#[tokio::test]
async fn one_process_answers_for_a_thousand_machines() {
    let node = node(&["127.0.0.1:0"], serving(0..1000)).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    let mut answered = HashSet::new();
    for slots in (0..1000).collect::<Vec<u32>>().chunks(50) {
        for &slot in slots {
            asker.send(&datagram(&challenge(slot))).await;
        }
        for _ in slots {
            let pong = Pong::decode(&asker.receive(Duration::from_secs(2)).await.unwrap()).unwrap();
            let slot = slots.iter().find(|slot| challenge(**slot).hash() == pong.challenge).unwrap();
            SignedPong::new(&challenge(*slot), &pong, &public(&machine(*slot).key)).unwrap();
            answered.insert(*slot);
        }
    }
    assert_eq!(answered.len(), 1000);
}

#[tokio::test]
async fn what_is_not_a_valid_challenge_gets_no_answer() {
    let node = node(&["127.0.0.1:0"], serving(0..1)).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    let valid = datagram(&challenge(0));
    let changed = |change: fn(&mut Challenge)| {
        let mut challenge = challenge(0);
        change(&mut challenge);
        datagram(&challenge)
    };
    let flipped = |byte: usize| {
        let mut bytes = valid.clone();
        bytes[byte] ^= 1;
        bytes
    };
    let cases = [
        (vec![], Outcome::Malformed),
        (valid[..255].to_vec(), Outcome::Malformed),
        ([valid.clone(), vec![0]].concat(), Outcome::Malformed),
        (flipped(0), Outcome::Malformed),
        // An answer, as from another node: two nodes can't be made to talk to each other.
        (challenge(0).answer(&machine(0).key).encode().to_vec(), Outcome::Malformed),
        (changed(|c| c.program = MARKET), Outcome::UnknownMachine),
        (changed(|c| c.market = BOARD), Outcome::UnknownMachine),
        (changed(|c| c.board = PROGRAM), Outcome::UnknownMachine),
        (changed(|c| c.slot = 1), Outcome::UnknownMachine),
        (changed(|c| c.generation = 2), Outcome::UnknownMachine),
        // The same, were generations counted in 16 bits.
        (changed(|c| c.generation += 1 << 16), Outcome::UnknownMachine),
        (flipped(120), Outcome::BadSignature),
        (flipped(124), Outcome::BadSignature),
        (flipped(128), Outcome::BadSignature),
        (flipped(160), Outcome::BadSignature),
        (flipped(192), Outcome::BadSignature),
    ];
    for (bytes, outcome) in &cases {
        let before = node.count(*outcome);
        asker.send(bytes).await;
        until(|| node.count(*outcome) > before).await;
    }
    assert!(asker.hears_nothing().await);
    assert_eq!(node.count(Outcome::Answered), 0);
    assert!(asker.is_answered(&challenge(0)).await);
}

#[tokio::test]
async fn traffic_is_not_amplified() {
    let node = node(&["127.0.0.1:0"], serving(0..1)).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    let valid = datagram(&challenge(0));
    // Garbage of every length up to 1,500, some of it beginning like a challenge.
    let mut noise = 1u64;
    for length in 0..1500 {
        let mut bytes: Vec<u8> = (0..length)
            .map(|_| {
                noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (noise >> 56) as u8
            })
            .collect();
        if length % 3 == 0 {
            let same = length.min(valid.len() - 1);
            bytes[..same].copy_from_slice(&valid[..same]);
        }
        asker.send(&bytes).await;
        if length % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(asker.hears_nothing().await);
    assert_eq!(node.count(Outcome::Malformed), 1500);

    asker.send(&valid).await;
    let answer = asker.receive(Duration::from_secs(2)).await.unwrap();
    assert_eq!(answer.len(), PONG_LEN);
    assert!(answer.len() <= valid.len());
    assert!(asker.hears_nothing().await, "one answer to one challenge");
}

#[tokio::test]
async fn a_replay_brings_the_same_answer_and_nothing_new() {
    let node = node(&["127.0.0.1:0"], serving(0..1)).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    let mut answers = HashSet::new();
    for _ in 0..3 {
        asker.send(&datagram(&challenge(0))).await;
        answers.insert(asker.receive(Duration::from_secs(2)).await.unwrap());
    }
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn a_source_is_limited_and_others_are_not() {
    let config = NodeConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        serving: serving(0..1),
        rate: Some(5.try_into().unwrap()),
        ..NodeConfig::default()
    };
    let node = Node::bind(config).await.unwrap();
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    for _ in 0..100 {
        asker.send(&datagram(&challenge(0))).await;
    }
    until(|| node.count(Outcome::Answered) + node.count(Outcome::RateLimited) == 100).await;
    // Ten at once, and those that came in while the hundred were worked through.
    assert!((10..=50).contains(&node.count(Outcome::Answered)), "{}", node.count(Outcome::Answered));
    // Another port is the same source; another address is another one.
    let same = Asker::new("127.0.0.1:0", node.local_addr()).await;
    for _ in 0..10 {
        same.send(&datagram(&challenge(0))).await;
    }
    assert!(Asker::new("127.0.0.2:0", node.local_addr()).await.is_answered(&challenge(0)).await);
    assert!(node.count(Outcome::RateLimited) >= 50);
}

#[tokio::test]
async fn a_paused_machine_is_silent_until_it_is_resumed() {
    let node = node(&["127.0.0.1:0"], serving(0..2)).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    assert!(node.pause_machine(&BOARD, 0));
    assert!(!node.pause_machine(&BOARD, 2), "there is no such machine");
    asker.send(&datagram(&challenge(0))).await;
    assert!(asker.hears_nothing().await);
    assert!(asker.is_answered(&challenge(1)).await);
    // A reload doesn't end the maintenance.
    node.set_serving(serving(0..3)).unwrap();
    asker.send(&datagram(&challenge(0))).await;
    assert!(asker.hears_nothing().await);
    assert_eq!(node.count(Outcome::Paused), 2);
    assert!(node.resume_machine(&BOARD, 0));
    assert!(asker.is_answered(&challenge(0)).await);
}

#[tokio::test]
async fn a_slot_that_is_anothers_by_the_board_is_not_answered_for() {
    let node = node(&["127.0.0.1:0"], serving(0..2)).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    node.probes().set_strangers([(BOARD, 0)]);
    asker.send(&datagram(&challenge(0))).await;
    assert!(asker.hears_nothing().await);
    assert_eq!(node.count(Outcome::OtherMachine), 1);
    assert!(asker.is_answered(&challenge(1)).await);
    node.probes().set_strangers([]);
    assert!(asker.is_answered(&challenge(0)).await);
}

#[tokio::test]
async fn keepers_with_a_seat_are_heard_when_they_are_answered() {
    let node = node(&["127.0.0.1:0"], serving(0..1)).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    assert!(asker.is_answered(&challenge(0)).await);
    assert_eq!(node.probes().heard(&(BOARD, 0), 5), 0, "no seat is known");
    node.probes().set_seats(BOARD, [public(&keeper())]);
    let mut forged = datagram(&challenge(0));
    forged[255] ^= 1;
    asker.send(&forged).await;
    until(|| node.count(Outcome::BadSignature) == 1).await;
    assert_eq!(node.probes().heard(&(BOARD, 0), 5), 0);
    assert!(asker.is_answered(&challenge(0)).await);
    assert_eq!(node.probes().heard(&(BOARD, 0), 5), 1);
}

#[tokio::test]
async fn machines_can_be_added_and_replaced_while_it_runs() {
    let node = node(&["127.0.0.1:0"], Serving::default()).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    asker.send(&datagram(&challenge(0))).await;
    assert!(asker.hears_nothing().await);
    node.add_machines(vec![machine(0), machine(1)]).unwrap();
    assert!(asker.is_answered(&challenge(0)).await);
    let twice = node.add_machines(vec![machine(2), machine(1)]).unwrap_err();
    assert!(matches!(twice, NodeError::SameMachine(SameMachine { slot: 1, .. })));
    assert_eq!(node.machines(), 2, "none of a refused list is added");
    assert!(matches!(
        node.set_serving(Serving { machines: vec![machine(5), machine(5)], keepers: None }),
        Err(NodeError::SameMachine(SameMachine { slot: 5, .. }))
    ));
    assert!(asker.is_answered(&challenge(1)).await, "a refused change leaves what was");
    node.set_serving(serving(1..2)).unwrap();
    assert!(asker.is_answered(&challenge(1)).await);
    asker.send(&datagram(&challenge(0))).await;
    assert!(asker.hears_nothing().await);
}

#[tokio::test]
async fn only_listed_keepers_are_answered_where_there_is_a_list() {
    let only = |keeper| Serving { keepers: Some(vec![keeper]), ..serving(0..1) };
    let node = node(&["127.0.0.1:0"], only(BOARD)).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    asker.send(&datagram(&challenge(0))).await;
    assert!(asker.hears_nothing().await);
    assert_eq!(node.count(Outcome::KeeperNotAllowed), 1);
    node.set_serving(only(public(&keeper()))).unwrap();
    assert!(asker.is_answered(&challenge(0)).await);
}

#[tokio::test]
async fn only_rounds_near_the_clocks_are_answered_where_their_length_is_known() {
    let timed = Machine { round_secs: Some(600), ..machine(0) };
    let node = node(&["127.0.0.1:0"], Serving { machines: vec![timed], keepers: None }).await;
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    let now = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 600) as u32;
    for round in [0, now - 3, now + 3, u32::MAX] {
        asker.send(&datagram(&Challenge { round, ..challenge(0) })).await;
    }
    assert!(asker.hears_nothing().await);
    assert_eq!(node.count(Outcome::OtherRound), 4);
    assert!(asker.is_answered(&Challenge { round: now, ..challenge(0) }).await);
}

#[tokio::test]
async fn metrics_are_served_on_loopback_only() {
    let config = |metrics: &str| NodeConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        serving: serving(0..2),
        metrics: Some(metrics.parse().unwrap()),
        ..NodeConfig::default()
    };
    let public = Node::bind(config("0.0.0.0:0")).await;
    assert!(matches!(public, Err(NodeError::Metrics(MetricsError::NotLoopback(_)))));
    let node = Node::bind(config("127.0.0.1:0")).await.unwrap();
    let asker = Asker::new("127.0.0.1:0", node.local_addr()).await;
    assert!(asker.is_answered(&challenge(0)).await);
    asker.send(b"noise").await;
    until(|| node.count(Outcome::Malformed) == 1 && node.count(Outcome::Answered) == 1).await;
    let get = async |path: &str| {
        let mut client = TcpStream::connect(node.metrics_addr().unwrap()).await.unwrap();
        client
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    };
    let text = get("/metrics").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"));
    for line in [
        "leasehold_node_machines 2",
        "leasehold_node_machines_paused 0",
        "leasehold_node_datagrams_total{outcome=\"answered\"} 1",
        "leasehold_node_datagrams_total{outcome=\"malformed\"} 1",
        "leasehold_node_datagrams_total{outcome=\"bad_signature\"} 0",
        "leasehold_node_datagrams_total{outcome=\"overloaded\"} 0",
        "leasehold_node_receive_errors_total 0",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is missing in\n{text}");
    }
    assert!(text.contains("\nleasehold_node_receive_buffer_bytes "), "{text}");
    let dropped = text.contains("\nleasehold_node_datagrams_dropped_total 0\n");
    assert_eq!(dropped, node.dropped().is_some(), "{text}");
    assert!(get("/").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listen = vec![taken.local_addr().unwrap()];
    let refused = Node::bind(NodeConfig { listen, ..NodeConfig::default() }).await.unwrap_err();
    assert!(matches!(refused, NodeError::Listen { .. }));
    assert!(refused.to_string().contains("another process, perhaps a second node, listens there"));
    // An address of documentation, which no host has.
    let listen = vec!["192.0.2.1:0".parse().unwrap()];
    let absent = Node::bind(NodeConfig { listen, ..NodeConfig::default() }).await.unwrap_err();
    assert!(absent.to_string().contains("this host has no such address, or not yet"), "{absent}");
    let nowhere = Node::bind(NodeConfig { listen: vec![], ..NodeConfig::default() }).await;
    assert!(matches!(nowhere, Err(NodeError::NoAddress)));
}
