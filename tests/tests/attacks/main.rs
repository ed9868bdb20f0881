//! The attacks of `docs/threats.md`: one test for each idea, named `attack_...`. Attacks on receipts, logs and demands
//! are in `record/`.

mod accounts;
mod claims;
mod creation;
mod leases;
mod mints;
mod rent;
mod rounds;
mod tokens;
