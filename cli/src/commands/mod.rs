//! One module for each group of commands: its arguments, what it does, what it prints.

pub mod receipt;
