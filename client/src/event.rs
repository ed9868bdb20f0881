//! Events of the program, decoded and as sentences.
//!
//! The program emits an event as the data of an instruction by which it calls itself (`emit_cpi!`), so no limit on logs
//! cuts it off. State is authoritative, with one exception: a compute log's account holds peaks and sums only, and
//! archives and nodes rebuild its batches from `BatchesAppended` (module `history`).

use std::fmt;

use anchor_lang::{AnchorDeserialize, AnchorSerialize, Discriminator, event::EVENT_IX_TAG_LE};
use leasehold::{events::*, state::LeaseState};

use crate::access;

#[cfg(feature = "rpc")]
pub use self::transaction::of_transaction;

#[cfg(feature = "rpc")]
mod transaction;

macro_rules! events {
    ($($event:ident)*) => {
        /// An event of the program.
        pub enum Event {
            $($event($event),)*
        }

        impl Event {
            /// Name of the event: `LeaseOpened`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Event::$event(_) => stringify!($event),)*
                }
            }

            /// Data of the instruction that carries the event; [`decode`] reads it back.
            pub fn encode(&self) -> Vec<u8> {
                let mut data = EVENT_IX_TAG_LE.to_vec();
                let written = match self {
                    $(Event::$event(event) => {
                        data.extend_from_slice($event::DISCRIMINATOR);
                        event.serialize(&mut data)
                    })*
                };
                debug_assert!(written.is_ok(), "a vector takes every byte");
                data
            }
        }

        $(impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Event::$event(event)
            }
        })*

        /// Decodes the event that an inner instruction of this program carries, from the instruction's data. `None`
        /// if it is another instruction, or an event that this client doesn't know.
        pub fn decode(data: &[u8]) -> Option<Event> {
            let data = data.strip_prefix(EVENT_IX_TAG_LE)?;
            $(if let Some(fields) = data.strip_prefix($event::DISCRIMINATOR) {
                return $event::try_from_slice(fields).ok().map(Event::$event);
            })*
            None
        }
    };
}

events! {
    StakeDeposited StakeWithdrawn SlashedBurned FeesWithdrawn PaymentsBurned KeepersFunded EarningsClaimed
    KeeperFeesClaimed LeaseOpened LeaseExtended LeaseCancelled LeaseTransferred AccessSet NodeReplaced
    LeaseSettled RefundClaimed DayRecorded VoucherRedeemed BatchesAppended ReceiptDemanded DemandAnswered MachineConvicted
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.encode() == other.encode()
    }
}

impl Eq for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {self}", self.name())
    }
}

/// The event in one sentence, with amounts in base units.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Event::StakeDeposited(e) => write!(f, "{} deposited {} of stake", e.owner, e.amount),
            Event::StakeWithdrawn(e) => write!(f, "{} withdrew {} of stake", e.owner, e.amount),
            Event::SlashedBurned(e) => write!(f, "{} of stake slashed on board {} burned", e.amount, e.board),
            Event::FeesWithdrawn(e) => {
                write!(f, "the market was paid {} of fees of board {}", e.fees, e.board)
            }
            Event::PaymentsBurned(e) => write!(f, "{} of payments on board {} burned", e.amount, e.board),
            Event::KeepersFunded(e) => {
                write!(f, "{} added {} to the keeper pool of board {}", e.funder, e.amount, e.board)
            }
            Event::EarningsClaimed(e) => {
                write!(f, "supplier {} was paid {} of earnings on board {}", e.supplier, e.amount, e.board)
            }
            Event::KeeperFeesClaimed(e) => {
                write!(f, "keeper {} was paid {} of fees on board {}", e.keeper, e.amount, e.board)
            }
            Event::LeaseOpened(e) => {
                let group = e.group.map(|group| format!(" of group {group}")).unwrap_or_default();
                let owner = if e.owner == e.buyer { String::new() } else { format!(" for {}", e.owner) };
                write!(
                    f,
                    "{} opened lease {}{owner}{group} of {} with {} on board {} for rounds {} to {} and \
                     deposited {}",
                    e.buyer,
                    e.lease,
                    many(e.machines, "machine"),
                    many(e.gpus, "GPU"),
                    e.board,
                    e.from,
                    e.until.saturating_sub(1),
                    e.deposit
                )
            }
            Event::LeaseExtended(e) => {
                let last = e.until.saturating_sub(1);
                write!(f, "lease {} was extended to round {last} for a further {}", e.lease, e.deposit)?;
                match e.leaving {
                    0 => Ok(()),
                    1 => f.write_str("; 1 machine of it ends earlier"),
                    leaving => write!(f, "; {leaving} machines of it end earlier"),
                }
            }
            Event::LeaseCancelled(e) => {
                write!(f, "lease {} ends early, with round {}", e.lease, e.until.saturating_sub(1))?;
                if e.contested.is_empty() {
                    return Ok(());
                }
                let slots: Vec<_> = e.contested.iter().map(u16::to_string).collect();
                write!(f, "; its owner contested slots {}", slots.join(", "))
            }
            Event::LeaseTransferred(e) => {
                write!(f, "lease {} was transferred to {}; nobody is let into its machines", e.lease, e.owner)
            }
            Event::AccessSet(e) => {
                match e.access {
                    Some(key) => write!(f, "lease {} lets SSH key {} in", e.lease, access::display(&key))?,
                    None => write!(f, "lease {} lets nobody in", e.lease)?,
                }
                write!(f, " from access epoch {} on", e.access_epoch)?;
                let is_wiped = e.data_epoch == e.access_epoch;
                f.write_str(if is_wiped { "; its machines are wiped before" } else { "" })
            }
            Event::NodeReplaced(e) => {
                let contested = if e.contested { ", which its owner contested," } else { "" };
                write!(
                    f,
                    "slot {} replaces slot {}{contested} in lease {} from round {} on for a further {}",
                    e.new_slot, e.old_slot, e.lease, e.from, e.deposit
                )
            }
            Event::LeaseSettled(e) => write!(
                f,
                "lease {} is {}: paid {}, fees {}, refunded {}, burned {}; {} lost {} of stake",
                e.lease,
                match e.state {
                    LeaseState::Open => "open",
                    LeaseState::Cancelled => "cancelled",
                    LeaseState::Settled => "settled",
                },
                e.paid,
                e.fees,
                e.refunded,
                e.burned,
                many(e.slashed_machines, "machine"),
                e.slashed
            ),
            Event::RefundClaimed(e) => {
                write!(f, "{} was refunded {} of lease {}", e.owner, e.amount, e.lease)
            }
            Event::DayRecorded(e) => write!(
                f,
                "day {} of hardware class {} on board {} was recorded: {} per GPU and hour",
                e.day, e.class, e.board, e.index
            ),
            Event::VoucherRedeemed(e) => write!(
                f,
                "lease {} paid {} and fees {} for use up to receipt {}",
                e.lease, e.paid, e.fees, e.seq
            ),
            Event::BatchesAppended(e) => {
                let receipts: u64 = e.headers.iter().map(|header| u64::from(header.count)).sum();
                let batches = e.headers.len();
                write!(
                    f,
                    "{batches} batches with {receipts} receipts were appended to log {} from index {} on; source: {}",
                    e.log, e.first, e.source
                )
            }
            Event::ReceiptDemanded(e) => write!(
                f,
                "receipt {} of slot {} in lease {} must be shown in the log before Unix time {}; the answer earns \
                 {} lamports",
                hex::encode(e.receipt),
                e.slot,
                e.lease,
                e.due,
                e.fee
            ),
            Event::DemandAnswered(e) => {
                write!(f, "receipt {} of lease {} was shown in the log", hex::encode(e.receipt), e.lease)
            }
            Event::MachineConvicted(e) => write!(
                f,
                "the machine in slot {} of lease {} was convicted over receipt {} and lost {} of stake",
                e.slot,
                e.lease,
                hex::encode(e.receipt),
                e.slashed
            ),
        }
    }
}

/// A number of things: "1 machine", "2 machines".
fn many(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
