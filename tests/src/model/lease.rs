//! Leases: opening, extending, transferring, claiming, closing.

use leasehold::{
    error::LeaseholdError::*,
    instructions::OpenLeaseArgs,
    math::{matching::Criteria, settlement::Terms},
    state::LeaseState,
};

use super::{LeaseId, Machine, Model, Outcome, Refusal, Request, Rules, Who, market::claim, naive, require};

/// A lease, with its copy of the market's parameters.
#[derive(Clone, Debug)]
pub struct Lease {
    pub serial: u32,
    pub state: LeaseState,
    pub buyer: Who,
    pub owner: Who,
    pub criteria: Criteria,
    pub group: Option<u64>,
    pub gpus: u32,
    /// Machines that serve it, or served it to its end.
    pub machines: u32,
    pub from: u32,
    pub until: u32,
    pub terms: Terms,
    pub deposit: u64,
    pub paid: u64,
    pub fees: u64,
    pub refunded: u64,
    pub burned: u64,
    pub refund_due: u64,
    pub slashed: u64,
    pub meter: Option<Meter>,
    /// Whose key is let in; changes of it and of the owner; and the last one that wiped.
    pub access: Option<[u8; 32]>,
    pub access_epoch: u32,
    pub data_epoch: u32,
    /// Slot and generation of machines that were replaced.
    pub replaced: Vec<(u16, u32)>,
}

/// What vouchers paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    pub seq: u64,
    pub units: u64,
    pub paid: u64,
    pub owes_hour: bool,
}

impl Lease {
    pub fn remaining(&self) -> u64 {
        self.deposit - self.paid - self.fees - self.refunded - self.burned
    }

    pub(super) fn secs(&self, rounds: u32) -> u128 {
        u128::from(self.terms.round_secs) * u128::from(rounds)
    }

    /// Payment units per hour that a machine is paid for rounds up.
    pub(super) fn price(&self, machine: &Machine) -> u64 {
        match self.meter {
            None => machine.hourly(),
            Some(_) => naive::part(machine.hourly(), self.terms.standby_bps),
        }
    }

    /// Payment units of a machine's time up, down or left.
    pub(super) fn gross(&self, machine: &Machine, rounds: u32) -> u128 {
        naive::cost_floor(self.price(machine), self.secs(rounds))
    }
}

impl Model {
    pub fn lease(&self, id: LeaseId) -> Result<&Lease, Vec<Refusal>> {
        self.board(id.board)?.leases.get(&(id.buyer, id.nonce)).ok_or_else(|| vec![Refusal::Missing])
    }

    pub(super) fn lease_mut(&mut self, id: LeaseId) -> Result<&mut Lease, Vec<Refusal>> {
        let lease = self.board_mut(id.board)?.leases.get_mut(&(id.buyer, id.nonce));
        lease.ok_or_else(|| vec![Refusal::Missing])
    }

    /// Every lease whose account exists.
    pub fn leases(&self) -> Vec<LeaseId> {
        let boards = self.boards.iter();
        let ids = boards.flat_map(|(board, state)| state.leases.keys().map(|key| (*board, *key)));
        ids.map(|(board, (buyer, nonce))| LeaseId { board, buyer, nonce }).collect()
    }

    pub(super) fn open_lease(&mut self, by: Who, owner: Who, board: u32, args: &OpenLeaseArgs) -> Outcome {
        let state = self.board(board)?;
        let taken = state.leases.contains_key(&(by, args.nonce));
        let params = self.market.params.clone();
        let mut rules = Rules::default();
        rules.require_or(!taken, Refusal::Exists);
        rules.require(!self.market.paused, MarketPaused);
        rules.require(args.gpus > 0, NoGpus);
        rules.require(args.avoid.len() <= 16, AvoidsTooMany);
        rules.require(args.meter.is_some() == args.criteria.metered, MeterMismatch);
        rules.require((params.min_rounds..=params.max_rounds).contains(&args.rounds), LeaseLength);
        rules.hold()?;
        let request = Request::of(self, board, args);
        let slots = self.choose(board, &request)?;
        let state = self.board(board)?;
        let round_secs = self.market.rules.round_secs;
        let terms = Terms {
            round_secs,
            phase_secs: u32::try_from(state.phase).expect("part of a round"),
            rounds: args.rounds,
            min_rounds: params.min_rounds,
            slash_multiplier_bps: params.slash_multiplier_bps,
            fee_bps: params.fee_bps,
            keeper_share_bps: params.keeper_share_bps,
            sla_bps: self.market.rules.sla_bps,
            hold_bps: params.hold_bps,
            standby_bps: params.standby_bps,
        };
        let mut deposit = self.cost(board, &slots, args.rounds);
        if let Some(meter) = &args.meter {
            require(slots.len() == 1, MeteredMachines)?;
            // Then its standby price fits, however long it runs.
            require(deposit <= u128::from(u64::MAX), MathOverflow)?;
            let standby = naive::part(state.machine(slots[0])?.hourly(), params.standby_bps);
            let least = naive::cost_ceil(standby, round_secs.max(naive::HOUR).into());
            require(u128::from(meter.deposit) >= least, DepositTooSmall)?;
            deposit = meter.deposit.into();
        }
        let deposit = self.pay_in(by, board, deposit, args.max_deposit)?;

        let state = self.board_mut(board)?;
        let serial = state.next_serial;
        state.next_serial += 1;
        for slot in &slots {
            state.machine_mut(*slot).begin(serial, request.from, request.until);
        }
        let lease = Lease {
            serial,
            state: LeaseState::Open,
            buyer: by,
            owner,
            criteria: args.criteria,
            group: args.group,
            gpus: args.gpus,
            machines: u32::try_from(slots.len()).expect("few"),
            from: request.from,
            until: request.until,
            terms,
            deposit,
            paid: 0,
            fees: 0,
            refunded: 0,
            burned: 0,
            refund_due: 0,
            slashed: 0,
            meter: args.meter.map(|_| Meter::default()),
            access: args.access,
            access_epoch: 0,
            data_epoch: 0,
            replaced: vec![],
        };
        state.leases.insert((by, args.nonce), lease);
        let rent = self.rents.lease;
        self.wallet_mut(by).lamports -= rent;
        Ok(())
    }

    /// Takes a deposit for a lease on a board out of a wallet.
    pub(super) fn pay_in(
        &mut self,
        by: Who,
        board: u32,
        deposit: u128,
        most: u64,
    ) -> Result<u64, Vec<Refusal>> {
        let mut rules = Rules::default();
        let escrow = u128::from(self.board(board)?.escrow()) + deposit;
        rules.require(u64::try_from(escrow).is_ok(), MathOverflow);
        rules.require(deposit <= u128::from(most), CostsTooMuch);
        rules.require_or(deposit <= u128::from(self.wallet(by).payments), Refusal::Tokens);
        rules.hold()?;
        let deposit = naive::narrow(deposit);
        self.wallet_mut(by).payments -= deposit;
        Ok(deposit)
    }

    /// The machines of a lease that can go on until round `until`, those that can't, and the price of it.
    pub fn extension(&self, id: LeaseId, rounds: u32) -> (Vec<u16>, Vec<u16>, u128) {
        let Ok(lease) = self.lease(id) else { return Default::default() };
        let until = lease.until + rounds;
        let (mut staying, mut leaving, mut price) = (vec![], vec![], 0);
        for (index, machine, stint) in self.boards[&id.board].serving(lease.serial) {
            if stint.until < lease.until {
                continue; // it left at an earlier end
            }
            if machine.has_broken_promise() || machine.committed_until < until {
                leaving.push(index);
                continue;
            }
            staying.push(index);
            if lease.meter.is_none() {
                let cost = |until: u32| naive::cost_ceil(machine.hourly(), lease.secs(until - stint.from));
                price += cost(until) - cost(stint.until);
            }
        }
        (staying, leaving, price)
    }

    pub(super) fn extend_lease(
        &mut self,
        by: Who,
        payer: Who,
        id: LeaseId,
        rounds: u32,
        most: u64,
        max_leaving: u32,
    ) -> Outcome {
        let lease = self.lease(id)?;
        let mut rules = Rules::default();
        rules.require(by == lease.owner, WrongAuthority);
        rules.require(!self.market.paused, MarketPaused);
        rules.require(lease.state == LeaseState::Open, LeaseNotOpen);
        rules.require(self.round(id.board) < lease.until, LeaseOver);
        let total = lease.terms.rounds.saturating_add(rounds);
        rules.require(rounds > 0 && total <= self.market.params.max_rounds, LeaseLength);
        rules.hold()?;
        let until = lease.until + rounds;
        let (staying, leaving, price) = self.extension(id, rounds);
        let mut rules = Rules::default();
        let allowed = leaving.len() <= max_leaving as usize && !staying.is_empty();
        rules.require(allowed, MachineNotCommitted);
        // Of a metered lease too, so that its standby price fits.
        for (index, machine, stint) in self.boards[&id.board].serving(lease.serial) {
            let whole = naive::cost_ceil(machine.hourly(), lease.secs(until - stint.from));
            rules.require(!staying.contains(&index) || whole <= u128::from(u64::MAX), MathOverflow);
        }
        rules.hold()?;
        let deposit = self.pay_in(payer, id.board, price, most)?;
        let lease = self.lease_mut(id)?;
        lease.terms.rounds += rounds;
        lease.until = until;
        lease.deposit += deposit;
        lease.machines -= u32::try_from(leaving.len()).expect("few");
        for slot in staying {
            let stint = self.board_mut(id.board)?.machine_mut(slot).stint.as_mut().expect("serves");
            (stint.until, stint.agreed) = (until, until);
        }
        Ok(())
    }

    pub(super) fn transfer_lease(&mut self, by: Who, id: LeaseId, to: Who) -> Outcome {
        let lease = self.lease_mut(id)?;
        let mut rules = Rules::default();
        rules.require(by == lease.owner, WrongAuthority);
        rules.require(lease.meter.is_none(), LeaseMetered);
        rules.hold()?;
        lease.owner = to;
        lease.access = None;
        lease.access_epoch += 1;
        Ok(())
    }

    pub(super) fn set_access(
        &mut self,
        by: Who,
        id: LeaseId,
        access: Option<[u8; 32]>,
        wipe: bool,
    ) -> Outcome {
        let round = self.round(id.board);
        let lease = self.lease_mut(id)?;
        let mut rules = Rules::default();
        rules.require(by == lease.owner, WrongAuthority);
        rules.require(lease.state != LeaseState::Settled, LeaseSettled);
        rules.require(round < lease.until, LeaseOver);
        rules.hold()?;
        lease.access = access;
        lease.access_epoch += 1;
        if wipe {
            lease.data_epoch = lease.access_epoch;
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

    pub(super) fn close_lease(&mut self, id: LeaseId, buyer: Who) -> Outcome {
        let (lease, round) = (self.lease(id)?, self.round(id.board));
        let disputes = naive::rounds_in(lease.terms.round_secs, naive::DAY);
        let mut rules = Rules::default();
        rules.require(round >= lease.until + disputes, DisputesOpen);
        rules.require(buyer == lease.buyer, WrongAuthority);
        rules.require(lease.state == LeaseState::Settled, LeaseNotSettled);
        rules.require(lease.refund_due == 0, LeaseHoldsMoney);
        rules.hold()?;
        let replaced = lease.replaced.len() as i64;
        self.board_mut(id.board)?.leases.remove(&(id.buyer, id.nonce));
        let rent = self.rents.lease + replaced * self.rents.replaced;
        self.wallet_mut(buyer).lamports += rent;
        Ok(())
    }
}
