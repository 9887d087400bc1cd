use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what is whole between two statements: a panic elsewhere must not take the store away for
/// good.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
