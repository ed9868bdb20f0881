//! Translates the numbers of a step into wallets, boards, leases and machines of the current state.

use leasehold::{
    instructions::OpenLeaseArgs,
    math::matching::CutOff,
    state::{Params, RoundRules},
};
use leasehold_tests::model::{
    Action, BUYERS, Board, CAST, Lease, LeaseId, Machine, Model, Stake, Who, compare::SCORE, naive,
};
use solana_pubkey::Pubkey;

use crate::{
    specs::criteria,
    steps::{Edge, Holding, Pick},
};

/// The rightful wallet, or any other.
pub fn someone(pick: Pick, right: Who) -> Who {
    if pick == 0 { right } else { Who(pick % CAST) }
}

/// One of the usual wallets, rarely another.
pub fn usually(pick: Pick, usual: &[Who]) -> Who {
    if pick < 240 { usual[usize::from(pick) % usual.len()] } else { Who(pick % CAST) }
}

/// An existing board, mostly the first; rarely one that does not exist.
pub fn board_of(model: &Model, pick: Pick) -> u32 {
    let boards: Vec<u32> = model.boards.keys().copied().collect();
    match pick {
        _ if boards.is_empty() => 0,
        250.. => model.market.next_board,
        0..140 => boards[0],
        _ => boards[usize::from(pick) % boards.len()],
    }
}

/// A seat of a board; rarely one that does not exist.
pub fn seat_of(model: &Model, pick: Pick) -> u8 {
    pick % (model.market.rules.seats + u8::from(pick > 230))
}

pub fn holder(model: &Model, board: u32, seat: u8) -> Option<Who> {
    let seat = model.boards.get(&board)?.seats.get(usize::from(seat))?.as_ref()?;
    Some(seat.keeper)
}

/// A lease and its owner: mostly one that `wanted` accepts, if there is one; rarely one that does not exist.
pub fn lease_of(model: &Model, pick: Pick, wanted: impl Fn(LeaseId, &Lease) -> bool) -> (LeaseId, Who) {
    let lease = |id: &LeaseId| model.lease(*id).expect("exists");
    let mut leases = model.leases();
    if pick < 200 && leases.iter().any(|id| wanted(*id, lease(id))) {
        leases.retain(|id| wanted(*id, lease(id)));
    }
    if leases.is_empty() || pick >= 252 {
        return (LeaseId { board: 0, buyer: BUYERS[0], nonce: 1_000 }, BUYERS[0]);
    }
    let id = leases[usize::from(pick) % leases.len()];
    (id, lease(&id).owner)
}

/// Arguments of a lease of any machines at any price, with the lowest nonce that is free, so that addresses come back.
pub fn args(model: &Model, board: u32, by: Who, gpus: u32, rounds: u32) -> OpenLeaseArgs {
    let taken = |nonce: &u64| model.lease(LeaseId { board, buyer: by, nonce: *nonce }).is_ok();
    bare((0..).find(|nonce| !taken(nonce)).expect("few are taken"), gpus, rounds)
}

/// Arguments of a lease of any machines that were seen up, at any price.
pub fn bare(nonce: u64, gpus: u32, rounds: u32) -> OpenLeaseArgs {
    OpenLeaseArgs {
        nonce,
        owner: Pubkey::default(),
        criteria: criteria(0),
        gpus,
        rounds,
        max_deposit: u64::MAX,
        group: None,
        hint: None,
        meter: None,
        avoid: vec![],
        access: None,
    }
}

pub fn open(model: &Model, board: u32, by: Who, gpus: u32, rounds: u32) -> Action {
    Action::OpenLease { by, owner: by, board, args: Box::new(args(model, board, by, gpus, rounds)) }
}

/// No slots to avoid, a few, or too many.
pub fn avoid(pick: Pick) -> Vec<u16> {
    match pick {
        0 => vec![],
        250.. => (0..17).collect(),
        _ => vec![u16::from(pick % 8), u16::from(pick % 24), u16::from(pick)],
    }
}

/// A number of rounds that the market allows, mostly small.
pub fn rounds_of(model: &Model, rounds: u8) -> u32 {
    let (least, most) = (model.market.params.min_rounds, model.market.params.max_rounds);
    let rounds = if rounds < 240 { u32::from(rounds) } else { u32::from(rounds) * 16 };
    rounds.clamp(least, most)
}

/// A supplier and slots, mostly of that supplier.
pub fn machines(model: &Model, board: u32, picks: &[Pick]) -> Option<(Who, Vec<u16>)> {
    let state = model.boards.get(&board)?;
    let all: Vec<(u16, Who)> = state.machines().map(|(index, slot, _)| (index, slot.owner)).collect();
    let owner = all.get(usize::from(*picks.first()?) % all.len().max(1))?.1;
    let theirs: Vec<u16> = all.iter().filter(|(_, of)| *of == owner).map(|(index, _)| *index).collect();
    let mut slots: Vec<u16> = vec![];
    for pick in picks {
        // Rarely any slot, even one that does not exist.
        let slot = if *pick < 245 { theirs[usize::from(*pick) % theirs.len()] } else { u16::from(pick % 30) };
        if !slots.contains(&slot) {
            slots.push(slot);
        }
    }
    Some((owner, slots))
}

/// The given machines that serve a lease; all of them if no machine does.
pub fn serving(model: &Model, board: u32, slots: Vec<u16>) -> Vec<u16> {
    let machines = model.boards.get(&board).into_iter().flat_map(Board::machines);
    let round = model.round(board);
    let running = |machine: &Machine| machine.stint.is_some_and(|stint| round < stint.until);
    let all: Vec<u16> = machines
        .filter(|(_, _, machine)| running(machine) && !machine.suspended)
        .map(|(index, _, _)| index)
        .collect();
    let serving: Vec<u16> = slots.iter().copied().filter(|slot| all.contains(slot)).collect();
    if serving.is_empty() { slots } else { serving }
}

/// Machines that serve a lease, those that were down lately or broke their promise twice.
pub fn replaceable(model: &Model, id: LeaseId) -> Vec<u16> {
    let (Ok(lease), Some(board)) = (model.lease(id), model.boards.get(&id.board)) else { return vec![] };
    let last = board.next_round.saturating_sub(1);
    let mut slots: Vec<u16> = board.serving(lease.serial).map(|(index, _, _)| index).collect();
    let is_bad = |machine: &Machine| machine.has_broken_promise() || machine.count(last, last + 1).down > 0;
    slots.extend(
        board.serving(lease.serial).filter(|(_, machine, _)| is_bad(machine)).map(|(index, _, _)| index),
    );
    slots
}

/// A machine of a lease; rarely any slot.
pub fn one_to_replace(model: &Model, id: LeaseId, pick: Pick) -> u16 {
    let slots = replaceable(model, id);
    let any = u16::from(pick % 30);
    if pick > 245 { any } else { slots.get(usize::from(pick) % slots.len().max(1)).copied().unwrap_or(any) }
}

/// The slot of a lease's machine, however it serves.
pub fn slot_of(model: &Model, id: LeaseId) -> Option<u16> {
    let serial = model.lease(id).ok()?.serial;
    model.boards[&id.board].leased(serial).map(|(index, _, _)| index).next()
}

/// End of a commitment, exclusive.
pub fn committed(model: &Model, board: u32, rounds: u8) -> u32 {
    // A few are as short as allowed or too short; most are long, and a few too long.
    let rounds = match rounds {
        0..15 => u32::from(rounds / 5),
        15..60 => u32::from(rounds),
        60..250 => u32::from(rounds) * (model.longest_commitment() / 250),
        _ => model.longest_commitment() + u32::from(rounds) - 252,
    };
    model.round(board) + 1 + rounds
}

/// Zero, half of the available stake, all of it, or more.
pub fn amount(what: Holding, held: Option<&Stake>, pick: Pick) -> u64 {
    let free = match what {
        Holding::Deposit => 2_000_000_000_000,
        _ => held.map_or(1, |stake| stake.free),
    };
    match pick {
        0..150 => free / 2,
        150..220 => free,
        220..235 => 0,
        235..250 => free.saturating_add(1),
        _ => u64::MAX,
    }
}

/// Maximum deposit: unlimited, exactly the price, or one unit less.
pub fn limit(cost: u128, pick: Pick) -> u64 {
    let cost = u64::try_from(cost).unwrap_or(u64::MAX);
    match pick {
        0..150 => u64::MAX,
        150..230 => cost,
        _ => cost.saturating_sub(1),
    }
}

/// No hint, the right one, or a wrong one. A hint never changes the outcome.
pub fn hint(model: &Model, board: u32, last: Option<u16>, pick: Pick) -> Option<CutOff> {
    let slot = last?;
    let price = model.boards.get(&board)?.machine(slot).ok()?.price;
    match pick {
        0..60 => None,
        60..180 => Some(CutOff { price, score: SCORE, slot }),
        180..220 => Some(CutOff { price: price.wrapping_add(1), score: SCORE, slot }),
        _ => Some(CutOff { price, score: u16::from(pick) * 40, slot: u16::from(pick) }),
    }
}

/// Parameters to propose, some of them unlawful. `None` withdraws the proposal.
pub fn changed(params: &Params, rules: &RoundRules, pick: Pick) -> Option<Params> {
    let mut params = params.clone();
    let amount = u64::from(pick);
    match pick % 18 {
        0 => return None,
        1 => params.bond_unit = amount * 1_000_000_000,
        2 => params.keeper_bond = amount * 1_000_000_000,
        3 => (params.keeper_fee, params.keeper_fee_max) = (amount * 100, 9_000),
        4 => params.unbonding_secs = u32::from(pick) * 10_000,
        5 => (params.min_rounds, params.max_rounds) = (1 + u32::from(pick % 3), 2 + u32::from(pick)),
        6 => params.fee_bps = u16::from(pick) * 11,
        7 => params.keeper_share_bps = u16::from(pick) * 39,
        8 => params.hold_bps = u16::from(pick) * 20,
        9 => params.slash_multiplier_bps = u32::from(pick) * 300,
        10 => params.standby_bps = u16::from(pick) * 40,
        11 => params.classes.push(params.classes[0]),
        12 => params.classes[1].weight_bps = u32::from(pick) * 100,
        13 => drop(params.classes.pop()),
        14 => params.up_votes = pick / 18 % (rules.seats + 1),
        15 => params.classes[0].name[0] ^= pick & 1,
        16 => params.ask_fee = amount * 1_000,
        _ => params.max_rounds = u32::MAX / u32::from(pick.max(1)),
    }
    Some(params)
}

/// Unix time of an event of that kind. `None` if no such event is to come.
pub fn moment(model: &Model, edge: Edge, pick: Pick) -> Option<i64> {
    let rules = &model.market.rules;
    let select = |times: Vec<i64>| times.get(usize::from(pick) % times.len().max(1)).copied();
    let board = board_of(model, pick);
    let running = model.round(board);
    let machines = || {
        let on = |(index, board): (&u32, &'_ Board)| {
            let index = *index;
            board.machines().map(|(_, _, machine)| (index, machine.clone())).collect::<Vec<_>>()
        };
        model.boards.iter().flat_map(on).collect::<Vec<_>>()
    };
    let ends = || {
        let until = |id: &LeaseId| Some((id.board, model.lease(*id).ok()?.until));
        model.leases().iter().filter_map(until).collect::<Vec<_>>()
    };
    match edge {
        Edge::RoundEnds => Some(model.round_end(board, running)),
        Edge::VotingEnds => {
            let end = |round: u32| model.submit_end(board, round);
            [running.saturating_sub(1), running].into_iter().map(end).find(|end| *end + 1 >= model.now)
        }
        Edge::LeaseEnds => {
            // Soon enough that other things can still happen after it.
            let soon = ends().into_iter().filter(|(board, until)| *until <= model.round(*board) + 50);
            select(soon.map(|(board, until)| model.round_begin(board, until)).collect())
        }
        Edge::DisputesEnd => {
            let soon = ends().into_iter().filter(|(board, until)| *until <= model.round(*board));
            let rounds = naive::rounds_in(rules.round_secs, naive::DAY);
            select(soon.map(|(board, until)| model.round_begin(board, until + rounds)).collect())
        }
        Edge::StakeIsFree => {
            let stakes = model.suppliers.values().chain(model.keepers.values());
            select(stakes.filter(|stake| stake.unbonding > 0).map(|stake| stake.unbonding_until).collect())
        }
        Edge::TimelockEnds => model.market.pending.as_ref().map(|(_, effective_at)| *effective_at),
        Edge::SeatIsIdle => {
            let seats = model
                .boards
                .iter()
                .flat_map(|(index, board)| board.seats.iter().flatten().map(|seat| (*index, seat.clone())));
            let idle = |(board, seat)| match pick % 4 {
                0 => model.lost_from(board, &seat),
                _ => model.idle_from(board, &seat),
            };
            select(seats.map(idle).collect())
        }
        Edge::BoundEnds => {
            let bound = machines().into_iter().filter(|(_, machine)| machine.bound.is_some());
            select(bound.map(|(board, machine)| model.round_begin(board, machine.committed_until)).collect())
        }
        Edge::MachineIsEvictable => {
            let over = |(board, machine): (u32, Machine)| model.round_begin(board, machine.committed_until);
            select(machines().into_iter().map(|machine| over(machine) + 30 * 86_400).collect())
        }
    }
}
