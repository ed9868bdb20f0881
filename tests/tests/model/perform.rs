//! Performs a step: chooses wallets, machines and leases of the current state, and sends the instruction.

use leasehold::{instructions::Offer, state::LeaseState};
use leasehold_tests::model::{Action, BUYERS, CAST, KEEPERS, Lease, LeaseId, Model, SUPPLIERS, Slot, Who};

use crate::{
    picks::{self, *},
    play::Play,
    steps::{Holding, Step, criteria, price},
    voting::{attest, vote},
};

/// Maximum number of slots; on small boards, steps often choose the same machine.
const MAX_SLOTS: usize = 24;
/// Maximum number of boards at a time.
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

    /// The instruction. `None` if there is nothing that it could name, or no room.
    fn action(&self, model: &Model) -> Option<Action> {
        let authority = model.market.authority;
        // Open, and not in its last round.
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
                    return None; // only `drain` closes the market
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
                let amount = picks::amount(*what, held, *amount);
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
                let amount = picks::amount(*what, held, *amount);
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
            Step::Forfeit { board, slots, by } => {
                let board = board_of(model, *board);
                let (supplier, slots) = machines(model, board, slots)?;
                let slots = serving(model, board, slots);
                Action::ForfeitMachines { by: someone(*by, supplier), board, slots }
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
                    args.max_deposit = picks::limit(deposit, *limit);
                    args.group = (*limit % 3 == 1).then_some(7);
                    args.hint = picks::hint(model, board, last, *hint);
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
                let max_deposit = picks::limit(model.extension(id, rounds), *limit);
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
                    is_open(id, lease) && !replaceable(model, id).is_empty()
                });
                let slot = one_to_replace(model, id, *slot);
                let max_deposit = if *limit < 200 { u64::MAX } else { u64::from(limit % 4) * 1_000 };
                let wanted = model.lease(id).ok().map(|lease| (lease.criteria, lease.until));
                let chosen = wanted.and_then(|(criteria, until)| first(model, id.board, &criteria, until));
                let hint = picks::hint(model, id.board, chosen, *hint);
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
        let Step::List { board, supplier, specs, reuse, rounds, flaw } = self else { return None };
        let by = usually(*supplier, &SUPPLIERS);
        let board = board_of(model, *board);
        let slots = model.boards.get(&board).map_or(&[][..], |state| &state.slots);
        if slots.len() + specs.len() > MAX_SLOTS {
            return None;
        }
        let mut vacant = (0u16..).zip(slots).filter(|(_, slot)| slot.machine.is_none());
        let mut former = vec![];
        let mut machines = vec![];
        for spec in specs {
            let place = vacant.next().filter(|_| *reuse);
            if let Some((_, Slot { owner, .. })) = place
                && *owner != by
            {
                former.push(*owner);
            }
            machines.push(spec.machine(place.map(|(index, _)| index)));
        }
        let mut until = committed(model, *rounds);
        let last = machines.last_mut()?;
        match flaw % 12 {
            _ if *flaw == 0 => {}
            0 => last.traits.gpus = 0,
            1 => last.traits.flags = 2,
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
