//! The committed program in LiteSVM, with the real token programs. No network, no sleeping: a test sets the clock.
//!
//! This library holds the code that tests share:
//!
//! - [`world`], [`mints`]: a market in a virtual machine; [`actors`]: suppliers, keepers, buyers; [`scene`]: common
//!   starting points; [`wind_up`]: everybody leaves; [`assertions`]: refusals and invariants;
//!   [`wealth`]: what attacks bring.
//! - [`record`]: receipts, vouchers, demands and logs.
//! - [`catalogue`]: one successful call of every instruction, for tests about all of them.
//! - [`model`]: the whole program once more, as plain Rust; [`bench`]: the measurements of `cargo xtask bench`.
//!
//! The tests are in `tests/`. Where a new one goes:
//!
//! | subject of the test | folder or file |
//! |---|---|
//! | an instruction works (`open_lease_ok`) or refuses (`open_lease_fails_when_...`); every error needs such a test | `market/`, `supplier.rs`, `profiles.rs`, `board/`, `index.rs`, `round/`, `lease/`, `view.rs`, `record/` |
//! | an attack fails (`attack_...`); add it to `docs/threats.md` | `attacks/`; for receipts and logs `record/` |
//! | a lease from its opening until everybody has left | `lifecycle/` |
//! | arithmetic equals the design's formula for all inputs | `settlement.rs`, `matching.rs`, `tally.rs` |
//! | a quote of the client equals the program's result | `quotes/` |
//! | an instruction agrees with the model in random sequences | a step in `model/`, and `src/model/` |
//! | documents agree with the code | `documents.rs`, `error_table.rs` |
//!
//! A new instruction also needs a case in [`catalogue`].

pub mod actors;
pub mod assertions;
pub mod bench;
pub mod catalogue;
pub mod hostile;
pub mod mints;
pub mod model;
pub mod record;
pub mod scene;
pub mod wealth;
pub mod wind_up;
pub mod world;

pub use actors::*;
pub use assertions::*;
pub use catalogue::*;
pub use record::*;
pub use scene::*;
pub use wealth::*;
pub use world::*;
