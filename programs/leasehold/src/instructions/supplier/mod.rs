pub mod claim_earnings;
pub mod close_supplier;
pub mod deposit_stake;
pub mod reclaim_rent;
pub mod register_supplier;
pub mod request_unstake;
pub mod withdraw_stake;

pub use claim_earnings::*;
pub use close_supplier::*;
pub use deposit_stake::*;
pub use reclaim_rent::*;
pub use register_supplier::*;
pub use request_unstake::*;
pub use withdraw_stake::*;
