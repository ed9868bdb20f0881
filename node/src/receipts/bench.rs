//! Benchmark: receipts per second that this host signs, stores and returns over HTTP.

use super::Receipts;
use super::settings::{DEFAULT_LISTEN, Settings};
use super::store::MachineKey;
use crate::feed::Feed;
use crate::leases::{Leases, Numbers, RunningLease};
use crate::machines::{Machine, Serving};
use anyhow::{Context, ensure};
use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_daemon::unix_ms;
use serde::Serialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const BOARD: Pubkey = Pubkey::new_from_array([3; 32]);
const ROUND_SECS: u32 = 600;
/// Linux counts processor time in hundredths of a second for programs, whatever it counts itself.
const TICKS: f64 = 100.0;

/// Results.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub receipts: u64,
    pub clients: u32,
    pub seconds: f64,
    pub per_second: f64,
    /// Share of signatures in the processor time of the whole process, clients included.
    pub signature_fraction: f64,
    /// Microseconds per signature.
    pub signature_micros: f64,
    /// Processor time in seconds.
    pub cpu_seconds: f64,
}

/// Starts store and API on loopback with a database in `folder`; `clients` connections report `receipts` answers, each
/// waits for one reply before its next report.
///
/// # Errors
/// If the service does not start, or a reply is wrong.
pub async fn run(folder: &Path, receipts: u64, clients: u32) -> anyhow::Result<Figures> {
    let machine = Machine {
        program: Pubkey::new_from_array([1; 32]),
        market: Pubkey::new_from_array([2; 32]),
        board: BOARD,
        slot: 0,
        generation: 1,
        round_secs: Some(ROUND_SECS),
        key: SigningKey::from_bytes(&[9; 32]),
    };
    let key = MachineKey::of(&machine).context("slot 0 is one that a board can have")?;
    let feed = Feed::new(&Serving { machines: vec![machine], keepers: None });
    let lease = lease();
    let serial = lease.serial;
    feed.set_leases(Leases { machines: HashMap::from([((BOARD, 0), Some(lease))]), ..Leases::default() });
    let settings = Settings {
        database: folder.join("receipts.db"),
        listen: SocketAddr::new(DEFAULT_LISTEN.ip(), 0),
        public: None,
        source: "http://localhost".into(),
        exposure_limit: 0,
        exposure_per_spender: 0,
        leases: None,
        models: HashMap::new(),
        proxy: None,
    };
    let service = Receipts::start(settings, feed.machines(), feed.signable()).await?;

    let asked = Arc::new(AtomicU64::new(0));
    let (start, busy) = (Instant::now(), cpu_seconds()?);
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(client(service.local_addr(), asked.clone(), receipts));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_seconds()? - busy);

    let tab = service.store().tab(&key, serial).await?;
    let kept = tab.map_or(0, |tab| tab.seq);
    ensure!(kept == receipts, "{kept} receipts were stored instead of {receipts}");
    let (signed, signing) = service.store().signer().spent();
    service.shutdown().await;
    Ok(Figures {
        receipts,
        clients,
        seconds,
        per_second: receipts as f64 / seconds,
        signature_fraction: signing.as_secs_f64() / cpu_seconds,
        signature_micros: signing.as_secs_f64() * 1e6 / signed as f64,
        cpu_seconds,
    })
}

fn lease() -> RunningLease {
    let round = u32::try_from(unix_ms() / 1_000 / u64::from(ROUND_SECS)).unwrap_or(u32::MAX);
    RunningLease {
        serial: 1,
        address: Pubkey::new_from_array([4; 32]),
        buyer: Pubkey::new_from_array([5; 32]),
        owner: Pubkey::new_from_array([5; 32]),
        supplier: Pubkey::new_from_array([8; 32]),
        mint: Pubkey::new_from_array([6; 32]),
        cluster: [7; 8],
        class: 0,
        begins: round.saturating_sub(1),
        from: round.saturating_sub(1),
        until: round.saturating_add(100),
        round_secs: ROUND_SECS,
        phase_secs: 0,
        generation: 1,
        meter: None,
        numbers: Numbers { first: 0, limit: u64::MAX },
        paused: false,
    }
}

/// One connection, on a bare socket, so that the node is measured and not the client.
async fn client(address: SocketAddr, asked: Arc<AtomicU64>, receipts: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answer = Vec::with_capacity(2_048);
    loop {
        let number = asked.fetch_add(1, Relaxed);
        if number >= receipts {
            return Ok(());
        }
        let now = unix_ms();
        let body = format!(
            "{{\"slot\":0,\"model\":\"{number:064x}\",\"request\":\"{number:064x}\",\
             \"response\":\"{number:064x}\",\
             \"units\":\"800\",\"tokens_in\":100,\"tokens_out\":200,\"price\":\"15\",\
             \"start_ms\":{now},\"end_ms\":{now}}}"
        );
        let request = format!(
            "POST /v1/receipts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        while !is_whole(&answer)? {
            ensure!(stream.read_buf(&mut answer).await? > 0, "the connection ended");
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "refused: {}", String::from_utf8_lossy(&answer));
    }
}

fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(false) };
    let text = std::str::from_utf8(&answer[..head])?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.context("an answer without its length")?.trim().parse()?;
    Ok(answer.len() >= head + 4 + length)
}

/// Processor time of this process so far (fields 14 and 15 of `/proc/self/stat`, see proc(5)).
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat =
        std::fs::read_to_string("/proc/self/stat").context("the processor time is read on Linux only")?;
    // The second field is a name in parentheses, which may hold spaces.
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat has another form")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}
