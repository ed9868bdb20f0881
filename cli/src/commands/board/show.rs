//! `leasehold board show`.

use std::fmt;

use leasehold::state::{Board, ring_bit};
use leasehold_client::{address, board::BoardView};
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    market::MarketView,
    table::{Table, count, labelled},
};
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::BoardArgs;

/// A board.
#[derive(Debug, Serialize)]
pub struct Shown {
    pub address: String,
    pub index: u32,
    pub creator: String,
    /// Machines by state.
    pub slots: u32,
    pub vacant: u32,
    pub idle: u32,
    pub leased: u32,
    pub suspended: u32,
    pub barred: u32,
    /// Leases whose account exists.
    pub leases: u32,
    pub next_serial: u32,
    /// First round that is not closed, and the one that runs.
    pub next_round: u32,
    pub round: Option<u32>,
    pub escrow: Money,
    pub fees: Money,
    pub keeper_pool: Money,
    pub bonds: Money,
    /// Slashed stake, and payments, that are to be burned.
    pub slashed: Money,
    pub burning: Money,
    /// Seats that are held, and the votes against a machine that make it down: with fewer keepers nobody can be down.
    pub keepers: u32,
    pub threshold: u8,
    /// Votes on the last closed round.
    pub last_votes: u32,
    /// The last quorate round of those that the board remembers, `None` if none was.
    pub last_quorate: Option<u32>,
    /// True if machines that were up in that round can be leased now.
    pub seen: bool,
    pub seats: Vec<Seat>,
}

#[derive(Debug, Serialize)]
pub struct Seat {
    pub seat: u8,
    /// `None` while it is vacant.
    pub keeper: Option<String>,
    pub submissions: u32,
    pub last_round: u32,
}

pub async fn run(chain: &Chain, args: BoardArgs) -> Result<(), Failure> {
    let market = chain.market(args.market.id.0).await?;
    let address = address::board(&args.market.id.0, args.board);
    let board = chain.board(&args.market.id.0, args.board).await?;
    let now = chain.fetch().now().await?;
    chain.settings.output.print(&Shown::new(&market, address, &board.view()?, now))
}

impl Shown {
    fn new(market: &MarketView, address: Pubkey, view: &BoardView, now: i64) -> Self {
        let (header, counts, ledger) = (view.header, view.counts(), &view.header.ledger);
        let seats = view.seats().map(|(number, seat)| Seat {
            seat: number,
            keeper: (!seat.is_vacant()).then(|| seat.keeper.to_string()),
            submissions: seat.submissions,
            last_round: seat.last_round,
        });
        Shown {
            address: address.to_string(),
            index: header.index,
            creator: header.creator.to_string(),
            slots: header.slots,
            vacant: counts.vacant,
            idle: counts.idle,
            leased: counts.leased,
            suspended: counts.suspended,
            barred: counts.barred,
            leases: header.leases,
            next_serial: header.next_serial,
            next_round: header.next_round,
            round: header.round_at(now).ok(),
            escrow: market.payment.money(ledger.escrow),
            fees: market.payment.money(ledger.fees),
            keeper_pool: market.payment.money(ledger.keeper_pool),
            bonds: market.stake.money(ledger.bonds),
            slashed: market.stake.money(ledger.slashed),
            burning: market.payment.money(ledger.burning),
            keepers: header.taken_seats().count_ones(),
            threshold: header.threshold,
            last_votes: last_votes(header),
            last_quorate: (header.quorate != 0).then_some(header.last_quorate),
            seen: header.seen_round(now).is_some(),
            seats: seats.collect(),
        }
    }
}

/// Votes on the last closed round.
fn last_votes(header: &Board) -> u32 {
    let last = header.next_round.checked_sub(1).and_then(|last| usize::try_from(ring_bit(last)).ok());
    last.and_then(|last| header.votes.get(last)).map_or(0, |votes| votes.count_ones())
}

fn votes(number: u32) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "vote")
}

impl Shown {
    /// What the board lacks.
    fn warnings(&self) -> Vec<(&'static str, String)> {
        let Shown { keepers, threshold, last_votes, .. } = self;
        let mut warnings = Vec::new();
        // Nobody misses votes on machines that are not there.
        if self.slots == self.vacant {
            return warnings;
        }
        let needed = u32::from(*threshold);
        if *keepers < needed || *last_votes < needed {
            warnings.push((
                "FEW VOTERS:",
                format!(
                    "no machine can be called down: that takes {}; {} held, and the last closed round had {}",
                    votes(needed),
                    if *keepers == 1 { "1 seat is".to_owned() } else { format!("{keepers} seats are") },
                    votes(*last_votes),
                ),
            ));
        }
        if !self.seen {
            let text = "keepers saw no machine lately: leases are opened with --allow-unseen only";
            warnings.push(("UNSEEN:", text.to_owned()));
        }
        warnings
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Shown { idle, leased, suspended, barred, vacant, .. } = self;
        let round = self.round.map_or_else(|| "-".to_owned(), |round| round.to_string());
        let machines = format!(
            "{idle} idle, {leased} leased, {suspended} suspended, {barred} barred; {} vacant",
            count(usize::try_from(*vacant).unwrap_or(usize::MAX), "slot")
        );
        let lines = [
            ("Board:", format!("{} ({})", self.index, self.address)),
            ("Creator:", self.creator.clone()),
            ("Machines:", machines),
            ("Leases:", format!("{}, the next is {}", self.leases, self.next_serial)),
            ("Round:", format!("{round}, closed up to {}", self.next_round)),
            ("Escrow:", self.escrow.to_string()),
            ("Market's fees:", self.fees.to_string()),
            ("For keepers:", self.keeper_pool.to_string()),
            ("Bonds:", self.bonds.to_string()),
            ("Stake to be burned:", self.slashed.to_string()),
            ("Payments to be burned:", self.burning.to_string()),
        ];
        f.write_str(&labelled(lines.into_iter().chain(self.warnings())))?;
        let mut table = Table::new(&[">SEAT", "KEEPER", ">VOTES", ">LAST ROUND"]);
        for seat in &self.seats {
            table.row(vec![
                seat.seat.to_string(),
                seat.keeper.clone().unwrap_or_else(|| "vacant".to_owned()),
                seat.submissions.to_string(),
                seat.last_round.to_string(),
            ]);
        }
        write!(f, "\n\n{table}")
    }
}

#[cfg(test)]
mod tests {
    use leasehold_client::sample::{snapshot, wallet};
    use leasehold_operate::sample::view;

    use super::*;

    #[test]
    fn a_board_that_lacks_voters_says_so_if_it_has_machines() {
        let state = snapshot().boards.remove(0);
        let mut shown = Shown::new(&view(), state.address, &state.data.view().unwrap(), 600_000);
        (shown.keepers, shown.last_votes, shown.threshold) = (1, 0, 2);
        let text = shown.to_string();
        let expected = "FEW VOTERS:             no machine can be called down: that takes 2 votes; 1 seat is held, and the last \
                        closed round had 0 votes\n";
        assert!(text.contains(expected), "{text}");
        (shown.slots, shown.vacant, shown.seen) = (4, 4, false);
        let text = shown.to_string();
        assert!(!text.contains("FEW VOTERS") && !text.contains("UNSEEN"), "{text}");
    }

    #[test]
    fn a_board_shows_machines_money_and_seats() {
        let state = snapshot().boards.remove(0);
        let shown = Shown::new(&view(), state.address, &state.data.view().unwrap(), 600_000);
        let text = shown.to_string();
        assert!(text.contains("1 idle, 2 leased, 0 suspended, 0 barred; 1 slot vacant"), "{text}");
        assert!(text.contains("1000, closed up to 1000") && text.contains("0.0024 of "), "{text}");
        assert!(text.contains(&wallet(2).to_string()), "{text}");
        let last: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(last, ["2", "vacant", "0", "0"]);
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            (&json["bonds"]["amount"], &json["seats"][2]["keeper"]),
            (&"300".into(), &serde_json::Value::Null)
        );
    }
}
