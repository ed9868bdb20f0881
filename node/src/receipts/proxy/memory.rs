//! Bounds what requests and answers under way take of the memory, in all and for each caller.

use super::caller::Caller;
use crate::receipts::refusal::Refusal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes and requests under way.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    bytes: usize,
    requests: usize,
}

/// What all callers together, and each of them, may have under way. One caller may have half of it.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes: usize,
    requests: usize,
}

/// Requests under way.
#[derive(Debug)]
pub(super) struct Memory {
    limits: Limits,
    loads: Mutex<Loads>,
}

#[derive(Debug, Default)]
struct Loads {
    all: Load,
    callers: HashMap<Caller, Load>,
}

/// The place of one request, and the bytes that are kept for it; released when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    memory: Arc<Memory>,
    caller: Caller,
    bytes: usize,
}

impl Memory {
    pub fn new(bytes: usize, requests: usize) -> Arc<Self> {
        Arc::new(Self { limits: Limits { bytes, requests }, loads: Mutex::default() })
    }

    /// Takes a place for a request.
    pub fn place(self: &Arc<Self>, caller: Caller) -> Result<Place, Refusal> {
        let mut loads = self.lock();
        let own = loads.callers.get(&caller).copied().unwrap_or_default();
        let Limits { requests, .. } = self.limits;
        if loads.all.requests >= requests || own.requests >= half(requests) {
            return Err(Refusal::Busy);
        }
        loads.all.requests = loads.all.requests.saturating_add(1);
        let own = loads.callers.entry(caller).or_default();
        own.requests = own.requests.saturating_add(1);
        Ok(Place { memory: self.clone(), caller, bytes: 0 })
    }

    // A panic elsewhere leaves the sums intact: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, Loads> {
        self.loads.lock().unwrap_or_else(|error| error.into_inner())
    }
}

fn half(limit: usize) -> usize {
    limit.div_ceil(2)
}

impl Place {
    /// Keeps so many bytes more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let mut loads = self.memory.lock();
        let limit = self.memory.limits.bytes;
        let all = loads.all.bytes.saturating_add(bytes);
        let own = loads.callers.entry(self.caller).or_default();
        let of_caller = own.bytes.saturating_add(bytes);
        if all > limit || of_caller > half(limit) {
            return Err(Refusal::Busy);
        }
        own.bytes = of_caller;
        loads.all.bytes = all;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Keeps no bytes any more.
    pub fn clear(&mut self) {
        let mut loads = self.memory.lock();
        loads.all.bytes = loads.all.bytes.saturating_sub(self.bytes);
        if let Some(own) = loads.callers.get_mut(&self.caller) {
            own.bytes = own.bytes.saturating_sub(self.bytes);
        }
        drop(loads);
        self.bytes = 0;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
        let mut loads = self.memory.lock();
        loads.all.requests = loads.all.requests.saturating_sub(1);
        if let Some(own) = loads.callers.get_mut(&self.caller) {
            own.requests = own.requests.saturating_sub(1);
            if own.requests == 0 {
                loads.callers.remove(&self.caller);
            }
        }
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
        let loads = memory.lock();
        assert!(loads.callers.is_empty() && loads.all.bytes == 0 && loads.all.requests == 0);
    }
}
