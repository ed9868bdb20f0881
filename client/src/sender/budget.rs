//! What a transaction asks of the network: compute units, their price, and room in a packet.

use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::Instruction;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::RpcSimulateTransactionConfig;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;

use super::{SendError, Sender, flight::Order};
use crate::packet::{MAX_UNITS, PACKET_BYTES, bare_len, signed_len};

/// What a requested compute unit is paid, on top of the fee for signatures.
#[derive(Clone, Copy, Debug)]
pub enum Price {
    /// Micro-lamports a unit.
    Fixed(u64),
    /// The upper quartile of what transactions on the same writable accounts paid lately, in
    /// micro-lamports a unit.
    Recent {
        /// Never more than this, in micro-lamports a unit.
        at_most: u64,
    },
}

/// Instructions, and behind them those that set the compute budget, as far as there is room for them.
pub(super) struct Budgeted {
    pub instructions: Vec<Instruction>,
    /// Compute units requested, where there is room for that.
    pub units: u32,
}

impl Sender {
    /// The order's instructions with its compute budget: as many units as it says, or what a simulation
    /// used and `headroom` percent.
    pub(super) async fn budgeted(&self, order: &Order<'_>, headroom: u32) -> Result<Budgeted, SendError> {
        let payer = order.payer.pubkey();
        let price = self.price(order.instructions, &payer).await?;
        let units = match order.units {
            Some(units) => units,
            None => {
                let used = self.used_units(order.instructions, &payer, price).await?;
                let wanted = used.saturating_mul(100 + u64::from(headroom)).div_ceil(100);
                u32::try_from(wanted).unwrap_or(MAX_UNITS).min(MAX_UNITS)
            }
        };
        Ok(Budgeted { instructions: with_budget(order.instructions, &payer, units, price), units })
    }

    /// Simulates the instructions and returns the compute units they use.
    pub(super) async fn used_units(
        &self,
        instructions: &[Instruction],
        payer: &Pubkey,
        price: u64,
    ) -> Result<u64, SendError> {
        let message = Message::new(&with_budget(instructions, payer, MAX_UNITS, price), Some(payer));
        let transaction = VersionedTransaction {
            signatures: vec![Signature::default(); usize::from(message.header.num_required_signatures)],
            message: VersionedMessage::Legacy(message),
        };
        packed(&transaction)?;
        let config = RpcSimulateTransactionConfig {
            sig_verify: false,
            replace_recent_blockhash: true,
            commitment: Some(self.options.commitment),
            ..Default::default()
        };
        let result = self.rpc.simulate_transaction_with_config(&transaction, config).await?.value;
        match result.err {
            Some(error) => Err(SendError::failed(error.into(), result.logs.unwrap_or_default(), None)),
            None => Ok(result.units_consumed.unwrap_or(u64::from(MAX_UNITS))),
        }
    }

    /// Micro-lamports a unit for a transaction with these instructions.
    pub(super) async fn price(&self, instructions: &[Instruction], payer: &Pubkey) -> Result<u64, SendError> {
        let at_most = match self.options.price {
            Price::Fixed(price) => return Ok(price),
            Price::Recent { at_most } => at_most,
        };
        // The call takes 128 accounts; no transaction of one packet has as many.
        let metas = instructions.iter().flat_map(|instruction| &instruction.accounts);
        let mut accounts = metas.filter(|meta| meta.is_writable).map(|meta| meta.pubkey).collect::<Vec<_>>();
        accounts.push(*payer);
        accounts.sort_unstable();
        accounts.dedup();
        let recent = self.rpc.get_recent_prioritization_fees(&accounts).await?;
        let mut fees = recent.iter().map(|block| block.prioritization_fee).collect::<Vec<_>>();
        fees.sort_unstable();
        let quartile = fees.get(fees.len() * 3 / 4).copied().unwrap_or_default();
        Ok(quartile.min(at_most))
    }
}

/// Adds the compute budget behind the instructions, so that their numbers stay as the caller knows them.
///
/// Where a packet has no room for limit and price, the price is left out, and then the limit as well: they have the
/// units then that the network gives a transaction which asks for none.
fn with_budget(instructions: &[Instruction], payer: &Pubkey, units: u32, price: u64) -> Vec<Instruction> {
    let mut all = instructions.to_vec();
    all.push(ComputeBudgetInstruction::set_compute_unit_limit(units));
    if price > 0 {
        all.push(ComputeBudgetInstruction::set_compute_unit_price(price));
    }
    let fits = |most: &usize| bare_len(payer, &all[..*most]) <= PACKET_BYTES;
    // What never fits is refused with all of it.
    let most = (instructions.len()..=all.len()).rev().find(fits).unwrap_or(all.len());
    all.truncate(most);
    all
}

/// The serialized length in bytes, refused where it is more than a packet holds.
pub(super) fn packed(transaction: &VersionedTransaction) -> Result<usize, SendError> {
    let bytes = signed_len(transaction.signatures.len(), &transaction.message.serialize());
    if bytes > PACKET_BYTES {
        return Err(SendError::TooLarge { bytes, limit: PACKET_BYTES });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_for_its_budget_goes_without_the_price_and_then_without_the_limit() {
        let payer = Pubkey::new_from_array([1; 32]);
        let of = |bytes| [Instruction::new_with_bytes(Pubkey::default(), &vec![0; bytes], vec![])];
        let budgeted = |bytes, price| with_budget(&of(bytes), &payer, 5, price);
        // The most bytes of data with which so many instructions fit.
        let most = |instructions: usize| {
            let fits = |bytes: &usize| {
                let all = budgeted(*bytes, 1);
                all.len() == instructions && bare_len(&payer, &all) <= PACKET_BYTES
            };
            (0..PACKET_BYTES).rev().find(fits).unwrap()
        };
        let (whole, limited, bare) = (most(3), most(2), most(1));
        // A price takes 12 bytes; a limit takes 8, and the 32 of the program that both are for.
        assert_eq!((limited - whole, bare - limited), (12, 40));
        for (bytes, instructions) in [(whole + 1, 2), (limited + 1, 1)] {
            assert_eq!(budgeted(bytes, 1).len(), instructions);
        }
        assert_eq!(budgeted(limited, 1), budgeted(limited, 0), "the limit is what is left");
        assert_eq!(budgeted(bare + 1, 1).len(), 3, "what never fits is refused with all that it would have");
        assert_eq!(budgeted(bare, 0).len(), 1);
    }
}
