//! Pure arithmetic, which the rules, the client and the tests call.
//!
//! Amounts are base units, rates basis points. Loops over thousands of machines multiply with
//! `wrapping_mul` under a bound checked beforehand, since every checked 64-bit multiplication is a
//! call of a 128-bit one on this machine.

pub mod digest;
pub mod matching;
pub mod mmr;
pub mod pricing;
pub mod rounds;
pub mod settlement;
pub mod slashing;
pub mod sum_tree;
pub mod tally;
pub mod wide;

use anchor_lang::prelude::*;

use crate::error::LeaseholdError;

/// A result that does not fit. It has no data, so that loops over machines stay in registers; it becomes
/// [`LeaseholdError::MathOverflow`] outside the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// An exact result, or [`Overflow`].
pub type Exact<T> = core::result::Result<T, Overflow>;

impl From<Overflow> for Error {
    fn from(_: Overflow) -> Self {
        LeaseholdError::MathOverflow.into()
    }
}

/// Sum, or an error if it does not fit.
#[inline(always)]
pub fn add(a: u64, b: u64) -> Exact<u64> {
    a.checked_add(b).ok_or(Overflow)
}

/// Difference, or an error if it is negative.
#[inline(always)]
pub fn sub(a: u64, b: u64) -> Exact<u64> {
    a.checked_sub(b).ok_or(Overflow)
}

/// As [`add`], for rounds and counts.
#[inline(always)]
pub fn add32(a: u32, b: u32) -> Exact<u32> {
    a.checked_add(b).ok_or(Overflow)
}

/// As [`sub`], for rounds and counts.
#[inline(always)]
pub fn sub32(a: u32, b: u32) -> Exact<u32> {
    a.checked_sub(b).ok_or(Overflow)
}

/// ⌊a·b / c⌋, or an error if it does not fit or `c` is 0.
pub fn mul_div_floor(a: u64, b: u64, c: u64) -> Exact<u64> {
    wide::div(wide::mul(a, b), c).map(|(quotient, _)| quotient).ok_or(Overflow)
}

/// ⌈a·b / c⌉, or an error if it does not fit or `c` is 0.
pub fn mul_div_ceil(a: u64, b: u64, c: u64) -> Exact<u64> {
    let (quotient, rest) = wide::div(wide::mul(a, b), c).ok_or(Overflow)?;
    if rest == 0 { Ok(quotient) } else { add(quotient, 1) }
}
