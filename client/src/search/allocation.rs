//! Machines that a buyer would get.

use leasehold::{math::add, state::Board};

use super::kinds::{Kind, kinds};
use crate::{
    board::BoardView,
    error::Refusal,
    quote::{Quote, refundable},
};

/// A lease on each of some boards, which together meet a request. One if one board has enough GPUs.
#[derive(Clone, Debug)]
pub struct Allocation {
    /// By board.
    pub parts: Vec<Part>,
    /// Number of GPUs of all machines.
    pub gpus: u32,
    /// Payment units to deposit for all.
    pub deposit: u64,
    /// Payment units that come back if the buyer leaves all in their first round.
    pub refundable: u64,
}

/// The lease on one board.
#[derive(Clone, Debug)]
pub struct Part {
    /// Number of the board.
    pub board: u32,
    pub quote: Quote,
    /// Kinds of the machines.
    pub kinds: Vec<Kind>,
    /// Payment units that come back if the buyer leaves it in its first round.
    pub refundable: u64,
    /// Length of a round in seconds.
    pub round_secs: u32,
}

impl Allocation {
    pub fn new(parts: Vec<Part>) -> Result<Self, Refusal> {
        let sum = |of: fn(&Part) -> u64| parts.iter().map(of).try_fold(0, add).map_err(Refusal::from);
        let (deposit, refundable) = (sum(|part| part.quote.deposit)?, sum(|part| part.refundable)?);
        let gpus = parts.iter().map(|part| part.quote.selection.gpus).fold(0, u32::saturating_add);
        Ok(Allocation { parts, gpus, deposit, refundable })
    }
}

impl Part {
    /// Adds kinds and refund to a quote on its board.
    pub fn new(board: &BoardView, quote: Quote) -> Result<Self, Refusal> {
        let refundable = refundable(board, &quote)?;
        let kinds = kinds(board, &quote.slots);
        let Board { index: board, round_secs, .. } = *board.header;
        Ok(Part { board, quote, kinds, refundable, round_secs })
    }
}
