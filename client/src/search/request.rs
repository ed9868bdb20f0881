//! A buyer's request.

use leasehold::math::matching::Criteria;

use super::length::Length;
use crate::board::BoardView;

/// GPUs that a buyer asks for.
#[derive(Clone, Debug)]
pub struct Request {
    pub criteria: Criteria,
    /// Number of GPUs.
    pub gpus: u32,
    pub length: Length,
    /// Machines that are not taken.
    pub avoid: Vec<Avoid>,
}

/// A machine that a buyer does not want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avoid {
    /// Number of the board.
    pub board: u32,
    pub slot: u16,
}

/// Slots of a board that are to be avoided.
pub fn avoided(board: &BoardView, avoid: &[Avoid]) -> Vec<u16> {
    avoid.iter().filter(|avoid| avoid.board == board.header.index).map(|avoid| avoid.slot).collect()
}
