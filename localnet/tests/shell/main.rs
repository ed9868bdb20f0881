//! From a lease to a shell and out again, as the chain says: the program on the local network, nodes as processes, OpenSSH on both
//! sides, and rooms of namespaces for tenants. Needs root, `sshd` and `ssh`.
//!
//! What else a door does is tested in `node/tests/door/`: kinds of keys, other users' names, certificates that expired or are of
//! another lease, virtual machines, bounds on sessions, a node that stops. That probes wait for the begin hook, and what happens
//! while an end is not final: `node/tests/tenancy.rs`.

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::time::{Duration, Instant};

use leasehold_client::access::host_alias;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use support::{
    client::{Host, Key, Session, Ssh, now},
    node::{Line, Node},
    room::traces as left,
    world::{LONG, Lease, ROUND_SECS, World, key},
};

/// Scenarios share a network: one machine is taken through a lease's changes, one is at an IPv6 address if there is one, and
/// the third one's node can lose its RPC node.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_get_in_by_the_chain_alone_and_out_with_their_leases() {
    let Some(world) = World::new().await else { return };
    let line = Line::to(world.network.rpc_url()).await;
    let mut first = world.node("first", &[0, 1], world.network.rpc_url());
    let _second = world.node("second", &[2], &line.url);
    let [one, two, three] =
        [world.files.key("ed25519").await, world.files.key("ed25519").await, world.files.key("rsa").await];
    let (lease, over_v6, short) =
        tokio::join!(world.open(0, LONG, &one), world.open(1, LONG, &two), world.open(2, 2, &three));
    println!("machines: {} {}", world.endpoint(0), world.endpoint(1));

    a_halted_chain_ends_sessions_and_wipes_nothing(&world, &short, &three, async {
        only_the_tenant_gets_in(&world, [(&lease, &one), (&over_v6, &two)]).await;
        idle_connections_keep_nobody_out(&world, &lease, &one).await;
        no_forward_reaches_the_host(&world, &lease, &one).await;
    })
    .await;
    a_node_that_is_killed_finds_its_tenant_again(&world, &mut first, &lease, &one).await;
    a_key_is_changed_in_mid_session(&world, &lease, &one, &two).await;
    a_new_owner_keeps_what_the_former_one_left(&world, &lease, &two, &one).await;
    a_new_owner_has_the_machine_wiped(&world, &over_v6, &two, &one).await;

    world.settled(&short).await;
    let long = an_extension_in_the_last_second_saves_the_job(&world, &line, &one).await;
    a_cancellation_in_the_last_second_ends_the_lease(&world, &line, &long, &one).await;
    world.settled(&long).await;
    two_tenants_in_a_row_find_nothing_of_each_other(&world, &one, &two).await;
    world.check().await;
}

/// A lease ends while the cluster stands still: by this host's clock nobody is let in any more, but what runs goes on until the
/// cluster's clock says that the lease is over. `meanwhile`: what is done while the cluster stands still.
async fn a_halted_chain_ends_sessions_and_wipes_nothing(
    world: &World,
    lease: &Lease,
    key: &Key,
    meanwhile: impl Future<Output = ()>,
) {
    let mut session = world.session(key, lease, 0).await;
    let job = world.start_job(key, lease, 0).await;
    let end = world.ends(lease).await;
    world.network.set_halted(true);
    meanwhile.await;
    let goes_on = session.echoes().await;
    assert!(goes_on || unix_secs() >= end, "it is not cut while the cluster stands still");
    session.gets_cut().await;
    let cut = unix_secs();
    assert!(cut >= end, "it is not cut before the end");
    println!("a lease that ended while the cluster stood still: cut {} s after its end", cut - end);
    assert!(world.network.time().await.unwrap() < end, "the cluster stood still");
    assert!(!world.ssh(key, lease, 0).gets_in().await);
    job.works_on().await;
    assert_eq!(world.hooks(lease.slot).len(), 1, "nothing is wiped");
    world.network.set_halted(false);
    world.wiped(lease).await;
}

async fn only_the_tenant_gets_in(world: &World, machines: [(&Lease, &Key); 2]) {
    let stranger = world.files.key("ed25519").await;
    for (lease, key) in machines {
        let mut session = world.session(key, lease, 0).await;
        assert!(session.echoes().await);
        assert!(!world.ssh(&stranger, lease, 0).gets_in().await, "a wrong key");
    }
    let [(lease, own), (other, key_of_other)] = machines;
    assert!(!world.ssh(key_of_other, lease, 0).gets_in().await, "the key of another lease");
    // A call to one machine that another one answers, whose certificate is its own.
    let alias = host_alias(0, lease.serial, 0, lease.slot, &lease.address);
    let host = Host { slot: lease.slot, alias, node_key: key(lease.slot) };
    let misled = Ssh::new(&world.files, own, world.endpoint(other.slot), host).run("echo in").await;
    let said = String::from_utf8_lossy(&misled.stderr);
    assert!(misled.stdout.is_empty() && said.contains("Host key verification failed"), "{said}");
}

async fn idle_connections_keep_nobody_out(world: &World, lease: &Lease, key: &Key) {
    let mut session = world.session(key, lease, 0).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(world.endpoint(lease.slot)).await.unwrap());
    }
    assert!(world.ssh(key, lease, 0).gets_in().await);
    assert!(session.echoes().await);
}

async fn no_forward_reaches_the_host(world: &World, lease: &Lease, key: &Key) {
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = service.local_addr().unwrap();
    let output = world.ssh(key, lease, 0).forward(&address.to_string()).await;
    assert!(!output.status.success());
    // What is refused comes before a connection could.
    assert!(timeout(Duration::ZERO, service.accept()).await.is_err(), "the host's service was reached");
}

async fn a_node_that_is_killed_finds_its_tenant_again(
    world: &World,
    node: &mut Node,
    lease: &Lease,
    key: &Key,
) {
    let session = world.session(key, lease, 0).await;
    world.run(key, lease, 0, "echo mine >/root/mine").await;
    let job = world.start_job(key, lease, 0).await;
    node.restart();
    session.gets_cut().await;
    let mut session = world.session(key, lease, 0).await;
    assert!(session.echoes().await);
    assert_eq!(world.run(key, lease, 0, "cat /root/mine").await, "mine\n");
    job.works_on().await;
    assert_eq!(world.hooks(lease.slot).len(), 1, "no hook runs");
}

async fn a_key_is_changed_in_mid_session(world: &World, lease: &Lease, former: &Key, key: &Key) {
    let session = world.session(former, lease, 0).await;
    world.set_access(lease, key, false).await;
    session.gets_cut().await;
    world.session(key, lease, 1).await;
    for epoch in [0, 1] {
        assert!(!world.ssh(former, lease, epoch).gets_in().await, "the former key in epoch {epoch}");
    }
    assert_eq!(world.run(key, lease, 1, "cat /root/mine").await, "mine\n");
}

async fn a_new_owner_keeps_what_the_former_one_left(world: &World, lease: &Lease, former: &Key, key: &Key) {
    let session = world.session(former, lease, 1).await;
    let job = world.start_job(former, lease, 1).await;
    let lease = world.transfer(lease).await;
    session.gets_cut().await;
    job.freezes().await;
    for epoch in [1, 2] {
        assert!(!world.ssh(former, &lease, epoch).gets_in().await, "the former owner in epoch {epoch}");
    }
    assert!(job.is_frozen());
    world.set_access(&lease, key, false).await;
    world.session(key, &lease, 3).await;
    assert!(!world.ssh(former, &lease, 3).gets_in().await);
    job.works_on().await;
    assert_eq!(world.run(key, &lease, 3, "cat /root/mine").await, "mine\n");
    assert_eq!(world.hooks(lease.slot).len(), 1, "no hook runs");
}

async fn a_new_owner_has_the_machine_wiped(world: &World, lease: &Lease, former: &Key, key: &Key) {
    let session = world.session(former, lease, 0).await;
    let job = world.start_job(former, lease, 0).await;
    leave_traces(world, former, lease).await;
    let lease = world.transfer(lease).await;
    session.gets_cut().await;
    job.freezes().await;
    world.set_access(&lease, key, true).await;
    world.session(key, &lease, 2).await;
    assert!(!world.ssh(former, &lease, 2).gets_in().await);
    assert_eq!(traces(world, key, &lease, 2).await, "");
    let hooks = world.hooks(lease.slot);
    let names: Vec<_> = hooks.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["begin", "end", "begin"]);
}

/// The node loses its RPC node in the last round. Sessions go on until the end that it knows of, and are cut there. When it
/// hears that the lease was extended before, the job goes on.
async fn an_extension_in_the_last_second_saves_the_job(world: &World, line: &Line, key: &Key) -> Lease {
    let lease = world.open(2, 2, key).await;
    world.advance_to(lease.begins).await;
    let mut session = world.session(key, &lease, 0).await;
    let job = world.start_job(key, &lease, 0).await;
    let hooks = world.hooks(lease.slot).len();
    world.advance_to(world.ends(&lease).await - i64::from(ROUND_SECS)).await;
    line.set_up(false);
    world.extend(&lease, LONG).await;
    assert!(session.echoes().await, "sessions go on without an RPC node");
    session.gets_cut().await;
    job.freezes().await;
    assert!(!world.ssh(key, &lease, 0).gets_in().await);
    line.set_up(true);
    let mut session = world.session(key, &lease, 0).await;
    assert!(session.echoes().await);
    job.works_on().await;
    assert_eq!(world.hooks(lease.slot).len(), hooks, "nothing is wiped");
    lease
}

/// The node hears of a cancellation when the lease's last round is over.
async fn a_cancellation_in_the_last_second_ends_the_lease(
    world: &World,
    line: &Line,
    lease: &Lease,
    key: &Key,
) {
    let mut session = world.session(key, lease, 0).await;
    line.set_up(false);
    world.cancel(lease).await;
    world.advance_to(world.ends(lease).await).await;
    assert!(session.echoes().await, "the node does not know yet");
    let heard = Instant::now();
    line.set_up(true);
    session.gets_cut().await;
    println!("a cancellation that the node heard of late: cut after {:?}", heard.elapsed());
    world.wiped(lease).await;
    assert!(!world.ssh(key, lease, 0).gets_in().await);
}

/// The end as it is on most days: cut within seconds, wiped when it is final.
async fn two_tenants_in_a_row_find_nothing_of_each_other(world: &World, one: &Key, two: &Key) {
    let lease = world.open(2, 2, one).await;
    world.advance_to(lease.begins).await;
    let session = world.session(one, &lease, 0).await;
    leave_traces(world, one, &lease).await;
    assert_ne!(traces(world, one, &lease, 0).await, "");
    cut_at_the_end(world, &lease, session).await;
    world.wiped(&lease).await;
    world.settled(&lease).await;

    let next = world.open(2, LONG, two).await;
    world.advance_to(next.begins).await;
    world.session(two, &next, 0).await;
    assert!(!world.ssh(one, &next, 0).gets_in().await);
    assert_eq!(traces(world, two, &next, 0).await, "");
}

async fn cut_at_the_end(world: &World, lease: &Lease, mut session: Session) {
    let end = world.ends(lease).await;
    world.advance_to(end - i64::from(ROUND_SECS)).await;
    assert!(session.echoes().await, "the session goes on in the last round");
    let ended = Instant::now();
    world.advance_to(end).await;
    session.gets_cut().await;
    println!("the end of a lease: cut after {:?}", ended.elapsed());
    assert!(world.network.time().await.unwrap() >= end);
}

fn unix_secs() -> i64 {
    i64::try_from(now()).unwrap()
}

async fn leave_traces(world: &World, key: &Key, lease: &Lease) {
    world.run(key, lease, 0, &left("left-behind")).await;
}

/// What is left behind, a line each.
async fn traces(world: &World, key: &Key, lease: &Lease, epoch: u32) -> String {
    let find = "find /root /tmp /var/tmp /run /dev/shm -name 'left-*'; \
                for process in /proc/[0-9]*; do tr '\\0' ' ' <$process/cmdline | grep '^tail' || true; done";
    world.run(key, lease, epoch, find).await
}
