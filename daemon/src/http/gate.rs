//! Limits of a server, what is in use of them, and how many were refused.

use super::open::{Connection, Connections};
use super::quota::{Caller, Peer, Quota, Share};
use crate::exposition::{Kind, write_head};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::oneshot;

/// Limits of a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections in all, and of one caller.
    pub connections: usize,
    pub connections_each: usize,
    /// Requests under way in all, and of one caller.
    pub requests: usize,
    pub requests_each: usize,
    /// Bytes of requests' bodies that are kept in all, and of one caller: of those that have arrived.
    pub body_bytes: usize,
    pub body_bytes_each: usize,
    /// Time for the head of a request, from the end of the one before: an idle connection is closed after it.
    pub head: Duration,
    /// Time without a byte of a body, and for all of it.
    pub body_idle: Duration,
    pub body: Duration,
    /// Time without a byte that the caller takes of the answer.
    pub write_idle: Duration,
    /// True if callers on this host have no limits of their own: they may be a proxy, behind which are others.
    pub spare_loopback: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 768,
            connections_each: 192,
            requests: 512,
            requests_each: 128,
            body_bytes: 256 << 20,
            body_bytes_each: 80 << 20,
            head: Duration::from_secs(30),
            body_idle: Duration::from_secs(20),
            body: Duration::from_secs(300),
            write_idle: Duration::from_secs(30),
            spare_loopback: true,
        }
    }
}

/// What is refused, by its name in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Connections,
    Requests,
    Memory,
    HeadTimeout,
    BodyTimeout,
    /// An idle connection gave way to a new one.
    Idle,
}

impl Refused {
    const ALL: [Self; 6] =
        [Self::Connections, Self::Requests, Self::Memory, Self::HeadTimeout, Self::BodyTimeout, Self::Idle];

    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Memory => "memory",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::Idle => "idle",
        }
    }
}

/// The limits of one server and what is in use. Written as Prometheus text it shows both.
#[derive(Debug)]
pub struct Gate {
    name: &'static str,
    pub(super) limits: Limits,
    connections: Arc<Quota>,
    open: Arc<Connections>,
    requests: Arc<Quota>,
    bodies: Arc<Quota>,
    refused: [AtomicU64; Refused::ALL.len()],
}

impl Gate {
    /// `name` begins the names of its metrics.
    pub fn new(name: &'static str, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            name,
            connections: Quota::new(limits.connections, limits.connections_each),
            open: Arc::default(),
            requests: Quota::new(limits.requests, limits.requests_each),
            bodies: Quota::new(limits.body_bytes, limits.body_bytes_each),
            limits,
            refused: Default::default(),
        })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.connections.used()
    }

    /// Requests under way.
    pub fn requests(&self) -> usize {
        self.requests.used()
    }

    /// Bytes of bodies that are kept.
    pub fn body_bytes(&self) -> usize {
        self.bodies.used()
    }

    /// Requests and connections that were refused or cut off so far.
    pub fn refusals(&self) -> u64 {
        self.refused.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The caller with that address.
    pub(super) fn peer(&self, address: IpAddr) -> Peer {
        let is_spared = self.limits.spare_loopback && address.to_canonical().is_loopback();
        Peer((!is_spared).then(|| Caller::of(address)))
    }

    /// Room for a connection, with what is ready once it has to give way. If there is none, the connection that has been idle
    /// for longest gives way: one of the caller's own if the caller has as many as it may have.
    pub(super) fn connect(&self, peer: Peer) -> Option<(Arc<Connection>, oneshot::Receiver<()>)> {
        let take = || self.connections.take(peer.0, 1);
        let give_way = || {
            let own =
                peer.0.filter(|caller| self.connections.used_by(caller) >= self.limits.connections_each);
            if self.open.close_idle(own) {
                let _: Option<()> = self.refuse(Refused::Idle);
                take()
            } else {
                self.refuse(Refused::Connections)
            }
        };
        let share = take().or_else(give_way)?;
        Some(self.open.add(peer, share))
    }

    /// Room for a request.
    pub(super) fn request(&self, peer: Peer) -> Option<Share> {
        self.requests.take(peer.0, 1).or_else(|| self.refuse(Refused::Requests))
    }

    /// Room for a body, of which nothing has arrived yet.
    pub(super) fn body(&self, peer: Peer) -> Option<Share> {
        self.bodies.take(peer.0, 0)
    }

    /// Counts a refusal.
    pub(super) fn refuse<T>(&self, refused: Refused) -> Option<T> {
        if let Some(count) = self.refused.get(refused as usize) {
            count.fetch_add(1, Relaxed);
        }
        None
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_use = [
            ("connections", "Open HTTP connections.", self.connections()),
            ("requests_in_flight", "HTTP requests under way.", self.requests()),
            ("body_bytes", "Bytes of requests' bodies in memory.", self.body_bytes()),
        ];
        for (name, help, used) in in_use {
            let name = format!("{}_{name}", self.name);
            write_head(f, &name, Kind::Gauge, help)?;
            writeln!(f, "{name} {used}")?;
        }
        let name = format!("{}_refused_total", self.name);
        write_head(f, &name, Kind::Counter, "HTTP connections and requests refused or cut off, by reason.")?;
        for (refused, count) in Refused::ALL.iter().zip(&self.refused) {
            writeln!(f, "{name}{{reason=\"{}\"}} {}", refused.name(), count.load(Relaxed))?;
        }
        Ok(())
    }
}
