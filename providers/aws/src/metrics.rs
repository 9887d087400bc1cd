//! How many calls were made, and what came of them.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counters of the calls to EC2; a clone counts the same.
#[derive(Clone, Debug, Default)]
pub struct CallMetrics {
    calls: Family<Labels, Counter>,
    seen: Arc<std::sync::Mutex<std::collections::BTreeSet<Labels>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
    result: &'static str,
}

impl CallMetrics {
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

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    /// The operations are those of `ec2-calls.txt`, the results `ok` and the classes of errors.
    #[test]
    fn names_and_labels_are_as_they_were() {
        let calls = CallMetrics::default();
        calls.count("AssociateAddress", "ok");
        let mut registry = Registry::with_prefix("egret");
        calls.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let wanted = "\
# HELP egret_aws_calls Calls to EC2 by action and what came of them.
# TYPE egret_aws_calls counter
egret_aws_calls_total{operation=\"AssociateAddress\",result=\"ok\"} 1
# EOF
";
        assert_eq!(text, wanted);
    }
}
