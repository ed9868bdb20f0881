//! The buyers' orders, their leases, and the wait for settlement.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use leasehold::{
    error::LeaseholdError,
    instructions::MeterArgs,
    math::{
        matching::{Criteria, Place, Policy},
        rounds,
    },
    state::{Lease, LeaseState},
};
use leasehold_client::{
    BoardRef,
    board::BoardView,
    error::Refusal,
    instruction,
    quote::{ANY, Quote, quote, quote_metered},
};
use rand::rngs::StdRng;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::{Instant, sleep};

use super::{
    fleet::{COUNTRIES, Fleet, LAMPORTS, wallet},
    stage::{POLL, Stage, by},
};
use crate::network::Grant;

/// Number of the group that the large leases of several boards form.
const GROUP: u64 = 1;
/// Number of each lease among those that its buyer opens on a board.
const NONCE: u64 = 0;
/// Part of all GPUs that the large lease takes.
const LARGE_PART: (u32, u32) = (5, 6);
/// GPUs of the small leases, for a fleet of 6,000 machines; at least one each.
const SMALL: [u32; 3] = [64, 32, 8];
/// Payment units deposited for the lease by use: its standby price for longer than the demo.
const METERED_DEPOSIT: u64 = 100_000_000;

/// What happens to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It takes most machines; one of them is replaced.
    Large,
    /// It runs to its end.
    Small,
    /// It is cancelled.
    Cancelled,
    /// It is paid by use, and nothing is used.
    Metered,
}

/// A buyer's order.
pub struct Order {
    pub name: String,
    board: BoardRef,
    criteria: Criteria,
    gpus: u32,
    course: Course,
    buyer: Arc<Keypair>,
}

/// An open lease.
pub struct Opened {
    pub name: String,
    pub board: BoardRef,
    pub address: Pubkey,
    pub serial: u32,
    /// GPUs that the buyer asked for.
    pub asked: u32,
    /// Slots of its machines.
    pub slots: Vec<u16>,
    /// Slots of the machines that were replaced.
    pub replaced: Vec<u16>,
    /// Unix seconds of its beginning and of the end agreed on.
    pub begins: i64,
    pub ends: i64,
    pub course: Course,
    pub buyer: Arc<Keypair>,
}

/// The orders: small leases of special machines, then most of the rest, the cheapest first.
pub async fn orders(stage: &Stage, random: &mut StdRng) -> Result<Vec<Order>> {
    let boards = stage.boards().await?;
    let mut orders = Vec::new();
    let (germany, _) = COUNTRIES[2];
    let small = [
        ("H100 80GB", Criteria { class: Some(4), ..ANY }, Course::Small),
        (
            "at least 4 GPUs in Asia, best",
            Criteria { min_gpus: 4, place: Place::Region(3), policy: Policy::Best, ..ANY },
            Course::Small,
        ),
        (
            "Germany, speed tier 2, cancelled",
            Criteria { place: Place::Country(germany), min_speed: 2, ..ANY },
            Course::Cancelled,
        ),
    ];
    let total: u32 = boards.iter().map(|board| Ok(board.view()?.header.machines)).sum::<Result<u32>>()?;
    let first = stage.market.board(0);
    for ((name, criteria, course), size) in small.into_iter().zip(SMALL) {
        let gpus = (size * total.min(6_000) / 6_000).max(1);
        let buyer = wallet(random);
        orders.push(Order { name: name.to_owned(), board: first, criteria, gpus, course, buyer });
    }
    let criteria = Criteria { metered: true, ..ANY };
    let (name, buyer) = ("by use".to_owned(), wallet(random));
    orders.push(Order { name, board: first, criteria, gpus: 1, course: Course::Metered, buyer });

    let buyer = wallet(random);
    let (part, whole) = LARGE_PART;
    for fetched in &boards {
        let board = fetched.board_ref(&stage.market)?;
        let name = match boards.len() {
            1 => "the cheapest anywhere".to_owned(),
            _ => format!("the cheapest anywhere, board {}", board.index),
        };
        let gpus: u32 = fetched.view()?.machines().map(|(_, slot)| u32::from(slot.traits.gpus)).sum();
        let (gpus, buyer) = (gpus * part / whole, Arc::clone(&buyer));
        orders.push(Order { name, board, criteria: ANY, gpus, course: Course::Large, buyer });
    }
    Ok(orders)
}

/// Funds the buyers and opens their leases for `rounds` rounds.
pub async fn open(stage: &Stage, fleet: &Fleet, orders: Vec<Order>, rounds: u32) -> Result<Vec<Opened>> {
    // No lease by the hour costs more than all machines for the same time.
    let hours = u64::from(rounds) * u64::from(stage.round_secs) / 3_600 + 1;
    let payment = fleet
        .hourly()
        .checked_mul(hours)
        .and_then(|payment| payment.checked_add(METERED_DEPOSIT))
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
        let Order { name, board, gpus, course, buyer, .. } = &self;
        let fetched = stage.fetch().board(board.address).await?;
        let quote = self.quote(stage, &fetched.view()?, rounds).await?;
        let key = buyer.pubkey();
        let from = board.market.payment_account(&key);
        let group = (*course == Course::Large).then_some(GROUP);
        let args = quote.args(NONCE, key, quote.deposit, group);
        let open = instruction::open_lease(board, key, from, args);
        stage.send("open_lease", &by(buyer, vec![open])).await?;

        let address = board.lease(&key, NONCE);
        let lease = read(stage, address).await?;
        let fetched = stage.fetch().board(board.address).await?;
        let slots: Vec<_> = fetched.view()?.leased(lease.serial).map(|(index, _)| index).collect();
        if slots != quote.slots || lease.deposit != quote.deposit {
            bail!("lease {} differs from its quote", lease.serial);
        }
        Ok(Opened {
            name: name.clone(),
            board: *board,
            address,
            serial: lease.serial,
            asked: *gpus,
            slots,
            replaced: Vec::new(),
            begins: lease.begins(),
            ends: rounds::start(lease.terms.round_secs, lease.terms.phase_secs, lease.until),
            course: *course,
            buyer: Arc::clone(buyer),
        })
    }

    /// A quote for as many GPUs as were asked for. A small fleet may have too few of a kind; then the buyer takes fewer.
    async fn quote(&self, stage: &Stage, view: &BoardView<'_>, rounds: u32) -> Result<Quote> {
        let market = stage.fetch().market(self.board.market.address).await?.account;
        let now = stage.network.time().await?;
        if self.course == Course::Metered {
            // Nobody signs vouchers.
            let meter = MeterArgs { spender: self.buyer.pubkey(), deposit: METERED_DEPOSIT };
            return Ok(quote_metered(&market, view, now, &self.criteria, rounds, &[], meter)?);
        }
        let mut quoted =
            (1..=self.gpus).rev().map(|gpus| quote(&market, view, now, &self.criteria, gpus, rounds, &[]));
        let too_many = |end: &Result<_, Refusal>| {
            end.as_ref().is_err_and(|refusal| *refusal == LeaseholdError::NotEnoughGpus.into())
        };
        let quote = quoted.find(|end| !too_many(end));
        Ok(quote.with_context(|| format!("no machine fits \"{}\"", self.name))??)
    }
}

impl Opened {
    pub async fn read(&self, stage: &Stage) -> Result<Lease> {
        read(stage, self.address).await
    }
}

async fn read(stage: &Stage, address: Pubkey) -> Result<Lease> {
    let lease = stage.fetch().lease(address).await?;
    Ok(lease.with_context(|| format!("lease {address} is not on the chain"))?.account)
}

/// Waits until the keepers have settled every lease by the hour.
pub async fn await_settlement(stage: &Stage, leases: &[Opened]) -> Result<()> {
    let hourly: Vec<_> = leases.iter().filter(|lease| lease.course != Course::Metered).collect();
    await_settled(stage, "keepers settle", &hourly).await
}

/// Moves the network's clock past the time in which vouchers for the lease by use could be redeemed, and waits until the
/// keepers have settled it.
pub async fn await_vouchers(stage: &Stage, leases: &[Opened]) -> Result<()> {
    let metered: Vec<_> = leases.iter().filter(|lease| lease.course == Course::Metered).collect();
    for lease in &metered {
        let account = lease.read(stage).await?;
        // The votes of the last round that is waited for can be given for another round.
        let round = account.settles_from(account.until).saturating_add(1);
        let until = rounds::start(account.terms.round_secs, account.terms.phase_secs, round);
        let ahead = until.saturating_sub(stage.network.time().await?);
        stage.network.advance(Duration::from_secs(ahead.max(0).unsigned_abs())).await?;
    }
    await_settled(stage, "keepers settle the lease by use", &metered).await
}

async fn await_settled(stage: &Stage, name: &'static str, leases: &[&Opened]) -> Result<()> {
    // One round to vote on the last round, one to close it, and a margin for a busy machine.
    let timeout = Duration::from_secs(u64::from(3 * stage.round_secs) + 30);
    let deadline = Instant::now() + timeout;
    let bar = stage.progress.begin(name, leases.len() as u64);
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
