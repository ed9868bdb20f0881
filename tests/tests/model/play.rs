//! Plays a sequence on the model and the program, and compares them.

use std::collections::BTreeMap;

use leasehold::state::{Params, RoundRules};
use leasehold_tests::{
    PAYMENTS, STAKE, STAKES, START,
    model::{
        AUTHORITY, Action, BUYERS, KEEPERS, Market, Model, Outcome, Program, SUPPLIERS, TIMELOCK_SECS,
        Wallet, Who, compare::compare, everybody,
    },
};

use crate::{
    coverage::{Coverage, error},
    drain, picks, specs,
    steps::Step,
};

/// The model and the program, in the same state.
pub struct Play<P> {
    pub model: Model,
    program: P,
    pub coverage: Coverage,
}

impl<P: Program> Play<P> {
    /// A market with a board, suppliers with stake and machines, a keeper in every seat, and two leases in their first
    /// round.
    pub fn begin(program: P, rules: RoundRules, params: Params) -> Self {
        let rents = program.rents();
        let wallet = Wallet { payments: PAYMENTS, stake: STAKES, lamports: 0, given: 0 };
        let mut wallets: BTreeMap<_, _> = everybody().map(|who| (who, wallet)).collect();
        wallets.insert(AUTHORITY, Wallet { lamports: -rents.market - rents.vault, ..wallet });
        let market = Market {
            rules,
            timelock_secs: TIMELOCK_SECS,
            params,
            pending: None,
            authority: AUTHORITY,
            offered_to: None,
            paused: false,
            next_board: 0,
            is_closed: false,
        };
        let model = Model {
            now: START,
            market,
            suppliers: BTreeMap::new(),
            keepers: BTreeMap::new(),
            supplier_lamports: BTreeMap::new(),
            boards: BTreeMap::new(),
            wallets,
            burned: 0,
            burned_payments: 0,
            rents,
        };
        let mut play = Play { model, program, coverage: Coverage::default() };
        play.populate().unwrap_or_else(|error| panic!("{error}"));
        play.coverage = Coverage::default();
        play
    }

    fn populate(&mut self) -> Result<(), String> {
        self.must(Action::CreateBoard { by: AUTHORITY })?;
        for (number, by) in (0u8..).zip(SUPPLIERS) {
            self.must(Action::RegisterSupplier { by })?;
            self.must(Action::DepositStake { by, amount: 20_000 * STAKE })?;
            let machines = (0..4).map(|index| specs::Spec::plain(4 * number + index).machine(None)).collect();
            // For 40, 800 and 8,000 rounds.
            let until = self.model.round(0) + [40, 800, 8_000][usize::from(number)];
            self.must(Action::ListMachines { by, board: 0, until, machines, former: vec![] })?;
        }
        let seats = self.model.market.rules.seats;
        for (seat, by) in (0u8..).zip(KEEPERS) {
            self.must(Action::RegisterKeeper { by })?;
            self.must(Action::DepositBond { by, amount: 3_000 * STAKE })?;
            if seat < seats {
                self.must(Action::TakeSeat { by, board: 0, seat })?;
            }
        }
        // The machines are seen up.
        self.end_round();
        self.end_round();
        let (round, size) = (self.model.round(0) - 1, self.model.boards[&0].slots.len());
        for (seat, by) in (0u8..).zip(KEEPERS).take(seats.into()) {
            let bitmap = crate::voting::bitmap(size, |_| true);
            self.must(Action::SubmitRound { by, board: 0, seat, round, bitmap })?;
        }
        self.must(Action::CloseRound { board: 0 })?;
        for (by, gpus, rounds) in [(BUYERS[0], 5, 6), (BUYERS[1], 3, 11)] {
            let open = picks::open(&self.model, 0, by, gpus, rounds);
            self.must(open)?;
        }
        self.end_round();
        Ok(())
    }

    /// Goes one second into the next round of the first board.
    fn end_round(&mut self) {
        self.pass_to(self.model.round_end(0, self.model.round(0)) + 1);
    }

    pub fn fork(&self) -> Self {
        Play { model: self.model.clone(), program: self.program.fork(), coverage: Coverage::default() }
    }

    /// Plays a sequence; then everybody but `absent` leaves.
    pub fn perform(&mut self, steps: &[Step], absent: Option<Who>) -> Result<(), String> {
        for (index, step) in steps.iter().enumerate() {
            step.perform(self)
                .and_then(|()| self.program.invariants())
                .map_err(|error| format!("step {index}, {step:?}: {error}"))?;
        }
        drain::leave(self, absent).map_err(|error| format!("when everybody leaves: {error}"))
    }

    /// Executes an action on both, and compares them. Returns the model's outcome.
    pub fn act(&mut self, action: Action) -> Result<Outcome, String> {
        let expected = self.model.apply(&action);
        let found = self.program.send(&action);
        match (&expected, &found) {
            (Ok(()), Ok(())) => {}
            (Err(rules), Err(code)) if rules.iter().any(|rule| rule.has_code(*code)) => {}
            (Ok(()), Err(code)) => {
                return Err(format!(
                    "{action:?}: the program refuses with {}, the model does not",
                    error(*code)
                ));
            }
            (Err(rules), Ok(())) => {
                return Err(format!("{action:?}: the program succeeds, the model refuses with {rules:?}"));
            }
            (Err(rules), Err(code)) => {
                let error = error(*code);
                return Err(format!(
                    "{action:?}: the program refuses with {error}, the model with {rules:?}"
                ));
            }
        }
        self.coverage.note(&action, found.err());
        compare(&self.model, &self.program)
            .map_err(|error| format!("after {action:?}, {expected:?}: {error}"))?;
        Ok(expected)
    }

    /// Executes an action that must succeed.
    pub fn must(&mut self, action: Action) -> Result<(), String> {
        let name = format!("{action:?}");
        self.act(action)?.map_err(|rules| format!("{name} must succeed, and is refused with {rules:?}"))
    }

    /// Advances the clock; earlier times are ignored.
    pub fn pass_to(&mut self, now: i64) {
        if now > self.model.now {
            self.model.now = now;
            self.program.set_time(now);
        }
    }

    /// Number of accounts of the program that still exist.
    pub fn remaining_accounts(&self) -> usize {
        self.program.accounts()
    }
}
