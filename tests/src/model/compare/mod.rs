//! Compares every balance, ledger, counter and field of the model with the accounts of the program.

mod board;
mod lease;

use leasehold::state::StakeLedger;

use super::{LeaseId, Model, Program, Stake, Who, everybody};

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
pub(super) use same;

pub fn compare(model: &Model, program: &impl Program) -> Compared {
    market(model, program)?;
    for who in everybody() {
        let wallet = model.wallet(who);
        same!(program.tokens(who), (wallet.payments, wallet.stake), "{who:?}'s payment and stake tokens");
        supplier(model, program, who)?;
        keeper(model, program, who)?;
    }
    for index in 0..model.market.next_board {
        compare_board(model, program, index).map_err(|error| format!("board {index}: {error}"))?;
    }
    program.compare_more(model)
}

fn market(model: &Model, program: &impl Program) -> Compared {
    let wallets = || model.wallets.values();
    let vaults: u64 = model.boards.values().map(|board| board.payment_vault()).sum();
    let payments = wallets().map(|wallet| wallet.payments).sum::<u64>() + vaults;
    let stake = wallets().map(|wallet| wallet.stake).sum::<u64>() + model.stake_vault();
    same!(program.supplies(), (payments, stake), "the supplies of payments and stake");
    same!(program.stake_vault(), model.stake_vault(), "the stake vault");
    let expected = &model.market;
    let Some(found) = program.market() else {
        same!(true, expected.is_closed, "the market is closed");
        return Ok(());
    };
    same!(false, expected.is_closed, "the market is closed");
    same!(found.paused, expected.paused, "paused");
    same!(found.authority, program.key(expected.authority), "authority");
    same!(found.pending_authority, expected.offered_to.map(|who| program.key(who)), "pending authority");
    same!(found.next_board, expected.next_board, "next board");
    same!(found.boards as usize, model.boards.len(), "boards");
    same!(found.members as usize, model.suppliers.len() + model.keepers.len(), "members");
    same!(found.params, expected.params.clone(), "parameters");
    let pending = found.pending_params.map(|pending| (pending.params, pending.effective_at));
    same!(pending, expected.pending.clone(), "pending parameters");
    Ok(())
}

fn stake(found: &StakeLedger, expected: &Stake, name: String) -> Compared {
    same!((found.free, found.unbonding), (expected.free, expected.unbonding), "{name}'s stake");
    same!(found.unbonding_until, expected.unbonding_until, "when {name}'s stake is free");
    Ok(())
}

fn supplier(model: &Model, program: &impl Program, who: Who) -> Compared {
    let found = program.supplier(who);
    let expected = model.suppliers.get(&who);
    same!(found.is_some(), expected.is_some(), "{who:?}'s supplier account");
    let (Some(found), Some(expected)) = (found, expected) else { return Ok(()) };
    same!(found.machines as usize, model.machines_of(who), "{who:?}'s machines");
    stake(&found.stake, expected, format!("supplier {who:?}"))
}

fn keeper(model: &Model, program: &impl Program, who: Who) -> Compared {
    let found = program.keeper(who);
    let expected = model.keepers.get(&who);
    same!(found.is_some(), expected.is_some(), "{who:?}'s keeper account");
    let (Some(found), Some(expected)) = (found, expected) else { return Ok(()) };
    let seats = model.seats_of(who);
    let bonds =
        |(board, seat): &(u32, u8)| model.boards[board].seats[usize::from(*seat)].as_ref().map(|s| s.bond);
    same!(found.seats as usize, seats.len(), "{who:?}'s seats");
    same!(found.locked, seats.iter().filter_map(bonds).sum::<u64>(), "{who:?}'s bonds");
    stake(&found.stake, expected, format!("keeper {who:?}"))
}

fn compare_board(model: &Model, program: &impl Program, index: u32) -> Compared {
    let vault = program.payment_vault(index);
    let (found, expected) = (program.board(index), model.boards.get(&index));
    same!(found.is_some(), expected.is_some(), "its account");
    let (Some((header, slots)), Some(expected)) = (found, expected) else {
        same!(vault, 0, "its vault");
        return Ok(());
    };
    same!(vault, expected.payment_vault(), "its vault");
    board::compare(model, program, expected, &header, &slots)?;
    let running = model.round(index);
    same!(header.slots_at(running) as usize, expected.size_at(running), "slots to vote on");
    for ((buyer, nonce), expected) in &expected.leases {
        let id = LeaseId { board: index, buyer: *buyer, nonce: *nonce };
        let Some(found) = program.lease(id) else { return Err(format!("{id:?} is missing")) };
        lease::compare(program, &found, *nonce, expected).map_err(|error| format!("{id:?}: {error}"))?;
        let open = model.boards[&index].leased(expected.serial).count();
        same!(found.unsettled as usize, open, "{id:?}: machines that are not settled");
    }
    Ok(())
}
