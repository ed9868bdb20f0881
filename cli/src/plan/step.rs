//! One transaction of a plan.

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use crate::amount::Money;

#[derive(Clone, Debug)]
pub struct Step {
    /// Shown while it is sent: "slots 0 to 11".
    pub what: String,
    pub instructions: Vec<Instruction>,
    /// It can be sent before, after and along with any other independent step of its plan.
    pub independent: bool,
    /// It builds on a step before it, and can't be simulated while that has not taken effect.
    pub builds: bool,
    /// How it is taken back, where a later step fails.
    pub undo: Option<Undo>,
    /// Set where one transaction may not be enough.
    pub again: Option<Again>,
}

impl Step {
    /// One that follows those before it.
    pub fn new(what: impl Into<String>, instructions: Vec<Instruction>) -> Self {
        Step { what: what.into(), instructions, independent: false, builds: false, undo: None, again: None }
    }

    /// What is repeated, taken back or built upon has its place in an order, whatever it is said to be.
    pub fn is_independent(&self) -> bool {
        self.independent && !self.builds && self.undo.is_none() && self.again.is_none()
    }

    /// Transactions at most.
    pub fn transactions(&self) -> usize {
        self.again.map_or(1, |again| again.most)
    }
}

/// How a step that opens leases is taken back.
#[derive(Clone, Debug)]
pub struct Undo {
    /// Shown while it is sent: "cancel the leases on boards 0, 2".
    pub what: String,
    pub instructions: Vec<Instruction>,
    /// Leases that the step opens, all or none, for `owner` and with this cluster number.
    pub leases: Vec<Pubkey>,
    pub owner: Pubkey,
    pub cluster: u64,
    /// The market that they are in.
    pub market: Pubkey,
    /// What the leases cost at most, whenever they are left: told where nobody knows what they do.
    pub deposit: Money,
}

/// A step that is sent again until a lease is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    pub lease: Pubkey,
    /// Transactions at most.
    pub most: usize,
}
