//! One lock for each thing by name: for what several addresses or calls of a provider share and its
//! caller cannot see, such as an interface.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Locks by name; those that nobody holds or waits for are forgotten.
#[derive(Debug, Default)]
pub struct Locks(Mutex<BTreeMap<String, Arc<RwLock<()>>>>);

impl Locks {
    /// Waits for the lock of `name`, until nobody else has it. Fair, and cancel-safe.
    pub async fn lock(&self, name: &str) -> OwnedRwLockWriteGuard<()> {
        self.named(name).write_owned().await
    }

    /// As `lock`, together with others that share it.
    pub async fn share(&self, name: &str) -> OwnedRwLockReadGuard<()> {
        self.named(name).read_owned().await
    }

    fn named(&self, name: &str) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(name.into()).or_default().clone()
    }
}
