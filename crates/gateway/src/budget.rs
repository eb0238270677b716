use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of bodies that are under way, over all connections, and their bound.
#[derive(Debug)]
pub(crate) struct Budget {
    used_bytes: AtomicUsize,
    max_bytes: usize,
}

/// Bytes that one request holds; they are free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

/// The budget is used up: the request is refused at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OverBudget;

impl Budget {
    pub(crate) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Budget { used_bytes: AtomicUsize::new(0), max_bytes })
    }

    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

impl Share {
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let taken = self.budget.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|&used| used <= self.budget.max_bytes)
        });
        taken.map_err(|_| OverBudget)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_over_and_gives_back() {
        let budget = Budget::new(100);
        let mut one = budget.share();
        assert_eq!(one.take(60), Ok(()));
        let mut two = budget.share();
        assert_eq!(two.take(41), Err(OverBudget));
        assert_eq!(two.take(40), Ok(()));
        drop(one);
        assert_eq!(budget.used_bytes(), 40);
        assert_eq!(two.take(usize::MAX), Err(OverBudget));
        drop(two);
        assert_eq!(budget.used_bytes(), 0);
    }
}
