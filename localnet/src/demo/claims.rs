//! The claims of suppliers, buyers and keepers at the end.

use anyhow::{Context, Result};
use leasehold_client::{instruction, sender::Job};
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
    let (mut refunds, mut compensations) = (Vec::new(), Vec::new());
    for lease in leases {
        let account = lease.read(stage).await?;
        let (board, key) = (&lease.board, lease.buyer.pubkey());
        let address = board.lease(lease.serial);
        if account.refund_due > 0 {
            let to = board.market.payment_account(&key);
            let claim = instruction::claim_refund(board, key, address, to);
            refunds.push(by(&lease.buyer, vec![claim]));
        }
        if account.compensation_due > 0 {
            let market = &board.market;
            let open = token_account(&lease.buyer, &market.stake_mint, &market.stake_token_program);
            let claim = instruction::claim_compensation(board, key, address, market.stake_account(&key));
            compensations.push(by(&lease.buyer, vec![open, claim]));
        }
    }
    let fees = keepers.claims(stage).await?;
    let kinds = [
        ("claim_earnings", earnings),
        ("claim_refund", refunds),
        ("claim_compensation", compensations),
        ("claim_keeper_fees", fees),
    ];
    let total: usize = kinds.iter().map(|(_, jobs)| jobs.len()).sum();
    let bar = stage.progress.begin("claims are paid", total as u64);
    for (kind, jobs) in kinds {
        stage.send_all(kind, &bar, jobs).await?;
    }
    bar.end(&format!("{total} claims"));
    Ok(())
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
