//! The claims of suppliers, buyers and keepers at the end, and burning what nobody is owed.

use anyhow::{Context, Result};
use leasehold::rules::board::burnable;
use leasehold_client::{instruction, sender::Job};
use serde::Serialize;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use std::{collections::BTreeSet, sync::Arc};

use super::{
    fleet::Fleet,
    keepers::Keepers,
    leases::Opened,
    stage::{Stage, by},
};

/// Sends all claims, each signed by its owner.
pub async fn claim(stage: &Stage, fleet: &Fleet, leases: &[Opened], keepers: &Keepers) -> Result<()> {
    let earnings = earnings(stage, fleet).await?;
    let mut refunds = Vec::new();
    for lease in leases {
        if lease.read(stage).await?.refund_due > 0 {
            let (board, key) = (&lease.board, lease.buyer.pubkey());
            let to = board.market.payment_account(&key);
            let claim = instruction::claim_refund(board, key, lease.address, to);
            refunds.push(by(&lease.buyer, vec![claim]));
        }
    }
    let fees = keepers.claims(stage).await?;
    let kinds = [("claim_earnings", earnings), ("claim_refund", refunds), ("claim_keeper_fees", fees)];
    let total: usize = kinds.iter().map(|(_, jobs)| jobs.len()).sum();
    let bar = stage.progress.begin("claims are paid", total as u64);
    for (kind, jobs) in kinds {
        stage.send_all(kind, &bar, jobs).await?;
    }
    bar.end(&format!("{total} claims"));
    Ok(())
}

/// What is burned in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Burned {
    /// Payment units.
    pub payments: u64,
    /// Stake units.
    pub stake: u64,
}

/// Burns what the boards have set aside for it.
pub async fn burn(stage: &Stage) -> Result<Burned> {
    let payer = stage.network.payer();
    let mut burned = Burned::default();
    for fetched in stage.boards().await? {
        let (board, header) = (fetched.board_ref(&stage.market)?, fetched.view()?.header);
        let payments = burnable(header, false)?;
        if payments > 0 {
            stage.send("burn_payments", &by(payer, vec![instruction::burn_payments(&board, None)])).await?;
            burned.payments += payments;
        }
        let stake = header.ledger.slashed;
        if stake > 0 {
            stage.send("burn_slashed", &by(payer, vec![instruction::burn_slashed(&board)])).await?;
            burned.stake += stake;
        }
    }
    Ok(burned)
}

async fn earnings(stage: &Stage, fleet: &Fleet) -> Result<Vec<Job>> {
    let market = &stage.market;
    let mut jobs = Vec::new();
    for fetched in stage.boards().await? {
        let board = fetched.board_ref(market)?;
        let view = fetched.view()?;
        let earners: BTreeSet<_> =
            view.machines().filter(|(_, slot)| slot.accrued > 0).map(|(_, slot)| slot.supplier).collect();
        for account in earners {
            let supplier = fleet.supplier(stage, &account).context("an unknown supplier has earnings")?;
            let key = supplier.wallet.pubkey();
            let open = token_account(&supplier.wallet, &market.payment_mint, &market.payment_token_program);
            let claim = instruction::claim_earnings(&board, key, account, market.payment_account(&key));
            jobs.push(by(&supplier.wallet, vec![open, claim]));
        }
    }
    Ok(jobs)
}

/// Creates a wallet's associated token account if it does not exist.
fn token_account(wallet: &Arc<Keypair>, mint: &Pubkey, program: &Pubkey) -> solana_instruction::Instruction {
    let key = wallet.pubkey();
    create_associated_token_account_idempotent(&key, &key, mint, program)
}
