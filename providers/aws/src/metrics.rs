//! How many calls were made, and what came of them.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counters of the calls to EC2; a clone counts the same.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    calls: Family<Labels, Counter>,
    seen: Arc<std::sync::Mutex<std::collections::BTreeSet<Labels>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
    result: &'static str,
}

impl Calls {
    /// Registers `aws_calls_total{operation, result}`: the EC2 action, and `ok` or the class of the
    /// error. Attempts that the SDK repeats within a call are not counted apart.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Calls to EC2 by action and what came of them";
        registry.register("aws_calls", help, self.calls.clone());
    }

    /// The counts so far, by action and result.
    #[must_use]
    pub fn read(&self) -> Vec<(&'static str, &'static str, u64)> {
        let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = |labels: &Labels| {
            (labels.operation, labels.result, self.calls.get_or_create(labels).get())
        };
        seen.iter().map(count).collect()
    }

    pub(crate) fn count(&self, operation: &'static str, result: &'static str) {
        let labels = Labels { operation, result };
        self.calls.get_or_create(&labels).inc();
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(labels);
    }
}
