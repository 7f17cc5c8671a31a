//! What all streams share, memory or disk: how much each may hold. While there is enough everybody may have what is left;
//! when there is not, those who hold most give back first, down to one level.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One resource, in bytes.
#[derive(Debug)]
pub(super) struct Pool {
    limit: AtomicU64,
    accounts: Mutex<Vec<Weak<Account>>>,
}

/// What one stream holds of it, until dropped.
#[derive(Debug, Default)]
pub(super) struct Account {
    held: AtomicU64,
    /// It gives nothing back any more: its stream has ended and is kept for a while.
    fixed: std::sync::atomic::AtomicBool,
}

impl Account {
    /// It holds so much now.
    pub(super) fn set(&self, bytes: u64) {
        self.held.store(bytes, Ordering::Relaxed);
    }

    /// It stays as it is.
    pub(super) fn fix(&self) {
        self.fixed.store(true, Ordering::Relaxed);
    }
}

impl Pool {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit: limit.into(), accounts: Mutex::default() }
    }

    /// There is so much.
    pub(super) fn set(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// How much there is.
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Another one who holds something.
    pub(super) fn open(&self) -> Arc<Account> {
        let account = Arc::<Account>::default();
        self.accounts().push(Arc::downgrade(&account));
        account
    }

    /// How much all hold.
    pub(super) fn held(&self) -> u64 {
        self.all().iter().map(|(held, _)| held).sum()
    }

    /// How much this one may hold, of `limit` bytes in all.
    pub(super) fn share(&self, mine: &Account, limit: u64) -> u64 {
        let all = self.all();
        let held: u64 = all.iter().map(|(held, _)| held).sum();
        if let Some(left) = limit.checked_sub(held) {
            return mine.held.load(Ordering::Relaxed).saturating_add(left);
        }
        let fixed: u64 = all.iter().filter(|(_, fixed)| *fixed).map(|(held, _)| held).sum();
        let free = all.into_iter().filter(|(_, fixed)| !fixed).map(|(held, _)| held);
        level(free.collect(), limit.saturating_sub(fixed))
    }

    /// What each holds, and whether it is fixed.
    fn all(&self) -> Vec<(u64, bool)> {
        let mut all = Vec::new();
        self.accounts().retain(|account| {
            let account = account.upgrade();
            let read =
                |a: &Account| (a.held.load(Ordering::Relaxed), a.fixed.load(Ordering::Relaxed));
            all.extend(account.as_deref().map(read));
            account.is_some()
        });
        all
    }

    fn accounts(&self) -> MutexGuard<'_, Vec<Weak<Account>>> {
        // Nothing that runs under the lock leaves the list half changed by a panic.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The level to which the highest have to come down, so that all together are within the limit.
fn level(mut held: Vec<u64>, limit: u64) -> u64 {
    held.sort_unstable();
    let mut left = limit;
    for (index, bytes) in held.iter().enumerate() {
        let above = (held.len() - index) as u64;
        let even = left / above;
        if *bytes > even {
            return even;
        }
        left -= bytes;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_hold_most_give_back_first() {
        for (held, limit, expected) in [
            (vec![], 10, u64::MAX),
            (vec![4, 6], 10, u64::MAX),
            (vec![4, 7], 10, 6),
            (vec![100, 1, 1], 10, 8),
            (vec![100, 1, 100], 11, 5),
            (vec![3, 3, 3], 6, 2),
            (vec![5], 0, 0),
        ] {
            assert_eq!(level(held.clone(), limit), expected, "{held:?} in {limit}");
            let within: u64 = held.iter().map(|held| held.min(&expected)).sum();
            assert!(within <= limit.max(held.iter().sum::<u64>().min(limit)));
        }
    }

    #[test]
    fn what_is_left_is_everybodys_and_what_has_ended_is_nobodys() {
        let pool = Pool::new(100);
        let (one, two) = (pool.open(), pool.open());
        one.set(10);
        two.set(50);
        assert_eq!((pool.held(), pool.share(&one, 100), pool.share(&two, 100)), (60, 50, 90));
        assert_eq!((pool.share(&one, 40), pool.share(&two, 40)), (30, 30));
        two.fix();
        assert_eq!(pool.share(&one, 40), 0);
        drop(two);
        assert_eq!((pool.held(), pool.share(&one, 40)), (10, 40));
    }
}
