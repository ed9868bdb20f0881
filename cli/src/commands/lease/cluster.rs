//! A lease on each of several boards, all of them or none.
//!
//! As many as fit are opened by one transaction, which the chain makes all or nothing. Where there are more,
//! those that were opened are cancelled again where a later one fails.

use std::hash::{BuildHasher, RandomState};

use leasehold::{error::LeaseholdError, math::mul_div_floor, state::Lease};
use leasehold_client::{
    error::Refusal,
    instruction,
    packet::{MAX_UNITS, PACKET_BYTES, len},
};
use serde_json::Value;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use crate::{
    amount::Money,
    chain::MarketView,
    commands::quote::Offer,
    criteria,
    failure::Failure,
    kinds,
    pick::{Choice, Picked},
    plan::{Plan, Undo},
    table::count,
    undo::cost::{leaving_within, longest},
};
use anchor_lang::Space;

/// Upper bounds of the compute units that opening a lease by the hour takes on a board of 6,144 slots, with the
/// hint of a quote: for each lease, and for each machine of it. `docs/bench.md` has 196,865 for 1,000 machines
/// that meet every bound, and 512,210 for 6,000, where these make 260,000 and 635,000. A board that changed
/// since the quote can take more; then that transaction fails as a whole.
const LEASE_UNITS: u32 = 185_000;
const MACHINE_UNITS: u32 = 75;
/// From here on, prices may take arithmetic of 128 bits, of which those bounds know nothing.
const WIDE_DEPOSIT: u64 = u64::MAX >> 13;

/// A part of a cluster, ready to be opened.
struct Part<'a> {
    picked: &'a Picked,
    lease: Pubkey,
    open: Instruction,
    cancel: Instruction,
    /// Payment units that it costs at most.
    share: u64,
}

/// Opens a lease on each board of a choice, for at most `most` payment units in all.
pub fn plan(
    market: &MarketView,
    choice: &Choice,
    buyer: Pubkey,
    most: Money,
    cluster: Option<u64>,
) -> Result<Plan, Failure> {
    let cluster = cluster.unwrap_or_else(number);
    let wallet = market.reference.payment_account(&buyer);
    let shares = shares(choice, most.amount)?;
    let parts = choice.parts.iter().zip(&shares).map(|(picked, share)| {
        let board = market.board(picked.board);
        let lease = board.lease(picked.quote.serial);
        let args = picked.quote.args(*share, Some(cluster));
        let open = instruction::open_lease(&board, buyer, wallet, args);
        let cancel = instruction::cancel_lease(&board, buyer, lease);
        Part { picked, lease, open, cancel, share: *share }
    });
    let groups = group(&buyer, parts.collect());
    let single = groups.len() == 1;
    // The program cancels a lease with its first round at the earliest, and not with its last.
    if !single && choice.parts.iter().any(|part| part.quote.rounds < 2) {
        let transactions = count(groups.len(), "transaction");
        return Err(Failure::Refused(format!(
            "it takes {transactions} and leases of one round can't be cancelled, so it could not be undone: ask \
             for two rounds or more, or for fewer machines"
        )));
    }
    let mut plan = summary(market, choice, cluster);
    if !single {
        plan = undoing(plan, market, &groups)?;
    }
    plan = plan.spend("deposit", most, wallet);
    for group in groups {
        let boards: Vec<_> = group.iter().map(|part| part.picked.board.to_string()).collect();
        let boards = format!("leases on {} {}", plural(boards.len()), boards.join(", "));
        let deposit = group.iter().map(|part| part.share).fold(0, u64::saturating_add);
        let undo = Undo {
            what: format!("cancel the {boards}"),
            instructions: group.iter().map(|part| part.cancel.clone()).collect(),
            leases: group.iter().map(|part| part.lease).collect(),
            owner: buyer,
            cluster,
            market: market.reference.address,
            deposit: market.payment.money(deposit),
        };
        plan = group.iter().fold(plan, |plan, _| plan.creates(8 + Lease::INIT_SPACE));
        plan = plan.step(format!("open the {boards}"), group.into_iter().map(|part| part.open).collect());
        if let Some(step) = plan.steps.last_mut().filter(|_| !single) {
            step.undo = Some(undo);
        }
    }
    Ok(plan)
}

/// What it costs at most where a transaction fails and the leases of those before it are cancelled.
fn undoing(plan: Plan, market: &MarketView, groups: &[Vec<Part>]) -> Result<Plan, Failure> {
    let (secs, mut owed) = (longest(groups.len()), 0u64);
    for Part { picked, share, .. } in groups.iter().flatten() {
        let cost = leaving_within(*share, picked.round_secs, picked.quote.rounds, secs);
        owed = owed.saturating_add(cost.map_err(Refusal::from)?);
    }
    let owed = market.payment.money(owed);
    let minutes = count(usize::try_from(secs.div_ceil(60)).unwrap_or(usize::MAX), "minute");
    let text = format!(
        "the others are cancelled, within {minutes} while the RPC node answers, which costs {owed} at most"
    );
    Ok(plan.money_as("If one fails:", "undoing", text, owed))
}

/// What is opened, for people and for programs.
fn summary(market: &MarketView, choice: &Choice, cluster: u64) -> Plan {
    let machines: usize = choice.parts.iter().map(|part| part.quote.slots.len()).sum();
    let boards = choice.parts.len();
    let title = format!("Open a cluster of {} on {boards} boards", count(machines, "machine"));
    let mut plan = Plan::new(title).fact("Cluster:", "cluster", cluster);
    for part in &choice.parts {
        let text = format!(
            "lease {}:{}, {} for {}",
            part.board,
            part.quote.serial,
            count(part.quote.slots.len(), "machine"),
            market.payment.number(part.quote.deposit),
        );
        plan = plan.item("Part:", "leases", text, opened(market, part));
    }
    let kinds = kinds::merged(choice.parts.iter().flat_map(|part| &part.kinds).cloned());
    for (label, text) in kinds::lines(&kinds) {
        plan = plan.note(label, text);
    }
    // They differ in their boards only.
    if let Some(part) = choice.parts.first() {
        let offer = Offer::new(market, part);
        plan = criteria::shown(plan, market, &part.quote.criteria);
        let rounds = format!("{} to {}", offer.from, offer.until.saturating_sub(1));
        plan =
            plan.fact_as("Rounds:", "rounds", rounds, part.quote.rounds).fact("From:", "start", offer.start);
        plan = plan.fact("To:", "end", offer.end);
    }
    let refundable = market.payment.money(choice.refundable);
    plan.money("Deposit now:", "deposit", market.payment.money(choice.deposit)).money_as(
        "Refundable:",
        "refundable",
        format!("{refundable} where all are cancelled in their first round"),
        refundable,
    )
}

/// A lease that is opened, for programs: the offer with its address and serial.
pub fn opened(market: &MarketView, picked: &Picked) -> Value {
    let mut value = serde_json::to_value(Offer::new(market, picked)).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        let lease = market.board(picked.board).lease(picked.quote.serial);
        fields.insert("lease".to_owned(), lease.to_string().into());
        fields.insert("serial".to_owned(), picked.quote.serial.into());
    }
    value
}

/// A cluster number that is not 0 and that nobody else comes to, not even the same wallet elsewhere: by it, leases
/// are known for one's own. Of 48 bits, since what reads JSON may know numbers to 53 bits only.
fn number() -> u64 {
    // Seeded by the system's random numbers.
    (RandomState::new().hash_one(()) >> 16).max(1)
}

/// The most that each part may cost: what it was quoted for, and of what is allowed beyond the total as large a
/// share as it has in that. They sum up to `most`.
fn shares(choice: &Choice, most: u64) -> Result<Vec<u64>, Failure> {
    let spare = most.checked_sub(choice.deposit).ok_or(Refusal::from(LeaseholdError::CostsTooMuch))?;
    let mut left = spare;
    let mut shares = Vec::with_capacity(choice.parts.len());
    for part in &choice.parts {
        // Machines that cost nothing have no share.
        let share = mul_div_floor(spare, part.quote.deposit, choice.deposit.max(1)).map_err(Refusal::from)?;
        left = left.saturating_sub(share);
        shares.push(part.quote.deposit.saturating_add(share));
    }
    if let Some(first) = shares.first_mut() {
        *first = first.saturating_add(left);
    }
    Ok(shares)
}

/// Parts that one transaction opens together, each in the first that has room for it.
fn group<'a>(payer: &Pubkey, parts: Vec<Part<'a>>) -> Vec<Vec<Part<'a>>> {
    let mut groups: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        let has_room = |group: &&mut Vec<Part>| {
            let all = group.iter().chain([&part]);
            let used = all.clone().map(|part| units(part.picked)).fold(0, u32::saturating_add);
            let instructions: Vec<_> = all.map(|part| part.open.clone()).collect();
            used <= MAX_UNITS && len(payer, &instructions) <= PACKET_BYTES
        };
        match groups.iter_mut().find(has_room) {
            Some(group) => group.push(part),
            None => groups.push(vec![part]),
        }
    }
    groups
}

/// Compute units at most.
fn units(picked: &Picked) -> u32 {
    if picked.quote.deposit >= WIDE_DEPOSIT {
        return MAX_UNITS;
    }
    let machines = u32::try_from(picked.quote.slots.len()).unwrap_or(u32::MAX);
    machines.saturating_mul(MACHINE_UNITS).saturating_add(LEASE_UNITS)
}

fn plural(boards: usize) -> &'static str {
    if boards == 1 { "board" } else { "boards" }
}

#[cfg(test)]
mod tests;
