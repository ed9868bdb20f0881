//! A Merkle mountain range: an append-only list of which only the peaks need to be kept.
//!
//! ```text
//! leaf    hash of a batch's header
//! node    sha256(0x03 | position u64 | left | right)
//! root    peaks bagged from the right: sha256(0x04 | nodes u64 | peak | rest)
//! ```
//!
//! A node's position is its place in the order in which nodes come to be, counted from 0, as in Grin
//! (docs/mmr.md of mimblewimble/grin, 2024). It is part of the hash, so that no node stands in for one elsewhere.

use crate::math::{
    Exact, Overflow,
    digest::{Domain, digest},
};

/// Most peaks, which is enough for 2⁴⁰ − 1 leaves.
pub const MAX_PEAKS: usize = 40;

/// Peaks of a range. The peak of height h is at index h if bit h of the number of leaves is set; other entries are
/// meaningless.
pub type Peaks = [[u8; 32]; MAX_PEAKS];

/// Position of leaf `leaf`, which is the number of nodes before it: 2·leaf − ones(leaf).
fn position_of_leaf(leaf: u64) -> u64 {
    leaf.wrapping_mul(2).wrapping_sub(u64::from(leaf.count_ones()))
}

/// The node at `height` whose last leaf is `leaf`.
pub fn node(leaf: u64, height: u32, left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let position = position_of_leaf(leaf).wrapping_add(u64::from(height));
    digest(Domain::LogNode, &[&position.to_le_bytes(), left, right])
}

/// Appends a leaf to a range of `leaves` leaves.
pub fn append(peaks: &mut Peaks, leaves: u64, leaf: [u8; 32]) -> Exact<()> {
    let mut hash = leaf;
    // As when 1 is added to a binary number: each peak that is there is carried up.
    let height = leaves.trailing_ones();
    for (below, peak) in peaks.iter().enumerate().take(height as usize) {
        let above = u32::try_from(below).map_err(|_| Overflow)?.wrapping_add(1);
        hash = node(leaves, above, peak, &hash);
    }
    *peaks.get_mut(height as usize).ok_or(Overflow)? = hash;
    Ok(())
}

/// Height of the peak above leaf `index` of `leaves`.
pub fn height_of(index: u64, leaves: u64) -> Option<u32> {
    if index >= leaves {
        return None;
    }
    // Mountains stand from the highest to the lowest. Number of leaves and index agree in their highest bits
    // until the first mountain on which the leaf is.
    let differ = index ^ leaves;
    Some(63u32.wrapping_sub(differ.leading_zeros()))
}

/// True if `leaf` is number `index` of the `leaves` leaves under these peaks.
pub fn verify(peaks: &Peaks, leaves: u64, leaf: [u8; 32], index: u64, path: &[[u8; 32]]) -> bool {
    let Some(height) = height_of(index, leaves) else { return false };
    if path.len() != height as usize {
        return false;
    }
    let mut hash = leaf;
    for (level, beside) in (0u32..).zip(path) {
        let above = level.wrapping_add(1);
        // The last leaf under the node above.
        let last = index | (1u64 << above).wrapping_sub(1);
        hash = if (index >> level) & 1 == 1 {
            node(last, above, beside, &hash)
        } else {
            node(last, above, &hash, beside)
        };
    }
    peaks.get(height as usize) == Some(&hash)
}

/// Root of a log: one hash over all peaks. Zeros for an empty log.
pub fn root(peaks: &Peaks, leaves: u64) -> [u8; 32] {
    let nodes = position_of_leaf(leaves).to_le_bytes();
    let standing = (0..).zip(peaks).filter(|(height, _)| leaves >> height & 1 == 1).map(|(_, peak)| *peak);
    standing.reduce(|rest, peak| digest(Domain::LogRoot, &[&nodes, &peak, &rest])).unwrap_or_default()
}

/// All nodes of a range, from which an archive makes paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Complete nodes of each height, in order.
    levels: Vec<Vec<[u8; 32]>>,
}

impl Range {
    pub fn append(&mut self, leaf: [u8; 32]) {
        let (last, mut hash) = (self.len(), leaf);
        for height in 0u32.. {
            if self.levels.len() <= height as usize {
                self.levels.push(Vec::new());
            }
            let Some(level) = self.levels.get_mut(height as usize) else { return };
            level.push(hash);
            let [.., left, right] = level.as_slice() else { return };
            if level.len() & 1 == 1 {
                return;
            }
            hash = node(last, height.wrapping_add(1), left, right);
        }
    }

    /// Number of leaves.
    pub fn len(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn peaks(&self) -> Peaks {
        let mut peaks = [[0; 32]; MAX_PEAKS];
        for (height, (peak, level)) in peaks.iter_mut().zip(&self.levels).enumerate() {
            if self.len() >> height & 1 == 1 {
                *peak = level.last().copied().unwrap_or_default();
            }
        }
        peaks
    }

    /// Sibling hashes on the path from a leaf to its peak, lowest first, in the range of the first `leaves` leaves.
    pub fn path(&self, index: u64, leaves: u64) -> Option<Vec<[u8; 32]>> {
        let height = (leaves <= self.len()).then(|| height_of(index, leaves))??;
        (0..height)
            .map(|level| {
                let beside = usize::try_from((index >> level) ^ 1).ok()?;
                self.levels.get(level as usize)?.get(beside).copied()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(index: u64) -> [u8; 32] {
        digest(Domain::Batch, &[&index.to_le_bytes()])
    }

    /// A range of that many leaves, and the peaks that appending alone keeps.
    fn grown(leaves: u64) -> (Range, Peaks) {
        let (mut range, mut peaks) = (Range::default(), [[0; 32]; MAX_PEAKS]);
        for index in 0..leaves {
            append(&mut peaks, index, leaf(index)).unwrap();
            range.append(leaf(index));
        }
        (range, peaks)
    }

    /// The peaks as the definition has them: mountains from the highest on, each a perfect tree whose nodes
    /// are numbered in postorder.
    fn naive(leaves: u64) -> Vec<(u32, [u8; 32])> {
        fn mountain(first: u64, height: u32, next: &mut u64) -> [u8; 32] {
            let hash = if height == 0 {
                leaf(first)
            } else {
                let left = mountain(first, height - 1, next);
                let right = mountain(first + (1 << (height - 1)), height - 1, next);
                digest(Domain::LogNode, &[&next.to_le_bytes(), &left, &right])
            };
            *next += 1;
            hash
        }
        let (mut first, mut next) = (0, 0);
        let heights = (0..64).rev().filter(|height| leaves >> height & 1 == 1);
        heights
            .map(|height| {
                let peak = mountain(first, height, &mut next);
                first += 1 << height;
                (height, peak)
            })
            .collect()
    }

    #[test]
    fn peaks_are_those_of_the_definition() {
        for leaves in 0..130 {
            let (range, peaks) = grown(leaves);
            for (height, peak) in naive(leaves) {
                assert_eq!(peaks[height as usize], peak, "{leaves} leaves");
                assert_eq!(range.peaks()[height as usize], peak, "{leaves} leaves");
            }
        }
    }

    #[test]
    fn every_leaf_is_proved_at_its_place_alone() {
        for leaves in 1..70 {
            let (_, peaks) = grown(leaves);
            let later = grown(leaves + 9).0;
            for index in 0..leaves {
                let path = later.path(index, leaves).unwrap();
                for place in 0..leaves + 2 {
                    assert_eq!(verify(&peaks, leaves, leaf(index), place, &path), place == index);
                }
                assert!(!verify(&peaks, leaves, leaf(leaves), index, &path));
            }
            assert_eq!(later.path(leaves, leaves), None);
        }
    }

    #[test]
    fn no_node_passes_for_a_leaf_nor_a_leaf_for_a_node() {
        let (range, peaks) = grown(8);
        let path = range.path(0, 8).unwrap();
        let node = node(1, 1, &leaf(0), &leaf(1));
        assert!(!verify(&peaks, 8, node, 0, &path[1..]), "a path that is too short");
        assert!(!verify(&peaks, 4, node, 0, &path[1..]), "a range of half as many leaves");
        let longer = [&[leaf(9)], path.as_slice()].concat();
        assert!(!verify(&peaks, 8, leaf(0), 0, &longer), "a path that is too long");
        assert!(!verify(&peaks, 16, leaf(0), 0, &longer));
    }

    #[test]
    fn roots_of_different_logs_differ() {
        let mut roots: Vec<_> = (0..100).map(|leaves| root(&grown(leaves).1, leaves)).collect();
        roots.sort_unstable();
        roots.dedup();
        assert_eq!(roots.len(), 100);
    }

    #[test]
    fn stale_peaks_mean_nothing() {
        let (range, mut peaks) = grown(4);
        peaks[0] = leaf(7);
        assert_eq!(root(&peaks, 4), root(&range.peaks(), 4));
        assert!(!verify(&peaks, 4, leaf(7), 0, &[]));
    }
}
