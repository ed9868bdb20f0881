//! A small market for unit tests, of this crate and of those who build on it with the feature `sample`.

use leasehold::state::{Params, PendingParams};
use leasehold_client::{fetch::MintInfo, sample};

use crate::{failure::Failure, market::MarketView};

/// The sample's market, whose payments have 6 decimals and whose stake has 2.
pub fn view() -> MarketView {
    let snapshot = sample::snapshot();
    let [payment, stake] = mints();
    MarketView::new(snapshot.address, snapshot.market, payment, stake)
}

/// Its mints, of which only that of payments can be frozen, by wallet 7.
pub fn mints() -> [MintInfo; 2] {
    let token_program = sample::market().payment_token_program;
    let freeze_authority = Some(sample::wallet(7));
    [
        MintInfo { decimals: 6, token_program, freeze_authority },
        MintInfo { decimals: 2, token_program, freeze_authority: None },
    ]
}

/// A market that has announced other parameters.
pub fn announcing(change: impl FnOnce(&mut Params)) -> MarketView {
    let mut market = view();
    let mut params = market.account.params.clone();
    change(&mut params);
    market.account.pending_params = Some(PendingParams { params, effective_at: 60, expires_at: 120 });
    market
}

/// Name of the program's error behind a failure.
#[allow(clippy::missing_panics_doc)]
pub fn rule(failure: Failure) -> String {
    let refusal = failure.refusal().unwrap_or_else(|| panic!("{failure}"));
    refusal.error().unwrap().name()
}
