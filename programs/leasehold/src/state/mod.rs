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

pub mod batch;
pub mod board;
pub mod compute_log;
pub mod demand;
pub mod keeper;
pub mod lease;
pub mod market;
pub mod receipt;
pub mod stake;
pub mod supplier;
pub mod voucher;

pub use batch::*;
pub use board::*;
pub use compute_log::*;
pub use demand::*;
pub use keeper::*;
pub use lease::*;
pub use market::*;
pub use receipt::*;
pub use stake::*;
pub use supplier::*;
pub use voucher::*;
