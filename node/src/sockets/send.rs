//! Sends answers, each from the address that was asked.

use super::Job;
use crate::counters::Outcome;
use quinn_udp::Transmit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::Interest;
use tracing::warn;

/// Sends the answer. A keeper drops what comes from another address than the one on the board, and a host with several
/// addresses would choose by its routes.
pub(super) async fn answer(job: &Job, pong: &[u8]) -> Outcome {
    let socket = &job.socket;
    let transmit = Transmit {
        destination: job.source,
        ecn: None,
        contents: pong,
        segment_size: None,
        src_ip: job.asked,
    };
    // A full send buffer has room again soon; the challenge of a keeper is worth that wait.
    let sent = socket
        .io
        .async_io(Interest::WRITABLE, || socket.state.try_send((&socket.io).into(), &transmit))
        .await;
    match sent {
        Ok(()) => Outcome::Answered,
        Err(error) => {
            static FAILURES: AtomicU64 = AtomicU64::new(0);
            let failures = FAILURES.fetch_add(1, Relaxed).saturating_add(1);
            // Whoever signs challenges with forged sources must not fill the log.
            if failures.is_power_of_two() {
                let (to, from) = (job.source, job.asked);
                let from = from.map_or_else(|| "any address".to_owned(), |from| from.to_string());
                warn!(
                    "cannot send an answer from {from} to {to} ({error}; {failures} so far): check this host's routes \
                     and firewall"
                );
            }
            Outcome::SendFailed
        }
    }
}
