//! One transaction of a plan.

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use crate::amount::Money;

#[derive(Clone, Debug)]
pub struct Step {
    /// Printed while it is sent: "slots 0 to 11".
    pub what: String,
    pub instructions: Vec<Instruction>,
    /// It can be sent before, after and together with any other independent step of its plan.
    pub independent: bool,
    /// It builds on an earlier step, and can't be simulated before that has taken effect.
    pub builds: bool,
    /// How it is undone if a later step fails.
    pub undo: Option<Undo>,
    /// Set if one transaction may not be enough.
    pub again: Option<Again>,
}

impl Step {
    /// A step that is sent after those before it.
    pub fn new(what: impl Into<String>, instructions: Vec<Instruction>) -> Self {
        Step { what: what.into(), instructions, independent: false, builds: false, undo: None, again: None }
    }

    /// A step that is repeated, undone or built upon needs its place in the order.
    pub fn is_independent(&self) -> bool {
        self.independent && !self.builds && self.undo.is_none() && self.again.is_none()
    }

    /// Transactions at most.
    pub fn transactions(&self) -> usize {
        self.again.map_or(1, |again| again.most)
    }
}

/// Undoes a step that opens leases.
#[derive(Clone, Debug)]
pub struct Undo {
    /// Printed while it is sent: "cancel the leases on boards 0, 2".
    pub what: String,
    pub instructions: Vec<Instruction>,
    /// Leases that the step opens, all or none, for `owner` and in this group.
    pub leases: Vec<Pubkey>,
    pub owner: Pubkey,
    pub group: u64,
    /// The market that they are in.
    pub market: Pubkey,
    /// Most that the leases cost, whenever they are cancelled: printed if the real cost is unknown.
    pub deposit: Money,
}

/// A step that is sent again until a lease is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    pub lease: Pubkey,
    /// Transactions at most.
    pub most: usize,
}
