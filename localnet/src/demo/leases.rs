//! The buyers' orders, their leases, and the wait for settlement.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use leasehold::{
    error::LeaseholdError,
    math::matching::{Criteria, Place, Policy},
    state::{Lease, LeaseState},
};
use leasehold_client::{
    BoardRef, instruction,
    quote::{ANY, quote},
};
use rand::rngs::StdRng;
use solana_keypair::Keypair;
use solana_signer::Signer;
use tokio::time::{Instant, sleep};

use super::{
    fleet::{COUNTRIES, Fleet, LAMPORTS, wallet},
    stage::{POLL, Stage, by},
};
use crate::network::Grant;

/// Number of the group that the large leases of several boards form.
const GROUP: u64 = 1;
/// Part of all machines that the large lease takes.
const LARGE_PART: (u32, u32) = (5, 6);
/// Machines of the small leases, for a fleet of 6,000; at least one each.
const SMALL: [u32; 3] = [64, 32, 8];

/// A buyer's order.
pub struct Order {
    pub name: String,
    board: BoardRef,
    criteria: Criteria,
    machines: u32,
    group: Option<u64>,
    buyer: Arc<Keypair>,
}

/// An open lease.
pub struct Opened {
    pub name: String,
    pub board: BoardRef,
    pub serial: u32,
    pub asked: u32,
    /// Slots that the program picked.
    pub slots: Vec<u16>,
    pub from: u32,
    pub until: u32,
    pub deposit: u64,
    pub is_large: bool,
    pub buyer: Arc<Keypair>,
}

/// The orders: small leases of special machines, then most of the rest, the cheapest first.
pub async fn orders(stage: &Stage, random: &mut StdRng) -> Result<Vec<Order>> {
    let boards = stage.boards().await?;
    let mut orders = Vec::new();
    let (germany, _) = COUNTRIES[2];
    let small = [
        ("H100 80GB", Criteria { class: Some(4), ..ANY }),
        (
            "at least 4 GPUs in Asia, best",
            Criteria { min_gpus: 4, place: Place::Region(3), policy: Policy::Best, ..ANY },
        ),
        ("Germany, speed tier 2", Criteria { place: Place::Country(germany), min_speed: 2, ..ANY }),
    ];
    let total: u32 = boards.iter().map(|board| Ok(board.view()?.header.machines)).sum::<Result<u32>>()?;
    let first = stage.market.board(0);
    for ((name, criteria), size) in small.into_iter().zip(SMALL) {
        let machines = (size * total.min(6_000) / 6_000).max(1);
        let buyer = wallet(random);
        orders.push(Order { name: name.to_owned(), board: first, criteria, machines, group: None, buyer });
    }
    let buyer = wallet(random);
    let (part, whole) = LARGE_PART;
    for fetched in &boards {
        let board = fetched.board_ref(&stage.market)?;
        let name = match boards.len() {
            1 => "the cheapest anywhere".to_owned(),
            _ => format!("the cheapest anywhere, board {}", board.index),
        };
        let machines = fetched.view()?.header.machines * part / whole;
        let buyer = Arc::clone(&buyer);
        orders.push(Order { name, board, criteria: ANY, machines, group: Some(GROUP), buyer });
    }
    Ok(orders)
}

/// Funds the buyers and opens their leases for `rounds` rounds.
pub async fn open(stage: &Stage, fleet: &Fleet, orders: Vec<Order>, rounds: u32) -> Result<Vec<Opened>> {
    // No lease costs more than all machines for the same time.
    let hours = u64::from(rounds) * u64::from(stage.round_secs) / 3_600 + 1;
    let payment = fleet
        .hourly()
        .checked_mul(hours)
        .context("the leases are too long: their price overflows; give fewer --rounds")?;
    let grant = |order: &Order| Grant { wallet: order.buyer.pubkey(), lamports: LAMPORTS, payment, stake: 0 };
    stage.network.fund_all(orders.iter().map(grant)).await?;

    let bar = stage.progress.begin("leases are opened", orders.len() as u64);
    let mut leases = Vec::new();
    for order in orders {
        leases.push(order.open(stage, rounds).await?);
        bar.advance();
    }
    let machines: usize = leases.iter().map(|lease| lease.slots.len()).sum();
    bar.end(&format!("{} leases of {machines} machines", leases.len()));
    Ok(leases)
}

impl Order {
    async fn open(self, stage: &Stage, rounds: u32) -> Result<Opened> {
        let Order { name, board, criteria, machines, group, buyer } = self;
        let fetched = stage.fetch().board(board.address).await?;
        let view = fetched.view()?;
        let now = stage.network.time().await?;
        // A small fleet may have too few of a kind; then the buyer takes fewer.
        let market = stage.fetch().market(board.market.address).await?.account;
        let quoted =
            (1..=machines).rev().map(|machines| quote(&market, &view, now, &criteria, machines, rounds));
        let mut quoted = quoted.skip_while(|end| {
            end.as_ref().is_err_and(|refusal| *refusal == LeaseholdError::NotEnoughMachines.into())
        });
        let quote = quoted.next().with_context(|| format!("no machine fits \"{name}\""))??;
        let key = buyer.pubkey();
        let from = board.market.payment_account(&key);
        let open = instruction::open_lease(&board, key, from, quote.args(quote.deposit, group));
        stage.send("open_lease", &by(&buyer, vec![open])).await?;

        let lease = read(stage, &board, quote.serial).await?;
        let fetched = stage.fetch().board(board.address).await?;
        let slots: Vec<_> = fetched.view()?.leased(quote.serial).map(|(index, _)| index).collect();
        if slots != quote.slots || lease.deposit != quote.deposit {
            bail!("lease {} differs from its quote", quote.serial);
        }
        Ok(Opened {
            name,
            board,
            serial: quote.serial,
            asked: machines,
            slots,
            from: lease.from,
            until: lease.until,
            deposit: lease.deposit,
            is_large: group.is_some(),
            buyer,
        })
    }
}

impl Opened {
    pub async fn read(&self, stage: &Stage) -> Result<Lease> {
        read(stage, &self.board, self.serial).await
    }
}

async fn read(stage: &Stage, board: &BoardRef, serial: u32) -> Result<Lease> {
    let lease = stage.fetch().lease(board.lease(serial)).await?;
    Ok(lease.with_context(|| format!("lease {serial} is not on the chain"))?.account)
}

/// Waits until the keepers have settled every lease.
pub async fn await_settlement(stage: &Stage, leases: &[Opened]) -> Result<()> {
    // One round to vote on the last round, one to close it, and a margin for a busy machine.
    let timeout = std::time::Duration::from_secs(u64::from(3 * stage.round_secs) + 30);
    let deadline = Instant::now() + timeout;
    let bar = stage.progress.begin("keepers settle", leases.len() as u64);
    loop {
        let mut open = Vec::new();
        for lease in leases {
            if lease.read(stage).await?.state != LeaseState::Settled {
                open.push(lease.serial);
            }
        }
        bar.set((leases.len() - open.len()) as u64);
        if open.is_empty() {
            bar.end(&format!("{} leases", leases.len()));
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the keepers did not settle leases {open:?} in time; give longer rounds with --round-secs");
        }
        sleep(POLL).await;
    }
}
