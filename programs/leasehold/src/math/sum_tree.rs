//! The Merkle-sum tree over a batch of receipts: every node commits to the units and the money under it, so
//! that nobody can show one sum and bill another.
//!
//! ```text
//! leaf    id of the receipt, its units, its price
//! node    sha256(0x01 | left hash, units, price | right hash, units, price), and the sums of both
//! ```
//!
//! Its shape is that of RFC 9162, section 2.1: the largest power of two below n is on the left, no leaf is
//! doubled.

use anchor_lang::prelude::*;
use bytemuck::{Pod, Zeroable};

use crate::math::{
    Exact, Overflow, add,
    digest::{Domain, digest},
};

/// Node of a sum tree: its hash, and the sums of all receipts under it.
#[derive(
    AnchorSerialize, AnchorDeserialize, InitSpace, Pod, Zeroable, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
#[repr(C)]
pub struct SumNode {
    pub hash: [u8; 32],
    /// Compute units.
    pub units: u64,
    /// Payment units.
    pub price: u64,
}

impl SumNode {
    /// Parent of two nodes.
    pub fn parent(left: &SumNode, right: &SumNode) -> Exact<SumNode> {
        Ok(SumNode {
            hash: digest(Domain::SumNode, &[bytemuck::bytes_of(left), bytemuck::bytes_of(right)]),
            units: add(left.units, right.units)?,
            price: add(left.price, right.price)?,
        })
    }
}

/// Result of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The node at the top of the path.
    pub root: SumNode,
    /// Sums of all leaves before the proved one.
    pub units_before: u64,
    pub price_before: u64,
}

/// Climbs from leaf `index` of `count`. `None` if the path has too few or too many nodes, or if a sum does not fit.
pub fn climb(leaf: SumNode, index: u32, count: u32, path: &[SumNode]) -> Option<Proven> {
    let mut last = count.checked_sub(1).filter(|last| index <= *last)?;
    let (mut at, mut root, mut beside) = (index, leaf, path.iter());
    let (mut units_before, mut price_before) = (0, 0);
    while last > 0 {
        if at & 1 == 1 {
            let left = beside.next()?;
            units_before = add(units_before, left.units).ok()?;
            price_before = add(price_before, left.price).ok()?;
            root = SumNode::parent(left, &root).ok()?;
        } else if at != last {
            root = SumNode::parent(&root, beside.next()?).ok()?;
        }
        // Else it is the last of its level and has no partner: it moves up as it is.
        at >>= 1;
        last >>= 1;
    }
    beside.next().is_none().then_some(Proven { root, units_before, price_before })
}

/// All nodes of a tree, from which paths are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumTree {
    /// Levels from the leaves up; the last is the root alone.
    levels: Vec<Vec<SumNode>>,
}

impl SumTree {
    /// The tree over `leaves`; an error if there are none or a sum does not fit.
    pub fn new(leaves: Vec<SumNode>) -> Exact<Self> {
        if leaves.is_empty() {
            return Err(Overflow);
        }
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => SumNode::parent(left, right),
                rest => rest.first().copied().ok_or(Overflow),
            });
            let above = above.collect::<Exact<Vec<_>>>()?;
            levels.push(above);
        }
        Ok(SumTree { levels })
    }

    pub fn root(&self) -> SumNode {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// Sibling nodes on the path from a leaf to the root, lowest first; `None` if there is no such leaf.
    pub fn path(&self, index: usize) -> Option<Vec<SumNode>> {
        self.levels.first()?.get(index)?;
        let mut at = index;
        let mut path = Vec::new();
        for level in &self.levels {
            path.extend(level.get(at ^ 1).copied());
            at >>= 1;
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<SumNode> {
        let leaf = |index: u64| SumNode {
            hash: digest(Domain::Receipt, &[&index.to_le_bytes()]),
            units: index,
            price: 3 * index + 1,
        };
        (0..count).map(leaf).collect()
    }

    /// The tree as RFC 9162 defines it, from the top.
    fn naive(leaves: &[SumNode]) -> SumNode {
        if let [leaf] = leaves {
            return *leaf;
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        SumNode::parent(&naive(left), &naive(right)).unwrap()
    }

    #[test]
    fn every_leaf_is_proved_at_its_place_with_the_sums_before_it() {
        for count in 1..40u32 {
            let leaves = leaves(count.into());
            let tree = SumTree::new(leaves.clone()).unwrap();
            let root = tree.root();
            assert_eq!(root, naive(&leaves));
            for index in 0..count {
                let path = tree.path(index as usize).unwrap();
                let before = &leaves[..index as usize];
                let proven = Proven {
                    root,
                    units_before: before.iter().map(|leaf| leaf.units).sum(),
                    price_before: before.iter().map(|leaf| leaf.price).sum(),
                };
                assert_eq!(climb(leaves[index as usize], index, count, &path), Some(proven));
                for other in (0..count + 2).filter(|other| *other != index) {
                    let there = climb(leaves[index as usize], other, count, &path);
                    assert!(there.is_none_or(|there| there.root != root), "{index} at {other} of {count}");
                }
                let longer = [path.as_slice(), &[root]].concat();
                assert_eq!(climb(leaves[index as usize], index, count, &longer), None);
            }
        }
    }

    #[test]
    fn other_sums_make_another_root() {
        let leaves = leaves(9);
        let tree = SumTree::new(leaves.clone()).unwrap();
        let path = tree.path(4).unwrap();
        let proves = |leaf, path: &[SumNode]| climb(leaf, 4, 9, path).is_some_and(|p| p.root == tree.root());
        assert!(proves(leaves[4], &path));
        assert!(!proves(SumNode { units: 5, ..leaves[4] }, &path));
        assert!(!proves(SumNode { price: 0, ..leaves[4] }, &path));
        for level in 0..path.len() {
            let mut shifted = path.clone();
            shifted[level].units += 1;
            assert!(!proves(leaves[4], &shifted));
        }
        // What one sibling has more and another less leaves the sum as it is, but not the hashes.
        let mut shifted = path.clone();
        (shifted[0].price, shifted[1].price) = (shifted[0].price + 1, shifted[1].price - 1);
        assert!(!proves(leaves[4], &shifted));
    }

    #[test]
    fn a_node_is_no_leaf() {
        let tree = SumTree::new(leaves(4)).unwrap();
        let inner = SumNode::parent(&leaves(4)[0], &leaves(4)[1]).unwrap();
        let path = tree.path(0).unwrap();
        // It would prove a receipt of a batch of two, were the number of receipts not part of the header.
        assert_eq!(climb(inner, 0, 4, &path[1..]), None);
        assert_eq!(climb(inner, 0, 2, &path[1..]).map(|proven| proven.root), Some(tree.root()));
    }

    #[test]
    fn sums_do_not_wrap() {
        let huge = SumNode { units: u64::MAX, ..leaves(1)[0] };
        assert_eq!(SumTree::new(vec![huge, leaves(2)[1]]), Err(Overflow));
        assert_eq!(climb(huge, 0, 2, &[leaves(2)[1]]), None);
        assert!(SumTree::new(Vec::new()).is_err());
    }
}
