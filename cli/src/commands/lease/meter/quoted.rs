//! What `leasehold quote --metered` shows.

use std::fmt;

use leasehold::constants::NOTICE_ROUNDS;
use serde::Serialize;
use solana_pubkey::Pubkey;

use super::Found;
use crate::{
    amount::Money,
    chain::MarketView,
    table::{count, labelled},
    time::{rfc3339, start_of},
};

/// What could be leased now, metered.
#[derive(Debug, Serialize)]
pub struct MeteredQuote {
    pub fits: bool,
    /// What was asked for; nothing where it doesn't fit.
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
    /// Of that, what comes back where no voucher takes it.
    pub refundable: Money,
    /// Rounds that the lease still runs after notice was given, besides the one that runs then.
    pub notice_rounds: u32,
    /// Length of a round in seconds.
    pub round_secs: u32,
}

impl MeteredOffer {
    pub(super) fn new(market: &MarketView, found: &Found) -> Self {
        let Found { board, quote } = found;
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
            ("Refundable:", format!("{}: all that no voucher takes", self.refundable)),
            ("Notice:", self.notice()),
            ("Price:", "by use, as the machine's node asks: it is not on the chain".to_owned()),
        ];
        f.write_str(&labelled(lines))
    }
}

impl fmt::Display for MeteredQuote {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.offer {
            Some(offer) => offer.fmt(f),
            None => f.write_str("No machine like it can be leased now, metered."),
        }
    }
}
