//! Time, passed in so that tests can bend it.

use egret_core::model::Timestamp;

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now, UTC.
    fn now(&self) -> Timestamp;
}
