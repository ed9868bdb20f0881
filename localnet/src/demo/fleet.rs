//! Suppliers and their machines.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use leasehold::{
    constants::{MAX_LEASE_SECS, MAX_SLOTS},
    instructions::Machine,
    math::pricing,
    state::{Endpoint, Params, Slot, Traits, Verdict},
};
use leasehold_client::{instruction, listing, probe::SigningKey, sender::Job};
use leasehold_node::Node;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::{Instant, sleep};

use super::stage::{POLL, Stage, by};
use crate::network::Grant;

/// Number of suppliers, if there are enough machines.
const SUPPLIERS: usize = 40;
/// Lamports of a wallet besides rent: transactions cost 5,000.
pub const LAMPORTS: u64 = 1_000_000_000;
/// Lamports for a machine's slot, with a margin; the rest stays in the wallet.
const SLOT_LAMPORTS: u64 = 2 * 6_960 * size_of::<Slot>() as u64;
/// Rounds for which machines are committed, unless the program allows fewer of that length; longer than the demo.
const COMMITMENT: u32 = 20_000;
/// One machine of so many can be leased by use.
const METERED_ONE_OF: u32 = 4;

/// Rounds within which every machine must have been up in one.
const SEEN_ROUNDS: u32 = 8;

/// Countries by ISO 3166-1 numeric code, and their regions: 1 North America, 2 Europe, 3 Asia.
pub const COUNTRIES: [(u16, u8); 8] =
    [(840, 1), (124, 1), (276, 2), (250, 2), (246, 2), (356, 3), (392, 3), (702, 3)];
/// Payment units for a GPU and hour, by class of the genesis market, before the supplier's mark-up.
const HOURLY: [u64; 6] = [200_000, 350_000, 800_000, 1_200_000, 2_200_000, 4_000_000];
const GPUS: [u8; 4] = [1, 2, 4, 8];

pub struct Supplier {
    pub wallet: Arc<Keypair>,
    machines: Vec<Owned>,
}

/// A machine and its secret key.
struct Owned {
    board: u32,
    machine: Machine,
    key: SigningKey,
}

pub struct Fleet {
    pub suppliers: Vec<Supplier>,
}

/// Number of boards for this number of machines.
pub fn boards(machines: u32) -> u32 {
    machines.div_ceil(MAX_SLOTS as u32).max(1)
}

/// A wallet, generated from the demo's random numbers.
pub fn wallet(random: &mut StdRng) -> Arc<Keypair> {
    Arc::new(Keypair::new_from_array(random.random()))
}

impl Fleet {
    /// Generates suppliers and machines, which all answer at `endpoint`.
    pub fn new(random: &mut StdRng, machines: u32, endpoint: SocketAddr) -> Self {
        let count = SUPPLIERS.min(machines as usize / 2).max(1);
        let mut suppliers: Vec<_> =
            (0..count).map(|_| Supplier { wallet: wallet(random), machines: Vec::new() }).collect();
        let boards = boards(machines);
        // Each supplier has its own prices, and machines in two countries.
        let terms: Vec<_> = (0..count)
            .map(|_| (random.random_range(80..=125), random.random_range(0..COUNTRIES.len())))
            .collect();
        for number in 0..machines {
            let place = number as usize % count;
            let (markup, home) = terms[place];
            let (country, region) = COUNTRIES[(home + random.random_range(0..2)) % COUNTRIES.len()];
            let class = random.random_range(0..HOURLY.len());
            let gpus = GPUS.choose(random).copied().unwrap_or(1);
            let key = SigningKey::from_bytes(&random.random());
            let price = HOURLY[class] * (markup + random.random_range(0..=5)) / 100;
            let flags = if number % METERED_ONE_OF == 0 { Traits::METERED } else { 0 };
            let machine = Machine {
                slot: None,
                node_key: key.verifying_key().to_bytes(),
                traits: Traits {
                    class: class as u16,
                    gpus,
                    speed: random.random_range(1..=4),
                    country,
                    region,
                    flags,
                },
                endpoint: Endpoint {
                    ip: Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
                    port: endpoint.port().to_le_bytes(),
                },
                price,
                bond: 0,
                profile: None,
                turnaround: 0,
            };
            suppliers[place].machines.push(Owned { board: number % boards, machine, key });
        }
        Self { suppliers }
    }

    pub fn machines(&self) -> usize {
        self.suppliers.iter().map(|supplier| supplier.machines.len()).sum()
    }

    /// Price of all machines for an hour, in payment units.
    pub fn hourly(&self) -> u64 {
        let price = |owned: &Owned| owned.machine.price * u64::from(owned.machine.traits.gpus);
        self.suppliers.iter().flat_map(|supplier| &supplier.machines).map(price).sum()
    }

    /// Funds and registers the suppliers, deposits their stake and lists their machines.
    pub async fn list(&self, stage: &Stage, params: &Params) -> Result<()> {
        let market = &stage.market;
        let mut grants = Vec::new();
        for supplier in &self.suppliers {
            grants.push(Grant {
                wallet: supplier.wallet.pubkey(),
                lamports: LAMPORTS + SLOT_LAMPORTS * supplier.machines.len() as u64,
                payment: 0,
                stake: supplier.stake(params)?,
            });
        }
        let bar = stage.progress.begin("suppliers deposit stake", 2 * grants.len() as u64);
        stage.network.fund_all(grants.iter().copied()).await?;
        let register = |supplier: &Supplier| {
            by(&supplier.wallet, vec![instruction::register_supplier(market, supplier.wallet.pubkey())])
        };
        stage.send_all("register_supplier", &bar, self.suppliers.iter().map(register).collect()).await?;
        let deposit = |(supplier, grant): (&Supplier, &Grant)| {
            let key = supplier.wallet.pubkey();
            let from = market.stake_account(&key);
            by(&supplier.wallet, vec![instruction::deposit_stake(market, key, from, grant.stake)])
        };
        let deposits = self.suppliers.iter().zip(&grants).map(deposit).collect();
        stage.send_all("deposit_stake", &bar, deposits).await?;
        bar.end(&format!("{} suppliers", self.suppliers.len()));

        let jobs = self.listings(stage).await?;
        let bar = stage.progress.begin("machines are listed", jobs.len() as u64);
        let transactions = jobs.len();
        // In order, so that a seed always gives every machine the same slot.
        stage.send_in_order("list_machines", &bar, jobs).await?;
        bar.end(&format!("{} machines in {transactions} transactions", self.machines()));
        Ok(())
    }

    async fn listings(&self, stage: &Stage) -> Result<Vec<Job>> {
        let now = stage.network.time().await?;
        let mut jobs = Vec::new();
        for (index, fetched) in (0..).zip(stage.boards().await?) {
            let board = stage.market.board(index);
            let header = fetched.view()?.header;
            let rounds = COMMITMENT.min(MAX_LEASE_SECS / header.round_secs.max(1));
            let until = header.round_at(now)?.saturating_add(rounds);
            for supplier in &self.suppliers {
                let here = supplier.machines.iter().filter(|owned| owned.board == index);
                let machines: Vec<_> = here.map(|owned| owned.machine).collect();
                let key = supplier.wallet.pubkey();
                let lists = listing::list(&board, &fetched.view()?, key, until, &machines)?;
                jobs.extend(lists.into_iter().map(|list| by(&supplier.wallet, vec![list])));
            }
        }
        Ok(jobs)
    }

    /// Makes the node answer for every machine.
    pub async fn serve(&self, stage: &Stage, node: &Node) -> Result<()> {
        node.add_machines(self.machines_as_listed(stage).await?)?;
        Ok(())
    }

    /// Waits until every machine was up in the last round that its keepers voted on: only then it can be leased.
    pub async fn await_seen(&self, stage: &Stage) -> Result<()> {
        let timeout = Duration::from_secs(u64::from(SEEN_ROUNDS * stage.round_secs) + 60);
        let deadline = Instant::now() + timeout;
        let total = self.machines();
        let bar = stage.progress.begin("machines are seen", total as u64);
        loop {
            let now = stage.network.time().await?;
            let mut seen = 0;
            for board in stage.boards().await? {
                let view = board.view()?;
                let Some(round) = view.header.seen_round(now) else { continue };
                let up = |slot: &Slot| view.header.verdict(slot, round) == Some(Verdict::Up);
                seen += view.machines().filter(|(_, slot)| up(slot)).count();
            }
            bar.set(seen as u64);
            if seen == total {
                bar.end(&format!("{seen} machines were up in a round"));
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "only {seen} of {total} machines were up in a round: give longer rounds with --round-secs"
                );
            }
            sleep(POLL).await;
        }
    }

    /// Every machine, with its slot on the board.
    pub async fn machines_as_listed(&self, stage: &Stage) -> Result<Vec<leasehold_node::Machine>> {
        let keys: std::collections::HashMap<_, _> = self
            .suppliers
            .iter()
            .flat_map(|supplier| &supplier.machines)
            .map(|owned| (owned.machine.node_key, &owned.key))
            .collect();
        let mut machines = Vec::new();
        for board in stage.boards().await? {
            for (index, slot) in board.view()?.machines() {
                let key = keys.get(&slot.node_key).context("an unknown machine is on the board")?;
                machines.push(leasehold_node::Machine {
                    program: leasehold::ID,
                    market: stage.market.address,
                    board: board.address,
                    slot: index.into(),
                    generation: slot.generation,
                    // The demo moves the chain's time ahead of this host's clock.
                    round_secs: None,
                    key: (*key).clone(),
                });
            }
        }
        Ok(machines)
    }

    /// The supplier with that account.
    pub fn supplier(&self, stage: &Stage, account: &Pubkey) -> Option<&Supplier> {
        self.suppliers.iter().find(|supplier| stage.market.supplier(&supplier.wallet.pubkey()) == *account)
    }
}

impl Supplier {
    /// Stake units for the bonds of its machines.
    fn stake(&self, params: &Params) -> Result<u64> {
        let bond = |owned: &Owned| {
            let Traits { class, gpus, .. } = owned.machine.traits;
            let class = params
                .classes
                .get(usize::from(class))
                .context("the market does not have the class of a machine")?;
            let bond = pricing::bond(params.bond_unit, class.weight_bps, gpus);
            bond.map_err(|_| anyhow::anyhow!("a bond is too large"))
        };
        self.machines.iter().map(bond).sum()
    }
}
