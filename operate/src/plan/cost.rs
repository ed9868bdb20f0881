//! Costs of a plan besides fees.

use serde::Serialize;
use solana_pubkey::Pubkey;

use crate::amount::Money;

/// Tokens that leave the wallet.
#[derive(Clone, Debug, Serialize)]
pub struct Spend {
    /// Purpose: "deposit".
    pub what: &'static str,
    #[serde(flatten)]
    pub money: Money,
    /// The token account that they leave.
    #[serde(skip)]
    pub from: Pubkey,
}

/// An account that is created or grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Bytes before, `None` if the account does not exist.
    pub from: Option<usize>,
    pub to: usize,
    /// Set if several plans create the same account, whose rent is paid once: see [`super::Plan::step`].
    pub shared: Option<Pubkey>,
}
