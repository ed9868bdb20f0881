//! The boards that a search needs: whole boards have up to 1.2 MB, their headers 2 KB.

use leasehold::{math::matching::Criteria, state::Board};
use leasehold_client::{
    fetch::FetchedBoard,
    search::{Allocation, Request, SearchError, pick},
};
use leasehold_operate::{chain::Chain, failure::Failure, market::MarketView};
use solana_pubkey::Pubkey;

/// Looks for machines on the boards that can have some, or on the one with that number. The others are read only if none are
/// found, so that what is said about that is of all boards. Returns the boards that were read last.
///
/// # Errors
/// That the boards can't be read.
pub async fn search<T, E>(
    chain: &Chain,
    market: &Pubkey,
    only: Option<u32>,
    may_fit: impl Fn(&Board) -> bool,
    find: impl Fn(&[FetchedBoard]) -> Result<T, E>,
) -> Result<(Vec<FetchedBoard>, Result<T, E>), Failure> {
    if only.is_none() {
        let (boards, left_out) = chain.boards_where(market, may_fit).await?;
        let found = find(&boards);
        if found.is_ok() || left_out == 0 {
            return Ok((boards, found));
        }
    }
    let boards = chain.boards(market, only).await?;
    let found = find(&boards);
    Ok((boards, found))
}

/// The machines that a lease would get.
///
/// # Errors
/// As [`search`].
pub async fn allocate(
    chain: &Chain,
    market: &MarketView,
    only: Option<u32>,
    now: i64,
    request: &Request,
) -> Result<(Vec<FetchedBoard>, Result<Allocation, SearchError>), Failure> {
    let may_fit = |header: &Board| may_fit(header, &request.criteria, now);
    let address = market.reference.address;
    search(chain, &address, only, may_fit, |boards| {
        // Boards that can't be viewed were not read.
        let views: Vec<_> = boards.iter().filter_map(|board| board.view().ok()).collect();
        pick(&market.account, &views, now, request)
    })
    .await
}

/// True unless the header tells that no machine of the board meets the criteria at Unix time `now`.
pub fn may_fit(header: &Board, criteria: &Criteria, now: i64) -> bool {
    header.machines > 0 && (criteria.allow_unseen || header.seen_round(now).is_some())
}
