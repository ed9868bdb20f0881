//! Payment units that are burned, by reason.

use leasehold::math::{add, settlement::Burned};

use crate::error::Refusal;

/// Sum by reason.
pub fn sum(one: Burned, other: Burned) -> Result<Burned, Refusal> {
    Ok(Burned {
        damages: add(one.damages, other.damages)?,
        contested: add(one.contested, other.contested)?,
        exit: add(one.exit, other.exit)?,
        penalty: add(one.penalty, other.penalty)?,
    })
}

/// What is burned, each with its reason: "of the machines' pay, for rounds down beyond their allowance". Without amounts of 0.
pub fn reasons(burned: &Burned) -> Vec<(u64, &'static str)> {
    let all = [
        (burned.damages, "of the machines' pay, for rounds down beyond their allowance"),
        (burned.contested, "of the machines' pay, because the owner contested them"),
        (
            burned.exit,
            "of the owner's money, for leaving machines that were contested or down, or replaced by cheaper ones",
        ),
        (burned.penalty, "of the owner's money, for contesting: half of what that takes from the machines"),
    ];
    all.into_iter().filter(|(amount, _)| *amount > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_burned_has_a_reason() {
        assert_eq!(reasons(&Burned::default()), []);
        let burned = Burned { damages: 3, penalty: 1, ..Burned::default() };
        let twice = sum(burned, burned).unwrap();
        assert_eq!(reasons(&twice).iter().map(|(amount, _)| *amount).collect::<Vec<_>>(), [6, 2]);
        assert_eq!(twice.total().unwrap(), 8);
        assert!(sum(burned, Burned { damages: u64::MAX, ..Burned::default() }).is_err());
    }
}
