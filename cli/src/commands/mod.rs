//! One module for each group of commands: its arguments, plans and output.

pub mod address;
pub mod board;
pub mod completion;
pub mod keeper;
pub mod lease;
pub mod log;
pub mod machine;
pub mod man;
pub mod market;
pub mod offers;
pub mod quote;
pub mod receipt;
pub mod supplier;
