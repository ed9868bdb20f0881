//! Whether what a source gave is the batch that the log has.

use leasehold::math::sum_tree::SumTree;
use leasehold::state::BatchHeader;
use leasehold_client::record::{RecordError, SignedReceipt};

/// How a source lied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    #[error("it has {got} bytes and not {expected}")]
    Length { expected: usize, got: usize },
    #[error("number {place}: {error}")]
    Receipt { place: u32, error: RecordError },
    #[error("receipt {place} is not of the batch's machine and lease, or not the next in number")]
    Foreign { place: u32 },
    #[error("the receipts are not those of the batch's root")]
    Root,
    #[error("the first and the last receipt have other times than the batch")]
    Times,
}

/// Bytes of a batch's receipts with their signatures.
pub fn expected_len(header: &BatchHeader) -> usize {
    usize::try_from(header.count).unwrap_or(usize::MAX).saturating_mul(SignedReceipt::LEN)
}

/// Checks all that a batch's header promises: how many receipts, of which machine, with which numbers, times,
/// units and prices, and that the machine signed each. Returns their ids.
///
/// # Errors
/// The first [`Lie`].
pub fn check(header: &BatchHeader, signed: &[u8]) -> Result<Vec<[u8; 32]>, Lie> {
    let expected = expected_len(header);
    if signed.len() != expected {
        return Err(Lie::Length { expected, got: signed.len() });
    }
    let mut leaves = Vec::new();
    let (mut first_ms, mut last_ms) = (None, 0);
    for (place, bytes) in (0..header.count).zip(signed.chunks(SignedReceipt::LEN)) {
        let lie = |error| Lie::Receipt { place, error };
        let receipt = SignedReceipt::from_bytes(bytes).map_err(lie)?;
        let told = &receipt.receipt;
        let seq = header.first_seq.saturating_add(u64::from(place));
        let listed = (header.node_key, header.slot, header.generation);
        let same = listed == (told.node_key, told.slot, told.generation);
        if !same || !told.is_of(&header.board, header.lease) || told.seq != seq {
            return Err(Lie::Foreign { place });
        }
        receipt.verify().map_err(lie)?;
        first_ms.get_or_insert(told.end_ms);
        last_ms = told.end_ms;
        leaves.push(told.leaf());
    }
    if first_ms != Some(header.first_ms) || last_ms != header.last_ms {
        return Err(Lie::Times);
    }
    let ids = leaves.iter().map(|leaf| leaf.hash).collect();
    match SumTree::new(leaves) {
        Ok(tree) if tree.root() == header.root => Ok(ids),
        _ => Err(Lie::Root),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{batch, receipts, signed};
    use super::*;
    use leasehold_client::probe::SigningKey;

    #[test]
    fn what_the_log_has_passes() {
        for count in [1, 2, 7] {
            let receipts = receipts(0, count);
            let ids = check(&batch(0, &receipts), &signed(&receipts)).unwrap();
            assert_eq!(ids, receipts.iter().map(SignedReceipt::id).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_lie_is_named() {
        let honest = receipts(0, 5);
        let header = batch(0, &honest);
        let told = |receipts: &[SignedReceipt]| check(&header, &signed(receipts)).unwrap_err();
        assert_eq!(told(&honest[1..]), Lie::Length { expected: 5 * 384, got: 4 * 384 });
        assert!(matches!(check(&header, &[0; 5 * 384]), Err(Lie::Receipt { place: 0, .. })));
        let mut swapped = honest.clone();
        swapped.swap(1, 2);
        assert_eq!(told(&swapped), Lie::Foreign { place: 1 });
        let mut forged = honest.clone();
        forged[3] = SignedReceipt::sign(&SigningKey::from_bytes(&[9; 32]), forged[3].receipt);
        assert!(matches!(told(&forged), Lie::Receipt { place: 3, .. }));
        let other = |change: fn(&mut leasehold::state::Receipt)| {
            let mut receipts = honest.clone();
            change(&mut receipts[4].receipt);
            receipts[4] = SignedReceipt::sign(&SigningKey::from_bytes(&[1; 32]), receipts[4].receipt);
            told(&receipts)
        };
        // Signed by the machine all the same.
        assert_eq!(other(|receipt| receipt.price += 1), Lie::Root);
        assert_eq!(other(|receipt| receipt.model[0] ^= 1), Lie::Root);
        assert_eq!(other(|receipt| receipt.end_ms += 1), Lie::Times);
        assert_eq!(other(|receipt| receipt.lease += 1), Lie::Foreign { place: 4 });
        assert_eq!(other(|receipt| receipt.generation += 1), Lie::Foreign { place: 4 });
    }
}
