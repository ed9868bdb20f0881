//! `leasehold quote --metered`: the machine that a metered lease would get.

use std::fmt;

use leasehold::{constants::NOTICE_ROUNDS, error::LeaseholdError, instructions::MeterArgs};
use leasehold_client::{
    error::Refusal,
    fetch::{Fetched, FetchedBoard},
    search::{MeteredPick, pick_metered},
};
use leasehold_operate::{
    amount::Money,
    chain::Chain,
    failure::Failure,
    market::MarketView,
    table::{count, labelled},
    time::{rfc3339, start_of},
};
use serde::Serialize;
use solana_pubkey::Pubkey;

use crate::request::RequestArgs;

pub async fn run(chain: &Chain, args: RequestArgs) -> Result<(), Failure> {
    let (market, boards, now) = read(chain, &args).await?;
    // Nobody signs anything yet.
    let found = find(&market, &boards, now, &args, Pubkey::default());
    let lacking = Refusal::from(LeaseholdError::NotEnoughMachines);
    let offer = match &found {
        Ok(found) => Some(MeteredOffer::new(&market, found)),
        Err(error) if error.refusal() == Some(lacking) => None,
        Err(_) => return found.map(|_| ()),
    };
    chain.settings.output.print(&MeteredQuote { fits: offer.is_some(), offer })?;
    found.map(|_| ()).map_err(advised)
}

/// The failure, or what to try instead if no machine fits.
pub fn advised(failure: Failure) -> Failure {
    if failure.refusal() != Some(LeaseholdError::NotEnoughMachines.into()) {
        return failure;
    }
    let advice = "ask for less time, widen the criteria, or try another board";
    Failure::Refused(format!("no metered machine fits: {advice}"))
}

/// The market, its boards and the time of the cluster.
pub async fn read(
    chain: &Chain,
    args: &RequestArgs,
) -> Result<(MarketView, Vec<FetchedBoard>, i64), Failure> {
    let market = chain.market(args.market.id.0).await?;
    let boards = chain.boards(&args.market.id.0, args.board).await?;
    Ok((market, boards, chain.fetch().now().await?))
}

/// The machine that a lease would get.
pub fn find<'a>(
    market: &MarketView,
    boards: &'a [FetchedBoard],
    now: i64,
    args: &RequestArgs,
    spender: Pubkey,
) -> Result<MeteredPick<'a>, Failure> {
    if args.machines != 1 {
        return Err(Failure::Input(
            "a metered lease has one machine: leave out --machines, and open one lease for each".to_owned(),
        ));
    }
    let criteria = args.criteria.criteria(market)?;
    let rounds = args.length.rounds(market.account.rules.round_secs)?;
    // Without --deposit clap refuses --metered.
    let deposit = market.payment.parse(args.meter.deposit.as_deref().unwrap_or("0"))?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let meter = MeterArgs { spender, deposit: deposit.amount };
    Ok(pick_metered(&market.account, &views, now, &criteria, rounds, meter)?)
}

/// Machine that could be leased now, metered.
#[derive(Debug, Serialize)]
pub struct MeteredQuote {
    pub fits: bool,
    /// The offer, `None` if no machine fits.
    pub offer: Option<MeteredOffer>,
}

/// A machine that allows metered leases.
#[derive(Debug, Serialize)]
pub struct MeteredOffer {
    /// Number of the board.
    pub board: u32,
    pub slot: u16,
    pub node_key: String,
    pub class: String,
    pub gpus: u8,
    pub rounds: u32,
    /// First round, and the first after the last.
    pub from: u32,
    pub until: u32,
    pub start: String,
    pub end: String,
    pub deposit: Money,
    /// Part of it that comes back if no voucher is redeemed.
    pub refundable: Money,
    /// Rounds that the lease runs after the round in which notice is given.
    pub notice_rounds: u32,
    /// Length of a round in seconds.
    pub round_secs: u32,
}

impl MeteredOffer {
    pub fn new(market: &MarketView, found: &MeteredPick) -> Self {
        let MeteredPick { board, quote } = found;
        let round_secs = board.header.round_secs;
        let slot = quote.slots.first().copied().unwrap_or_default();
        let machine = board.slot(slot);
        let class = machine.map(|machine| market.class_name(machine.traits.class));
        MeteredOffer {
            board: board.header.index,
            slot,
            node_key: machine
                .map(|machine| Pubkey::new_from_array(machine.node_key).to_string())
                .unwrap_or_default(),
            class: class.unwrap_or_default(),
            gpus: machine.map(|machine| machine.traits.gpus).unwrap_or_default(),
            rounds: quote.rounds,
            from: quote.from,
            until: quote.until,
            start: rfc3339(start_of(round_secs, quote.from)),
            end: rfc3339(start_of(round_secs, quote.until)),
            deposit: market.payment.money(quote.deposit),
            refundable: market.payment.money(quote.deposit),
            notice_rounds: NOTICE_ROUNDS,
            round_secs,
        }
    }

    /// The machine in words.
    pub fn machine(&self) -> String {
        let gpus = count(self.gpus.into(), "GPU");
        format!("{} with {gpus} (slot {}, key {})", self.class, self.slot, self.node_key)
    }

    /// The notice in words.
    pub fn notice(&self) -> String {
        let MeteredOffer { notice_rounds, round_secs, .. } = self;
        format!("{notice_rounds} rounds of {round_secs} seconds, from either side")
    }
}

impl fmt::Display for MeteredOffer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let last = self.until.saturating_sub(1);
        let lines = [
            ("Board:", self.board.to_string()),
            ("Machine:", self.machine()),
            ("Rounds:", format!("{} ({} to {last})", self.rounds, self.from)),
            ("Time:", format!("{} to {}", self.start, self.end)),
            ("Deposit:", self.deposit.to_string()),
            ("Refundable:", format!("{}, less what vouchers take", self.refundable)),
            ("Notice:", self.notice()),
            ("Price:", "by use, set by the machine's node, not on the chain".to_owned()),
        ];
        f.write_str(&labelled(lines))
    }
}

impl fmt::Display for MeteredQuote {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.offer {
            Some(offer) => offer.fmt(f),
            None => f.write_str("No machine for a metered lease is available."),
        }
    }
}

#[cfg(test)]
mod tests {
    use leasehold::state::Traits;
    use leasehold_client::{
        quote::ANY,
        sample::{NOW, change, priced, wallet},
    };
    use leasehold_operate::{
        amount::short,
        sample::{rule, view},
    };

    use super::*;

    #[test]
    fn a_quote_tells_what_comes_back_and_how_it_is_ended() {
        let mut board = priced(0, &[1, 360]);
        change(&mut board, |_, slots| slots[1].traits.flags = Traits::METERED);
        let meter = MeterArgs { spender: wallet(5), deposit: 5_000 };
        let found = pick_metered(&view().account, &[board.view().unwrap()], NOW, &ANY, 6, meter).unwrap();
        let offer = Some(MeteredOffer::new(&view(), &found));
        let quote = MeteredQuote { fits: true, offer };
        let mint = short(&view().payment.mint);
        let key = Pubkey::default();
        let expected = format!(
            "Board:       0\nMachine:     RTX 4090 with 1 GPU (slot 1, key {key})\n\
             Rounds:      6 (1001 to 1006)\nTime:        1970-01-07T22:50:00Z to 1970-01-07T23:50:00Z\n\
             Deposit:     0.005 of {mint}\nRefundable:  0.005 of {mint}, less what vouchers take\n\
             Notice:      6 rounds of 600 seconds, from either side\n\
             Price:       by use, set by the machine's node, not on the chain"
        );
        assert_eq!(quote.to_string(), expected);
        let json = serde_json::to_value(quote).unwrap();
        assert_eq!(
            (&json["offer"]["refundable"]["amount"], &json["offer"]["slot"]),
            (&"5000".into(), &1.into())
        );
        let none = MeteredQuote { fits: false, offer: None };
        assert_eq!(none.to_string(), "No machine for a metered lease is available.");
        let advice = advised(Refusal::from(LeaseholdError::NotEnoughMachines).into());
        assert!(
            advice.code() == 3 && advice.to_string().starts_with("no metered machine fits: "),
            "{advice}"
        );
        assert_eq!(rule(advised(Refusal::from(LeaseholdError::MarketPaused).into())), "MarketPaused");
    }
}
