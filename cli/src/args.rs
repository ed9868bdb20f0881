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

/// Leases GPU time and proves what was computed.
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
    /// Address of the keypair that signs.
    Address,
    /// Idle machines of a market; identical machines share a line.
    Offers(OffersArgs),
    /// Quotes the lease that `lease open` would open now: machines, price, refund.
    Quote(RequestArgs),
    /// Leases: open, extend, repair, settle and claim.
    Lease {
        #[command(subcommand)]
        command: LeaseCommand,
    },
    /// Suppliers: stake and earnings.
    Supplier {
        #[command(subcommand)]
        command: SupplierCommand,
    },
    /// Machines of a supplier: detect, list, reprice and retire.
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
    /// Markets: rules, parameters and authority.
    Market {
        #[command(subcommand)]
        command: MarketCommand,
    },
    /// Compute logs: records of what a supplier's machines computed.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Receipts of inferences: which machine answered, and at what price.
    Receipt {
        #[command(subcommand)]
        command: ReceiptCommand,
    },
    /// Prints a shell's completion script; for bash: `source <(leasehold completion)`.
    Completion(CompletionArgs),
    /// Writes a manual page for each command.
    Man(ManArgs),
}

/// End of the help.
fn after_help() -> String {
    format!(
        "{}\n\nSettings are taken from flags, then from the environment, then from the file of \
         `solana config`, then defaults.",
        exit_codes()
    )
}

#[cfg(test)]
mod tests;
