//! A group of leases on several boards, all or none.
//!
//! As many as fit are opened by one transaction, which is all or nothing. If it takes several transactions and one
//! fails, the leases of those before it are cancelled.

use leasehold::{error::LeaseholdError, instructions::OpenLeaseArgs, math::mul_div_floor, state::Lease};
use leasehold_client::{
    error::Refusal,
    instruction,
    packet::{MAX_UNITS, PACKET_BYTES, len},
    search::{Allocation, Part, merged},
};
use leasehold_operate::{
    amount::Money,
    failure::Failure,
    market::MarketView,
    plan::{Plan, Undo},
    table::count,
    undo::cost::{leaving_within, longest},
};
use serde_json::Value;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{
    access::who,
    keys::{self, Offered},
    name::{Name, number},
};
use crate::{
    commands::quote::{Offer, rules_of},
    criteria, kinds,
};

/// Upper bounds of the compute units that opening a lease by the hour takes on a board of 6,144 slots, with the
/// hint of a quote: for each lease, and for each machine of it. `docs/bench.md` has 243,845 for 1,000 machines
/// that meet every bound, and 800,609 for 6,000, where these make 308,000 and 898,000. A board that changed
/// since the quote can take more, and so can one whose prices are made to; then that transaction fails as a whole.
const LEASE_UNITS: u32 = 190_000;
const MACHINE_UNITS: u32 = 118;
/// From here on, prices may take arithmetic of 128 bits, which those bounds do not cover.
const WIDE_DEPOSIT: u64 = u64::MAX >> 13;

/// A part of a group, ready to be opened.
struct Opening<'a> {
    part: &'a Part,
    lease: Pubkey,
    open: Instruction,
    cancel: Instruction,
    /// Payment units that it costs at most.
    share: u64,
}

/// Opens a lease on each board of an allocation, for at most `most` payment units in all.
pub fn plan(
    market: &MarketView,
    allocation: &Allocation,
    buyer: Pubkey,
    most: Money,
    Name { nonce, group }: Name,
    keys: &[Offered],
) -> Result<Plan, Failure> {
    let group = group.unwrap_or_else(number);
    let wallet = market.reference.payment_account(&buyer);
    let shares = shares(allocation, most.amount)?;
    let openings = allocation.parts.iter().zip(&shares).map(|(part, share)| {
        let board = market.board(part.board);
        let lease = board.lease(&buyer, nonce);
        let args = part.quote.args(nonce, buyer, *share, Some(group));
        let args = OpenLeaseArgs { access: keys::named(keys, &lease), ..args };
        let open = instruction::open_lease(&board, buyer, wallet, args);
        let cancel = instruction::cancel_lease(&board, buyer, lease, vec![]);
        Opening { part, lease, open, cancel, share: *share }
    });
    let transactions = packed(&buyer, openings.collect());
    let single = transactions.len() == 1;
    // The program cancels a lease with its first round at the earliest, and not with its last.
    if !single && allocation.parts.iter().any(|part| part.quote.rounds < 2) {
        let transactions = count(transactions.len(), "transaction");
        return Err(Failure::Refused(format!(
            "it takes {transactions}, and leases of one round can't be cancelled if one fails: ask for two rounds or \
             more, or for fewer GPUs"
        )));
    }
    let mut plan = summary(market, allocation, group, nonce, buyer, keys)?;
    if !single {
        plan = undoing(plan, market, &transactions)?;
    }
    plan = plan.spend("deposit", most, wallet);
    for openings in transactions {
        let boards: Vec<_> = openings.iter().map(|opening| opening.part.board.to_string()).collect();
        let boards = format!("leases on {} {}", plural(boards.len()), boards.join(", "));
        let deposit = openings.iter().map(|opening| opening.share).fold(0, u64::saturating_add);
        let undo = Undo {
            what: format!("cancel the {boards}"),
            instructions: openings.iter().map(|opening| opening.cancel.clone()).collect(),
            leases: openings.iter().map(|opening| opening.lease).collect(),
            owner: buyer,
            group,
            market: market.reference.address,
            deposit: market.payment.money(deposit),
        };
        plan = openings.iter().fold(plan, |plan, _| plan.creates(Lease::len(0)));
        plan = plan
            .step(format!("open the {boards}"), openings.into_iter().map(|opening| opening.open).collect());
        if let Some(step) = plan.steps.last_mut().filter(|_| !single) {
            step.undo = Some(undo);
        }
    }
    Ok(plan)
}

/// Adds the most that it costs if a transaction fails and the leases of those before it are cancelled.
fn undoing(plan: Plan, market: &MarketView, transactions: &[Vec<Opening>]) -> Result<Plan, Failure> {
    let (secs, mut owed) = (longest(transactions.len()), 0u64);
    for Opening { part, share, .. } in transactions.iter().flatten() {
        let cost = leaving_within(*share, part.round_secs, part.quote.rounds, secs);
        owed = owed.saturating_add(cost.map_err(Refusal::from)?);
    }
    let owed = market.payment.money(owed);
    let minutes = count(usize::try_from(secs.div_ceil(60)).unwrap_or(usize::MAX), "minute");
    let text = format!(
        "the others are cancelled, within {minutes} if the RPC node answers, at a cost of {owed} at most"
    );
    Ok(plan.money_as("If one fails:", "undoing", text, owed))
}

/// Plan, still without steps, that lists the leases to open, for people and for programs.
fn summary(
    market: &MarketView,
    allocation: &Allocation,
    group: u64,
    nonce: u64,
    buyer: Pubkey,
    keys: &[Offered],
) -> Result<Plan, Failure> {
    let (gpus, boards) = (gpus(allocation.gpus), allocation.parts.len());
    let offers = allocation.parts.iter().map(|part| Offer::new(market, part));
    let offers = offers.collect::<Result<Vec<_>, _>>()?;
    let mut plan = Plan::new(format!("Open leases of {gpus} on {boards} boards"))
        .fact("Group:", "group", group)
        .note("Nonce:", nonce);
    for offer in &offers {
        let lease = market.board(offer.board).lease(&buyer, nonce);
        let text = format!(
            "{lease} on board {}, {} in {} for {} from {} to {}",
            offer.board,
            self::gpus(offer.gpus),
            count(offer.machines, "machine"),
            market.payment.number(offer.total.amount),
            offer.start,
            offer.end,
        );
        plan = plan.item("Lease:", "leases", text, opened(lease, nonce, offer, keys));
    }
    let kinds = merged(allocation.parts.iter().flat_map(|part| &part.kinds).copied());
    for (label, text) in kinds::lines(&kinds::named(market, &kinds)) {
        plan = plan.note(label, text);
    }
    plan = keys.first().into_iter().fold(plan, |plan, key| {
        let each = if key.file().is_some() { ", another one for each lease" } else { "" };
        plan.note("Let in:", who(key) + each)
    });
    // They have the same criteria and length. Boards begin their rounds at different times.
    if let Some(part) = allocation.parts.first() {
        plan = criteria::shown(plan, market, &part.quote.criteria);
        plan = criteria::avoided(plan, &allocation.parts);
        plan = plan.fact_as("Rounds:", "rounds", part.quote.rounds, part.quote.rounds);
    }
    let refundable = market.payment.money(allocation.refundable);
    let plan = plan.money("Deposit now:", "deposit", market.payment.money(allocation.deposit)).money_as(
        "Refundable:",
        "refundable",
        format!("{refundable} if all are cancelled in their first round"),
        refundable,
    );
    Ok(rules_of(&offers).into_iter().fold(plan, |plan, (label, text)| plan.note(label, text)))
}

fn gpus(number: u32) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "GPU")
}

/// A lease that is opened, for programs: the offer with its address, its nonce and its key.
pub fn opened(lease: Pubkey, nonce: u64, offer: &Offer, keys: &[Offered]) -> Value {
    let mut value = serde_json::to_value(offer).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert("lease".to_owned(), lease.to_string().into());
        fields.insert("nonce".to_owned(), nonce.to_string().into());
        fields.insert("access".to_owned(), keys::shown(keys::named(keys, &lease)).into());
        let file = keys.iter().find(|key| key.lease == lease).and_then(Offered::file);
        fields.insert("key_file".to_owned(), file.map(|file| file.display().to_string()).into());
    }
    value
}

/// The most that each part may cost: its quote, and a share of the allowance beyond the total in proportion to its
/// quote. They sum up to `most`.
fn shares(allocation: &Allocation, most: u64) -> Result<Vec<u64>, Failure> {
    let spare = most.checked_sub(allocation.deposit).ok_or(Refusal::from(LeaseholdError::CostsTooMuch))?;
    let mut left = spare;
    let mut shares = Vec::with_capacity(allocation.parts.len());
    for part in &allocation.parts {
        // Machines that cost nothing have no share.
        let share =
            mul_div_floor(spare, part.quote.deposit, allocation.deposit.max(1)).map_err(Refusal::from)?;
        left = left.saturating_sub(share);
        shares.push(part.quote.deposit.saturating_add(share));
    }
    if let Some(first) = shares.first_mut() {
        *first = first.saturating_add(left);
    }
    Ok(shares)
}

/// Openings by transaction, each in the first that has room for it.
fn packed<'a>(payer: &Pubkey, openings: Vec<Opening<'a>>) -> Vec<Vec<Opening<'a>>> {
    let mut transactions: Vec<Vec<Opening>> = Vec::new();
    for opening in openings {
        let has_room = |transaction: &&mut Vec<Opening>| {
            let all = transaction.iter().chain([&opening]);
            let used = all.clone().map(|opening| units(opening.part)).fold(0, u32::saturating_add);
            let instructions: Vec<_> = all.map(|opening| opening.open.clone()).collect();
            used <= MAX_UNITS && len(payer, &instructions) <= PACKET_BYTES
        };
        match transactions.iter_mut().find(has_room) {
            Some(transaction) => transaction.push(opening),
            None => transactions.push(vec![opening]),
        }
    }
    transactions
}

/// Compute units at most.
fn units(part: &Part) -> u32 {
    if part.quote.deposit >= WIDE_DEPOSIT {
        return MAX_UNITS;
    }
    let machines = u32::try_from(part.quote.slots.len()).unwrap_or(u32::MAX);
    machines.saturating_mul(MACHINE_UNITS).saturating_add(LEASE_UNITS)
}

fn plural(boards: usize) -> &'static str {
    if boards == 1 { "board" } else { "boards" }
}

#[cfg(test)]
mod tests;
