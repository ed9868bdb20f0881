//! Real keepers, in this process.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use leasehold::state::Params;
use leasehold_client::{instruction, sender::Job};
use leasehold_keeper::{Keeper, KeeperError, Outcome, Report, Settings, tasks::Task};
use rand::rngs::StdRng;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    fleet::{LAMPORTS, wallet},
    stage::{POLL, Stage, by},
};
use crate::network::{Grant, sender_options};

/// Number of keepers, and of a board's seats.
pub const KEEPERS: u8 = 5;
/// Votes against a machine that make it down; as many for it make it up.
pub const THRESHOLD: u8 = 3;
/// Time for the keepers to take the seats of a board.
const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Keepers {
    wallets: BTreeMap<Pubkey, Arc<Keypair>>,
    stop: watch::Sender<bool>,
    running: JoinSet<Result<(), KeeperError>>,
    listening: JoinSet<()>,
    pub votes: Arc<AtomicU64>,
    pub failures: Arc<AtomicU64>,
}

impl Keepers {
    /// Funds the keepers, starts them and waits until they hold every seat of every board.
    pub async fn start(stage: &Stage, random: &mut StdRng, params: &Params, boards: u32) -> Result<Self> {
        let mut keepers = Self {
            wallets: BTreeMap::new(),
            stop: watch::Sender::new(false),
            running: JoinSet::new(),
            listening: JoinSet::new(),
            votes: Arc::default(),
            failures: Arc::default(),
        };
        let seats = u64::from(KEEPERS) * u64::from(boards);
        let bar = stage.progress.begin("keepers take seats", seats);
        for _ in 0..KEEPERS {
            let wallet = wallet(random);
            keepers.wallets.insert(wallet.pubkey(), wallet);
        }
        let stake = params.keeper_bond.saturating_mul(boards.into());
        let grant = |wallet: &Pubkey| Grant { wallet: *wallet, lamports: LAMPORTS, payment: 0, stake };
        stage.network.fund_all(keepers.wallets.keys().map(grant)).await?;
        let wallets: Vec<_> = keepers.wallets.values().map(|wallet| wallet.insecure_clone()).collect();
        for wallet in wallets {
            keepers.run(stage, wallet)?;
        }

        let deadline = Instant::now() + TIMEOUT * boards;
        loop {
            let mut taken = 0;
            for board in stage.boards().await? {
                taken += board.view()?.seats().filter(|(_, seat)| !seat.is_vacant()).count() as u64;
            }
            bar.set(taken);
            if taken == seats {
                bar.end(&format!("{seats} seats, {THRESHOLD} votes decide"));
                return Ok(keepers);
            }
            if Instant::now() > deadline {
                bail!("the keepers took only {taken} of {seats} seats in time");
            }
            sleep(POLL).await;
        }
    }

    fn run(&mut self, stage: &Stage, wallet: Keypair) -> Result<()> {
        let mut settings = Settings {
            take_seat: true,
            bond: true,
            poll: Duration::from_millis(500),
            sender: sender_options(),
            ..Settings::new(stage.market.address)
        };
        settings.prober.allow_private = true;
        let mut keeper = Keeper::new(settings, wallet, Arc::clone(stage.network.rpc()))?;
        let mut reports = keeper.reports();
        let mut stop = self.stop.subscribe();
        self.running.spawn(async move {
            keeper
                .run(async {
                    // An error means that the demo has ended.
                    let _ = stop.wait_for(|stop| *stop).await;
                })
                .await
        });
        let (costs, votes, failures) =
            (stage.costs.clone(), Arc::clone(&self.votes), Arc::clone(&self.failures));
        self.listening.spawn(async move {
            while let Some(Report { task, outcome, confirmation, .. }) = reports.recv().await {
                if let Some(confirmation) = confirmation {
                    costs.note(task.name(), &confirmation);
                }
                match (task, outcome) {
                    (Task::SubmitRound, Outcome::Done) => drop(votes.fetch_add(1, Relaxed)),
                    (_, Outcome::Failed) => drop(failures.fetch_add(1, Relaxed)),
                    _ => {}
                }
            }
        });
        Ok(())
    }

    /// Stops the keepers after their current work.
    pub async fn stop(&mut self) -> Result<()> {
        self.stop.send_replace(true);
        while let Some(end) = self.running.join_next().await {
            end??;
        }
        while let Some(end) = self.listening.join_next().await {
            end?;
        }
        Ok(())
    }

    /// Transactions that claim the fees of every seat.
    pub async fn claims(&self, stage: &Stage) -> Result<Vec<Job>> {
        let market = &stage.market;
        let mut jobs = Vec::new();
        for fetched in stage.boards().await? {
            let board = fetched.board_ref(market)?;
            for (index, seat) in fetched.view()?.seats().filter(|(_, seat)| seat.earned > 0) {
                let Some(wallet) = self.wallets.get(&seat.keeper) else { continue };
                let (key, mint, program) =
                    (wallet.pubkey(), market.payment_mint, market.payment_token_program);
                let to = market.payment_account(&key);
                let open = create_associated_token_account_idempotent(&key, &key, &mint, &program);
                let claim = instruction::claim_keeper_fees(&board, key, to, index);
                jobs.push(by(wallet, vec![open, claim]));
            }
        }
        Ok(jobs)
    }
}
