//! What a plan takes from the wallet besides fees.

use serde::Serialize;
use solana_pubkey::Pubkey;

use crate::amount::Money;

/// Tokens that leave the wallet.
#[derive(Clone, Debug, Serialize)]
pub struct Spend {
    /// What for: "deposit".
    pub what: &'static str,
    #[serde(flatten)]
    pub money: Money,
    /// Token account that they leave.
    #[serde(skip)]
    pub from: Pubkey,
}

/// An account that is created or grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Bytes before; nothing for an account that does not exist.
    pub from: Option<usize>,
    pub to: usize,
    /// Set where several plans have one account created, whose rent is paid once: see [`super::Plan::step`].
    pub shared: Option<Pubkey>,
}
