//! What attackers will try, from the design's list: one test for each idea, named `attack_...`.

mod accounts;
mod claims;
mod creation;
mod leases;
mod mints;
mod rent;
mod rounds;
mod tokens;
