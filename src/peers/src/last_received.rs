//! When each peer was last heard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use egret_core::model::NodeName;

/// When the last message of each peer came. A clone reads the same moments, from any thread.
#[derive(Clone, Debug, Default)]
pub struct LastReceived(Arc<Mutex<BTreeMap<NodeName, Instant>>>);

impl LastReceived {
    /// How long each peer that was ever heard has been silent.
    #[must_use]
    pub fn silences(&self) -> BTreeMap<NodeName, Duration> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().map(|(node, at)| (node.clone(), at.elapsed())).collect()
    }

    pub(crate) fn note(&self, from: &NodeName) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.get_mut(from) {
            Some(at) => *at = Instant::now(),
            None => drop(heard.insert(from.clone(), Instant::now())),
        }
    }
}
