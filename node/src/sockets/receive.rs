//! Takes datagrams out of the kernel's buffer.

use super::{Job, Socket};
use crate::counters::Outcome;
use crate::responder::Responder;
use quinn_udp::{BATCH_SIZE, RecvMeta};
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::sync::{mpsc, watch};
use tracing::warn;

/// Space for what one call receives at most in one buffer: the kernel joins datagrams of one source, and never splits
/// what it has joined, so that shorter space would cut the last ones off.
const SPACE: usize = 65_536;

/// Receives until `stop` is true.
pub(super) async fn run(
    socket: Arc<Socket>,
    responder: Arc<Responder>,
    jobs: mpsc::Sender<Job>,
    mut stop: watch::Receiver<bool>,
) {
    let mut space = vec![0; SPACE * BATCH_SIZE];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    let mut failures = 0u32;
    loop {
        let mut buffers: Vec<_> = space.chunks_mut(SPACE).map(IoSliceMut::new).collect();
        let receiving = socket.io.async_io(Interest::READABLE, || {
            socket.state.recv((&socket.io).into(), &mut buffers, &mut metas)
        });
        let received = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            received = receiving => received,
        };
        match received {
            Ok(count) => {
                failures = 0;
                for (meta, bytes) in metas.iter().zip(space.chunks(SPACE)).take(count) {
                    take(&socket, &responder, &jobs, meta, bytes);
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                responder.counters.count_receive_error();
                pause(failures, &error).await;
            }
        }
    }
}

/// Screens the datagrams of one buffer, and passes on those that may get an answer.
fn take(
    socket: &Arc<Socket>,
    responder: &Responder,
    jobs: &mpsc::Sender<Job>,
    meta: &RecvMeta,
    bytes: &[u8],
) {
    let bytes = bytes.get(..meta.len).unwrap_or(bytes);
    // An empty datagram is one, too.
    let empty = bytes.is_empty().then_some(bytes);
    for datagram in bytes.chunks(meta.stride.max(1)).chain(empty) {
        match responder.screen(datagram, meta.addr.ip()) {
            Ok(screened) => {
                let job = Job { screened, socket: socket.clone(), source: meta.addr, asked: meta.dst_ip };
                if jobs.try_send(job).is_err() {
                    responder.counters.count(Outcome::Overloaded);
                }
            }
            Err(outcome) => responder.counters.count(outcome),
        }
    }
}

/// An ICMP message about an earlier answer fails one call and no more. What fails again and again, as while an
/// interface is away, must neither keep the processor busy nor fill the log.
async fn pause(failures: u32, error: &io::Error) {
    if failures < 2 {
        return;
    }
    if failures.is_power_of_two() {
        warn!("receiving datagrams failed {failures} times in a row ({error}): check this host's network");
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
}
