//! `leasehold lease list`.

use std::fmt;

use leasehold::{
    rules::settle::is_due,
    state::{Lease, LeaseState, Slot},
};
use leasehold_client::{
    board::BoardView,
    error::Refusal,
    quote::{settlement, standing},
};
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    market::MarketView,
    table::Table,
    time::{rfc3339, start_of},
};
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::ListArgs;

/// Leases of a wallet.
#[derive(Debug, Serialize)]
pub struct Leases {
    pub owner: String,
    /// The group that was asked for.
    #[serde(skip)]
    group: Option<u64>,
    pub leases: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub struct Line {
    pub lease: String,
    /// Numbers of the board and of the lease.
    pub board: u32,
    pub serial: u32,
    pub state: &'static str,
    pub machines: u32,
    /// First round, and the first after the last.
    pub from: u32,
    pub until: u32,
    pub start: String,
    pub end: String,
    pub deposit: Money,
    /// GPUs of the machines that serve it, `None` once it is settled: they have left it.
    pub gpus: Option<u32>,
    pub gpus_asked: u32,
    /// To machines and for fees.
    pub spent: Money,
    /// Burned so far.
    pub burned: Money,
    /// Earned by machines in closed rounds, fees included, and paid from escrow if it is settled now.
    pub owed: Money,
    /// Earned, and kept until the ends of the machines: damages are taken out of it.
    pub kept: Money,
    /// Burned if it is settled as it stands.
    pub burning: Money,
    /// The rest in escrow.
    pub left: Money,
    /// Back to its owner so far, and the part of it to be claimed.
    pub refunded: Money,
    pub refund_due: Money,
    /// Number of its group.
    pub group: Option<String>,
}

pub async fn run(chain: &Chain, args: ListArgs) -> Result<(), Failure> {
    let owner = chain.wallet_or(args.owner)?;
    let market = chain.market(args.market.id.0).await?;
    let mut leases = Vec::new();
    for index in 0..market.account.next_board {
        let (fetch, board) = (chain.fetch(), market.board(index).address);
        let mut found = fetch.leases(&board).await?;
        found.retain(|lease| is_meant(&lease.account, &owner, args.group));
        if found.is_empty() {
            continue;
        }
        let data = fetch.board(board).await?;
        for lease in found {
            leases.push(Line::new(&market, lease.address, &data.view()?, &lease.account)?);
        }
    }
    chain.settings.output.print(&Leases { owner: owner.to_string(), group: args.group, leases })
}

/// True if a lease belongs to the wallet, and to the group if one is named.
fn is_meant(lease: &Lease, owner: &Pubkey, group: Option<u64>) -> bool {
    lease.owner == *owner && (group.is_none() || lease.group == group)
}

/// Name of a lease's state.
pub fn state(lease: &Lease) -> &'static str {
    match lease.state {
        LeaseState::Open => "open",
        LeaseState::Cancelled => "cancelled",
        LeaseState::Settled => "settled",
    }
}

/// GPUs of the machines that serve a lease, or served it to its end.
fn gpus(board: &BoardView, lease: &Lease) -> u32 {
    let stays = |slot: &Slot| slot.lease_until == lease.until;
    let gpus = board.leased(lease.serial).filter(|(_, slot)| stays(slot));
    gpus.map(|(_, slot)| u32::from(slot.traits.gpus)).fold(0, u32::saturating_add)
}

impl Line {
    /// Its GPUs in words.
    pub fn gpus(&self) -> String {
        self.gpus.map_or_else(|| format!("{} asked for", self.gpus_asked), |gpus| gpus.to_string())
    }

    pub fn new(
        market: &MarketView,
        address: Pubkey,
        board: &BoardView,
        lease: &Lease,
    ) -> Result<Self, Failure> {
        let (payment, terms) = (market.payment, &lease.terms);
        let Due { owed, kept, burning } = Due::of(board, lease)?;
        let escrow = lease.remaining().map_err(Refusal::from)?;
        let left = escrow.saturating_sub(owed).saturating_sub(kept);
        Ok(Line {
            lease: address.to_string(),
            board: board.header.index,
            serial: lease.serial,
            state: state(lease),
            machines: lease.machines,
            from: lease.from,
            until: lease.until,
            start: rfc3339(start_of(terms, lease.from)),
            end: rfc3339(start_of(terms, lease.until)),
            deposit: payment.money(lease.deposit),
            spent: payment.money(lease.paid.saturating_add(lease.fees)),
            gpus: (lease.state != LeaseState::Settled).then(|| gpus(board, lease)),
            gpus_asked: lease.gpus,
            burned: payment.money(lease.burned),
            owed: payment.money(owed),
            kept: payment.money(kept),
            burning: payment.money(burning),
            left: payment.money(left),
            refunded: payment.money(lease.refunded),
            refund_due: payment.money(lease.refund_due),
            group: lease.group.map(|group| group.to_string()),
        })
    }
}

/// What a lease owes as it stands, in payment units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Due {
    owed: u64,
    kept: u64,
    burning: u64,
}

impl Due {
    fn of(board: &BoardView, lease: &Lease) -> Result<Self, Refusal> {
        if lease.state == LeaseState::Settled {
            return Ok(Due::default());
        }
        let (owed, standing) = (settlement(board, lease)?.payment.gross()?, standing(board, lease)?);
        let runs = |slot: &u16| board.slot(*slot).is_some_and(|slot| !is_due(board.header, lease, slot));
        let kept = standing.machines.iter().filter(|(slot, _)| runs(slot)).map(|(_, machine)| machine.kept);
        Ok(Due { owed, kept: kept.fold(0, u64::saturating_add), burning: standing.burned.total()? })
    }
}

impl fmt::Display for Leases {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.leases.is_empty() {
            let group = self.group.map(|group| format!(" of group {group}")).unwrap_or_default();
            return write!(f, "{} has no leases{group} on this market.", self.owner);
        }
        let mut table = Table::new(&[
            "LEASE",
            "STATE",
            ">GPUS",
            ">MACHINES",
            "END",
            ">DEPOSIT",
            ">SPENT",
            ">OWED",
            ">HELD",
            ">LEFT",
            ">BURNED",
            ">REFUND",
            "GROUP",
        ]);
        let number = |money: &Money| money.token.number(money.amount);
        for line in &self.leases {
            table.row(vec![
                format!("{}:{}", line.board, line.serial),
                line.state.to_owned(),
                line.gpus(),
                line.machines.to_string(),
                line.end.clone(),
                number(&line.deposit),
                number(&line.spent),
                number(&line.owed),
                number(&line.kept),
                number(&line.left),
                number(&line.burned),
                number(&line.refund_due),
                line.group.clone().unwrap_or_default(),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::leased::tests::sample, *};

    #[test]
    fn leases_stand_in_a_table_with_what_is_left_of_them() {
        let lines = [1, 2].map(|serial| {
            let mut leased = sample(serial);
            leased.lease.group = (serial == 1).then_some(5);
            Line::new(&leased.market, leased.address, &leased.view().unwrap(), &leased.lease).unwrap()
        });
        let leases = Leases { owner: "Me".to_owned(), group: None, leases: lines.into() };
        let expected = "\
LEASE  STATE           GPUS  MACHINES  END                   DEPOSIT  SPENT  OWED     HELD     LEFT  BURNED   REFUND  GROUP
0:1    open               2         2  1970-01-08T00:20:00Z   0.0024      0     0  0.00108  0.00132       0        0  5
0:2    settled  1 asked for         1  1970-01-08T00:20:00Z   0.0001      0     0        0        0       0  0.00004";
        assert_eq!(leases.to_string(), expected);
        let json = serde_json::to_value(&leases).unwrap();
        assert_eq!(
            (&json["leases"][0]["left"]["amount"], &json["leases"][1]["state"]),
            (&"1320".into(), &"settled".into())
        );
        // Of slot 0's two rounds down, one is allowed.
        assert_eq!(
            (&json["leases"][0]["kept"]["amount"], &json["leases"][0]["burning"]["amount"]),
            (&"1080".into(), &"60".into())
        );
        let none = |group| Leases { owner: "Me".to_owned(), group, leases: Vec::new() }.to_string();
        assert_eq!(none(None), "Me has no leases on this market.");
        assert_eq!(none(Some(7)), "Me has no leases of group 7 on this market.");
    }
    #[test]
    fn only_leases_of_the_wallet_and_of_the_group_are_listed() {
        let leased = sample(1);
        let (mine, other) = (leased.lease.owner, sample(2).address);
        let tied = Lease { group: Some(5), ..leased.lease };
        assert!(is_meant(&tied, &mine, None) && is_meant(&tied, &mine, Some(5)));
        assert!(!is_meant(&tied, &mine, Some(6)) && !is_meant(&tied, &other, Some(5)));
        assert!(!is_meant(&Lease { group: None, ..tied }, &mine, Some(5)));
    }
}
