//! Finding machines for a buyer: the choice of boards, the kinds of machines, and fallbacks. Pure on board views and
//! the market's account.

mod allocation;
mod bonds;
mod country;
mod error;
mod fallback;
mod fit;
mod kinds;
mod length;
mod pick;
mod request;
mod spread;

pub use self::{
    allocation::{Allocation, Part},
    bonds::Bonds,
    country::Country,
    error::SearchError,
    fallback::{Change, Fallback, fallbacks},
    kinds::{Kind, down, kinds, merged},
    length::Length,
    pick::{MeteredPick, pick, pick_metered, require_allowed},
    request::{Avoid, Request},
};
