//! What a step means in the state in which it is played.

use leasehold::{
    instructions::{Offer, OpenLeaseArgs},
    math::{
        matching::{Criteria, CutOff},
        slashing::SlashSplit,
    },
    state::{LeaseState, Params},
};
use leasehold_tests::model::{
    Action, BUYERS, Board, CAST, KEEPERS, Lease, LeaseId, Machine, Model, SUPPLIERS, Slot, Stake, Who,
    compare::SCORE,
};

use crate::{
    play::Play,
    steps::{Edge, Holding, Pick, Step, criteria, price},
};

/// Most slots of a board; small boards are fast, and their machines meet often.
const MAX_SLOTS: usize = 24;
/// Most boards at a time.
const MAX_BOARDS: usize = 3;

impl Step {
    pub fn perform(&self, play: &mut Play) -> Result<(), String> {
        match self {
            Step::Pass { permille } => {
                let round_secs = i64::from(play.model.market.rules.round_secs);
                play.pass_to(play.model.now + round_secs * i64::from(*permille) / 1_000);
                Ok(())
            }
            Step::Days { days } => {
                play.pass_to(play.model.now + i64::from(*days) * 86_400);
                Ok(())
            }
            Step::Edge { edge, pick, offset } => {
                if let Some(time) = moment(&play.model, *edge, *pick) {
                    play.pass_to(time + i64::from(*offset));
                }
                Ok(())
            }
            Step::ApplyParams { early } => {
                if let Some((_, effective_at)) = play.model.market.pending {
                    play.pass_to(effective_at - i64::from(*early));
                }
                play.act(Action::ApplyParams).map(drop)
            }
            Step::Attest { board, rounds, absent, down, dissent } => {
                attest(play, *board, *rounds, *absent, *down, *dissent)
            }
            _ => match self.action(&play.model) {
                Some(action) => play.act(action).map(drop),
                None => Ok(()),
            },
        }
    }

    /// The instruction; none where there is nothing for it to name, or no room.
    fn action(&self, model: &Model) -> Option<Action> {
        let authority = model.market.authority;
        // Goes on for a round or more.
        let is_open =
            |_: LeaseId, lease: &Lease| lease.state == LeaseState::Open && lease.until > model.round() + 1;
        let unsettled = |_: LeaseId, lease: &Lease| lease.state != LeaseState::Settled;
        Some(match self {
            Step::Pass { .. } | Step::Days { .. } | Step::Edge { .. } => return None,
            Step::Attest { .. } | Step::ApplyParams { .. } => return None,
            Step::Vote { board, seat, by, when, down, flaw } => {
                return vote(model, *board, *seat, *by, *when, *down, *flaw);
            }
            Step::CloseRound { board } => Action::CloseRound { board: board_of(model, *board) },

            Step::CreateMarket { by } => Action::CreateMarket { by: Who(by % CAST) },
            Step::CloseMarket { by } => {
                let is_empty =
                    model.boards.is_empty() && model.suppliers.is_empty() && model.keepers.is_empty();
                if is_empty {
                    return None; // the end of the game is not for a step to decide
                }
                Action::CloseMarket { by: someone(*by, authority) }
            }
            Step::ProposeParams { by, change } => Action::ProposeParams {
                by: someone(*by, authority),
                params: changed(&model.market.params, *change).map(Box::new),
            },
            Step::ProposeAuthority { by, to } => Action::ProposeAuthority {
                by: someone(*by, authority),
                to: (*to < 230).then_some(Who(to % CAST)),
            },
            Step::AcceptAuthority { by } => {
                Action::AcceptAuthority { by: someone(*by, model.market.offered_to.unwrap_or(authority)) }
            }
            Step::SetPaused { by, paused } => {
                Action::SetPaused { by: someone(*by, authority), paused: *paused }
            }
            Step::WithdrawFees { board, by, to } => Action::WithdrawFees {
                by: someone(*by, authority),
                board: board_of(model, *board),
                to: someone(*to, authority),
            },
            Step::WithdrawMarketStake { board, by, to } => Action::WithdrawMarketStake {
                by: someone(*by, authority),
                board: board_of(model, *board),
                to: someone(*to, authority),
            },
            Step::BurnSlashed { board } => Action::BurnSlashed { board: board_of(model, *board) },

            Step::Supplier { who, what, amount, to } => {
                let by = usually(*who, &SUPPLIERS);
                let (to, held) = (someone(*to, by), model.suppliers.get(&by));
                let amount = self::amount(*what, held, *amount);
                match what {
                    Holding::Deposit => Action::DepositStake { by, amount },
                    Holding::Request => Action::RequestUnstake { by, amount },
                    Holding::Withdraw => Action::WithdrawStake { by, to },
                    Holding::Register => Action::RegisterSupplier { by: Who(who % CAST) },
                    Holding::Close => Action::CloseSupplier { by },
                }
            }
            Step::Keeper { who, what, amount, to } => {
                let by = usually(*who, &KEEPERS);
                let (to, held) = (someone(*to, by), model.keepers.get(&by));
                let amount = self::amount(*what, held, *amount);
                match what {
                    Holding::Deposit => Action::DepositBond { by, amount },
                    Holding::Request => Action::RequestUnbond { by, amount },
                    Holding::Withdraw => Action::WithdrawBond { by, to },
                    Holding::Register => Action::RegisterKeeper { by: Who(who % CAST) },
                    Holding::Close => Action::CloseKeeper { by },
                }
            }
            Step::ReclaimRent { who } => Action::ReclaimRent { by: usually(*who, &SUPPLIERS) },
            Step::ClaimEarnings { board, supplier, by, to } => {
                let supplier = usually(*supplier, &SUPPLIERS);
                Action::ClaimEarnings {
                    by: someone(*by, supplier),
                    supplier,
                    board: board_of(model, *board),
                    to: someone(*to, supplier),
                }
            }

            Step::CreateBoard { by } => {
                if model.boards.len() >= MAX_BOARDS {
                    return None;
                }
                Action::CreateBoard { by: Who(by % CAST) }
            }
            Step::CloseBoard { board, by } => {
                let board = board_of(model, *board);
                let creator = model.boards.get(&board).map_or(authority, |state| state.creator);
                Action::CloseBoard { by: someone(*by, creator), board }
            }
            Step::List { .. } => return self.list(model),
            Step::Reprice { board, slots, by, price: new, rounds } => {
                let board = board_of(model, *board);
                let (owner, slots) = machines(model, board, slots)?;
                let until = committed(model, *rounds);
                let offer = |slot: &u16| Offer {
                    slot: *slot,
                    price: if *new == 255 { 0 } else { price(*new) },
                    committed_until: until,
                };
                let offers = slots.iter().map(offer).collect();
                Action::RepriceMachines { by: someone(*by, owner), board, offers }
            }
            Step::Retire { board, slots, by } => {
                let board = board_of(model, *board);
                let (supplier, slots) = machines(model, board, slots)?;
                Action::RetireMachines { by: someone(*by, supplier), supplier, board, slots }
            }
            Step::Trim { board, count, flaw } => {
                let board = board_of(model, *board);
                let state = model.boards.get(&board)?;
                let vacant = state.slots.iter().rev().take_while(|slot| slot.machine.is_none());
                let mut suppliers: Vec<Who> =
                    vacant.map(|slot| slot.owner).take(1 + usize::from(*count)).collect();
                if *flaw > 0 {
                    suppliers.push(Who(flaw % CAST));
                }
                Action::TrimBoard { board, suppliers }
            }

            Step::TakeSeat { board, who, seat } => {
                let board = board_of(model, *board);
                let seats = model.boards.get(&board).map_or(&[][..], |state| &state.seats);
                let vacant = seats.iter().position(Option::is_none).filter(|_| *seat < 200);
                let seat = vacant.map_or(seat_of(model, *seat), |seat| seat as u8);
                let seated = |who: &Who| seats.iter().flatten().any(|seat| seat.keeper == *who);
                let unseated: Vec<Who> = KEEPERS.into_iter().filter(|who| !seated(who)).collect();
                let by = usually(*who, if unseated.is_empty() { &KEEPERS } else { &unseated });
                Action::TakeSeat { by, board, seat }
            }
            Step::LeaveSeat { board, seat, by } => {
                let (board, seat) = (board_of(model, *board), seat_of(model, *seat));
                let keeper = holder(model, board, seat).unwrap_or(KEEPERS[0]);
                Action::LeaveSeat { by: someone(*by, keeper), keeper, board, seat }
            }
            Step::ClaimKeeperFees { board, seat, by, to } => {
                let (board, seat) = (board_of(model, *board), seat_of(model, *seat));
                let keeper = holder(model, board, seat).unwrap_or(KEEPERS[0]);
                Action::ClaimKeeperFees { by: someone(*by, keeper), board, seat, to: someone(*to, keeper) }
            }

            Step::Open { board, buyer, machines, rounds, criteria: wanted, limit, hint, flaw } => {
                let board = board_of(model, *board);
                let criteria = criteria(*wanted);
                let (machines, rounds) = (u32::from(*machines), rounds_of(model, *rounds));
                let quote = model.quote(board, &criteria, machines, rounds);
                let deposit = quote.as_ref().map_or(0, |(_, deposit)| *deposit);
                let last = quote.and_then(|(slots, _)| slots.last().copied());
                let by = usually(*buyer, &BUYERS);
                let mut open = open(model, board, by, machines, rounds);
                if let Action::OpenLease { args, .. } = &mut open {
                    args.criteria = criteria;
                    args.max_deposit = self::limit(deposit, *limit);
                    args.cluster = (*limit % 3 == 1).then_some(7);
                    args.hint = self::hint(model, board, last, *hint);
                    match flaw % 5 {
                        _ if *flaw == 0 => {}
                        0 => args.serial += 1,
                        1 => args.serial = args.serial.saturating_sub(1),
                        2 => args.machines = 0,
                        3 => args.machines = 100,
                        _ => args.rounds = u32::from(*flaw) * 100,
                    }
                }
                open
            }
            Step::Extend { lease, by, rounds, limit } => {
                let (id, owner) = lease_of(model, *lease, is_open);
                let rounds = u32::from(*rounds) / 2;
                let max_deposit = self::limit(model.extension(id, rounds), *limit);
                Action::ExtendLease { by: someone(*by, owner), lease: id, rounds, max_deposit }
            }
            Step::Cancel { lease, by } => {
                let (id, owner) = lease_of(model, *lease, is_open);
                Action::CancelLease { by: someone(*by, owner), lease: id }
            }
            Step::Transfer { lease, by, to } => {
                let (id, owner) = lease_of(model, *lease, |_, _| true);
                Action::TransferLease { by: someone(*by, owner), lease: id, to: Who(to % CAST) }
            }
            Step::Replace { lease, by, slot, limit, hint } => {
                let (id, owner) = lease_of(model, *lease, |id, lease| {
                    is_open(id, lease) && !in_trouble(model, id).is_empty()
                });
                let slot = troubled(model, id, *slot);
                let max_deposit = if *limit < 200 { u64::MAX } else { u64::from(limit % 4) * 1_000 };
                let wanted = model.lease(id).ok().map(|lease| (lease.criteria, lease.until));
                let chosen = wanted.and_then(|(criteria, until)| first(model, id.board, &criteria, until));
                let hint = self::hint(model, id.board, chosen, *hint);
                Action::ReplaceNode { by: someone(*by, owner), lease: id, slot, max_deposit, hint }
            }
            Step::Settle { lease, by, as_keeper } => {
                let by = Who(by % CAST);
                let keeper = match as_keeper {
                    0..120 => None,
                    120..230 => model.keepers.contains_key(&by).then_some(by),
                    _ => Some(Who(as_keeper % CAST)),
                };
                Action::SettleLease { by, lease: lease_of(model, *lease, unsettled).0, keeper }
            }
            Step::ClaimRefund { lease, by, to } => {
                let (id, owner) = lease_of(model, *lease, |_, lease| lease.refund_due > 0);
                Action::ClaimRefund { by: someone(*by, owner), lease: id, to: someone(*to, owner) }
            }
            Step::ClaimCompensation { lease, by, to } => {
                let (id, owner) = lease_of(model, *lease, |_, lease| lease.compensation_due > 0);
                Action::ClaimCompensation { by: someone(*by, owner), lease: id, to: someone(*to, owner) }
            }
            Step::CloseLease { lease, buyer } => {
                let (id, _) = lease_of(model, *lease, |_, lease| {
                    lease.state == LeaseState::Settled && lease.refund_due + lease.compensation_due == 0
                });
                let opened_by = model.lease(id).map_or(BUYERS[0], |lease| lease.buyer);
                Action::CloseLease { lease: id, buyer: someone(*buyer, opened_by) }
            }
        })
    }

    fn list(&self, model: &Model) -> Option<Action> {
        let Step::List { board, supplier, sheets, reuse, rounds, flaw } = self else { return None };
        let by = usually(*supplier, &SUPPLIERS);
        let board = board_of(model, *board);
        let slots = model.boards.get(&board).map_or(&[][..], |state| &state.slots);
        if slots.len() + sheets.len() > MAX_SLOTS {
            return None;
        }
        let mut vacant = (0u16..).zip(slots).filter(|(_, slot)| slot.machine.is_none());
        let mut former = vec![];
        let mut machines = vec![];
        for sheet in sheets {
            let place = vacant.next().filter(|_| *reuse);
            if let Some((_, Slot { owner, .. })) = place
                && *owner != by
            {
                former.push(*owner);
            }
            machines.push(sheet.machine(place.map(|(index, _)| index)));
        }
        let mut until = committed(model, *rounds);
        let last = machines.last_mut()?;
        match flaw % 12 {
            _ if *flaw == 0 => {}
            0 => last.traits.gpus = 0,
            1 => last.traits.flags = 1,
            2 => last.price = 0,
            3 => last.endpoint.port = [0; 2],
            4 => last.endpoint.ip = [0; 16],
            5 => last.traits.class = 9,
            6 => last.slot = Some(*flaw as u16 % 30),
            7 => drop(former.pop()),
            8 => former.push(Who(flaw % CAST)),
            9 => until = model.round() + 1,
            10 => machines.clear(),
            _ => last.traits.gpus = 255,
        }
        Some(Action::ListMachines { by, board, until, machines, former })
    }
}

/// Whoever should, or one of the cast.
fn someone(pick: Pick, right: Who) -> Who {
    if pick == 0 { right } else { Who(pick % CAST) }
}

/// One of those who usually do it, seldom somebody else.
fn usually(pick: Pick, usual: &[Who]) -> Who {
    if pick < 240 { usual[usize::from(pick) % usual.len()] } else { Who(pick % CAST) }
}

/// A board that exists, the first more often; seldom one that doesn't.
fn board_of(model: &Model, pick: Pick) -> u32 {
    let boards: Vec<u32> = model.boards.keys().copied().collect();
    match pick {
        _ if boards.is_empty() => 0,
        250.. => model.market.next_board,
        0..140 => boards[0],
        _ => boards[usize::from(pick) % boards.len()],
    }
}

/// A seat of a board; seldom one that there isn't.
fn seat_of(model: &Model, pick: Pick) -> u8 {
    pick % (model.market.rules.seats + u8::from(pick > 230))
}

fn holder(model: &Model, board: u32, seat: u8) -> Option<Who> {
    let seat = model.boards.get(&board)?.seats.get(usize::from(seat))?.as_ref()?;
    Some(seat.keeper)
}

/// A lease, and its owner: mostly one for which `wanted` holds, if there is one, seldom one that doesn't exist.
fn lease_of(model: &Model, pick: Pick, wanted: impl Fn(LeaseId, &Lease) -> bool) -> (LeaseId, Who) {
    let lease = |id: &LeaseId| model.lease(*id).expect("exists");
    let mut leases = model.leases();
    if pick < 200 && leases.iter().any(|id| wanted(*id, lease(id))) {
        leases.retain(|id| wanted(*id, lease(id)));
    }
    if leases.is_empty() || pick >= 252 {
        return (LeaseId { board: 0, serial: 1_000 }, BUYERS[0]);
    }
    let id = leases[usize::from(pick) % leases.len()];
    (id, lease(&id).owner)
}

/// A lease of anything, for whatever it costs.
pub fn open(model: &Model, board: u32, by: Who, machines: u32, rounds: u32) -> Action {
    let args = OpenLeaseArgs {
        serial: u64::from(model.boards.get(&board).map_or(1, |state| state.next_serial)),
        criteria: criteria(0),
        machines,
        rounds,
        max_deposit: u64::MAX,
        cluster: None,
        hint: None,
    };
    Action::OpenLease { by, board, args: Box::new(args) }
}

/// Rounds that the market allows, mostly few.
fn rounds_of(model: &Model, rounds: u8) -> u32 {
    let (least, most) = (model.market.params.min_rounds, model.market.params.max_rounds);
    let rounds = if rounds < 240 { u32::from(rounds) } else { u32::from(rounds) * 16 };
    rounds.clamp(least, most)
}

/// Slots of machines, all of one supplier but seldom one; and that supplier.
fn machines(model: &Model, board: u32, picks: &[Pick]) -> Option<(Who, Vec<u16>)> {
    let state = model.boards.get(&board)?;
    let all: Vec<(u16, Who)> = state.machines().map(|(index, slot, _)| (index, slot.owner)).collect();
    let owner = all.get(usize::from(*picks.first()?) % all.len().max(1))?.1;
    let theirs: Vec<u16> = all.iter().filter(|(_, of)| *of == owner).map(|(index, _)| *index).collect();
    let mut slots: Vec<u16> = vec![];
    for pick in picks {
        // Seldom any slot at all, or none that there is.
        let slot = if *pick < 245 { theirs[usize::from(*pick) % theirs.len()] } else { u16::from(pick % 30) };
        if !slots.contains(&slot) {
            slots.push(slot);
        }
    }
    Some((owner, slots))
}

/// Machines of a lease that can be replaced.
fn in_trouble(model: &Model, id: LeaseId) -> Vec<u16> {
    let Some(board) = model.boards.get(&id.board) else { return vec![] };
    let last = board.next_round.saturating_sub(1);
    let is_down = |machine: &Machine| machine.verdicts.get(&last) == Some(&false);
    let machines =
        board.leased(id.serial).filter(|(_, machine, _)| machine.is_forfeited() || is_down(machine));
    machines.map(|(index, _, _)| index).collect()
}

/// A machine of a lease, one that can be replaced if there is one; seldom any slot.
fn troubled(model: &Model, id: LeaseId, pick: Pick) -> u16 {
    let mut slots = in_trouble(model, id);
    if slots.is_empty() || pick > 230 {
        let board = model.boards.get(&id.board);
        slots = board.map_or(vec![], |board| board.leased(id.serial).map(|(index, _, _)| index).collect());
    }
    let any = u16::from(pick % 30);
    if pick > 245 { any } else { slots.get(usize::from(pick) % slots.len().max(1)).copied().unwrap_or(any) }
}

fn first(model: &Model, board: u32, criteria: &Criteria, until: u32) -> Option<u16> {
    let chosen: Option<Vec<u16>> =
        model.boards.get(&board).and_then(|board: &Board| board.choose(criteria, until, 1));
    chosen.and_then(|slots| slots.first().copied())
}

/// First round a commitment doesn't cover.
fn committed(model: &Model, rounds: u8) -> u32 {
    // A few are as short as can be, or too short; most are long.
    let rounds = match rounds {
        0..15 => u32::from(rounds / 5),
        15..60 => u32::from(rounds),
        _ => u32::from(rounds) * 100,
    };
    model.round() + 1 + rounds
}

/// Nothing, a part of what there is, all of it, or more.
fn amount(what: Holding, held: Option<&Stake>, pick: Pick) -> u64 {
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

/// Most that a buyer pays: anything, exactly what it costs, or a unit less.
fn limit(cost: u128, pick: Pick) -> u64 {
    let cost = u64::try_from(cost).unwrap_or(u64::MAX);
    match pick {
        0..150 => u64::MAX,
        150..230 => cost,
        _ => cost.saturating_sub(1),
    }
}

/// No hint, the right one, or a wrong one: none changes anything.
fn hint(model: &Model, board: u32, last: Option<u16>, pick: Pick) -> Option<CutOff> {
    let slot = model.boards.get(&board)?.slots.get(usize::from(last?))?;
    let price = slot.machine.as_ref()?.price;
    match pick {
        0..60 => None,
        60..180 => Some(CutOff { price, score: SCORE }),
        180..220 => Some(CutOff { price: price.wrapping_add(1), score: SCORE }),
        _ => Some(CutOff { price, score: u16::from(pick) * 40 }),
    }
}

/// Parameters to propose, some of which no market may have; none takes a proposal back.
fn changed(params: &Params, pick: Pick) -> Option<Params> {
    let mut params = params.clone();
    let amount = u64::from(pick);
    match pick % 16 {
        0 => return None,
        1 => params.bond_unit = amount * 1_000_000_000,
        2 => params.keeper_bond = amount * 1_000_000_000,
        3 => params.keeper_fee = amount * 100,
        4 => params.unbonding_secs = u32::from(pick) * 10_000,
        5 => (params.min_rounds, params.max_rounds) = (1 + u32::from(pick % 3), 2 + u32::from(pick)),
        6 => params.fee_bps = u16::from(pick) * 11,
        7 => params.keeper_share_bps = u16::from(pick) * 39,
        8 => params.sla_bps = u16::from(pick) * 39,
        9 => params.slash_multiplier_bps = u32::from(pick) * 300,
        10 => {
            params.split =
                SlashSplit { buyer_bps: 2_500, burn_bps: 2_500, market_bps: 2_500, caller_bps: 2_500 };
        }
        11 => params.classes.push(params.classes[0]),
        12 => params.classes[1].weight_bps = u32::from(pick) * 100,
        13 => drop(params.classes.pop()),
        14 => params.fee_bps = 3_001,
        _ => params.split.burn_bps += 1,
    }
    Some(params)
}

/// Unix time of the next change of that kind.
fn moment(model: &Model, edge: Edge, pick: Pick) -> Option<i64> {
    let rules = &model.market.rules;
    let select = |times: Vec<i64>| times.get(usize::from(pick) % times.len().max(1)).copied();
    let boards = || model.boards.values();
    match edge {
        Edge::RoundEnds => Some(model.round_end(model.round())),
        Edge::VotingEnds => {
            let end = |round: u32| model.round_end(round) + i64::from(rules.submit_secs);
            let running = model.round();
            [running.saturating_sub(1), running].into_iter().map(end).find(|end| *end + 1 >= model.now)
        }
        Edge::LeaseEnds => {
            let leases = model.leases();
            let untils = leases.iter().filter_map(|id| Some(model.lease(*id).ok()?.until));
            // Not so far that nothing else can happen.
            let soon = untils.filter(|until| *until <= model.round() + 50);
            select(soon.map(|until| model.round_end(until.saturating_sub(1))).collect())
        }
        Edge::StakeIsFree => {
            let stakes = model.suppliers.values().chain(model.keepers.values());
            select(stakes.filter(|stake| stake.unbonding > 0).map(|stake| stake.unbonding_until).collect())
        }
        Edge::TimelockEnds => model.market.pending.as_ref().map(|(_, effective_at)| *effective_at),
        Edge::SeatIsIdle => {
            let seats = boards().flat_map(|board| board.seats.iter().flatten());
            select(seats.map(|seat| model.round_end(seat.last_round) + 86_400).collect())
        }
        Edge::MachineIsEvictable => {
            let machines = boards().flat_map(|board| board.machines().map(|(_, _, machine)| machine));
            let over = |machine: &Machine| i64::from(machine.committed_until) * i64::from(rules.round_secs);
            select(machines.map(|machine| over(machine) + 30 * 86_400).collect())
        }
    }
}

fn bitmap(machines: usize, is_up: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut bytes = vec![0; machines.div_ceil(8)];
    for machine in (0..machines).filter(|machine| is_up(*machine)) {
        bytes[machine / 8] |= 1 << (machine % 8);
    }
    bytes
}

fn vote(
    model: &Model,
    board: Pick,
    seat: Pick,
    by: Pick,
    when: Pick,
    down: u32,
    flaw: Pick,
) -> Option<Action> {
    let (board, seat) = (board_of(model, board), seat_of(model, seat));
    let keeper = holder(model, board, seat).unwrap_or(KEEPERS[0]);
    let round = match when {
        0 => model.round() - 1,
        1..80 => model.round(),
        _ => model.round() - 2,
    };
    let machines = model.boards.get(&board).map_or(0, |state| state.size_at(model.round()));
    let mut bitmap = bitmap(machines, |machine| down >> (machine % 32) & 1 == 0);
    match flaw % 3 {
        _ if flaw == 0 => {}
        0 => drop(bitmap.pop()),
        1 => bitmap.push(0),
        _ => {
            if let Some(last) = bitmap.last_mut() {
                *last |= 0x80;
            }
        }
    }
    Some(Action::SubmitRound { by: someone(by, keeper), board, seat, round, bitmap })
}

/// Rounds pass in which everything happens as it should, as far as enough keepers are there.
fn attest(
    play: &mut Play,
    board: Pick,
    rounds: u8,
    absent: u8,
    down: u32,
    dissent: u8,
) -> Result<(), String> {
    let board = board_of(&play.model, board);
    for _ in 0..rounds {
        let Some(state) = play.model.boards.get(&board) else { return Ok(()) };
        let seats = state.seats.clone();
        play.pass_to(play.model.round_end(play.model.round()));
        if play.model.boards[&board].voting.is_some() {
            // A vote on an earlier round is in the way.
            play.act(Action::CloseRound { board })?.ok();
        }
        let (round, size) = (play.model.round() - 1, play.model.boards[&board].size_at(play.model.round()));
        for (seat, held) in (0u8..).zip(seats) {
            let Some(held) = held.filter(|_| absent >> seat & 1 == 0) else { continue };
            let inverts = dissent >> seat & 1 == 1;
            let bitmap = bitmap(size, |machine| (down >> (machine % 32) & 1 == 0) != inverts);
            play.act(Action::SubmitRound { by: held.keeper, board, seat, round, bitmap })?.ok();
        }
        if absent > 0 {
            let end = play.model.round_end(round) + i64::from(play.model.market.rules.submit_secs) + 1;
            play.pass_to(end);
        }
        play.act(Action::CloseRound { board })?.ok();
    }
    Ok(())
}
