//! Bounds what requests and answers under way take of the memory, in all and for each caller.

use super::caller::Caller;
use crate::receipts::refusal::Refusal;
use leasehold_daemon::http::{Quota, Share};
use std::sync::Arc;

/// Requests under way, and the bytes that are kept for them. One caller may have half of either.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: Arc<Quota<Caller>>,
    requests: Arc<Quota<Caller>>,
}

/// The place of one request, and the bytes that are kept for it; released when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    bytes: Share<Caller>,
    _request: Share<Caller>,
}

impl Memory {
    pub fn new(bytes: usize, requests: usize) -> Self {
        let quota = |all: usize| Quota::new(all, all.div_ceil(2));
        Self { bytes: quota(bytes), requests: quota(requests) }
    }

    /// Takes a place for a request.
    pub fn place(&self, caller: Caller) -> Result<Place, Refusal> {
        let request = self.requests.take(Some(caller), 1).ok_or(Refusal::Busy)?;
        let bytes = self.bytes.take(Some(caller), 0).ok_or(Refusal::Busy)?;
        Ok(Place { bytes, _request: request })
    }
}

impl Place {
    /// Keeps so many bytes more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        if self.bytes.grow(bytes) { Ok(()) } else { Err(Refusal::Busy) }
    }

    /// Keeps no bytes any more.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_takes_half_at_most_and_all_together_no_more_than_there_is() {
        let memory = Memory::new(100, 4);
        let mut first = memory.place([1; 64]).unwrap();
        let second = memory.place([1; 64]).unwrap();
        assert!(memory.place([1; 64]).is_err());
        first.grow(50).unwrap();
        assert!(first.grow(1).is_err());
        let mut others: Vec<_> = (2..4).map(|caller| memory.place([caller; 64]).unwrap()).collect();
        assert!(memory.place([5; 64]).is_err());
        others[0].grow(40).unwrap();
        assert!(others[1].grow(11).is_err());
        others[1].grow(10).unwrap();
        first.clear();
        others[1].grow(40).unwrap();
        drop((first, second, others));
        assert_eq!((memory.bytes.used(), memory.requests.used()), (0, 0));
    }
}
