//! Amounts, and the prices that are assumed.
//!
//! All figures are in payment tokens (assumed to be worth a dollar each). Stake has no price that the program knows, so
//! one is assumed to add up both.

use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use leasehold::state::Params;
use serde::Serialize;

/// Decimals of the mints.
pub const PAYMENT_DECIMALS: u32 = 6;
pub const STAKE_DECIMALS: u32 = 9;

/// Assumed price of a stake token, in payment units.
pub const STAKE_PRICE: i128 = 250_000;
/// Assumed price of a GPU of weight 10,000 for an hour, in payment units: that of the demo's RTX 4090.
const WEIGHT_PRICE: u64 = 350_000;

/// Assumed price per GPU and hour of a hardware class, in payment units.
pub fn price(params: &Params, class: u16) -> u64 {
    let weight = params.classes.get(usize::from(class)).map_or(0, |class| class.weight_bps);
    (WEIGHT_PRICE * u64::from(weight) / 10_000).max(1)
}

/// Payment units, negative for a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub i128);

impl Money {
    pub const ZERO: Money = Money(0);

    /// Value of stake units at the assumed price.
    pub fn of_stake(units: i128) -> Self {
        Money(units * STAKE_PRICE / 10i128.pow(STAKE_DECIMALS))
    }

    /// Price of so many seconds at `hourly` payment units, rounded down.
    pub fn of_time(hourly: u64, secs: u64) -> Self {
        Money(i128::from(hourly) * i128::from(secs) / 3_600)
    }

    pub fn tokens(self) -> f64 {
        self.0 as f64 / 10f64.powi(PAYMENT_DECIMALS as i32)
    }

    pub fn positive(self) -> Self {
        self.max(Money::ZERO)
    }

    pub fn scale(self, factor: f64) -> Self {
        Money((self.0 as f64 * factor).round() as i128)
    }
}

impl From<u64> for Money {
    fn from(units: u64) -> Self {
        Money(i128::from(units))
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.tokens())
    }
}

impl Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0 + other.0)
    }
}

impl Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0 - other.0)
    }
}

impl Neg for Money {
    type Output = Money;
    fn neg(self) -> Money {
        Money(-self.0)
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        self.0 += other.0;
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Money) {
        self.0 -= other.0;
    }
}
