//! What the keeper does about what it sees: every rule of the program that decides a step, without a
//! network.

mod leases;
mod rounds;
mod scene;
mod seats;
mod simulation;
