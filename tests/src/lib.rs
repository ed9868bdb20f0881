//! The committed program in LiteSVM, with real token programs: a market, actors who sign, assertions.

pub mod actors;
pub mod assertions;
pub mod bench;
pub mod catalogue;
pub mod mints;
pub mod model;
pub mod record;
pub mod scene;
pub mod wind_up;
pub mod world;

pub use actors::*;
pub use assertions::*;
pub use catalogue::*;
pub use record::*;
pub use scene::*;
pub use world::*;
