use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use egret_lab::{PodNet, PodSpec};
use serde_json::Value;

use super::Cluster;

impl Cluster {
    /// Creates pods of [`crate::BOX`] that wait to be used, and waits until all are Ready.
    ///
    /// # Errors
    /// Where a namespace is missing, a name is not unique over all namespaces, or a pod is not
    /// Ready within a minute.
    pub fn add_pods(&mut self, specs: &[PodSpec]) -> Result<()> {
        let mut text = String::new();
        for spec in specs {
            ensure!(!self.pods.contains_key(&spec.name), "there is a pod {} already", spec.name);
            text += &manifest(spec);
        }
        self.kubectl().apply(&text)?;
        for spec in specs {
            self.await_pod(&spec.namespace, &spec.name)?;
            let net = self.find_pod(&spec.namespace, &spec.name)?;
            self.pods.insert(spec.name.clone(), net);
        }
        Ok(())
    }

    /// Deletes a pod that [`Cluster::add_pods`] made, and waits until it is gone.
    ///
    /// # Errors
    /// Where there is none.
    pub fn remove_pod(&mut self, namespace: &str, name: &str) -> Result<()> {
        self.pods.remove(name);
        self.kubectl().ask(&["delete", "pod", "-n", namespace, name, "--wait=true"]).map(drop)
    }

    /// Waits until a pod is Ready.
    ///
    /// # Errors
    /// Where it is not within a minute, with what Kubernetes says about it.
    pub fn await_pod(&self, namespace: &str, name: &str) -> Result<()> {
        let pod = format!("pod/{name}");
        let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "-n", namespace, &pod];
        self.kubectl().ask(&ready).map(drop).with_context(|| {
            let said = self.kubectl().ask(&["describe", "-n", namespace, &pod]);
            said.unwrap_or_else(|error| format!("{error:#}"))
        })
    }

    /// The network namespace and addresses of any pod that runs.
    ///
    /// # Errors
    /// Where it does not run, or has not an address of each family.
    pub fn find_pod(&self, namespace: &str, name: &str) -> Result<PodNet> {
        let pod = self.kubectl().get(&["pod", "-n", namespace, name])?;
        let addresses: Vec<IpAddr> = pod["status"]["podIPs"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry["ip"].as_str()?.parse().ok())
            .collect();
        let &[v4, v6] = addresses.as_slice() else {
            anyhow::bail!("pod {namespace}/{name} has the addresses {addresses:?}")
        };
        let node = pod["spec"]["nodeName"].as_str().context("the pod is on no node")?;
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let pid = sandbox(self.worker(node)?.dir(), uid)
            .with_context(|| format!("pod {namespace}/{name} does not run on {node}"))?;
        Ok(PodNet { path: format!("/proc/{pid}/ns/net"), addresses: [v4, v6] })
    }
}

/// The process that holds a pod's namespaces, from containerd's own folder of running tasks.
fn sandbox(worker: &Path, uid: &str) -> Option<u32> {
    let tasks = worker.join("state/io.containerd.runtime.v2.task/k8s.io");
    std::fs::read_dir(tasks).ok()?.flatten().find_map(|task| {
        let text = std::fs::read_to_string(task.path().join("config.json")).ok()?;
        let config: Value = serde_json::from_str(&text).ok()?;
        let notes = &config["annotations"];
        let own = notes["io.kubernetes.cri.sandbox-uid"] == uid;
        let sandbox = notes["io.kubernetes.cri.container-type"] == "sandbox";
        let pid = std::fs::read_to_string(task.path().join("init.pid")).ok()?;
        (own && sandbox).then(|| pid.trim().parse().ok())?
    })
}

/// A pod on the worker that `spec` names, chosen by the scheduler.
fn manifest(spec: &PodSpec) -> String {
    let mut labels = String::new();
    for (key, value) in &spec.labels {
        let _ = writeln!(labels, "    {key}: \"{value}\"");
    }
    format!(
        "---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: {namespace}
  labels:
    egret-test: pod
{labels}spec:
  nodeSelector: {{kubernetes.io/hostname: {node}}}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: box, image: \"{image}\", imagePullPolicy: Never}}
",
        name = spec.name,
        namespace = spec.namespace,
        node = spec.node,
        image = crate::BOX,
    )
}
