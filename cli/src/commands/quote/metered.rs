//! `leasehold quote --metered`: the machine that a metered lease would get.

use std::fmt;

use leasehold::{
    constants::NOTICE_SECS,
    error::LeaseholdError,
    instructions::MeterArgs,
    math::pricing::rate,
    rules::open::least_deposit,
    state::{Board, Slot},
};
use leasehold_client::{
    error::Refusal,
    fetch::{Fetched, FetchedBoard},
    quote::{refundable, voucher_limit},
    search::{MeteredPick, pick_metered},
};
use leasehold_operate::{
    amount::{Money, percent},
    chain::Chain,
    failure::Failure,
    market::MarketView,
    table::{count, labelled},
    time::{rfc3339, start_of},
};
use serde::Serialize;
use solana_pubkey::Pubkey;

use crate::{
    boards::{may_fit, search},
    request::RequestArgs,
};

pub async fn run(chain: &Chain, args: RequestArgs) -> Result<(), Failure> {
    let (market, boards, now) = read(chain, &args).await?;
    // Nobody signs anything yet.
    let found = find(&market, &boards, now, &args, Pubkey::default());
    let lacking = Refusal::from(LeaseholdError::NotEnoughGpus);
    let offer = match &found {
        Ok(found) => Some(MeteredOffer::new(&market, found, now)?),
        Err(error) if error.refusal() == Some(lacking) => None,
        Err(_) => return found.map(|_| ()),
    };
    chain.settings.output.print(&MeteredQuote { fits: offer.is_some(), offer })?;
    found.map(|_| ()).map_err(advised)
}

/// The failure, or what to try instead if no machine fits.
pub fn advised(failure: Failure) -> Failure {
    if failure.refusal() != Some(LeaseholdError::NotEnoughGpus.into()) {
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
    let (now, criteria) = (chain.fetch().now().await?, args.criteria.criteria(&market)?);
    let may_fit = |header: &Board| may_fit(header, &criteria, now);
    let find = |boards: &[FetchedBoard]| find(&market, boards, now, args, Pubkey::default()).map(|_| ());
    let (boards, _) = search(chain, &args.market.id.0, args.board, may_fit, find).await?;
    Ok((market, boards, now))
}

/// The machine that a lease would get.
pub fn find<'a>(
    market: &MarketView,
    boards: &'a [FetchedBoard],
    now: i64,
    args: &RequestArgs,
    spender: Pubkey,
) -> Result<MeteredPick<'a>, Failure> {
    let mut criteria = args.criteria.criteria(market)?;
    let gpus = u8::try_from(args.gpus).map_err(|_| {
        Failure::Input(format!(
            "a metered lease has one machine, of at most 255 GPUs, not {}: open one lease for each machine",
            args.gpus
        ))
    })?;
    criteria.min_gpus = criteria.min_gpus.max(gpus);
    let rounds = args.length.rounds(market.account.rules.round_secs)?;
    // Without --deposit clap refuses --metered.
    let deposit = market.payment.parse(args.meter.deposit.as_deref().unwrap_or("0"))?;
    let views = boards.iter().map(Fetched::view).collect::<Result<Vec<_>, _>>()?;
    let meter = MeterArgs { spender, deposit: deposit.amount };
    pick_metered(&market.account, &views, now, &criteria, rounds, &args.avoided()?, meter)
        .map_err(super::advised)
}

/// What is reserved of the deposit of a metered lease.
pub const RESERVED: &str = "the standby price until an hour after the running round";

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
    /// Part of it that comes back if notice is given in the first round and no voucher is redeemed.
    pub refundable: Money,
    /// Price per hour that the machine is paid for rounds up, besides vouchers.
    pub standby: Money,
    /// Least deposit of a lease of this machine.
    pub least_deposit: Money,
    /// Most that vouchers can take at first: the rest is reserved for the standby price until an hour after the running round.
    pub voucher_limit: Money,
    /// The market's fee on all that the machine is paid, in basis points.
    pub fee_bps: u16,
    /// Seconds that the lease runs after the round in which notice is given.
    pub notice_secs: u32,
}

impl MeteredOffer {
    /// As of Unix time `now`.
    pub fn new(market: &MarketView, found: &MeteredPick, now: i64) -> Result<Self, Failure> {
        let MeteredPick { board, quote } = found;
        let (terms, payment) = (&quote.terms, market.payment);
        let slot = quote.slots.first().copied().unwrap_or_default();
        let machine: &Slot = board.slot(slot).ok_or(Refusal::from(LeaseholdError::NoSuchSlot))?;
        let standby = rate(machine.hourly(), terms.standby_bps).map_err(Refusal::from)?;
        Ok(MeteredOffer {
            board: board.header.index,
            slot,
            node_key: Pubkey::new_from_array(machine.node_key).to_string(),
            class: market.class_name(machine.traits.class),
            gpus: machine.traits.gpus,
            rounds: quote.rounds,
            from: quote.from,
            until: quote.until,
            start: rfc3339(start_of(terms, quote.from)),
            end: rfc3339(start_of(terms, quote.until)),
            deposit: payment.money(quote.deposit),
            refundable: payment.money(refundable(board, quote)?),
            standby: payment.money(standby),
            least_deposit: payment.money(least_deposit(machine, terms).map_err(Refusal::from)?),
            voucher_limit: payment.money(voucher_limit(board, quote, now)?),
            fee_bps: terms.fee_bps,
            notice_secs: NOTICE_SECS,
        })
    }

    /// The machine in words.
    pub fn machine(&self) -> String {
        let gpus = count(self.gpus.into(), "GPU");
        format!("{} with {gpus} (slot {}, key {})", self.class, self.slot, self.node_key)
    }

    /// The standby price in words.
    pub fn standby(&self) -> String {
        format!("{} an hour for rounds up, besides vouchers", self.standby)
    }

    /// What vouchers can take, in words.
    pub fn vouchers(&self) -> String {
        let limit = self.voucher_limit.token.number(self.voucher_limit.amount);
        format!("at most {limit} of the deposit now; reserved: {RESERVED}")
    }

    /// The market's fee and how the lease ends, in words.
    pub fn rules(&self) -> [(&'static str, String); 4] {
        let fee = format!(
            "{} of the standby price and of vouchers, out of the machine's pay",
            percent(self.fee_bps)
        );
        let ends = [
            "an hour after the round in which owner or supplier gives notice; an owner pays for an hour at least"
                .to_owned(),
            "with the running round by the supplier while vouchers are below the standby price".to_owned(),
            "with the running round by anybody if less of the deposit is left than an hour's standby price"
                .to_owned(),
        ];
        let [owner, supplier, anybody] = ends;
        [("Market's fee:", fee), ("Ends:", owner), ("Ends:", supplier), ("Ends:", anybody)]
    }
}

impl fmt::Display for MeteredOffer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let last = self.until.saturating_sub(1);
        let least = self.least_deposit.token.number(self.least_deposit.amount);
        let lines = [
            ("Board:", self.board.to_string()),
            ("Machine:", self.machine()),
            ("Rounds:", format!("{} ({} to {last})", self.rounds, self.from)),
            ("Time:", format!("{} to {}", self.start, self.end)),
            ("Deposit:", format!("{}, {least} at least", self.deposit)),
            (
                "Refundable:",
                format!("{} if ended in its first round, less what vouchers take", self.refundable),
            ),
            ("Price:", "by use, set by the machine's node, not on the chain".to_owned()),
            ("Standby:", self.standby()),
            ("Vouchers:", self.vouchers()),
        ];
        f.write_str(&labelled(lines.into_iter().chain(self.rules())))
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
        let found =
            pick_metered(&view().account, &[board.view().unwrap()], NOW, &ANY, 6, &[], meter).unwrap();
        let offer = Some(MeteredOffer::new(&view(), &found, NOW).unwrap());
        let quote = MeteredQuote { fits: true, offer };
        let mint = short(&view().payment.mint);
        let key = Pubkey::default();
        let expected = format!(
            "Board:         0\nMachine:       RTX 4090 with 1 GPU (slot 1, key {key})\n\
             Rounds:        6 (1001 to 1006)\nTime:          1970-01-07T22:50:00Z to 1970-01-07T23:50:00Z\n\
             Deposit:       0.005 of {mint}, 0.000036 at least\n\
             Refundable:    0.004964 of {mint} if ended in its first round, less what vouchers take\n\
             Price:         by use, set by the machine's node, not on the chain\n\
             Standby:       0.000036 of {mint} an hour for rounds up, besides vouchers\n\
             Vouchers:      at most 0.004964 of the deposit now; reserved: the standby price until an hour after the \
             running round\n\
             Market's fee:  10 percent of the standby price and of vouchers, out of the machine's pay\n\
             Ends:          an hour after the round in which owner or supplier gives notice; an owner pays for an hour at \
             least\n\
             Ends:          with the running round by the supplier while vouchers are below the standby price\n\
             Ends:          with the running round by anybody if less of the deposit is left than an hour's standby price"
        );
        assert_eq!(quote.to_string(), expected);
        let json = serde_json::to_value(quote).unwrap();
        assert_eq!(
            (&json["offer"]["refundable"]["amount"], &json["offer"]["slot"]),
            (&"4964".into(), &1.into())
        );
        let none = MeteredQuote { fits: false, offer: None };
        assert_eq!(none.to_string(), "No machine for a metered lease is available.");
        let advice = advised(Refusal::from(LeaseholdError::NotEnoughGpus).into());
        assert!(
            advice.code() == 3 && advice.to_string().starts_with("no metered machine fits: "),
            "{advice}"
        );
        assert_eq!(rule(advised(Refusal::from(LeaseholdError::MarketPaused).into())), "MarketPaused");
    }
}
