//! Costs of the program's transactions, by kind.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use leasehold_client::sender::Confirmation;
use serde::Serialize;

/// Costs of all confirmed transactions of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    pub count: u64,
    /// Largest number of compute units of one transaction.
    pub cu_max: u64,
    /// Largest size of one transaction in bytes, signatures included.
    pub bytes_max: usize,
    /// Sum of the fees in lamports.
    #[serde(skip)]
    pub lamports: u64,
}

/// Costs by the name of the instruction. Clones share their counters.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    kinds: Arc<Mutex<BTreeMap<&'static str, Cost>>>,
}

impl Costs {
    pub fn note(&self, kind: &'static str, confirmation: &Confirmation) {
        let mut kinds = self.lock();
        let cost = kinds.entry(kind).or_default();
        cost.count += 1;
        cost.cu_max = cost.cu_max.max(confirmation.cu.unwrap_or_default());
        cost.bytes_max = cost.bytes_max.max(confirmation.bytes);
        cost.lamports = cost.lamports.saturating_add(confirmation.fee.unwrap_or_default());
    }

    pub fn of(&self, kind: &str) -> Cost {
        self.lock().get(kind).copied().unwrap_or_default()
    }

    /// Everything so far, by name.
    pub fn all(&self) -> BTreeMap<&'static str, Cost> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Cost>> {
        // A panic cannot leave the counters half updated.
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_a_kind_is_kept_and_fees_are_added() {
        let costs = Costs::default();
        let confirmation =
            |cu, bytes| Confirmation { signature: Default::default(), slot: 1, bytes, cu, fee: Some(5_000) };
        costs.note("close_round", &confirmation(Some(90), 200));
        costs.clone().note("close_round", &confirmation(Some(70), 300));
        costs.note("close_round", &confirmation(None, 100));
        let expected = Cost { count: 3, cu_max: 90, bytes_max: 300, lamports: 15_000 };
        assert_eq!(costs.of("close_round"), expected);
        assert_eq!(costs.of("open_lease"), Cost::default());
        assert_eq!(costs.all().into_iter().collect::<Vec<_>>(), [("close_round", expected)]);
    }
}
