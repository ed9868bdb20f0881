//! Bit-sliced counting of votes equals counting them one by one.

use leasehold::{
    constants::{MAX_SEATS, MAX_SLOTS, PLANES, WORDS},
    math::tally::{Quorum, add_vote, is_padded},
};
use proptest::prelude::*;

/// Votes of up to 15 seats. A bitmap may be shorter than the board, as when machines were listed since; a byte is often
/// all ones or all zeros, so that counters reach their limits.
fn votes() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![2 => any::<u8>(), 1 => Just(0xff), 1 => Just(0)];
    let vote = prop_oneof![
        4 => prop::collection::vec(byte.clone(), 0..40),
        1 => prop::collection::vec(byte, MAX_SLOTS / 8),
    ];
    prop::collection::vec(vote, 0..=MAX_SEATS)
}

fn has_bit(bitmap: &[u8], machine: usize) -> bool {
    bitmap.get(machine / 8).is_some_and(|byte| byte >> (machine % 8) & 1 == 1)
}

fn count(planes: &[[u64; WORDS]; PLANES], machine: usize) -> u32 {
    (0..PLANES).map(|power| ((planes[power][machine / 64] >> (machine % 64) & 1) as u32) << power).sum()
}

/// Every threshold, each with as many votes for up as can keep a machine from being down on a full board, and with as many as for
/// down.
fn quorums() -> impl Iterator<Item = (u8, u8)> {
    (1..=MAX_SEATS as u8).flat_map(|threshold| [(threshold, 16 - threshold), (threshold, threshold)])
}

/// Compares counters, and the verdicts, with naive counting.
fn check(votes: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let mut planes = [[0; WORDS]; PLANES];
    for vote in votes {
        add_vote(&mut planes, vote);
    }
    let ones: Vec<u32> = (0..MAX_SLOTS)
        .map(|machine| votes.iter().filter(|vote| has_bit(vote, machine)).count() as u32)
        .collect();
    for (machine, ones) in ones.iter().enumerate() {
        prop_assert_eq!(count(&planes, machine), *ones, "machine {}", machine);
    }
    let submitted = votes.len() as u32;
    for (threshold, up_votes) in quorums() {
        for word in 0..WORDS {
            let found = Quorum::new(submitted, up_votes, threshold).verdicts(&planes, word);
            let (threshold, up_votes) = (u32::from(threshold), u32::from(up_votes));
            let (mut up, mut down) = (0u64, 0u64);
            for bit in 0..64 {
                let ones = ones[word * 64 + bit];
                up |= u64::from(ones >= up_votes) << bit;
                down |= u64::from(submitted - ones >= threshold) << bit;
            }
            prop_assert_eq!(
                (found.up, found.down),
                (up, down),
                "word {}, k {}, u {}",
                word,
                threshold,
                up_votes
            );
            // Bounds of which a board's rules allow: more than its seats in all.
            if threshold + up_votes > submitted {
                prop_assert_eq!(up & down, 0);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn planes_and_verdicts_equal_naive_counting(votes in votes()) {
        check(&votes)?;
    }

    #[test]
    fn padding_is_found(
        machines in 0..200u32,
        set in prop::collection::vec(any::<u32>(), 0..4),
    ) {
        let mut bitmap = vec![0u8; machines.div_ceil(8) as usize];
        let bits = bitmap.len() as u32 * 8;
        for bit in set.iter().filter_map(|bit| bit.checked_rem(bits)) {
            bitmap[bit as usize / 8] |= 1 << (bit % 8);
        }
        let beyond = (machines as usize..bits as usize).any(|machine| has_bit(&bitmap, machine));
        prop_assert_eq!(is_padded(&bitmap, machines), !beyond);
    }
}

/// Every number of seats, and every possible count.
#[test]
fn every_count_of_every_committee_is_exact() {
    for seats in 0..=MAX_SEATS {
        let votes: Vec<Vec<u8>> = (0..seats)
            .map(|seat| {
                let mut bitmap = vec![0u8; 16];
                // Machine m gets m votes, and machine 64 + m the others.
                for machine in 0..=seats {
                    let bit = if seat < machine { machine } else { 64 + machine };
                    bitmap[bit / 8] |= 1 << (bit % 8);
                }
                bitmap
            })
            .collect();
        let mut planes = [[0; WORDS]; PLANES];
        for vote in &votes {
            add_vote(&mut planes, vote);
        }
        for machine in 0..=seats {
            assert_eq!(count(&planes, machine), machine as u32);
            assert_eq!(count(&planes, 64 + machine), (seats - machine) as u32);
        }
        check(&votes).expect("as counted one by one");
    }
}

#[test]
fn nobody_is_judged_by_fewer_votes_than_the_bounds() {
    let mut planes = [[0; WORDS]; PLANES];
    let verdicts = |planes: &[[u64; WORDS]; PLANES], submitted| {
        let found = Quorum::new(submitted, 5, 9).verdicts(planes, 0);
        (found.up, found.down)
    };
    for submitted in 1..=13 {
        add_vote(&mut planes, &[0b01]);
        let expected = match submitted {
            ..5 => (0, 0),
            5..9 => (1, 0),
            _ => (1, !1),
        };
        assert_eq!(verdicts(&planes, submitted), expected, "{submitted}");
    }
}
