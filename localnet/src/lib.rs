//! An embedded Solana network with Leasehold on it, for tests, `cargo demo` and `cargo localnet`.
//!
//! The virtual machine, JSON-RPC and websockets are those of surfpool, in this process: no validator is installed, and
//! no other machine is contacted. The network starts with the program and the payer's lamports; everything else is done
//! by transactions.
//!
//! - [`network`]: starts and stops the network, funds wallets, advances the clock; [`genesis`]: creates the market.
//! - [`demo`]: the steps of `cargo demo`. [`rooms`]: what its tenant, and those of tests, log in to.
//!
//! The tests in `tests/` need sockets, processes or the clock; everything else is tested faster in `leasehold-tests`.
//! They run one at a time (`.config/nextest.toml`), wait for conditions and never for a fixed time, and use binaries
//! that `cargo xtask test` builds before. Where a new one goes:
//!
//! | subject of the test | file or folder |
//! |---|---|
//! | a command's output, refusal or JSON | a transcript in `tests/cli/transcripts/`, played by `tests/cli/main.rs` |
//! | the question before signing, or a live view | `tests/cli/terminal.rs` |
//! | sending and confirming transactions | `tests/sender.rs` |
//! | commands and output in `docs/guides/` and the README; the bot of `examples/` | `tests/cli/guides.rs`, `tests/cli/bot.rs` |
//! | keepers and nodes as processes | `tests/keeper.rs`, `tests/end_to_end.rs` |
//! | tenants who log in, with `sshd`, `ssh` and nodes as processes | `tests/shell/`; its parts are in `tests/support/` |
//! | a Ray cluster of leased machines, for `cargo xtask ray` | `tests/ray/` |
//! | receipts, logs, vouchers and archives | `tests/record/` |
//! | `deploy` | `tests/migrations.rs` |
//! | the demo as a process | `tests/demo.rs` |
//! | the network itself | `tests/network.rs`, `tests/genesis.rs` |

mod clock;
pub mod demo;
mod error;
pub mod genesis;
pub mod network;
mod options;
pub mod rooms;
mod surfnet;
mod tokens;

pub use genesis::{Genesis, open_market, program};
pub use network::{Grant, Network, NetworkError, Options, Program};
