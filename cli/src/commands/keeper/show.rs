//! `leasehold keeper show`.

use std::fmt;

use leasehold::state::Keeper;
use leasehold_client::board::BoardView;
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    market::MarketView,
    table::{Table, labelled},
    time::rfc3339,
};
use serde::Serialize;

use super::{ShowArgs, account};

/// A keeper.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub wallet: String,
    pub account: String,
    /// Stake that no seat holds.
    pub free: Money,
    /// Stake that its seats hold.
    pub bonded: Money,
    pub unbonding: Money,
    /// Time from which it can be withdrawn, `None` if no stake is unbonding.
    pub withdraw_from: Option<String>,
    pub seats: Vec<Seat>,
}

#[derive(Debug, Serialize)]
pub struct Seat {
    pub board: u32,
    pub seat: u8,
    pub bond: Money,
    /// Earned and not claimed.
    pub earned: Money,
    pub submissions: u32,
    /// Round of the last submission, else the one in which the seat was taken.
    pub last_round: u32,
}

pub async fn run(chain: &Chain, args: ShowArgs) -> Result<(), Failure> {
    let wallet = chain.wallet_or(args.keeper)?;
    let market = chain.market(args.market.id.0).await?;
    let keeper = account(chain, &market.reference.address, &wallet).await?;
    let headers = chain.headers(&args.market.id.0).await?;
    let views: Vec<_> =
        headers.iter().map(|header| BoardView { header: &header.account, slots: &[] }).collect();
    chain.settings.output.print(&Shown::new(&market, &keeper, &views))
}

impl Shown {
    fn new(market: &MarketView, keeper: &Keeper, boards: &[BoardView]) -> Self {
        let seat = |board: &BoardView| {
            let (number, seat) = board.seat_of(&keeper.authority)?;
            Some(Seat {
                board: board.header.index,
                seat: number,
                bond: market.stake.money(seat.bond),
                earned: market.payment.money(seat.earned),
                submissions: seat.submissions,
                last_round: seat.last_round,
            })
        };
        let stake = keeper.stake;
        Shown {
            wallet: keeper.authority.to_string(),
            account: market.reference.keeper(&keeper.authority).to_string(),
            free: market.stake.money(stake.free),
            bonded: market.stake.money(keeper.locked),
            unbonding: market.stake.money(stake.unbonding),
            withdraw_from: (stake.unbonding > 0).then(|| rfc3339(stake.unbonding_until)),
            seats: boards.iter().filter_map(seat).collect(),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let from = self.withdraw_from.as_ref().map(|from| format!(", can be withdrawn from {from}"));
        let lines = [
            ("Keeper:", self.wallet.clone()),
            ("Account:", self.account.clone()),
            ("Free stake:", self.free.to_string()),
            ("Bonded:", self.bonded.to_string()),
            ("Unbonding:", format!("{}{}", self.unbonding, from.unwrap_or_default())),
            ("Seats:", self.seats.len().to_string()),
        ];
        f.write_str(&labelled(lines))?;
        if self.seats.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&[">BOARD", ">SEAT", ">BOND", ">EARNED", ">VOTES", ">LAST ROUND"]);
        for seat in &self.seats {
            table.row(vec![
                seat.board.to_string(),
                seat.seat.to_string(),
                seat.bond.token.number(seat.bond.amount),
                seat.earned.token.number(seat.earned.amount),
                seat.submissions.to_string(),
                seat.last_round.to_string(),
            ]);
        }
        write!(f, "\n\n{table}")
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample::snapshot;
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn a_keeper_shows_its_stake_and_seats() {
        let snapshot = snapshot();
        let views = [snapshot.boards[0].data.view().unwrap()];
        let shown = Shown::new(&view(), &snapshot.keepers[1].1, &views);
        let text = shown.to_string();
        assert!(text.contains("Bonded:      0.5 of "), "{text}");
        assert!(text.ends_with("    0     1   0.5  0.000004      0           0"), "{text}");
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            (&json["seats"][0]["earned"]["amount"], &json["seats"][0]["seat"]),
            (&"4".into(), &1.into())
        );
    }
}
