//! Plans a deployment from the file and the snapshot. Pure.

mod params;
#[cfg(test)]
mod tests;

use leasehold::state::RoundRules;
use leasehold_client::{MarketRef, fetch::MintInfo, instruction};
use leasehold_operate::{
    failure::Failure,
    market::{MarketView, create, file::MarketFile},
    plan::Plan,
    table::count,
};
use solana_hash::Hash;
use solana_pubkey::Pubkey;

use crate::{
    report::{Finding, State},
    snapshot::{Found, Snapshot},
};

/// The plan and the findings.
#[derive(Debug)]
pub struct Deployment {
    pub plan: Plan,
    pub findings: Vec<Finding>,
}

impl Deployment {
    /// Adds a finding that the next transaction of the plan is about.
    fn next(&mut self, what: impl Into<String>, state: State, detail: impl Into<String>) {
        self.findings.push(Finding::new(what, state, detail).by(self.plan.steps.len()));
    }
}

pub fn plan(file: &MarketFile, snapshot: &Snapshot) -> Result<Deployment, Failure> {
    let title = format!("Deploy market {}", file.id);
    match &snapshot.market {
        Found::Nothing { payment, stake } => create(title, file, [payment, stake], snapshot),
        Found::Market(market) => update(title, file, market, snapshot),
    }
}

fn create(
    title: String,
    file: &MarketFile,
    [payment, stake]: [&MintInfo; 2],
    snapshot: &Snapshot,
) -> Result<Deployment, Failure> {
    let (market, wallet) = (file.reference(payment, stake)?, snapshot.wallet);
    let plan = create::plan(file, snapshot.genesis, payment, stake, wallet)?;
    let test = test(&RoundRules::from(file.rules));
    let market_detail = format!("{}, authority {wallet}{test}", market.address);
    let classes = count_of_classes(file.params.classes.len());
    let findings = vec![
        Finding::new("market", State::Created, market_detail).by(0),
        Finding::new("parameters", State::Created, classes).by(0),
    ];
    let mut deployment = Deployment { plan: Plan { title, ..plan }, findings };
    add_boards(&mut deployment, &market, 0..file.boards, wallet, true);
    Ok(deployment)
}

/// Says so if a market can only be a test.
fn test(rules: &RoundRules) -> &'static str {
    if rules.is_test() { ", a TEST MARKET: its rounds are shorter than a minute" } else { "" }
}

/// "6 classes": the word's plural is not that of [`count`].
fn count_of_classes(number: usize) -> String {
    format!("{number} {}", if number == 1 { "class" } else { "classes" })
}

fn update(
    title: String,
    file: &MarketFile,
    market: &MarketView,
    snapshot: &Snapshot,
) -> Result<Deployment, Failure> {
    require_meant(file, market, &snapshot.wallet)?;
    refuse_other_rules(file, market, snapshot)?;
    let (account, address) = (&market.account, market.reference.address);
    let paused = if account.paused { ", paused" } else { "" };
    let test = test(&account.rules);
    let detail = format!("{address}, authority {}{paused}{test}", account.authority);
    let mut deployment = Deployment {
        plan: Plan::new(title).fact("Market:", "market", address),
        findings: vec![Finding::new("market", State::Unchanged, detail)],
    };
    params::update(&mut deployment, file, market, snapshot)?;

    let (there, asked) = (account.boards, file.boards);
    if there < asked {
        require_authority(market, &snapshot.wallet)?;
        // Numbers of boards that were closed are not used again.
        let numbers = account.next_board..account.next_board.saturating_add(asked.saturating_sub(there));
        add_boards(&mut deployment, &market.reference, numbers, snapshot.wallet, false);
    } else {
        let more = if there > asked { ", and more are left alone" } else { "" };
        let there = count(usize::try_from(there).unwrap_or(usize::MAX), "board");
        let detail = format!("{there}, {asked} asked for{more}");
        deployment.findings.push(Finding::new("boards", State::Unchanged, detail));
    }
    Ok(deployment)
}

/// `built`: the plan creates the market as well.
fn add_boards(
    deployment: &mut Deployment,
    market: &MarketRef,
    numbers: std::ops::Range<u32>,
    creator: Pubkey,
    mut built: bool,
) {
    for index in numbers {
        let board = market.board(index);
        deployment.next(format!("board {index}"), State::Created, board.address.to_string());
        let (what, create) = (format!("create board {index}"), instruction::create_board(&board, creator));
        let plan = std::mem::take(&mut deployment.plan).creates_board();
        // The market gives one number after the other.
        deployment.plan =
            if built { plan.step_after(what, vec![create]) } else { plan.step(what, vec![create]) };
        built = true;
    }
}

/// Refuses a market that somebody else created first: its authority must be the named one, or else the wallet.
fn require_meant(file: &MarketFile, market: &MarketView, wallet: &Pubkey) -> Result<(), Failure> {
    let (id, authority) = (market.account.id, market.account.authority);
    let meant = file.authority()?;
    if authority == meant.unwrap_or(*wallet) {
        return Ok(());
    }
    let (whose, advice) = match meant {
        Some(meant) => (format!("not {meant}, which was named"), "choose another id"),
        None => (
            format!("not {wallet}"),
            "choose another id, or if it is the right one, name it with --authority or in the file",
        ),
    };
    Err(Failure::Refused(format!("market {id} exists, and its authority is {authority}, {whose}: {advice}")))
}

/// Only the market's authority changes it by a file, though anybody could add boards.
fn require_authority(market: &MarketView, wallet: &Pubkey) -> Result<(), Failure> {
    let (id, authority) = (market.account.id, market.account.authority);
    if authority == *wallet {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "market {id} differs from the file, and only its authority {authority} can change it, but {wallet} signs: \
         pass the authority's keypair with --keypair, or choose another id"
    )))
}

/// Refuses a file that differs in settings that never change.
fn refuse_other_rules(file: &MarketFile, market: &MarketView, snapshot: &Snapshot) -> Result<(), Failure> {
    let account = &market.account;
    let [payment_mint, stake_mint] = file.mints()?;
    let (ours, theirs) = (RoundRules::from(file.rules), account.rules);
    if account.genesis != snapshot.genesis.to_bytes() {
        let stated = Hash::new_from_array(account.genesis);
        return Err(Failure::Refused(format!(
            "market {} exists, and states the genesis hash {stated}, but the cluster's is {}: choose another id",
            account.id, snapshot.genesis
        )));
    }
    let fixed = [
        ("payment_mint", payment_mint.to_string(), account.payment_mint.to_string()),
        ("stake_mint", stake_mint.to_string(), account.stake_mint.to_string()),
        ("timelock_secs", file.timelock_secs.to_string(), account.timelock_secs.to_string()),
        ("rules.round_secs", ours.round_secs.to_string(), theirs.round_secs.to_string()),
        ("rules.submit_secs", ours.submit_secs.to_string(), theirs.submit_secs.to_string()),
        ("rules.seats", ours.seats.to_string(), theirs.seats.to_string()),
        ("rules.threshold", ours.threshold.to_string(), theirs.threshold.to_string()),
        ("rules.abandon_rounds", ours.abandon_rounds.to_string(), theirs.abandon_rounds.to_string()),
        ("rules.sla_bps", ours.sla_bps.to_string(), theirs.sla_bps.to_string()),
    ];
    let differs = fixed.iter().filter(|(_, ours, theirs)| ours != theirs);
    let differs: Vec<_> =
        differs.map(|(name, ours, theirs)| format!("{name} is {theirs}, not {ours}")).collect();
    if differs.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "market {} exists, and fixed settings differ: {}: choose another id, or change the file",
        account.id,
        differs.join("; ")
    )))
}
