use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::TestCluster;
use super::pods::task;

/// Verbs that change something, as the API server's metrics call them.
const WRITES: [&str; 5] = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];

impl TestCluster {
    /// How many writes the API server has had since its start, by `VERB resource.group`: of Egret's
    /// objects, and of all Leases, every component's.
    ///
    /// # Errors
    /// Where its metrics cannot be read.
    pub fn writes(&self) -> Result<BTreeMap<String, u32>> {
        let text = self.kubectl().ask(&["get", "--raw", "/metrics"])?;
        let mut counts = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let label = |name: &str| {
                let rest = line.split_once(&format!("{name}=\""))?.1;
                rest.split_once('"').map(|(value, _)| value)
            };
            let (group, resource) = (label("group").unwrap_or(""), label("resource").unwrap_or(""));
            let verb = label("verb").unwrap_or("");
            if !WRITES.contains(&verb) || !(group == "egret.dev" || resource == "leases") {
                continue;
            }
            let count = line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
            let count = count.with_context(|| format!("no number: {line}"))?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a counter, which Prometheus writes as a float"
            )]
            let count = count as u32;
            *counts.entry(format!("{verb} {resource}.{group}")).or_default() += count;
        }
        Ok(counts)
    }

    /// Resident memory of a container's first process, in KiB: all of it, and what it has
    /// allocated.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn resident_kib(&self, namespace: &str, pod: &str, container: &str) -> Result<(u64, u64)> {
        let object = self.kubectl().get(&["pod", "-n", namespace, pod])?;
        let node = object["spec"]["nodeName"].as_str().context("the pod is on no node")?;
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let pid = task(self.worker(node)?.dir(), (pod, uid), Some(container));
        let pid = pid.with_context(|| format!("{container} of {pod} does not run on {node}"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let read = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        read("VmRSS:").zip(read("RssAnon:")).context("the process has ended")
    }
}
