//! The services that run beside the node's answers to probes: lease watch, tenancies, receipts, the supplier's log.

use anyhow::Context as _;
use futures::future::OptionFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use leasehold_daemon::files::Held;
use leasehold_daemon::print;
use leasehold_node::access::{Bounds, Door, DoorMachine, DoorSettings, MachineKey, assign};
use leasehold_node::chain::{Chain, ChainSettings};
use leasehold_node::leases::{LeaseWatch, WatchSettings};
use leasehold_node::receipts::{Receipts, Settings, read_leases};
use leasehold_node::tenancy::{AccessSettings, Context, Tenancies};
use leasehold_node::{Feed, Node};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tracing::warn;

/// Services that run beside the node's answers to probes.
pub struct Services {
    leases: Option<LeaseWatch>,
    access: Option<(Tenancies, Arc<Door>)>,
    receipts: Option<(Receipts, Held)>,
    chain: Option<Chain>,
}

/// Sections of the configuration that services are started from.
pub struct Parts {
    pub receipts: Option<Settings>,
    pub chain: Option<ChainSettings>,
    pub access: Option<AccessSettings>,
}

impl Services {
    /// Starts what the configuration asks for.
    ///
    /// # Errors
    /// A sentence about what can't be started.
    pub async fn start(parts: Parts, feed: &Feed, node: &Node) -> anyhow::Result<Self> {
        let Parts { receipts, chain, access } = parts;
        if let Some(path) = receipts.as_ref().and_then(|settings| settings.leases.as_ref()) {
            anyhow::ensure!(
                chain.is_none(),
                "leases are read from the chain: remove `leases` from [receipts], or remove [chain]"
            );
            feed.set_leases(read_leases(path)?);
        } else if receipts.is_some() && chain.is_none() {
            warn!(
                "no lease will be known, and nothing is signed: give `leases` in [receipts], or a section [chain] from which \
                 they are read"
            );
        }
        let leases = chain.as_ref().map(|chain| {
            let watch = LeaseWatch::start(
                chain.watch.clone(),
                feed.machines(),
                feed.leases_sender(),
                node.probes().clone(),
            );
            node.add_metrics(watch.metrics().clone());
            watch
        });
        let access = match (access, &chain, &leases) {
            (Some(settings), Some(chain), Some(leases)) => {
                Some(start_access(settings, &chain.watch, leases, feed, node).await?)
            }
            _ => None,
        };
        let Some(settings) = receipts else {
            return Ok(Self { leases, access, receipts: None, chain: None });
        };
        let (source, database) = (settings.source.clone(), settings.database.clone());
        let receipts = Receipts::start(settings, feed.machines(), feed.signable()).await?;
        let held = Held::new(&database)?;
        node.add_metrics(receipts.metrics());
        print(format_args!("receipts on http://{}", receipts.local_addr()));
        if let Some(address) = receipts.public_addr() {
            print(format_args!("receipts for everybody on http://{address}"));
        }
        let chain = match (chain, &leases) {
            (Some(settings), Some(leases)) => {
                let (signable, store) = (feed.signable_sender(), receipts.store().clone());
                let chain = Chain::start(settings, source, leases, signable, store).await?;
                node.add_metrics(chain.metrics().clone());
                Some(chain)
            }
            _ => None,
        };
        Ok(Self { leases, access, receipts: Some((receipts, held)), chain })
    }

    /// Waits until a service finds that it must not go on, or a task of one has ended though nobody had stopped it.
    pub fn failed(&self) -> impl Future<Output = anyhow::Error> + use<> {
        let Self { leases, access, receipts, chain } = self;
        let other = OptionFuture::from(leases.as_ref().map(LeaseWatch::failed));
        let ended = [
            leases.as_ref().map(|leases| leases.ended().boxed()),
            access.as_ref().map(|(tenancies, _)| tenancies.ended().boxed()),
            access.as_ref().map(|(_, door)| door.ended().boxed()),
            receipts.as_ref().map(|(receipts, _)| receipts.ended().boxed()),
            chain.as_ref().map(|chain| chain.ended().boxed()),
        ];
        let mut ended: FuturesUnordered<_> = ended.into_iter().flatten().collect();
        async move {
            tokio::select! {
                Some(other) = other => other.into(),
                Some(ended) = ended.next() => ended.into(),
                else => std::future::pending().await,
            }
        }
    }

    /// Makes sure that receipts are still written to the database that others see.
    pub fn check_files(&self) -> anyhow::Result<()> {
        let Some((_, database)) = &self.receipts else { return Ok(()) };
        database.check().context("receipts would be lost: put the database back, and start the node again")
    }

    /// Stops all services at once, each within some seconds, and closes their database in the end.
    pub async fn shutdown(self) {
        let Self { leases, access, mut receipts, chain } = self;
        let chain = async { OptionFuture::from(chain.map(Chain::shutdown)).await };
        let leases = async { OptionFuture::from(leases.map(LeaseWatch::shutdown)).await };
        let finish = async {
            if let Some((receipts, _)) = &mut receipts {
                receipts.finish().await;
            }
        };
        let access = async {
            if let Some((tenancies, door)) = access {
                tenancies.shutdown().await;
                if let Some(door) = Arc::into_inner(door) {
                    door.shutdown().await;
                }
            }
        };
        tokio::join!(chain, finish, leases, access);
        if let Some((receipts, _)) = receipts {
            receipts.close().await;
        }
    }
}

/// Opens the machines' doors and begins to follow their tenancies.
async fn start_access(
    settings: AccessSettings,
    watched: &WatchSettings,
    leases: &LeaseWatch,
    feed: &Feed,
    node: &Node,
) -> anyhow::Result<(Tenancies, Arc<Door>)> {
    let door = DoorSettings {
        machines: door_machines(leases, feed, node).await?,
        folder: settings.state.join("doors"),
        key_command: settings.key_command.clone(),
        bounds: Bounds::default(),
    };
    let door = Arc::new(Door::bind(door).await?);
    node.add_metrics(door.metrics().clone());
    for (machine, address) in door.local_addrs() {
        print(format_args!("SSH for {machine} on {address}"));
    }
    let context = Context {
        supplier: watched.supplier,
        poll: watched.poll,
        machines: feed.machines(),
        probes: node.probes().clone(),
        doors: door.clone(),
    };
    let tenancies = Tenancies::start(settings, leases, context)?;
    node.add_metrics(tenancies.metrics().clone());
    Ok((tenancies, door))
}

/// The machines with the addresses at which their tenants get in: those of the probes. Several machines are told apart by
/// the ports with which the board lists them.
async fn door_machines(leases: &LeaseWatch, feed: &Feed, node: &Node) -> anyhow::Result<Vec<DoorMachine>> {
    let machines = feed.machines().borrow().clone();
    let keys = machines.iter().filter_map(|machine| {
        let (board, slot) = machine.place()?;
        Some((MachineKey { board, slot }, machine))
    });
    let keys: Vec<_> = keys.collect();
    let mut listed: Vec<_> = keys.iter().map(|(key, _)| (*key, None)).collect();
    if listed.len() > 1 {
        let mut views = leases.views();
        let view = views.wait_for(Option::is_some).await?.clone();
        for (MachineKey { board, slot }, endpoint) in &mut listed {
            let slot = view.as_ref().and_then(|view| view.slots.get(&(*board, *slot)));
            *endpoint = slot
                .map(|slot| SocketAddr::new(Ipv6Addr::from(slot.endpoint.ip).into(), slot.endpoint.port()));
        }
    }
    let assigned = assign(node.local_addrs(), &listed)?;
    let node_key = |machine| keys.iter().find(|(key, _)| *key == machine).map(|(_, found)| found.key.clone());
    let machine = |(machine, listen)| Some(DoorMachine { machine, listen, node_key: node_key(machine)? });
    Ok(assigned.into_iter().filter_map(machine).collect())
}
