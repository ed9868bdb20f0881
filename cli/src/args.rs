//! The commands of `leasehold`.

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        board::BoardCommand, completion::CompletionArgs, keeper::KeeperCommand, lease::LeaseCommand,
        log::LogCommand, machine::MachineCommand, man::ManArgs, market::MarketCommand, offers::OffersArgs,
        receipt::ReceiptCommand, supplier::SupplierCommand,
    },
    request::RequestArgs,
};
use leasehold_operate::{flags::Global, parse::exit_codes};

/// Leases GPU time, and checks what was computed.
#[derive(Parser)]
#[command(name = "leasehold", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = after_help())]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// The address of the keypair that signs.
    Address,
    /// What is free on a market, machines that are alike in one line.
    Offers(OffersArgs),
    /// Exactly what `lease open` would take now: machines, total, what can come back.
    Quote(RequestArgs),
    /// Leases: open, extend, repair, settle and claim them.
    Lease {
        #[command(subcommand)]
        command: LeaseCommand,
    },
    /// Suppliers: stake, earnings.
    Supplier {
        #[command(subcommand)]
        command: SupplierCommand,
    },
    /// Machines of a supplier: detect, list, reprice and retire them.
    Machine {
        #[command(subcommand)]
        command: MachineCommand,
    },
    /// Keepers: stake and seats.
    Keeper {
        #[command(subcommand)]
        command: KeeperCommand,
    },
    /// Boards of a market.
    Board {
        #[command(subcommand)]
        command: BoardCommand,
    },
    /// Markets: their rules, and what their authority may do.
    Market {
        #[command(subcommand)]
        command: MarketCommand,
    },
    /// Compute logs: where a supplier records what its machines computed.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Receipts of inferences: which machine gave an answer, and what was paid for it.
    Receipt {
        #[command(subcommand)]
        command: ReceiptCommand,
    },
    /// Prints a script by which a shell completes commands, for bash by `source <(leasehold completion)`.
    Completion(CompletionArgs),
    /// Writes manual pages, one for each command.
    Man(ManArgs),
}

/// What the help ends with.
fn after_help() -> String {
    format!(
        "{}\n\nSettings are taken from flags, then from the environment, then from the file of \
         `solana config`, then defaults.",
        exit_codes()
    )
}

#[cfg(test)]
mod tests;
