//! Compares downloaded receipts with the header of their batch.

use leasehold::math::sum_tree::SumTree;
use leasehold::state::BatchHeader;
use leasehold_client::record::{RecordError, SignedReceipt};

/// How downloaded receipts differ from the batch in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("the source gave {got} bytes, the batch has {expected}")]
    Length { expected: usize, got: usize },
    #[error("receipt {place}: {error}")]
    Receipt { place: u32, error: RecordError },
    #[error("receipt {place} is of another machine or lease, or is not the next in number")]
    OutOfPlace { place: u32 },
    #[error("the receipts do not add up to the batch's root")]
    Root,
    #[error("the times of the first and last receipt are not those of the batch")]
    Times,
}

/// Bytes of a batch's receipts with their signatures.
pub fn expected_len(header: &BatchHeader) -> usize {
    usize::try_from(header.count).unwrap_or(usize::MAX).saturating_mul(SignedReceipt::LEN)
}

/// Checks receipts against a batch's header: their count, machine, lease, numbers, times, units and prices, and that
/// the machine signed each. Returns their ids.
///
/// # Errors
/// The first [`Mismatch`].
pub fn check(header: &BatchHeader, signed: &[u8]) -> Result<Vec<[u8; 32]>, Mismatch> {
    let expected = expected_len(header);
    if signed.len() != expected {
        return Err(Mismatch::Length { expected, got: signed.len() });
    }
    let mut leaves = Vec::new();
    let (mut first_ms, mut last_ms) = (None, 0);
    for (place, bytes) in (0..header.count).zip(signed.chunks(SignedReceipt::LEN)) {
        let invalid = |error| Mismatch::Receipt { place, error };
        let receipt = SignedReceipt::from_bytes(bytes).map_err(invalid)?;
        let signed = &receipt.receipt;
        let seq = header.first_seq.saturating_add(u64::from(place));
        let listed = (header.node_key, header.slot, header.generation);
        let same = listed == (signed.node_key, signed.slot, signed.generation);
        if !same || !signed.is_of(&header.board, header.lease) || signed.seq != seq {
            return Err(Mismatch::OutOfPlace { place });
        }
        receipt.verify().map_err(invalid)?;
        first_ms.get_or_insert(signed.end_ms);
        last_ms = signed.end_ms;
        leaves.push(signed.leaf());
    }
    if first_ms != Some(header.first_ms) || last_ms != header.last_ms {
        return Err(Mismatch::Times);
    }
    let ids = leaves.iter().map(|leaf| leaf.hash).collect();
    match SumTree::new(leaves) {
        Ok(tree) if tree.root() == header.root => Ok(ids),
        _ => Err(Mismatch::Root),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{batch, receipts, signed};
    use leasehold_client::probe::SigningKey;

    #[test]
    fn receipts_of_the_batch_pass() {
        for count in [1, 2, 7] {
            let receipts = receipts(0, count);
            let ids = check(&batch(0, &receipts), &signed(&receipts)).unwrap();
            assert_eq!(ids, receipts.iter().map(SignedReceipt::id).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_mismatch_is_named() {
        let honest = receipts(0, 5);
        let header = batch(0, &honest);
        let found = |receipts: &[SignedReceipt]| check(&header, &signed(receipts)).unwrap_err();
        assert_eq!(found(&honest[1..]), Mismatch::Length { expected: 5 * 392, got: 4 * 392 });
        assert!(matches!(check(&header, &[0; 5 * 392]), Err(Mismatch::Receipt { place: 0, .. })));
        let mut swapped = honest.clone();
        swapped.swap(1, 2);
        assert_eq!(found(&swapped), Mismatch::OutOfPlace { place: 1 });
        let mut forged = honest.clone();
        forged[3] = SignedReceipt::sign(&SigningKey::from_bytes(&[9; 32]), forged[3].receipt);
        assert!(matches!(found(&forged), Mismatch::Receipt { place: 3, .. }));
        let other = |change: fn(&mut leasehold::state::Receipt)| {
            let mut receipts = honest.clone();
            change(&mut receipts[4].receipt);
            receipts[4] = SignedReceipt::sign(&SigningKey::from_bytes(&[1; 32]), receipts[4].receipt);
            found(&receipts)
        };
        // Signed by the machine all the same.
        assert_eq!(other(|receipt| receipt.price += 1), Mismatch::Root);
        assert_eq!(other(|receipt| receipt.model[0] ^= 1), Mismatch::Root);
        assert_eq!(other(|receipt| receipt.end_ms += 1), Mismatch::Times);
        assert_eq!(other(|receipt| receipt.lease += 1), Mismatch::OutOfPlace { place: 4 });
        assert_eq!(other(|receipt| receipt.generation += 1), Mismatch::OutOfPlace { place: 4 });
    }
}
