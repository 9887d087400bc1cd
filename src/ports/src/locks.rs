//! One lock for each thing by name: for what several addresses or calls of a provider share and its
//! caller cannot see, such as an interface.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Locks by name; those that nobody holds or waits for are forgotten.
#[derive(Debug, Default)]
pub struct Locks(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Locks {
    /// Waits for the lock of `name`. Fair, and cancel-safe.
    pub async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            locks.entry(name.into()).or_default().clone()
        };
        lock.lock_owned().await
    }
}
