//! Leases: opening, changing, settling, claiming, closing.

use leasehold::{
    constants::DISPUTE_ROUNDS,
    error::LeaseholdError::*,
    instructions::OpenLeaseArgs,
    math::{matching::Criteria, slashing::SlashSplit},
    state::LeaseState,
};

use super::{
    Board, LeaseId, Machine, Model, Outcome, Refusal, Rules, Stint, Who, market::claim, naive, require,
};

/// A lease, with its copy of the market's parameters.
#[derive(Clone, Debug)]
pub struct Lease {
    pub state: LeaseState,
    pub buyer: Who,
    pub owner: Who,
    pub criteria: Criteria,
    pub group: Option<u64>,
    pub machines: u32,
    pub from: u32,
    pub until: u32,
    /// Rounds agreed on.
    pub rounds: u32,
    pub round_secs: u32,
    pub cancel_secs: u32,
    pub fee_bps: u16,
    pub keeper_share_bps: u16,
    pub sla_bps: u16,
    pub slash_multiplier_bps: u32,
    pub split: SlashSplit,
    pub deposit: u64,
    pub paid: u64,
    pub fees: u64,
    pub refunded: u64,
    pub refund_due: u64,
    pub slashed: u64,
    pub compensation_due: u64,
}

/// Payment, fee and slash of a machine, or of a whole lease.
#[derive(Clone, Copy, Default)]
struct Pay {
    net: u64,
    fee: u64,
    slash: u64,
}

impl Lease {
    pub fn remaining(&self) -> u64 {
        self.deposit - self.paid - self.fees - self.refunded
    }

    pub(super) fn secs(&self, rounds: u32) -> u128 {
        u128::from(self.round_secs) * u128::from(rounds)
    }

    /// Rounds that a machine promised to serve: all that were agreed on, from its first on.
    fn promised(&self, stint: &Stint) -> u32 {
        self.from + self.rounds - stint.from
    }

    /// Payment units that a machine is owed in all in mid-term.
    fn owed_so_far(&self, machine: &Machine, stint: &Stint) -> u128 {
        let (up, _) = machine.count(stint.from, stint.until);
        naive::cost_floor(machine.price, self.secs(up))
    }

    /// Payment units that a machine is owed in all when its stint ends before round `until`.
    fn owed_finally(&self, machine: &Machine, stint: &Stint, until: u32) -> u128 {
        let (up, down) = machine.count(stint.from, until);
        let (known, rounds) = (up + down, until - stint.from);
        let broke_promise = machine.has_broken_promise();
        let mut owed = if !broke_promise && known > 0 && 2 * known >= rounds {
            // Unknown rounds count at the machine's own ratio.
            u128::from(machine.price) * self.secs(rounds) * u128::from(up) / (3_600 * u128::from(known))
        } else {
            naive::cost_floor(machine.price, self.secs(up))
        };
        let kept = down <= naive::allowance(self.promised(stint), self.sla_bps) && !broke_promise;
        if kept && (up > 0 || rounds == 0) {
            owed += naive::cost_floor(machine.price, self.cancel_secs.into());
        }
        owed
    }

    fn slash(&self, machine: &Machine, stint: &Stint, until: u32) -> u64 {
        if machine.has_broken_promise() {
            return machine.bond;
        }
        let (_, down) = machine.count(stint.from, until);
        naive::slash(machine.bond, down, self.promised(stint), self.sla_bps, self.slash_multiplier_bps)
    }

    /// Payment due now, if `owed` is owed in all.
    fn pay(&self, machine: &Machine, stint: &Stint, owed: u128, slash: u64) -> Pay {
        let before = naive::narrow(naive::cost_floor(machine.price, self.secs(stint.settled)));
        let owed = naive::narrow(owed);
        let fee = naive::part(owed, self.fee_bps) - naive::part(before, self.fee_bps);
        Pay { net: owed - before - fee, fee, slash }
    }
}

impl Machine {
    fn begin(&mut self, serial: u32, from: u32, until: u32) {
        self.stint = Some(Stint { serial, from, until, settled: 0, abandoned: false });
    }

    /// Ends its stint, with payment and slash.
    fn leave(&mut self, pay: Pay, until: u32) {
        self.accrued += pay.net;
        self.bond -= pay.slash;
        self.suspended |= pay.slash > 0;
        let stint = self.stint.take().expect("leased");
        self.last = Some(Stint { until, ..stint });
    }
}

impl Board {
    fn machine_mut(&mut self, index: u16) -> &mut Machine {
        self.slots[usize::from(index)].machine.as_mut().expect("a machine")
    }

    /// Books the amounts that leave a lease's escrow and its machines' bonds. Returns the caller's part of the slash.
    fn book(&mut self, serial: u32, pay: Pay, caller_is_keeper: bool) -> u64 {
        let lease = self.leases.get_mut(&serial).expect("exists");
        let keepers_before = naive::part(lease.fees, lease.keeper_share_bps);
        lease.paid += pay.net;
        lease.fees += pay.fee;
        let keepers = naive::part(lease.fees, lease.keeper_share_bps) - keepers_before;
        self.keeper_pool += keepers;
        self.fees += pay.fee - keepers;
        let [buyer, burned, market, caller] = naive::split(pay.slash, &lease.split);
        lease.slashed += pay.slash;
        lease.compensation_due += buyer;
        self.market_stake += market;
        self.to_burn += burned;
        if caller_is_keeper {
            return caller;
        }
        self.to_burn += caller;
        0
    }
}

impl Model {
    pub fn lease(&self, id: LeaseId) -> Result<&Lease, Vec<Refusal>> {
        self.board(id.board)?.leases.get(&id.serial).ok_or_else(|| vec![Refusal::Missing])
    }

    fn lease_mut(&mut self, id: LeaseId) -> Result<&mut Lease, Vec<Refusal>> {
        self.board_mut(id.board)?.leases.get_mut(&id.serial).ok_or_else(|| vec![Refusal::Missing])
    }

    /// Every lease whose account exists.
    pub fn leases(&self) -> Vec<LeaseId> {
        let boards = self.boards.iter();
        let ids = boards.flat_map(|(board, state)| state.leases.keys().map(|serial| (*board, *serial)));
        ids.map(|(board, serial)| LeaseId { board, serial }).collect()
    }

    pub(super) fn open_lease(&mut self, by: Who, board: u32, args: &OpenLeaseArgs) -> Outcome {
        let state = self.board(board)?;
        let taken = u32::try_from(args.serial).is_ok_and(|serial| state.leases.contains_key(&serial));
        let params = self.market.params.clone();
        let mut rules = Rules::default();
        rules.require_or(!taken, Refusal::Exists);
        rules.require(!self.market.paused, MarketPaused);
        rules.require(args.serial == u64::from(state.next_serial), WrongSerial);
        rules.require(args.machines > 0, NoMachines);
        rules.require((params.min_rounds..=params.max_rounds).contains(&args.rounds), LeaseLength);
        rules.hold()?;
        let quote = self.quote(board, &args.criteria, args.machines, args.rounds);
        let Some((slots, deposit)) = quote else { return Err(vec![Refusal::Rule(NotEnoughMachines)]) };
        let deposit = self.pay_in(by, deposit, args.max_deposit)?;

        let from = self.round() + 1;
        let until = from + args.rounds;
        let round_secs = self.market.rules.round_secs;
        let state = self.board_mut(board)?;
        let serial = state.next_serial;
        state.next_serial += 1;
        for slot in slots {
            state.machine_mut(slot).begin(serial, from, until);
        }
        let lease = Lease {
            state: LeaseState::Open,
            buyer: by,
            owner: by,
            criteria: args.criteria,
            group: args.group,
            machines: args.machines,
            from,
            until,
            rounds: args.rounds,
            round_secs,
            cancel_secs: 0,
            fee_bps: params.fee_bps,
            keeper_share_bps: params.keeper_share_bps,
            sla_bps: params.sla_bps,
            slash_multiplier_bps: params.slash_multiplier_bps,
            split: params.split,
            deposit,
            paid: 0,
            fees: 0,
            refunded: 0,
            refund_due: 0,
            slashed: 0,
            compensation_due: 0,
        };
        state.leases.insert(serial, lease);
        let rent = self.rents.lease;
        self.wallet_mut(by).lamports -= rent;
        Ok(())
    }

    /// Takes a deposit out of a wallet.
    fn pay_in(&mut self, by: Who, deposit: u128, most: u64) -> Result<u64, Vec<Refusal>> {
        let mut rules = Rules::default();
        rules.require(u64::try_from(deposit).is_ok(), MathOverflow);
        rules.require(deposit <= u128::from(most), CostsTooMuch);
        rules.require_or(deposit <= u128::from(self.wallet(by).payments), Refusal::Tokens);
        rules.hold()?;
        let deposit = naive::narrow(deposit);
        self.wallet_mut(by).payments -= deposit;
        Ok(deposit)
    }

    pub(super) fn extend_lease(&mut self, by: Who, id: LeaseId, rounds: u32, most: u64) -> Outcome {
        let lease = self.lease(id)?;
        let mut rules = Rules::default();
        rules.require(by == lease.owner, WrongAuthority);
        rules.require(!self.market.paused, MarketPaused);
        rules.require(lease.state == LeaseState::Open, LeaseNotOpen);
        rules.require(self.round() < lease.until, LeaseOver);
        rules.require(rounds > 0 && lease.rounds + rounds <= self.market.params.max_rounds, LeaseLength);
        rules.hold()?;
        let until = lease.until + rounds;
        let committed = self.boards[&id.board]
            .leased(id.serial)
            .all(|(_, machine, _)| !machine.suspended && machine.committed_until >= until);
        require(committed, MachineNotCommitted)?;
        let deposit = self.pay_in(by, self.extension(id, rounds), most)?;
        let lease = self.lease_mut(id)?;
        lease.rounds += rounds;
        lease.until = until;
        lease.deposit += deposit;
        self.end_stints(id, until);
        Ok(())
    }

    fn end_stints(&mut self, id: LeaseId, until: u32) {
        let slots = &mut self.boards.get_mut(&id.board).expect("exists").slots;
        let stints = slots.iter_mut().filter_map(|slot| slot.machine.as_mut()?.stint.as_mut());
        for stint in stints.filter(|stint| stint.serial == id.serial) {
            stint.until = until;
        }
    }

    pub(super) fn cancel_lease(&mut self, by: Who, id: LeaseId) -> Outcome {
        let round = self.round();
        let lease = self.lease_mut(id)?;
        // The first round is owed even if it has not begun.
        let next = round.max(lease.from) + 1;
        let mut rules = Rules::default();
        rules.require(by == lease.owner, WrongAuthority);
        rules.require(lease.state == LeaseState::Open, LeaseNotOpen);
        rules.require(lease.until > next, LeaseOver);
        rules.hold()?;
        lease.cancel_secs = naive::cancel_secs(lease.round_secs, lease.until - next);
        lease.state = LeaseState::Cancelled;
        lease.until = next;
        self.end_stints(id, next);
        Ok(())
    }

    pub(super) fn transfer_lease(&mut self, by: Who, id: LeaseId, to: Who) -> Outcome {
        let lease = self.lease_mut(id)?;
        require(by == lease.owner, WrongAuthority)?;
        lease.owner = to;
        Ok(())
    }

    pub(super) fn replace_node(&mut self, by: Who, id: LeaseId, slot: u16, most: u64) -> Outcome {
        let lease = self.lease(id)?.clone();
        let from = self.round() + 1;
        let board = self.board(id.board)?;
        let mut rules = Rules::default();
        rules.require(by == lease.owner, WrongAuthority);
        rules.require(lease.state == LeaseState::Open, LeaseNotOpen);
        rules.require(from < lease.until, LeaseOver);
        let chosen = board.choose(&lease.criteria, lease.until, 1);
        rules.require(chosen.is_some(), NotEnoughMachines);
        let old = board.slots.get(usize::from(slot));
        rules.require(old.is_some(), NoSuchSlot);
        rules.require(old.is_none_or(|old| old.machine.is_some()), SlotVacant);
        let old = old.and_then(|old| old.machine.as_ref());
        let stint = old.and_then(|old| old.stint).filter(|stint| stint.serial == id.serial);
        rules.require(old.is_none() || stint.is_some(), NotInLease);
        if let (Some(old), Some(stint)) = (old, stint) {
            // A machine is down if the last closed round, within the lease, says so.
            let last = board.next_round - 1;
            let is_down =
                (stint.from..stint.until).contains(&last) && old.verdicts.get(&last) == Some(&false);
            rules.require(is_down || old.has_broken_promise(), MachineNotDown);
        }
        rules.hold()?;

        let (old, stint, new) = (old.expect("held"), stint.expect("held"), chosen.expect("held")[0]);
        // It is settled for the rounds closed so far.
        let until = board.next_round.clamp(stint.from, stint.until);
        let owed = lease.owed_finally(old, &stint, until);
        let pay = lease.pay(old, &stint, owed, lease.slash(old, &stint, until));
        let freed = naive::cost_ceil(old.price, lease.secs(stint.until - stint.from)) - owed;
        let price = board.slots[usize::from(new)].machine.as_ref().expect("chosen").price;
        let cost = naive::cost_ceil(price, lease.secs(lease.until - from));
        require(u64::try_from(cost).is_ok(), MathOverflow)?;
        let deposit = self.pay_in(by, cost.saturating_sub(freed), most)?;
        let board = self.board_mut(id.board)?;
        board.machine_mut(slot).leave(pay, until);
        board.machine_mut(new).begin(id.serial, from, lease.until);
        board.book(id.serial, pay, false);
        self.lease_mut(id)?.deposit += deposit;
        Ok(())
    }

    pub(super) fn settle_lease(&mut self, by: Who, id: LeaseId, keeper: Option<Who>) -> Outcome {
        let lease = self.lease(id)?.clone();
        let mut rules = Rules::default();
        rules.require(lease.state != LeaseState::Settled, LeaseSettled);
        if let Some(keeper) = keeper {
            rules.require_or(self.keepers.contains_key(&keeper), Refusal::Missing);
            rules.require(keeper == by, WrongAuthority);
        }
        rules.hold()?;
        let board = self.board_mut(id.board)?;
        let is_final = board.next_round >= lease.until;
        let slots: Vec<u16> = board.leased(id.serial).map(|(index, _, _)| index).collect();
        let mut sum = Pay::default();
        for slot in slots {
            let machine = board.machine_mut(slot);
            let stint = machine.stint.expect("leased");
            let pay = if is_final {
                let owed = lease.owed_finally(machine, &stint, stint.until);
                let pay = lease.pay(machine, &stint, owed, lease.slash(machine, &stint, stint.until));
                machine.leave(pay, stint.until);
                pay
            } else {
                let pay = lease.pay(machine, &stint, lease.owed_so_far(machine, &stint), 0);
                machine.accrued += pay.net;
                let settled = machine.count(stint.from, stint.until).0;
                machine.stint = Some(Stint { settled, ..stint });
                pay
            };
            sum = Pay { net: sum.net + pay.net, fee: sum.fee + pay.fee, slash: sum.slash + pay.slash };
        }
        let callers = board.book(id.serial, sum, keeper.is_some());
        if let Some(keeper) = keeper {
            self.keeper_mut(keeper)?.free += callers;
        }
        if is_final {
            let lease = self.lease_mut(id)?;
            let rest = lease.remaining();
            lease.refunded += rest;
            lease.refund_due += rest;
            lease.state = LeaseState::Settled;
        }
        Ok(())
    }

    pub(super) fn claim_refund(&mut self, by: Who, id: LeaseId, to: Who) -> Outcome {
        let lease = self.lease_mut(id)?;
        let amount = lease.refund_due;
        claim(by, lease.owner, to, amount)?;
        lease.refund_due = 0;
        self.wallet_mut(to).payments += amount;
        Ok(())
    }

    pub(super) fn claim_compensation(&mut self, by: Who, id: LeaseId, to: Who) -> Outcome {
        let lease = self.lease_mut(id)?;
        let amount = lease.compensation_due;
        claim(by, lease.owner, to, amount)?;
        lease.compensation_due = 0;
        self.wallet_mut(to).stake += amount;
        Ok(())
    }

    pub(super) fn close_lease(&mut self, id: LeaseId, buyer: Who) -> Outcome {
        let (lease, round) = (self.lease(id)?, self.round());
        let mut rules = Rules::default();
        rules.require(round >= lease.until + DISPUTE_ROUNDS, DisputesOpen);
        rules.require(buyer == lease.buyer, WrongAuthority);
        rules.require(lease.state == LeaseState::Settled, LeaseNotSettled);
        rules.require(lease.refund_due == 0 && lease.compensation_due == 0, LeaseHoldsMoney);
        rules.hold()?;
        self.board_mut(id.board)?.leases.remove(&id.serial);
        let rent = self.rents.lease;
        self.wallet_mut(buyer).lamports += rent;
        Ok(())
    }
}
