//! Performs a step: chooses wallets, machines and leases of the current state, and sends the instruction.

use leasehold::{
    instructions::{Move, Offer},
    state::Endpoint,
};
use leasehold_tests::model::{Action, CAST, KEEPERS, Model, Program, SUPPLIERS, Slot, Who};

use crate::{
    picks::{self, *},
    play::Play,
    specs::{self, price},
    steps::{Holding, Step},
    voting::{attest, vote},
};

/// Maximum number of slots; on small boards, steps often choose the same machine.
const MAX_SLOTS: usize = 24;
/// Maximum number of boards at a time.
const MAX_BOARDS: usize = 3;

impl Step {
    pub fn perform(&self, play: &mut Play<impl Program>) -> Result<(), String> {
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
                params: changed(&model.market.params, &model.market.rules, *change).map(Box::new),
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
            Step::Burn { board, payments: None } => Action::BurnSlashed { board: board_of(model, *board) },
            Step::Burn { board, payments: Some(by) } => {
                let board = board_of(model, *board);
                let creator = model.boards.get(&board).map_or(authority, |state| state.creator);
                let creator = (*by < 200).then(|| someone(*by, creator));
                Action::BurnPayments { board, creator }
            }

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
            Step::Reprice { board, slots, by, price: new, rounds, bond } => {
                let board = board_of(model, *board);
                let (owner, slots) = machines(model, board, slots)?;
                let until = committed(model, board, *rounds);
                let offer = |slot: &u16| offer(model, board, *slot, *new, until, *bond);
                let offers = slots.iter().map(offer).collect();
                Action::RepriceMachines { by: someone(*by, owner), board, offers }
            }
            Step::Withhold { board, slots, by } => {
                let board = board_of(model, *board);
                let (supplier, slots) = machines(model, board, slots)?;
                Action::WithholdMachines { by: someone(*by, supplier), board, slots }
            }
            Step::Move { board, slots, by, flaw } => {
                let board = board_of(model, *board);
                let (supplier, slots) = machines(model, board, slots)?;
                let ip = if *flaw > 200 { [0; 16] } else { [flaw % 7 + 1; 16] };
                let endpoint = Endpoint { ip, port: [2; 2] };
                let moves = slots.iter().map(|slot| Move { slot: *slot, endpoint }).collect();
                Action::MoveMachines { by: someone(*by, supplier), board, moves }
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
            Step::LeaveSeat { board, seat, by, forfeit_fees } => {
                let (board, seat) = (board_of(model, *board), seat_of(model, *seat));
                let keeper = holder(model, board, seat).unwrap_or(KEEPERS[0]);
                let by = someone(*by, keeper);
                Action::LeaveSeat { by, keeper, board, seat, forfeit_fees: *forfeit_fees }
            }
            Step::FundKeepers { board, by, amount } => Action::FundKeepers {
                by: Who(by % CAST),
                board: board_of(model, *board),
                amount: u64::from(*amount) * u64::from(*amount) * 1_000,
            },
            Step::ClaimKeeperFees { board, seat, by, to } => {
                let (board, seat) = (board_of(model, *board), seat_of(model, *seat));
                let keeper = holder(model, board, seat).unwrap_or(KEEPERS[0]);
                Action::ClaimKeeperFees { by: someone(*by, keeper), board, seat, to: someone(*to, keeper) }
            }

            _ => return self.leasing(model),
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
        let mut until = committed(model, board, *rounds);
        let last = machines.last_mut()?;
        match flaw % 14 {
            _ if *flaw == 0 => {}
            12 => last.profile = Some(64),
            13 => last.bond = u64::MAX / 2,
            0 => last.traits.gpus = 0,
            1 => last.traits.flags = 2,
            2 => last.price = 0,
            3 => last.endpoint.port = [0; 2],
            4 => last.endpoint.ip = [0; 16],
            5 => last.traits.class = 9,
            6 => last.slot = Some(*flaw as u16 % 30),
            7 => drop(former.pop()),
            8 => former.push(Who(flaw % CAST)),
            9 => until = model.round(board) + 1,
            10 => machines.clear(),
            _ => last.traits.gpus = 255,
        }
        Some(Action::ListMachines { by, board, until, machines, former })
    }
}

/// New conditions of a machine. One that is leased or bound often keeps what it may not change.
fn offer(model: &Model, board: u32, slot: u16, new: u8, until: u32, bond: u8) -> Offer {
    let machine = model.boards.get(&board).and_then(|state| state.machine(slot).ok());
    let wanted = if new == 255 { 0 } else { price(new) };
    let offer = Offer { slot, price: wanted, committed_until: until, bond: specs::bond(bond) };
    let Some(machine) = machine.filter(|_| new < 200) else { return offer };
    match machine.stint {
        Some(stint) => {
            let until = until.min(machine.committed_until).max(stint.until.min(machine.committed_until));
            Offer { price: machine.price, committed_until: until, ..offer }
        }
        None if machine.is_bound(model.round(board)) => {
            Offer { price: wanted.min(machine.price), committed_until: machine.committed_until, ..offer }
        }
        None => offer,
    }
}
