//! An example program that accepts an answer of a machine only with a receipt that is in its supplier's log.
//!
//! It is compiled natively by the tests, so that the guide for integrators shows code that fits the program.

#![allow(unexpected_cfgs, clippy::result_large_err)]

use anchor_lang::{prelude::*, solana_program::program::get_return_data};
use leasehold::{
    instructions::{BatchProof, VerifiedReceipt},
    math::sum_tree::SumNode,
    state::Receipt,
};

declare_id!("Ver1fierVer1fierVer1fierVer1fierVer1fierVer");

#[program]
pub mod verifier {
    use super::*;

    /// Accepts an answer. `receipt` is the receipt's 328 bytes; the other arguments are the proof that an archive gives.
    pub fn accept_answer(
        ctx: Context<AcceptAnswer>,
        receipt: Vec<u8>,
        place: u32,
        path: Vec<SumNode>,
        batch: BatchProof,
    ) -> Result<()> {
        let verified = ctx.accounts.verify(&receipt, place, path, batch)?;
        msg!("receipt {} of the machine's lease is in the log", verified.seq);
        Ok(())
    }
}

#[derive(Accounts)]
pub struct AcceptAnswer<'info> {
    /// CHECK: Leasehold checks that it is a log of its own. Check here that it is the log you mean.
    pub log: UncheckedAccount<'info>,
    /// CHECK: compared with Leasehold's address.
    #[account(address = leasehold::ID)]
    pub leasehold: UncheckedAccount<'info>,
}

impl AcceptAnswer<'_> {
    fn verify(
        &self,
        receipt: &[u8],
        place: u32,
        path: Vec<SumNode>,
        batch: BatchProof,
    ) -> Result<VerifiedReceipt> {
        // guide:begin cpi
        // Hash the receipt here: Leasehold sees the hash only, so units and price must come from these bytes.
        let leaf = leaf(receipt)?;
        let accounts = leasehold::cpi::accounts::VerifyReceipt { log: self.log.to_account_info() };
        leasehold::cpi::verify_receipt(CpiContext::new(leasehold::ID, accounts), leaf, place, path, batch)?;

        // The call fails unless the receipt is in the log. It returns where, with the totals before it.
        let (program, data) = get_return_data().ok_or(ErrorCode::AccountDidNotDeserialize)?;
        require_keys_eq!(program, leasehold::ID);
        let verified = VerifiedReceipt::try_from_slice(&data)?;
        // guide:end
        Ok(verified)
    }
}

/// The receipt's leaf in its batch, if these are the bytes of a receipt.
fn leaf(receipt: &[u8]) -> Result<SumNode> {
    Ok(Receipt::read(receipt).ok_or(ErrorCode::InstructionDidNotDeserialize)?.leaf())
}

#[cfg(test)]
mod tests {
    use leasehold::math::digest::{Domain, digest};

    use super::*;

    /// 328 bytes of a receipt for 7 units at a price of 9.
    fn receipt() -> Receipt {
        let mut receipt: Receipt = bytemuck::Zeroable::zeroed();
        receipt.tag = Receipt::TAG;
        receipt.program = leasehold::ID.to_bytes();
        (receipt.units, receipt.price) = (7, 9);
        receipt
    }

    #[test]
    fn the_leaf_comes_from_the_bytes_of_the_receipt() {
        let receipt = receipt();
        let leaf = leaf(receipt.bytes()).unwrap();
        assert_eq!((leaf.units, leaf.price), (7, 9));
        // The hash covers a hash of what follows the head of 130 bytes.
        let (head, rest) = receipt.bytes().split_at(130);
        assert_eq!(leaf.hash, digest(Domain::Receipt, &[head, &digest(Domain::ReceiptRest, &[rest])]));
    }

    #[test]
    fn bytes_that_are_no_receipt_are_refused() {
        assert!(leaf(&receipt().bytes()[1..]).is_err());
        assert!(leaf(&[0; 328]).is_err());
    }
}
