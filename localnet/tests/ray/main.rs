//! A training run on leased machines: a Ray cluster of three machines by `leasehold lease ray`, and what is left of it when the
//! lease has ended. `cargo xtask ray` runs it: with root, OpenSSH on both sides, and Ray from PyPI.

mod buyer;
mod leftovers;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use leasehold_localnet::rooms::{Rooms, Switch};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    process::Command,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};

use buyer::{Buyer, ended, text};
use leftovers::Held;
use support::{
    client::{Session, limited, until},
    room::traces,
    world::{Lease, MACHINES, ROUND_SECS, World},
};

/// Names the folder in which Ray is installed.
const VARIABLE: &str = "LEASEHOLD_TEST_RAY";
/// It ends by itself, whatever hangs.
const LIMIT: Duration = Duration::from_secs(900);
/// Rounds of the lease: longer than the limit, so that it ends when the clock is moved.
const ROUNDS: u32 = 80;
/// Begins the line in which Ray's job answers.
const ANSWER: &str = "answer ";

/// Prints its result to standard output: a line of JSON.
#[ignore = "takes Ray: run it by `cargo xtask ray`"]
#[tokio::test(flavor = "multi_thread")]
async fn a_ray_cluster_of_leased_machines_leaves_nothing_behind() {
    let ray = std::env::var_os(VARIABLE).expect("run it by `cargo xtask ray`");
    let [mut interrupted, mut terminated] =
        [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).unwrap());
    tokio::select! {
        report = run(ray.into()) => println!("{report}"),
        _ = interrupted.recv() => panic!("stopped"),
        _ = terminated.recv() => panic!("stopped"),
        () = sleep(LIMIT) => panic!("it takes longer than {LIMIT:?}"),
    }
}

async fn run(ray: PathBuf) -> Value {
    let rooms = Rooms::new().unwrap_or_else(|error| panic!("{error}"));
    let world = World::with(rooms).await;
    let switch = world.rooms.connect().expect("a bridge");
    for folder in [&base(&ray).await, &ray] {
        world.rooms.share(folder).unwrap();
    }
    let slots: Vec<_> = (0..MACHINES).collect();
    let mut node = world.node("node", &slots, world.network.rpc_url());
    let buyer = Buyer::new(&world, ray.join("bin")).await;
    let leases = open(&world, &buyer).await;
    let held = Held::by_tenants(&world);

    a_machine_that_the_others_do_not_reach_is_named(&buyer, &switch, &held).await;
    a_machine_without_its_node_is_named(&buyer, &mut node, &held).await;
    a_start_that_fails_is_undone(&buyer, &held).await;
    let job_ok = a_job_uses_all_machines(&buyer).await;
    ray_down_ends_ray_and_removes_its_token(&buyer, &held).await;

    // The lease ends on a cluster that runs.
    buyer.ok(&buyer.up(), &[]).await;
    let name = format!("left-by-{}", std::process::id());
    buyer.ok("lease run 0:1 --", &[&traces(&name)]).await;
    let sessions_cut = sessions_are_cut_at_the_end(&world, &buyer, &leases).await;
    for lease in &leases {
        world.wiped(lease).await;
    }
    let left = held.left(&world, &switch, &name).await;
    for line in &left {
        eprintln!("left: {line}");
    }
    world.check().await;
    json!({"machines": leases.len(), "job_ok": job_ok, "sessions_cut": sessions_cut, "leftovers": left.len()})
}

/// Where the Python is installed that Ray's was made of.
async fn base(ray: &Path) -> PathBuf {
    let mut python = Command::new(ray.join("bin/python"));
    python.args(["-c", "import sys; print(sys.base_prefix)"]);
    text(&ended(python).await.stdout).trim().into()
}

/// Leases all machines, and waits until they let the buyer in. Returns the lease once for each machine.
async fn open(world: &World, buyer: &Buyer) -> Vec<Lease> {
    let open = format!("lease open --board 0 --gpus {MACHINES} --for {ROUNDS}r --allow-unseen --yes");
    buyer.ok(&open, &[]).await;
    let opened = world.fetch().leases(&world.board().address).await.unwrap();
    let [opened] = &opened[..] else { panic!("{} leases", opened.len()) };
    let (address, serial, begins) = (opened.address, opened.account.serial, opened.account.begins());
    world.advance_to(begins).await;
    limited(async {
        while !ended(buyer.leasehold("lease run 0:1 --", &["true"])).await.status.success() {
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    let owner = world.wallet().await;
    (0..MACHINES).map(|slot| Lease { address, serial, slot, owner: owner.clone(), begins }).collect()
}

/// Ray's own processes.
fn rays(held: &Held) -> Vec<String> {
    let names = ["ray::", "raylet", "gcs_server", "/ray/dashboard", "ray/_private"];
    held.processes().into_iter().filter(|process| names.iter().any(|name| process.contains(name))).collect()
}

/// No process of Ray, and no token.
async fn nothing_is_started(buyer: &Buyer, held: &Held) {
    until(|| rays(held).is_empty()).await;
    buyer.ok("lease run 0:1 --", &["test ! -e /root/.leasehold/ray-token"]).await;
    let (code, error) = buyer.fails("lease ray status 0:1").await;
    assert!(code == Some(3) && error.contains("no Ray cluster"), "{error}");
}

async fn a_machine_that_the_others_do_not_reach_is_named(buyer: &Buyer, switch: &Switch, held: &Held) {
    switch.set_connected(2, false).unwrap();
    let (code, error) = buyer.fails(&buyer.up()).await;
    eprintln!("one machine off the network: {error}");
    assert!(code == Some(3) && error.contains("lease-0-1-slot0 does not reach lease-0-1-slot2"), "{error}");
    nothing_is_started(buyer, held).await;
    switch.set_connected(2, true).unwrap();
}

async fn a_machine_without_its_node_is_named(buyer: &Buyer, node: &mut support::node::Node, held: &Held) {
    node.stop();
    let (code, error) = buyer.fails(&buyer.up()).await;
    eprintln!("no node: {error}");
    assert!(code == Some(6) && error.contains("lease-0-1-slot2 (no connection"), "{error}");
    node.restart();
    limited(async {
        while !ended(buyer.leasehold("lease run 0:1 --", &["true"])).await.status.success() {
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    nothing_is_started(buyer, held).await;
}

/// The head starts; another machine has a file where Ray wants a folder.
async fn a_start_that_fails_is_undone(buyer: &Buyer, held: &Held) {
    buyer.ok("lease run 0:1 --slots 2 --", &["touch /tmp/ray"]).await;
    let (code, error) = buyer.fails(&buyer.up()).await;
    eprintln!("Ray does not start on one machine: {error}");
    assert!(code == Some(6) && error.contains("failed on 1 of 2: lease-0-1-slot2"), "{error}");
    assert!(error.contains("Ray was ended again on all machines"), "{error}");
    nothing_is_started(buyer, held).await;
    buyer.ok("lease run 0:1 --slots 2 --", &["rm /tmp/ray"]).await;
}

/// As the guide does it: by Ray's own client, through a forward of the dashboard's port.
async fn a_job_uses_all_machines(buyer: &Buyer) -> bool {
    let begun = Instant::now();
    let output = ended(buyer.leasehold(&buyer.up(), &[])).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let up: Value = serde_json::from_slice(&output.stdout).unwrap();
    let up_secs = begun.elapsed().as_secs_f64();
    assert_eq!(up["nodes"], MACHINES, "{up}");
    let head = up["head"].as_str().unwrap();
    let slot = head.strip_prefix("lease-0-1-slot").unwrap();
    let job = buyer.path("job.py");
    fs::write(&job, include_str!("job.py")).unwrap();
    buyer.ok(&format!("lease copy 0:1:{slot} job.py :/root/job.py"), &[]).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut forward = buyer.leasehold(&format!("lease ssh 0:1 {slot} -N -L {port}:127.0.0.1:8265"), &[]);
    let _forward = forward.spawn().unwrap();
    limited(async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let token = Path::new(up["token_file"].as_str().unwrap());
    let secret = fs::read_to_string(token).unwrap();
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert!(!shown.contains(&secret), "the token is shown");
    let said = buyer.submit(port, token, &["python", "/root/job.py"]).await;
    let answer = said.lines().find_map(|line| line.strip_prefix(ANSWER));
    let answer = answer.and_then(|json| serde_json::from_str::<Value>(json).ok());
    eprintln!(
        "from `lease ray up` to {MACHINES} nodes: {up_secs:.1} s, to a job's answer: {:.1} s",
        begun.elapsed().as_secs_f64()
    );

    let addresses: Vec<_> = (0..MACHINES).map(Switch::address).collect();
    let sum: u64 = (0..u64::from(MACHINES) * 1_000).map(|number| number * number).sum();
    let is_right = answer == Some(json!({"machines": addresses, "sum": sum}));
    if !is_right {
        eprintln!("the job said: {said}");
    }
    let other = buyer.path("token");
    fs::write(&other, "0".repeat(secret.len())).unwrap();
    let refused = buyer.submit(port, &other, &["true"]).await;
    assert!(!refused.contains("succeeded"), "a job with another token: {refused}");
    let status = buyer.ok("lease ray status 0:1", &[]).await;
    assert_eq!(status.matches(" node_").count(), usize::from(MACHINES), "{status}");
    is_right
}

async fn ray_down_ends_ray_and_removes_its_token(buyer: &Buyer, held: &Held) {
    assert!(rays(held).len() >= usize::from(MACHINES), "it runs: {:?}", rays(held));
    buyer.ok("lease ray down 0:1", &[]).await;
    nothing_is_started(buyer, held).await;
}

/// A session on each machine goes on in the last round, and is cut once it is over.
async fn sessions_are_cut_at_the_end(world: &World, buyer: &Buyer, leases: &[Lease]) -> bool {
    let mut sessions = Vec::new();
    for lease in leases {
        let ssh = buyer.leasehold(&format!("lease ssh 0:1 {} --", lease.slot), &["cat"]);
        sessions.push(Session::open(ssh).await);
    }
    let end = world.ends(&leases[0]).await;
    world.advance_to(end - i64::from(ROUND_SECS)).await;
    let mut go_on = true;
    for session in &mut sessions {
        go_on &= session.echoes().await;
    }
    let ended = Instant::now();
    world.advance_to(end).await;
    let cuts: Vec<_> = sessions.into_iter().map(|session| tokio::spawn(session.gets_cut())).collect();
    let mut cut = true;
    for end in cuts {
        cut &= end.await.is_ok();
    }
    eprintln!("the end of the lease: sessions cut after {:.1} s", ended.elapsed().as_secs_f64());
    go_on && cut
}
