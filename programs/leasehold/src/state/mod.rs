//! Accounts of the program. Amounts are base units of the mint named beside them.

pub mod batch;
pub mod board;
pub mod compute_log;
pub mod demand;
pub mod keeper;
pub mod lease;
pub mod market;
pub mod price_index;
pub mod profile;
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
pub use price_index::*;
pub use profile::*;
pub use receipt::*;
pub use stake::*;
pub use supplier::*;
pub use voucher::*;
