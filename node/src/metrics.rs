//! Counters as Prometheus text, over just enough HTTP for a scrape on loopback.

use crate::counters::Outcome;
use crate::responder::Responder;
use std::fmt::{self, Display, Write};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A client gets this long, so that one that hangs doesn't keep others out for longer.
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST_LIMIT: usize = 4096;

/// What others than the responder count, as Prometheus text.
#[derive(Default)]
pub(crate) struct More(RwLock<Vec<Arc<dyn Display + Send + Sync>>>);

impl More {
    pub(crate) fn add(&self, text: Arc<dyn Display + Send + Sync>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

impl Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        texts.iter().try_for_each(|text| text.fmt(f))
    }
}

impl fmt::Debug for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("More")
    }
}

pub(crate) async fn serve(
    listener: TcpListener,
    responder: Arc<Responder>,
    more: Arc<More>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // A client that goes away or is too slow concerns nobody else.
            Ok((client, _)) => drop(tokio::time::timeout(PATIENCE, reply(client, &responder, &more)).await),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn reply(mut client: TcpStream, responder: &Responder, more: &More) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_LIMIT {
        if client.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", format!("{}{more}", text(responder)))
    } else {
        ("404 Not Found", "ask for /metrics\n".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.shutdown().await
}

fn text(responder: &Responder) -> String {
    let (machines, paused) = responder.machines();
    let mut text = format!(
        "# HELP leasehold_node_machines Machines that this node answers for.\n\
         # TYPE leasehold_node_machines gauge\n\
         leasehold_node_machines {machines}\n\
         # HELP leasehold_node_machines_paused Machines under maintenance, which do not answer.\n\
         # TYPE leasehold_node_machines_paused gauge\n\
         leasehold_node_machines_paused {paused}\n\
         # HELP leasehold_node_datagrams_total Datagrams received, by what became of them.\n\
         # TYPE leasehold_node_datagrams_total counter\n"
    );
    for outcome in Outcome::ALL {
        let count = responder.counters.get(outcome);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "leasehold_node_datagrams_total{{outcome=\"{}\"}} {count}", outcome.name());
    }
    text
}
