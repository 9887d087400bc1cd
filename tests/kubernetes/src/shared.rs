use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What tests of one program share while they run side by side: made by the first that asks, dropped
/// by the last that holds it, so that nothing outlives the tests as a static value would.
#[derive(Debug, Default)]
pub struct SharedFixture<T>(Mutex<Weak<T>>);

impl<T> SharedFixture<T> {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The one that somebody holds, else what `make` gives; others who ask meanwhile wait for it.
    pub fn get(&self, make: impl FnOnce() -> T) -> Arc<T> {
        // A test that panicked while it made one has left none.
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.upgrade().unwrap_or_else(|| {
            let made = Arc::new(make());
            *held = Arc::downgrade(&made);
            made
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_again_when_nobody_holds_it() {
        let shared = SharedFixture::new();
        let one = shared.get(|| 1);
        assert_eq!(*shared.get(|| 2), 1);
        drop(one);
        assert_eq!(*shared.get(|| 3), 3);
    }
}
