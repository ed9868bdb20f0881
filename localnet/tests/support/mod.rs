//! Parts of tests with tenants: a network with a supplier's machines, nodes as processes, OpenSSH's client.

#[path = "../../../node/tests/door/client.rs"]
pub mod client;
pub mod node;
pub mod room;
pub mod world;
