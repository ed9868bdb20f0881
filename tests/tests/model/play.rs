//! Plays a sequence on the model and the program, compares them, and counts coverage.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use leasehold::state::{Params, RoundRules};
use leasehold_client::{
    error::from_code,
    invariants::{self, Snapshot},
};
use leasehold_tests::{
    PAYMENTS, STAKE, STAKES, START,
    model::{
        AUTHORITY, Action, BUYERS, Chain, KEEPERS, Market, Model, Outcome, SUPPLIERS, TIMELOCK_SECS, Wallet,
        Who, compare::compare, everybody,
    },
};

use crate::{drain, picks, steps, steps::Step};

/// The model and the program, in the same state.
pub struct Play {
    pub model: Model,
    chain: Chain,
    pub coverage: Coverage,
    /// The state at the last check of the invariants.
    before: Option<Snapshot>,
}

impl Play {
    /// A market with a board, suppliers with stake and machines, a keeper in every seat, and two leases in their first
    /// round.
    pub fn begin(rules: RoundRules, params: Params, pays_in_2022: bool) -> Self {
        let chain = Chain::new(rules, params.clone(), pays_in_2022);
        let rents = chain.rents();
        let wallet = Wallet { payments: PAYMENTS, stake: STAKES, lamports: 0 };
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
            rents,
        };
        let mut play = Play { model, chain, coverage: Coverage::default(), before: None };
        play.populate().unwrap_or_else(|error| panic!("{error}"));
        play.coverage = Coverage::default();
        play
    }

    fn populate(&mut self) -> Result<(), String> {
        self.must(Action::CreateBoard { by: AUTHORITY })?;
        for (number, by) in (0u8..).zip(SUPPLIERS) {
            self.must(Action::RegisterSupplier { by })?;
            self.must(Action::DepositStake { by, amount: 20_000 * STAKE })?;
            let machines = (0..4).map(|index| steps::Spec::plain(4 * number + index).machine(None)).collect();
            // For 40, 800 and 8,000 rounds.
            let until = self.model.round() + [40, 800, 8_000][usize::from(number)];
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
        self.pass_to(self.model.round_end(self.model.round()) + 1);
        for (by, machines, rounds) in [(BUYERS[0], 4, 6), (BUYERS[1], 3, 11)] {
            let open = picks::open(&self.model, 0, by, machines, rounds);
            self.must(open)?;
        }
        self.pass_to(self.model.round_end(self.model.round()) + 1);
        Ok(())
    }

    pub fn fork(&self) -> Self {
        Play {
            model: self.model.clone(),
            chain: self.chain.fork(),
            coverage: Coverage::default(),
            before: None,
        }
    }

    /// Plays a sequence; then everybody but `absent` leaves.
    pub fn perform(&mut self, steps: &[Step], absent: Option<Who>) -> Result<(), String> {
        for (index, step) in steps.iter().enumerate() {
            step.perform(self)
                .and_then(|()| self.check_invariants())
                .map_err(|error| format!("step {index}, {step:?}: {error}"))?;
        }
        drain::leave(self, absent).map_err(|error| format!("when everybody leaves: {error}"))
    }

    /// Executes an action on both, and compares them. Returns the model's outcome.
    pub fn act(&mut self, action: Action) -> Result<Outcome, String> {
        let expected = self.model.apply(&action);
        let found = self.chain.send(&action);
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
        compare(&self.model, &self.chain)
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
            self.chain.world.set_time(now);
        }
    }

    /// Checks the invariants of the state, and of its change since the last check.
    fn check_invariants(&mut self) -> Result<(), String> {
        let snapshot = self.chain.world.snapshot();
        let mut report = invariants::check(&snapshot);
        if let Some(before) = &self.before {
            report.extend(invariants::check_progress(before, &snapshot));
        }
        self.before = Some(snapshot);
        if report.is_ok() { Ok(()) } else { Err(report.to_string()) }
    }

    /// Number of accounts of the program that still exist.
    pub fn remaining_accounts(&self) -> usize {
        self.chain.world.remaining_accounts().len()
    }
}

/// Name of an error of the program, or the number of another.
fn error(code: u32) -> String {
    from_code(code).map_or(format!("error {code}"), |error| error.name())
}

/// How often each kind of instruction succeeded, and with which errors it was refused.
#[derive(Default)]
pub struct Coverage {
    done: BTreeMap<String, u32>,
    refused: BTreeMap<(String, u32), u32>,
}

impl Coverage {
    fn note(&mut self, action: &Action, refusal: Option<u32>) {
        let name = format!("{action:?}");
        let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
        match refusal {
            None => *self.done.entry(name).or_default() += 1,
            Some(code) => *self.refused.entry((name, code)).or_default() += 1,
        }
    }

    pub fn add(&mut self, other: &Coverage) {
        for (name, count) in &other.done {
            *self.done.entry(name.clone()).or_default() += count;
        }
        for (key, count) in &other.refused {
            *self.refused.entry(key.clone()).or_default() += count;
        }
    }
}

/// Kinds of instruction that must succeed at least once in a long run.
const KINDS: [&str; 42] = [
    "ProposeParams",
    "ApplyParams",
    "ProposeAuthority",
    "AcceptAuthority",
    "SetPaused",
    "WithdrawFees",
    "WithdrawMarketStake",
    "BurnSlashed",
    "CloseMarket",
    "RegisterSupplier",
    "DepositStake",
    "RequestUnstake",
    "WithdrawStake",
    "ClaimEarnings",
    "ReclaimRent",
    "CloseSupplier",
    "CreateBoard",
    "ListMachines",
    "RepriceMachines",
    "RetireMachines",
    "ForfeitMachines",
    "TrimBoard",
    "CloseBoard",
    "RegisterKeeper",
    "DepositBond",
    "RequestUnbond",
    "WithdrawBond",
    "TakeSeat",
    "LeaveSeat",
    "SubmitRound",
    "CloseRound",
    "ClaimKeeperFees",
    "CloseKeeper",
    "OpenLease",
    "ExtendLease",
    "CancelLease",
    "TransferLease",
    "ReplaceNode",
    "SettleLease",
    "ClaimRefund",
    "ClaimCompensation",
    "CloseLease",
];

impl Coverage {
    /// Asserts that every kind of instruction succeeded, except those in `never`, which the market's rules exclude, and
    /// that most errors occurred.
    pub fn assert_complete(&self, never: &[&str]) {
        for kind in KINDS {
            let done = self.done.get(kind).copied().unwrap_or_default();
            assert!(done > 0 || never.contains(&kind), "{kind} never succeeded\n{self}");
        }
        let codes: BTreeSet<u32> = self.refused.keys().map(|(_, code)| *code).collect();
        assert!(codes.len() >= 50, "only {} errors occurred\n{self}", codes.len());
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for kind in KINDS {
            write!(f, "{kind:<20} {:>7} done", self.done.get(kind).copied().unwrap_or_default())?;
            for ((_, code), count) in self.refused.iter().filter(|((name, _), _)| name == kind) {
                write!(f, ", {count} {}", error(*code))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
