//! `leasehold supplier show`.

use std::fmt;

use leasehold::state::Supplier;
use leasehold_client::{board::BoardView, fetch::Fetched};
use leasehold_operate::{
    amount::Money, chain::Chain, failure::Failure, market::MarketView, table::labelled, time::rfc3339,
};
use serde::Serialize;

use super::WhoArgs;

/// A supplier.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub wallet: String,
    pub account: String,
    pub market: String,
    /// Stake that no machine holds.
    pub free: Money,
    /// Stake in the bonds of its machines.
    pub bonded: Money,
    pub unbonding: Money,
    /// Time from which it can be withdrawn, `None` if no stake is unbonding.
    pub withdraw_from: Option<String>,
    pub machines: u32,
    /// Machines that are leased.
    pub leased: u32,
    /// Earned and not claimed.
    pub earnings: Money,
}

pub async fn run(chain: &Chain, args: WhoArgs) -> Result<(), Failure> {
    let wallet = chain.wallet_or(args.supplier)?;
    let market = chain.market(args.market.id.0).await?;
    let supplier = super::account(chain, &market.reference.address, &wallet).await?;
    let boards = chain.boards(&args.market.id.0, None).await?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    chain.settings.output.print(&Shown::new(&market, &supplier, &views))
}

impl Shown {
    fn new(market: &MarketView, supplier: &Supplier, boards: &[BoardView]) -> Self {
        let account = market.reference.supplier(&supplier.authority);
        let machines = || boards.iter().flat_map(|board| board.of_supplier(account)).map(|(_, slot)| slot);
        let leased = machines().filter(|slot| slot.lease != 0).count();
        let stake = supplier.stake;
        Shown {
            wallet: supplier.authority.to_string(),
            account: account.to_string(),
            market: market.reference.address.to_string(),
            free: market.stake.money(stake.free),
            bonded: market.stake.money(machines().fold(0, |sum, slot| sum.saturating_add(slot.bond))),
            unbonding: market.stake.money(stake.unbonding),
            withdraw_from: (stake.unbonding > 0).then(|| rfc3339(stake.unbonding_until)),
            machines: supplier.machines,
            leased: u32::try_from(leased).unwrap_or(u32::MAX),
            earnings: market.payment.money(machines().fold(0, |sum, slot| sum.saturating_add(slot.accrued))),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let from = self.withdraw_from.as_ref().map(|from| format!(", can be withdrawn from {from}"));
        let lines = [
            ("Supplier:", self.wallet.clone()),
            ("Account:", self.account.clone()),
            ("Free stake:", self.free.to_string()),
            ("Bonded:", self.bonded.to_string()),
            ("Unbonding:", format!("{}{}", self.unbonding, from.unwrap_or_default())),
            ("Machines:", format!("{}, {} of them leased", self.machines, self.leased)),
            ("Earnings:", self.earnings.to_string()),
        ];
        f.write_str(&labelled(lines))
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample::snapshot;
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn a_supplier_shows_its_stake_machines_and_earnings() {
        let snapshot = snapshot();
        let views = [snapshot.boards[0].data.view().unwrap()];
        let shown = Shown::new(&view(), &snapshot.suppliers[0].1, &views);
        let text = shown.to_string();
        assert!(text.contains("Machines:    2, 2 of them leased"), "{text}");
        assert!(text.contains("Unbonding:   0.1 of ") && text.contains("withdrawn from 1970-01-01T"));
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!((&json["bonded"]["amount"], &json["earnings"]["amount"]), (&"200".into(), &"540".into()));
    }
}
