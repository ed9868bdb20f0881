//! What a node reads from the chain, counted by an RPC node.

use bytemuck::Zeroable;
use leasehold::constants::MAX_SLOTS;
use leasehold::state::{ComputeLog, Lane, Lease, Meter, Slot, SlotState};
use leasehold_client::board::BoardData;
use leasehold_client::invariants::Snapshot;
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_client::record::LogData;
use leasehold_client::sample::rpc::{Asked, RpcServer};
use leasehold_client::sample::{GENESIS, NOW, change, lease, market, slot, snapshot, wallet};
use leasehold_client::{address, sample};
use leasehold_node::Machine;
use leasehold_node::leases::{LeaseWatch, Leases, WatchSettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Seconds and bytes of the limits below.
const DAY: u64 = 86_400;
const MEGABYTE: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

const SLOT: u16 = 5_000;
const SERIAL: u32 = 1;

fn machine(slot: u16) -> Arc<Machine> {
    let market = market();
    Arc::new(Machine {
        program: leasehold::ID,
        market: market.address,
        board: market.board(0).address,
        slot: slot.into(),
        generation: 0,
        round_secs: Some(600),
        key: SigningKey::from_bytes(&[1; 32]),
    })
}

fn supplier() -> Pubkey {
    market().supplier(&wallet(0))
}

/// A full board of machines of different suppliers; some slots are machines of this node, all in one metered lease.
fn full_board(own: &[u16]) -> BoardData {
    let mut header = *snapshot().boards.remove(0).data.view().unwrap().header;
    (header.slots, header.machines) = (MAX_SLOTS as u32, MAX_SLOTS as u32);
    for seat in &mut header.seats {
        *seat = leasehold::state::Seat { keeper: Pubkey::new_from_array(rand::random()), taken: 1, ..*seat };
    }
    let slots: Vec<_> = (0..MAX_SLOTS as u16)
        .map(|number| {
            let mut slot = Slot { node_key: rand::random(), history_up: rand::random(), ..slot(2) };
            slot.supplier = Pubkey::new_from_array(rand::random());
            if own.contains(&number) {
                slot.node_key = machine(number).key.verifying_key().to_bytes();
                slot.supplier = supplier();
                slot.begin_lease(SERIAL, sample::FROM, sample::UNTIL);
                slot.state = SlotState::Leased as u8;
            }
            slot
        })
        .collect();
    sample::board_data(&header, &slots)
}

/// The supplier's log, with so many lanes.
fn log(lanes: u16) -> Vec<u8> {
    let mut log = ComputeLog::zeroed();
    (log.version, log.supplier, log.lanes) = (ComputeLog::VERSION, supplier(), lanes.into());
    for peak in log.peaks.iter_mut().take(12) {
        *peak = rand::random();
    }
    let lanes: Vec<_> = (0..lanes).map(|slot| Lane { slot, next_seq: 1_000, ..Lane::zeroed() }).collect();
    let kind = <ComputeLog as anchor_lang::Discriminator>::DISCRIMINATOR;
    let data = [kind, bytemuck::bytes_of(&log), bytemuck::cast_slice(&lanes)].concat();
    LogData::new(&data).unwrap().bytes().to_vec()
}

/// An RPC node and a node with machines in these slots, which polls as often as it may.
struct Scene {
    server: RpcServer,
    market: Snapshot,
    watch: LeaseWatch,
    _machines: watch::Sender<Arc<Vec<Arc<Machine>>>>,
}

impl Scene {
    async fn new(own: &[u16]) -> Self {
        let mut market = snapshot();
        market.boards[0].data = full_board(own);
        let meter = Meter { spender: wallet(3), seq: 1, units: 9, paid: 100, owes_hour: false };
        market.boards[0].leases[0].1 = Lease { meter: Some(meter), ..lease(SERIAL) };
        let server = RpcServer::start(&market, NOW);
        server.set(address::log(&supplier()), leasehold::ID, log(200));
        let (machines, received) = watch::channel(Arc::new(own.iter().map(|slot| machine(*slot)).collect()));
        let settings = WatchSettings { rpc: server.url.clone(), supplier: supplier(), poll: Duration::ZERO };
        let (leases, _) = watch::channel(Arc::<Leases>::default());
        let watch = LeaseWatch::start(settings, received, leases, Arc::default());
        let scene = Scene { server, market, watch, _machines: machines };
        scene.read().await;
        scene
    }

    /// Waits for the next view.
    async fn read(&self) {
        let mut views = self.watch.views();
        tokio::time::timeout(PATIENCE, views.wait_for(|view| view.is_some())).await.unwrap().unwrap();
    }

    /// Requests until there are as many polls of slots alone, and no view was read.
    async fn polls(&self, count: usize) -> Vec<Asked> {
        self.server.take();
        let mut asked = Vec::new();
        while asked.len() < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
            asked.extend(self.server.take());
        }
        asked
    }

    /// Requests of a poll that reads a whole view.
    async fn whole(&self) -> Vec<Asked> {
        let mut views = self.watch.views();
        views.mark_unchanged();
        self.server.take();
        self.watch.poll_now().notify_one();
        tokio::time::timeout(PATIENCE, views.changed()).await.unwrap().unwrap();
        self.server.take()
    }
}

fn bytes(asked: &[Asked]) -> u64 {
    asked.iter().map(|asked| asked.answered as u64).sum()
}

#[tokio::test]
async fn a_node_reads_at_most_20_megabytes_a_day_of_a_full_board() {
    let scene = Scene::new(&[SLOT]).await;
    let place = (market().board(0).address, SLOT);
    let leases = scene.watch.leases().borrow().clone();
    let lease = leases.machines[&place].as_ref().unwrap();
    assert_eq!((lease.serial, lease.cluster), (SERIAL, GENESIS[..8].try_into().unwrap()));
    let polls = scene.polls(3).await;
    assert!(polls.iter().all(|asked| asked.slice() == Some(size_of::<Slot>() as u64)), "{polls:?}");
    let whole = scene.whole().await;
    assert!(whole.iter().all(|asked| asked.method != "getProgramAccounts"), "{whole:?}");
    // Slots each 5 seconds, the view each minute.
    let (poll, whole) = (bytes(&polls) / polls.len() as u64, bytes(&whole));
    let day = DAY / 5 * poll + DAY / 60 * whole;
    println!("{poll} bytes a poll, {whole} bytes a view: {:.1} MB a day", day as f64 / MEGABYTE as f64);
    assert!(day <= 20 * MEGABYTE, "{poll} bytes a poll, {whole} bytes a view: {day} bytes a day");
}

#[tokio::test]
async fn a_slot_that_changes_is_seen_with_the_next_poll() {
    let mut scene = Scene::new(&[7, SLOT]).await;
    let mut leases = scene.watch.leases();
    let board = &mut scene.market.boards[0];
    change(&mut board.data, |_, slots| slots[7].release(SlotState::Idle));
    scene.server.set(board.address, leasehold::ID, board.data.bytes().to_vec());
    let released = |leases: &Arc<Leases>| leases.machines[&(board.address, 7)].is_none();
    tokio::time::timeout(PATIENCE, leases.wait_for(released)).await.unwrap().unwrap();
    assert!(leases.borrow().machines[&(board.address, SLOT)].is_some());
}

#[tokio::test]
async fn machines_all_over_a_board_take_few_requests() {
    let own: Vec<u16> = (0..200).map(|place| place * 30).collect();
    let scene = Scene::new(&own).await;
    assert_eq!(scene.watch.leases().borrow().count(), 200);
    let whole = scene.whole().await;
    assert!(whole.len() < 24, "{}", whole.len());
}
