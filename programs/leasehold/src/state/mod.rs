//! What the program stores. Amounts are base units of the mint named beside them.

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )
)]

pub mod board;
pub mod keeper;
pub mod lease;
pub mod market;
pub mod stake;
pub mod supplier;

pub use board::*;
pub use keeper::*;
pub use lease::*;
pub use market::*;
pub use stake::*;
pub use supplier::*;
