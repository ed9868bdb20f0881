//! Success, or the rules that an instruction breaks.

use leasehold::error::LeaseholdError;

/// Success, or every rule that is broken; the program reports one of them.
pub type Outcome = Result<(), Vec<Refusal>>;

/// A reason to refuse an instruction.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    Rule(LeaseholdError),
    /// A required account does not exist.
    Missing,
    /// The account to create exists.
    Exists,
    /// A wallet has too few tokens.
    Tokens,
}

impl Refusal {
    /// True if the program reports this refusal with `code`.
    pub fn has_code(self, code: u32) -> bool {
        match self {
            Refusal::Rule(error) => u32::from(error) == code,
            // Anchor: not initialized, owned by the wrong program.
            Refusal::Missing => code == 3_012 || code == 3_007,
            // System program: account already in use.
            Refusal::Exists => code == 0,
            // Token program: insufficient funds.
            Refusal::Tokens => code == 1,
        }
    }
}

/// Collects the rules that an instruction breaks.
#[derive(Default)]
pub struct Rules(Vec<Refusal>);

impl Rules {
    pub fn require(&mut self, holds: bool, error: LeaseholdError) {
        self.require_or(holds, Refusal::Rule(error));
    }

    pub fn require_or(&mut self, holds: bool, refusal: Refusal) {
        if !holds {
            self.0.push(refusal);
        }
    }

    /// Adds what another collection found.
    pub fn join(&mut self, other: Rules) {
        self.0.extend(other.0);
    }

    pub fn hold(self) -> Outcome {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// A single rule, for when the others can't be judged before it holds.
pub fn require(holds: bool, error: LeaseholdError) -> Outcome {
    if holds { Ok(()) } else { Err(vec![Refusal::Rule(error)]) }
}
