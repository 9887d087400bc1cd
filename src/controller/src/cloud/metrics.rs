use egret_core::cloud::CloudTask;
use egret_ports::error::ErrorClass;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What the leader counts of its work in clouds; a clone counts the same.
#[derive(Clone, Debug, Default)]
pub struct CloudMetrics {
    tasks: Family<Labels, Counter>,
    drifts: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    task: &'static str,
    result: &'static str,
}

impl CloudMetrics {
    /// Registers `cloud_tasks_total{task, result}` (`ok`, or the class of the error) and
    /// `cloud_drifts_total`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "What the leader did in a cloud, and what came of it";
        registry.register("cloud_tasks", help, self.tasks.clone());
        let help = "Addresses that somebody else had moved in a cloud";
        registry.register("cloud_drifts", help, self.drifts.clone());
    }

    pub(super) fn count(&self, task: &CloudTask, error: Option<ErrorClass>) {
        let result = error.map_or("ok", ErrorClass::name);
        self.tasks.get_or_create(&Labels { task: task.name(), result }).inc();
    }

    pub(super) fn drifted(&self) {
        self.drifts.inc();
    }
}

#[cfg(test)]
mod tests;
