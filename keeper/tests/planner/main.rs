//! Steps that the keeper plans for each state of the chain: every rule of the program that decides a step, without a
//! network.

mod leases;
mod rounds;
mod scene;
mod seats;
mod simulation;
mod upkeep;
