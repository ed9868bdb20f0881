//! Why a request can't be met.

use leasehold::error::LeaseholdError;

use crate::error::Refusal;

/// Why a request can't be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{} ({fit} fit, {requested} requested)", self.rule())]
    NotEnoughGpus {
        /// GPUs of all machines that fit, on all boards.
        fit: u32,
        requested: u32,
    },
    #[error("{} ({rounds} rounds requested, {min} to {max} allowed)", self.rule())]
    LeaseLength { rounds: u32, min: u32, max: u32 },
    #[error("the length is beyond any lease: ask for less time")]
    TooLong,
}

impl SearchError {
    /// The program's rule that the request breaks, `None` if it is not the program that refuses it.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            SearchError::Refused(refusal) => Some(*refusal),
            SearchError::NotEnoughGpus { .. } => Some(LeaseholdError::NotEnoughGpus.into()),
            SearchError::LeaseLength { .. } => Some(LeaseholdError::LeaseLength.into()),
            SearchError::TooLong => None,
        }
    }

    fn rule(&self) -> String {
        self.refusal().map(|refusal| refusal.to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_the_rule_and_the_values_that_broke_it() {
        let few = SearchError::NotEnoughGpus { fit: 3, requested: 5 };
        let rule = Refusal::from(LeaseholdError::NotEnoughGpus);
        assert_eq!((few.refusal(), few.to_string()), (Some(rule), format!("{rule} (3 fit, 5 requested)")));
        assert_eq!(SearchError::TooLong.refusal(), None);
    }
}
