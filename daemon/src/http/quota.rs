//! Quotas: how much of something may be in use in all, and by one caller.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whom a quota counts for: an IPv4 address, or the network of 64 bits of an IPv6 address, since whoever has one address of
/// it has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caller(IpAddr);

impl Caller {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
            address => address,
        })
    }
}

/// The caller of a request, as an extension of it; `None`: has no limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Option<Caller>);

/// Amounts in use.
#[derive(Debug)]
struct Used<K> {
    all: usize,
    callers: HashMap<K, usize>,
}

/// A quota in all and for each caller.
#[derive(Debug)]
pub struct Quota<K = Caller> {
    all: usize,
    each: usize,
    used: Mutex<Used<K>>,
}

/// An amount in use; given back when it is dropped.
#[derive(Debug)]
pub struct Share<K: Copy + Eq + Hash = Caller> {
    quota: Arc<Quota<K>>,
    caller: Option<K>,
    amount: usize,
}

impl<K: Copy + Eq + Hash> Quota<K> {
    pub fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, used: Mutex::new(Used { all: 0, callers: HashMap::new() }) })
    }

    /// Takes an amount; `None` if that is more than is left. Only the quota in all applies to caller `None`.
    pub fn take(self: &Arc<Self>, caller: Option<K>, amount: usize) -> Option<Share<K>> {
        let mut share = Share { quota: Arc::clone(self), caller, amount: 0 };
        share.grow(amount).then_some(share)
    }

    /// The amount in use in all.
    pub fn used(&self) -> usize {
        self.lock().all
    }

    /// The amount that a caller has in use.
    pub fn used_by(&self, caller: &K) -> usize {
        self.lock().callers.get(caller).copied().unwrap_or(0)
    }

    // A panic elsewhere leaves the sums intact.
    fn lock(&self) -> MutexGuard<'_, Used<K>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Share<K> {
    /// Takes more; false if that is more than is left, and then the share stays as it was.
    pub fn grow(&mut self, more: usize) -> bool {
        let mut used = self.quota.lock();
        let all = used.all.saturating_add(more);
        if all > self.quota.all {
            return false;
        }
        if let Some(caller) = self.caller {
            let own = used.callers.get(&caller).copied().unwrap_or(0).saturating_add(more);
            if own > self.quota.each {
                return false;
            }
            if own > 0 {
                used.callers.insert(caller, own);
            }
        }
        used.all = all;
        self.amount = self.amount.saturating_add(more);
        true
    }

    /// Gives all of it back.
    pub fn clear(&mut self) {
        let amount = std::mem::take(&mut self.amount);
        let mut used = self.quota.lock();
        used.all = used.all.saturating_sub(amount);
        let Some(caller) = self.caller else { return };
        if let Some(own) = used.callers.get_mut(&caller) {
            *own = own.saturating_sub(amount);
            if *own == 0 {
                used.callers.remove(&caller);
            }
        }
    }
}

impl<K: Copy + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(address: &str) -> Option<Caller> {
        Some(Caller::of(address.parse().unwrap()))
    }

    #[test]
    fn a_caller_is_an_ipv4_address_or_an_ipv6_network() {
        assert_eq!(caller("192.0.2.1"), caller("::ffff:192.0.2.1"));
        assert_ne!(caller("192.0.2.1"), caller("192.0.2.2"));
        assert_eq!(caller("2001:db8::1"), caller("2001:db8::ffff:1"));
        assert_ne!(caller("2001:db8::1"), caller("2001:db8:0:1::1"));
    }

    #[test]
    fn a_quota_holds_in_all_and_for_each_caller_and_is_given_back() {
        let quota = Quota::new(5, 2);
        let one = caller("192.0.2.1");
        let mut share = quota.take(one, 1).unwrap();
        assert!(share.grow(1) && !share.grow(1));
        assert!(quota.take(one, 1).is_none(), "the caller has its two");
        let other = quota.take(caller("192.0.2.2"), 2).unwrap();
        let local = quota.take(None, 1).unwrap();
        assert!(quota.take(caller("192.0.2.3"), 1).is_none(), "all are in use");
        assert_eq!(quota.used(), 5);
        drop(share);
        let again = quota.take(None, 2);
        assert!(again.is_some() && quota.take(one, 1).is_none());
        drop((other, local, again));
        assert_eq!(quota.used(), 0);
        assert!(quota.lock().callers.is_empty(), "nothing is kept of callers that are gone");
    }
}
