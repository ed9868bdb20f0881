//! Who is up where several slots name one key or one address: attacks of rivals, and of suppliers on their keepers.

mod common;

use common::*;
use leasehold_keeper::prober::Target;
use leasehold_node::{Machine, Outcome};
use std::net::SocketAddr;
use tokio::net::UdpSocket;

/// The slot of a stranger's listing: it names another slot's key and address.
fn listing(slot: u32, of: u32, endpoint: SocketAddr) -> Target {
    Target { slot, ..target(of, endpoint) }
}

/// Slots that a vote on ten slots calls up.
async fn up(targets: &[Target]) -> Vec<u32> {
    let report = probe(&prober(7), targets, &QUICK).await;
    let bitmap = report.submission(10).bitmap;
    (0..10).filter(|slot| bitmap[(slot / 8) as usize] >> (slot % 8) & 1 == 1).collect()
}

#[tokio::test]
async fn a_rivals_key_on_a_lower_slot_puts_nobody_out() {
    let victim = node(&["127.0.0.1:0"], 5..6).await;
    let rival = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let listed = target(5, victim.local_addr());
    // The rival lists the victim's key in slot 2: with the victim's address, and with its own.
    for endpoint in [victim.local_addr(), rival] {
        assert_eq!(up(&[listing(2, 5, endpoint), listed]).await, [5]);
    }
    assert!(victim.count(Outcome::UnknownMachine) > 0, "the victim answers for its own slot alone");

    // The rival's machine holds its own key, and answers with it for the slot that names the victim's.
    let mut own = machine(2);
    own.key = key(8);
    let rival = node(&["127.0.0.1:0"], 0..0).await;
    rival.add_machines(vec![own]).unwrap();
    assert_eq!(up(&[listing(2, 5, rival.local_addr()), listed]).await, [5]);
}

#[tokio::test]
async fn a_later_generation_of_the_victims_slot_is_not_the_victim() {
    let victim = node(&["127.0.0.1:0"], 5..6).await;
    let generation = 1 + (1 << 16);
    let successor = Target { generation, ..target(5, victim.local_addr()) };
    assert_eq!(up(&[successor]).await, [0; 0], "generations of 32 bits don't come back");
}

#[tokio::test]
async fn a_rivals_endpoint_taken_puts_nobody_out() {
    let victim = node(&["127.0.0.1:0"], 5..6).await;
    // A rival lists machines with keys of its own at the victim's address, on lower and on higher slots.
    let mut all = vec![target(5, victim.local_addr())];
    all.extend([1, 2, 3, 7, 8].map(|slot| target(slot, victim.local_addr())));
    assert_eq!(up(&all).await, [5]);

    // Thousands of them, all of whose challenges reach the victim before its own.
    let flood: Vec<_> = (1_000..3_000).map(|slot| target(slot, victim.local_addr())).collect();
    probe(&prober(7), &flood, &QUICK).await;
    assert_eq!(victim.count(Outcome::RateLimited), 0, "strangers' slots use up nothing");
    assert_eq!(up(&all).await, [5]);
}

#[tokio::test]
async fn one_computer_listed_many_times_is_up_once() {
    // Slots 1 to 8 have the key of slot 4, and the computer answers for each.
    let computer = node(&["127.0.0.1:0"], 0..0).await;
    let again = |slot| Machine { key: key(4), ..machine(slot) };
    computer.add_machines((1..9).map(again).collect()).unwrap();
    let endpoint = computer.local_addr();
    let mut all: Vec<_> = (1..9).map(|slot| listing(slot, 4, endpoint)).collect();
    assert_eq!(up(&all).await, [1]);
    let report = probe(&prober(7), &all, &QUICK).await;
    assert_eq!(report.repeated, [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(report.answers.len(), 1, "only what is voted up is evidence");

    // Where the lowest slot is silent, the next one that answers counts.
    assert!(computer.pause_machine(&CONTEXT.board, 1));
    assert_eq!(up(&all).await, [2]);
    // Another computer beside it counts for itself.
    let other = node(&["127.0.0.1:0"], 9..10).await;
    all.push(target(9, other.local_addr()));
    assert_eq!(up(&all).await, [2, 9]);
}
