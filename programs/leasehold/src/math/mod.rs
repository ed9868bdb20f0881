//! Arithmetic without accounts: the program, the client's quotes and the tests all call it.
//!
//! Amounts are base units, rates basis points. Loops over thousands of machines multiply with
//! `wrapping_mul` under a bound checked beforehand, since every checked 64-bit multiplication is a
//! call of a 128-bit one on this machine.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

pub mod matching;
pub mod pricing;
pub mod settlement;
pub mod slashing;
pub mod tally;

use anchor_lang::prelude::*;

use crate::error::LeaseholdError;

/// Sum, or an error where it doesn't fit.
pub fn add(a: u64, b: u64) -> Result<u64> {
    a.checked_add(b).ok_or_else(|| LeaseholdError::MathOverflow.into())
}

/// Difference, or an error where it is negative.
pub fn sub(a: u64, b: u64) -> Result<u64> {
    a.checked_sub(b).ok_or_else(|| LeaseholdError::MathOverflow.into())
}

/// ⌊a·b / c⌋ in 128 bits, or an error where it doesn't fit or `c` is 0.
pub fn mul_div_floor(a: u64, b: u64, c: u64) -> Result<u64> {
    let product = u128::from(a).wrapping_mul(u128::from(b)); // two 64-bit factors always fit
    let quotient = product.checked_div(u128::from(c)).ok_or(LeaseholdError::MathOverflow)?;
    u64::try_from(quotient).map_err(|_| LeaseholdError::MathOverflow.into())
}

/// ⌈a·b / c⌉ in 128 bits, or an error where it doesn't fit or `c` is 0.
pub fn mul_div_ceil(a: u64, b: u64, c: u64) -> Result<u64> {
    let floor = mul_div_floor(a, b, c)?;
    let exact = u128::from(floor).wrapping_mul(u128::from(c)) == u128::from(a).wrapping_mul(u128::from(b));
    if exact { Ok(floor) } else { add(floor, 1) }
}
