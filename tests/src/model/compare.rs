//! Compares every balance, ledger, counter and field of the model with the accounts of the program.

use leasehold::{
    constants::PLANES,
    state::{
        Keeper, Lease as LeaseAccount, LeaseState, Slot as SlotAccount, SlotState, StakeLedger, Supplier,
    },
};
use leasehold_client::board::{BoardData, BoardView};

use super::{Board, Chain, Lease, LeaseId, Model, Seat, Slot, Stake, everybody};

/// Score of every machine, until scores are built.
pub const SCORE: u16 = 5_000;

/// The first difference, as an error.
pub type Compared = Result<(), String>;

macro_rules! same {
    ($found:expr, $expected:expr, $($what:tt)+) => {{
        let (found, expected) = ($found, $expected);
        if found != expected {
            return Err(format!("{}: the program has {found:?}, the model {expected:?}", format_args!($($what)+)));
        }
    }};
}

pub fn compare(model: &Model, chain: &Chain) -> Compared {
    market(model, chain)?;
    for who in everybody() {
        wallet(model, chain, who)?;
        supplier(model, chain, who)?;
        keeper(model, chain, who)?;
    }
    for index in 0..model.market.next_board {
        let (board_ref, vault) = chain.board_and_vault(index);
        let data = chain.world.data(&board_ref.address);
        let vault = chain.world.tokens(&vault);
        let Some(expected) = model.boards.get(&index) else {
            same!(data.len(), 0, "board {index}'s account");
            same!(vault, 0, "board {index}'s vault");
            continue;
        };
        same!(vault, expected.payment_vault(), "board {index}'s vault");
        let lamports = chain.world.lamports(&board_ref.address) as i64;
        let rent = model.rents.board + model.rents.slot * expected.slots.len() as i64;
        same!(lamports, rent, "board {index}'s rent");
        let data = BoardData::new(&data).map_err(|error| error.to_string())?;
        let view = data.view().map_err(|error| error.to_string())?;
        board(model, chain, index, expected, &view).map_err(|error| format!("board {index}: {error}"))?;
    }
    Ok(())
}

fn market(model: &Model, chain: &Chain) -> Compared {
    let supply = chain.world.data(&chain.market().stake_mint)[36..44].try_into().map(u64::from_le_bytes);
    let wallets: u64 = model.wallets.values().map(|wallet| wallet.stake).sum();
    // The wallet that pays for transactions has stake too.
    same!(supply.ok(), Some(wallets + model.stake_vault() + crate::STAKES), "the supply of stake");
    same!(chain.world.tokens(&chain.stake_vault()), model.stake_vault(), "the stake vault");
    let expected = &model.market;
    if expected.is_closed {
        same!(chain.world.data(&chain.market().address).len(), 0, "the market's account");
        return Ok(());
    }
    let found = chain.world.market_account();
    same!(found.paused, expected.paused, "paused");
    same!(found.authority, chain.key(expected.authority), "authority");
    same!(found.pending_authority, expected.offered_to.map(|who| chain.key(who)), "pending authority");
    same!(found.next_board, expected.next_board, "next board");
    same!(found.boards as usize, model.boards.len(), "boards");
    same!(found.members as usize, model.suppliers.len() + model.keepers.len(), "members");
    same!(found.params, expected.params.clone(), "parameters");
    let pending = found.pending_params.map(|pending| (pending.params, pending.effective_at));
    same!(pending, expected.pending.clone(), "pending parameters");
    Ok(())
}

fn wallet(model: &Model, chain: &Chain, who: super::Who) -> Compared {
    let expected = model.wallet(who);
    same!(chain.world.tokens(&chain.accounts(who).payments), expected.payments, "{who:?}'s payment tokens");
    same!(chain.world.tokens(&chain.accounts(who).stake), expected.stake, "{who:?}'s stake tokens");
    same!(chain.lamports_gained(who), expected.lamports, "{who:?}'s lamports");
    Ok(())
}

fn stake(found: &StakeLedger, expected: &Stake, name: String) -> Compared {
    same!((found.free, found.unbonding), (expected.free, expected.unbonding), "{name}'s stake");
    same!(found.unbonding_until, expected.unbonding_until, "when {name}'s stake is free");
    Ok(())
}

fn supplier(model: &Model, chain: &Chain, who: super::Who) -> Compared {
    let address = chain.accounts(who).supplier;
    let lamports = chain.world.lamports(&address) as i64;
    same!(lamports, model.lamports_of_supplier(who), "lamports of {who:?}'s supplier account");
    let Some(expected) = model.suppliers.get(&who) else {
        same!(chain.world.data(&address).len(), 0, "{who:?}'s supplier account");
        return Ok(());
    };
    let found: Supplier = chain.world.account(&address);
    same!(found.machines as usize, model.machines_of(who), "{who:?}'s machines");
    stake(&found.stake, expected, format!("supplier {who:?}"))
}

fn keeper(model: &Model, chain: &Chain, who: super::Who) -> Compared {
    let address = chain.accounts(who).keeper;
    let Some(expected) = model.keepers.get(&who) else {
        same!(chain.world.data(&address).len(), 0, "{who:?}'s keeper account");
        return Ok(());
    };
    let found: Keeper = chain.world.account(&address);
    let seats = model.seats_of(who);
    let bonds =
        |(board, seat): &(u32, u8)| model.boards[board].seats[usize::from(*seat)].as_ref().map(|s| s.bond);
    same!(found.seats as usize, seats.len(), "{who:?}'s seats");
    same!(found.locked, seats.iter().filter_map(bonds).sum::<u64>(), "{who:?}'s bonds");
    stake(&found.stake, expected, format!("keeper {who:?}"))
}

fn board(model: &Model, chain: &Chain, index: u32, expected: &Board, view: &BoardView) -> Compared {
    let header = view.header;
    same!(header.creator, chain.key(expected.creator), "creator");
    same!(header.slots as usize, expected.slots.len(), "slots");
    same!(header.machines as usize, expected.machines().count(), "machines");
    same!(header.leases as usize, expected.leases.len(), "leases");
    same!(header.next_serial, expected.next_serial, "next serial");
    same!(header.next_round, expected.next_round, "next round");
    same!(header.slots_at(model.round()) as usize, expected.size_at(model.round()), "slots to vote on");
    let ledger = &header.ledger;
    same!(ledger.escrow, expected.escrow(), "escrow");
    same!(ledger.accrued, expected.accrued(), "accrued");
    same!(ledger.fees, expected.fees, "fees");
    same!(ledger.keeper_pool, expected.keeper_pool, "keeper pool");
    same!(ledger.keeper_fees, expected.keeper_fees(), "keeper fees");
    same!(ledger.refunds, expected.refunds(), "refunds");
    same!(ledger.bonds, expected.bonds(), "bonds");
    same!(ledger.compensation, expected.compensation(), "compensation");
    same!(ledger.market_stake, expected.market_stake, "market stake");
    same!(ledger.to_burn, expected.to_burn, "to burn");
    for (place, expected) in expected.seats.iter().enumerate() {
        seat(chain, &header.seats[place], expected.as_ref()).map_err(|e| format!("seat {place}: {e}"))?;
    }
    tally(view, expected)?;
    for (place, (found, slot)) in view.slots.iter().zip(&expected.slots).enumerate() {
        self::slot(chain, found, slot).map_err(|error| format!("slot {place}: {error}"))?;
        history(view, expected, found, slot).map_err(|error| format!("slot {place}: {error}"))?;
    }
    for serial in 1..expected.next_serial {
        let address = chain.lease_address(LeaseId { board: index, serial });
        let Some(expected) = expected.leases.get(&serial) else {
            same!(chain.world.data(&address).len(), 0, "lease {serial}'s account");
            continue;
        };
        let found: LeaseAccount = chain.world.account(&address);
        lease(chain, &found, serial, expected).map_err(|error| format!("lease {serial}: {error}"))?;
    }
    Ok(())
}

fn seat(chain: &Chain, found: &leasehold::state::Seat, expected: Option<&Seat>) -> Compared {
    let Some(expected) = expected else {
        same!(bytemuck::bytes_of(found).iter().all(|byte| *byte == 0), true, "vacant");
        return Ok(());
    };
    same!(found.is_vacant(), false, "vacant");
    same!(found.keeper, chain.key(expected.keeper), "keeper");
    same!((found.bond, found.earned), (expected.bond, expected.earned), "bond and fees");
    same!(found.last_round, expected.last_round, "last round");
    same!(found.submissions, expected.submissions, "submissions");
    Ok(())
}

/// Invariant 5: the counts of the bit planes, machine by machine.
fn tally(view: &BoardView, expected: &Board) -> Compared {
    let tally = &view.header.tally;
    let Some(voting) = &expected.voting else {
        same!(bytemuck::bytes_of(tally).iter().all(|byte| *byte == 0), true, "an empty tally");
        return Ok(());
    };
    same!(tally.round, voting.round, "the round voted on");
    let submitted: u16 = voting.votes.keys().map(|seat| 1u16 << seat).sum();
    same!(tally.submitted, submitted, "seats that voted");
    for machine in 0..128usize {
        let bit = |plane: usize| (tally.planes[plane][machine / 64] >> (machine % 64) & 1) as usize;
        let count: usize = (0..PLANES).map(|plane| bit(plane) << plane).sum();
        same!(count, voting.ones(machine), "votes for machine {machine}");
    }
    Ok(())
}

fn slot(chain: &Chain, found: &SlotAccount, expected: &Slot) -> Compared {
    same!(found.supplier, chain.accounts(expected.owner).supplier, "supplier");
    same!(found.generation, expected.generation, "generation");
    let Some(machine) = &expected.machine else {
        let empty = SlotAccount {
            supplier: found.supplier,
            generation: found.generation,
            attested_from: SlotAccount::UNATTESTED,
            ..bytemuck::Zeroable::zeroed()
        };
        same!(*found, empty, "vacant");
        return Ok(());
    };
    let state = match (machine.suspended, machine.stint) {
        (true, _) => SlotState::Suspended,
        (false, Some(_)) => SlotState::Leased,
        (false, None) => SlotState::Idle,
    };
    same!(found.state, state as u8, "state");
    same!(found.node_key, machine.node_key, "node key");
    same!(found.traits, machine.traits, "traits");
    same!((found.price, found.score), (machine.price, SCORE), "price and score");
    same!(found.committed_until, machine.committed_until, "commitment");
    same!((found.bond, found.accrued, found.reward), (machine.bond, machine.accrued, 0), "bond and earnings");
    let attested_from = machine.attested_from.unwrap_or(SlotAccount::UNATTESTED);
    same!(found.attested_from, attested_from, "first round with a verdict");
    same!(found.lease, machine.stint.map_or(0, |stint| stint.serial), "lease");
    let abandoned = machine.stint.is_some_and(|stint| stint.abandoned);
    same!(found.flags, if abandoned { SlotAccount::ABANDONED } else { 0 }, "flags");
    same!((found.up, found.down), machine.count(0, u32::MAX), "rounds up and down");
    if let Some(stint) = &machine.stint {
        same!(found.lease_settled, stint.settled, "rounds paid for");
    }
    if let Some(stint) = machine.stint.or(machine.last) {
        same!((found.lease_from, found.lease_until), (stint.from, stint.until), "rounds of the lease");
        let counted = machine.count(stint.from, stint.until);
        same!((found.lease_up, found.lease_down), counted, "rounds up and down in the lease");
    }
    Ok(())
}

/// The verdicts of the last 64 rounds.
fn history(view: &BoardView, expected: &Board, found: &SlotAccount, slot: &Slot) -> Compared {
    let none = Default::default();
    let verdicts = slot.machine.as_ref().map_or(&none, |machine| &machine.verdicts);
    for round in view.remembered() {
        let place = (round % 64) as usize;
        let voters: u16 =
            expected.voters.get(&round).map_or(0, |seats| seats.iter().map(|seat| 1u16 << seat).sum());
        // Rounds before the board's first have no voters.
        same!(view.header.votes[place], voters, "votes of round {round}");
        let (up, down) = (found.history_up >> place & 1 == 1, found.history_down >> place & 1 == 1);
        let verdict = match (voters, up, down) {
            (0, _, _) | (_, false, false) => None,
            (_, up, _) => Some(up),
        };
        same!(verdict, verdicts.get(&round).copied(), "verdict of round {round}");
    }
    Ok(())
}

fn lease(chain: &Chain, found: &LeaseAccount, serial: u32, expected: &Lease) -> Compared {
    same!(found.serial, serial, "serial");
    same!(found.state, expected.state, "state");
    same!(found.buyer, chain.key(expected.buyer), "buyer");
    same!(found.owner, chain.key(expected.owner), "owner");
    same!(found.criteria, expected.criteria, "criteria");
    same!(found.group, expected.group, "group");
    same!(found.machines, expected.machines, "machines");
    // Small boards are settled in one transaction.
    let settled = if expected.state == LeaseState::Settled { expected.machines } else { 0 };
    same!(found.settled, settled, "machines settled");
    same!((found.from, found.until), (expected.from, expected.until), "rounds");
    let terms = &found.terms;
    same!((terms.rounds, terms.round_secs), (expected.rounds, expected.round_secs), "rounds agreed on");
    same!(terms.cancel_secs, expected.cancel_secs, "seconds owed for leaving");
    same!((terms.fee_bps, terms.keeper_share_bps), (expected.fee_bps, expected.keeper_share_bps), "fee");
    same!(terms.sla_bps, expected.sla_bps, "promise of uptime");
    same!(terms.slash_multiplier_bps, expected.slash_multiplier_bps, "slash multiplier");
    same!(terms.split, expected.split, "split");
    same!((found.deposit, found.paid, found.fees), (expected.deposit, expected.paid, expected.fees), "money");
    same!((found.refunded, found.refund_due), (expected.refunded, expected.refund_due), "refund");
    same!(found.slashed, expected.slashed, "slashed");
    same!((found.meter, found.demands), (None, 0), "meter and demands");
    same!(found.compensation_due, expected.compensation_due, "compensation");
    // Invariant 2.
    let remaining = found.deposit - found.paid - found.fees - found.refunded;
    same!(remaining, expected.remaining(), "what is left");
    same!(found.state == LeaseState::Settled && remaining > 0, false, "settled with money left");
    Ok(())
}
