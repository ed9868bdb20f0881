//! A buyer's request.

use leasehold::math::matching::Criteria;

use super::length::Length;

/// Machines that a buyer asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub criteria: Criteria,
    pub machines: u32,
    pub length: Length,
}
