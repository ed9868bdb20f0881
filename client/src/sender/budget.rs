//! Compute budget of a transaction: units, their price, and room in a packet.

use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::AddressLookupTableAccount;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::RpcSimulateTransactionConfig;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;

use super::{SendError, Sender, order::Order};
use crate::{
    error::{failure, is_switched_off},
    packet::{self, MAX_UNITS, PACKET_BYTES},
};

/// Price of a requested compute unit, on top of the fee for signatures.
#[derive(Clone, Copy, Debug)]
pub enum Price {
    /// Micro-lamports per unit.
    Fixed(u64),
    /// The upper quartile of what transactions on the same writable accounts paid recently, in
    /// micro-lamports per unit.
    Recent {
        /// Upper bound, in micro-lamports per unit.
        at_most: u64,
    },
}

/// The most accounts that `getRecentPrioritizationFees` takes.
const MAX_PRICED_ACCOUNTS: usize = 128;

/// Instructions, followed by those that set the compute budget, as far as there is room for them.
pub(super) struct Budgeted {
    pub instructions: Vec<Instruction>,
    /// Compute units requested, if there is room for the request.
    pub units: u32,
}

impl Sender {
    /// The order's instructions with their compute budget: the units it names, or what a simulation used plus
    /// `headroom` percent.
    pub(super) async fn budgeted(&self, order: &Order<'_>, headroom: u32) -> Result<Budgeted, SendError> {
        let price = self.price(order).await?;
        let units = match order.units {
            Some(units) => units,
            None => {
                let used = match self.used_units(order, price).await {
                    // Without a simulation a failure happens on the chain and costs its fee.
                    Err(SendError::Rpc(error)) if is_switched_off(&error) => {
                        tracing::debug!("{}: requesting all compute units instead", failure(&error));
                        u64::from(MAX_UNITS)
                    }
                    used => used?,
                };
                let wanted = used.saturating_mul(100 + u64::from(headroom)).div_ceil(100);
                u32::try_from(wanted).unwrap_or(MAX_UNITS).min(MAX_UNITS)
            }
        };
        Ok(Budgeted { instructions: order.with_budget(units, price)?, units })
    }

    /// Simulates the instructions and returns the compute units they use.
    pub(super) async fn used_units(&self, order: &Order<'_>, price: u64) -> Result<u64, SendError> {
        let instructions = order.with_budget(MAX_UNITS, price)?;
        // The RPC node puts a recent blockhash in.
        let payer = order.payer.pubkey();
        let message = packet::message(&payer, &instructions, order.lookup_tables, Hash::default())?;
        let transaction = VersionedTransaction {
            signatures: vec![Signature::default(); usize::from(message.header().num_required_signatures)],
            message,
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

    /// Price for a transaction, in micro-lamports per unit.
    pub(super) async fn price(&self, order: &Order<'_>) -> Result<u64, SendError> {
        let at_most = match self.options.price {
            Price::Fixed(price) => return Ok(price),
            Price::Recent { at_most } => at_most,
        };
        let metas = order.instructions.iter().flat_map(|instruction| &instruction.accounts);
        let mut accounts = metas.filter(|meta| meta.is_writable).map(|meta| meta.pubkey).collect::<Vec<_>>();
        accounts.push(order.payer.pubkey());
        accounts.sort_unstable();
        accounts.dedup();
        accounts.truncate(MAX_PRICED_ACCOUNTS);
        let recent = match self.rpc.get_recent_prioritization_fees(&accounts).await {
            Err(error) if is_switched_off(&error) => {
                tracing::debug!("{}: paying the highest price that is allowed instead", failure(&error));
                return Ok(at_most);
            }
            recent => recent?,
        };
        let mut fees = recent.iter().map(|block| block.prioritization_fee).collect::<Vec<_>>();
        fees.sort_unstable();
        let quartile = fees.get(fees.len() * 3 / 4).copied().unwrap_or_default();
        Ok(quartile.min(at_most))
    }
}

impl Order<'_> {
    /// The order's instructions with their compute budget.
    fn with_budget(&self, units: u32, price: u64) -> Result<Vec<Instruction>, SendError> {
        with_budget(self.instructions, &self.payer.pubkey(), self.lookup_tables, units, price)
    }
}

/// Appends the compute budget to the instructions, so that their positions stay as the caller knows them.
///
/// If a packet has no room for limit and price, the price is left out, and then the limit as well: the transaction
/// gets the network's default limit then.
fn with_budget(
    instructions: &[Instruction],
    payer: &Pubkey,
    lookup_tables: &[AddressLookupTableAccount],
    units: u32,
    price: u64,
) -> Result<Vec<Instruction>, SendError> {
    let mut all = instructions.to_vec();
    all.push(ComputeBudgetInstruction::set_compute_unit_limit(units));
    if price > 0 {
        all.push(ComputeBudgetInstruction::set_compute_unit_price(price));
    }
    for most in (instructions.len()..=all.len()).rev() {
        if packet::len_with_tables(payer, &all[..most], lookup_tables)? <= PACKET_BYTES {
            all.truncate(most);
            break;
        }
    }
    // Instructions that don't fit without a budget either keep it, and are refused with it.
    Ok(all)
}

/// The serialized length in bytes, refused if it is more than a packet holds.
pub(super) fn packed(transaction: &VersionedTransaction) -> Result<usize, SendError> {
    let bytes = packet::message_len(&transaction.message);
    if bytes > PACKET_BYTES {
        return Err(SendError::TooLarge { bytes, limit: PACKET_BYTES });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_packet_leaves_out_the_price_and_then_the_limit() {
        let payer = Pubkey::new_from_array([1; 32]);
        let of = |bytes| [Instruction::new_with_bytes(Pubkey::default(), &vec![0; bytes], vec![])];
        let budgeted = |bytes, price| with_budget(&of(bytes), &payer, &[], 5, price).unwrap();
        // The most bytes of data with which so many instructions fit.
        let most = |instructions: usize| {
            let fits = |bytes: &usize| {
                let all = budgeted(*bytes, 1);
                all.len() == instructions && packet::bare_len(&payer, &all) <= PACKET_BYTES
            };
            (0..PACKET_BYTES).rev().find(fits).unwrap()
        };
        let (whole, limited, bare) = (most(3), most(2), most(1));
        // A price takes 12 bytes; a limit takes 8, and the 32 of the program that both are for.
        assert_eq!((limited - whole, bare - limited), (12, 40));
        for (bytes, instructions) in [(whole + 1, 2), (limited + 1, 1)] {
            assert_eq!(budgeted(bytes, 1).len(), instructions);
        }
        assert_eq!(budgeted(limited, 1), budgeted(limited, 0), "only the limit is left");
        assert_eq!(
            budgeted(bare + 1, 1).len(),
            3,
            "an instruction that never fits is refused with its whole budget"
        );
        assert_eq!(budgeted(bare, 0).len(), 1);
    }
}
