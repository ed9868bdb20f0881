//! Events, as `emit_cpi!` writes them: the data of an instruction by which the program calls itself.

use std::fmt;

use anchor_lang::{AnchorDeserialize, AnchorSerialize, Discriminator, event::EVENT_IX_TAG_LE};
use leasehold::events::*;
use solana_pubkey::Pubkey;
use solana_transaction_status_client_types::{
    UiInnerInstructions, UiInstruction, UiTransactionStatusMeta, option_serializer::OptionSerializer,
};

macro_rules! events {
    ($($event:ident)*) => {
        /// What the program reported.
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

        /// The event that an inner instruction of this program carries, from the instruction's data. Nothing,
        /// where it is another instruction, or an event that this client doesn't know.
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
    StakeDeposited StakeWithdrawn SlashedBurned FeesWithdrawn MarketStakeWithdrawn EarningsClaimed
    KeeperFeesClaimed LeaseOpened LeaseExtended LeaseCancelled NodeReplaced LeaseSettled RefundClaimed
    CompensationClaimed
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

/// What happened, in one sentence with amounts in base units.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Event::StakeDeposited(e) => write!(f, "{} deposited {} of stake", e.owner, e.amount),
            Event::StakeWithdrawn(e) => write!(f, "{} withdrew {} of stake", e.owner, e.amount),
            Event::SlashedBurned(e) => write!(f, "{} of stake slashed on board {} burned", e.amount, e.board),
            Event::FeesWithdrawn(e) => {
                write!(f, "the market was paid {} of fees of board {}", e.fees, e.board)
            }
            Event::MarketStakeWithdrawn(e) => {
                write!(f, "the market was paid {} of stake slashed on board {}", e.amount, e.board)
            }
            Event::EarningsClaimed(e) => {
                write!(f, "supplier {} was paid {} of earnings on board {}", e.supplier, e.amount, e.board)
            }
            Event::KeeperFeesClaimed(e) => {
                write!(f, "keeper {} was paid {} of fees on board {}", e.keeper, e.amount, e.board)
            }
            Event::LeaseOpened(e) => {
                let cluster = e.cluster.map(|cluster| format!(" of cluster {cluster}")).unwrap_or_default();
                write!(
                    f,
                    "{} opened lease {}{cluster} of {} machines on board {} for rounds {} to {} and deposited {}",
                    e.buyer,
                    e.lease,
                    e.machines,
                    e.board,
                    e.from,
                    e.until.saturating_sub(1),
                    e.deposit
                )
            }
            Event::LeaseExtended(e) => {
                write!(f, "lease {} runs until round {} for a further {}", e.lease, e.until, e.deposit)
            }
            Event::LeaseCancelled(e) => write!(
                f,
                "lease {} ends early, before round {}; {} seconds more are owed",
                e.lease, e.until, e.cancel_secs
            ),
            Event::NodeReplaced(e) => write!(
                f,
                "slot {} took the place of slot {} in lease {}: paid {}, slashed {}, deposited {}",
                e.new_slot, e.old_slot, e.lease, e.paid, e.slashed, e.deposit
            ),
            Event::LeaseSettled(e) => write!(
                f,
                "lease {} is {:?}: paid {}, fees {}, refunded {}, slashed {} of {} machines",
                e.lease, e.state, e.paid, e.fees, e.refunded, e.slashed, e.slashed_machines
            ),
            Event::RefundClaimed(e) => {
                write!(f, "{} was refunded {} of lease {}", e.owner, e.amount, e.lease)
            }
            Event::CompensationClaimed(e) => {
                write!(f, "{} was compensated with {} of stake for lease {}", e.owner, e.amount, e.lease)
            }
        }
    }
}

/// Events of a transaction, in the order they happened. `accounts` are the transaction's, static and loaded
/// ones, in order: another program's data never passes for an event.
pub fn of_transaction(meta: &UiTransactionStatusMeta, accounts: &[Pubkey]) -> Vec<Event> {
    let OptionSerializer::Some(inner) = &meta.inner_instructions else {
        return Vec::new();
    };
    inner
        .iter()
        .flat_map(|UiInnerInstructions { instructions, .. }| instructions)
        .filter_map(|instruction| match instruction {
            UiInstruction::Compiled(compiled) => Some(compiled),
            UiInstruction::Parsed(_) => None,
        })
        .filter(|compiled| accounts.get(usize::from(compiled.program_id_index)) == Some(&leasehold::ID))
        .filter_map(|compiled| decode(&bs58::decode(&compiled.data).into_vec().ok()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use leasehold::state::LeaseState;
    use solana_transaction_status_client_types::UiCompiledInstruction;

    use super::*;

    /// One of each.
    fn events() -> Vec<Event> {
        let [a, b, c] = [1, 2, 3].map(|byte| Pubkey::new_from_array([byte; 32]));
        vec![
            StakeDeposited { market: a, owner: b, amount: 1 }.into(),
            StakeWithdrawn { market: a, owner: b, amount: 2 }.into(),
            SlashedBurned { board: a, amount: 3 }.into(),
            FeesWithdrawn { board: a, fees: 4 }.into(),
            MarketStakeWithdrawn { board: a, amount: 5 }.into(),
            EarningsClaimed { board: a, supplier: b, amount: 6 }.into(),
            KeeperFeesClaimed { board: a, keeper: b, amount: 7 }.into(),
            LeaseOpened {
                board: a,
                lease: b,
                buyer: c,
                cluster: Some(5),
                machines: 5_000,
                from: 10,
                until: 20,
                deposit: 8,
            }
            .into(),
            LeaseExtended { lease: a, until: 30, deposit: 9 }.into(),
            LeaseCancelled { lease: a, until: 15, cancel_secs: 3_600 }.into(),
            NodeReplaced { lease: a, old_slot: 1, new_slot: 2, paid: 3, slashed: 4, deposit: 5 }.into(),
            LeaseSettled {
                lease: a,
                state: LeaseState::Settled,
                paid: 1,
                fees: 2,
                refunded: 3,
                slashed: 4,
                slashed_machines: 5,
            }
            .into(),
            RefundClaimed { lease: a, owner: b, amount: 10 }.into(),
            CompensationClaimed { lease: a, owner: b, amount: 11 }.into(),
        ]
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let mut names = std::collections::HashSet::new();
        for event in events() {
            let data = event.encode();
            assert_eq!(&data[..8], &0x1d9a_cb51_2ea5_45e4u64.to_le_bytes());
            assert_eq!(decode(&data), Some(event));
            assert_eq!(decode(&data[..data.len() - 1]), None, "cut short");
            names.insert(data[8..16].to_vec());
        }
        assert_eq!(names.len(), events().len(), "discriminators differ");
    }

    #[test]
    fn sentences_name_who_and_how_much() {
        let opened = events()[7].to_string();
        assert!(
            opened.contains("lease 8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR of cluster 5"),
            "{opened}"
        );
        assert!(opened.ends_with("for rounds 10 to 19 and deposited 8"), "{opened}");
        assert!(
            events()[11]
                .to_string()
                .ends_with("is Settled: paid 1, fees 2, refunded 3, slashed 4 of 5 machines")
        );
    }

    #[test]
    fn other_instructions_are_no_events() {
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(EVENT_IX_TAG_LE), None);
        let mut unknown = events()[0].encode();
        unknown[8] ^= 1;
        assert_eq!(decode(&unknown), None);
    }

    #[test]
    fn events_of_other_programs_are_left_out() {
        let data = bs58::encode(events()[2].encode()).into_string();
        let instruction = |program_id_index| {
            let data = data.clone();
            let accounts = vec![0];
            UiInstruction::Compiled(UiCompiledInstruction {
                program_id_index,
                accounts,
                data,
                stack_height: None,
            })
        };
        let instructions = vec![instruction(0), instruction(1), instruction(7)];
        let meta = UiTransactionStatusMeta {
            err: None,
            status: Ok(()),
            fee: 0,
            pre_balances: vec![],
            post_balances: vec![],
            inner_instructions: OptionSerializer::Some(vec![UiInnerInstructions { index: 0, instructions }]),
            log_messages: OptionSerializer::None,
            pre_token_balances: OptionSerializer::None,
            post_token_balances: OptionSerializer::None,
            rewards: OptionSerializer::None,
            loaded_addresses: OptionSerializer::Skip,
            return_data: OptionSerializer::Skip,
            compute_units_consumed: OptionSerializer::Skip,
            cost_units: OptionSerializer::Skip,
        };
        let found = of_transaction(&meta, &[Pubkey::default(), leasehold::ID]);
        assert_eq!(found, [decode(&events()[2].encode()).unwrap()]);
    }
}
