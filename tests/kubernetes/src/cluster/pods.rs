use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::{PodNet, PodOptions, WallTime};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::TestCluster;

/// How long pods may take to run. After an outage of the API server a kubelet may hear of no new pod
/// for a minute: so long the reflector of client-go may pause between two attempts (`NewReflector` in
/// its `tools/cache/reflector.go`), and it has several. With 180 s a wave of pods was seen to come close.
pub const POD_PATIENCE: Duration = Duration::from_secs(300);

impl TestCluster {
    /// Creates pods of [`crate::BOX`] that wait to be used, and waits until all are Ready.
    ///
    /// # Errors
    /// Where a namespace is missing, a name is not unique over all namespaces, or a pod is not
    /// Ready within a minute.
    pub fn add_pods(&mut self, specs: &[PodOptions]) -> Result<()> {
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

    /// Deletes a pod that [`TestCluster::add_pods`] made, and waits until it is gone.
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
    /// Where it is not within [`POD_PATIENCE`], with what Kubernetes says about it.
    pub fn await_pod(&self, namespace: &str, name: &str) -> Result<()> {
        let pod = format!("pod/{name}");
        let timeout = format!("--timeout={}s", POD_PATIENCE.as_secs());
        let ready = ["wait", "--for=condition=Ready", &timeout, "-n", namespace, &pod];
        self.kubectl().ask(&ready).map(drop).with_context(|| {
            let said = self.kubectl().ask(&["describe", "-n", namespace, &pod]);
            said.unwrap_or_else(|error| format!("{error:#}"))
        })
    }

    /// Sends a signal to the first process of a container; returns the moment just before. Kubernetes
    /// starts a process again that ends.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn signal(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        signal: Signal,
    ) -> Result<WallTime> {
        let object = self.kubectl().get(&["pod", "-n", namespace, pod])?;
        let node = object["spec"]["nodeName"].as_str().context("the pod is on no node")?;
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let pid = task(self.worker(node)?.dir(), (pod, uid), Some(container));
        let pid = pid.with_context(|| format!("{container} of {pod} does not run on {node}"))?;
        let at = WallTime::now();
        kill(Pid::from_raw(pid), signal)?;
        Ok(at)
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
        let pid = task(self.worker(node)?.dir(), (name, uid), None)
            .with_context(|| format!("pod {namespace}/{name} does not run on {node}"))?;
        Ok(PodNet { path: format!("/proc/{pid}/ns/net"), addresses: [v4, v6] })
    }
}

/// The first process of a pod's container, or the one that holds the pod's namespaces, from
/// containerd's own folder of running tasks.
pub(super) fn task(
    worker: &Path,
    (pod, uid): (&str, &str),
    container: Option<&str>,
) -> Option<i32> {
    let tasks = worker.join("state/io.containerd.runtime.v2.task/k8s.io");
    std::fs::read_dir(tasks).ok()?.flatten().find_map(|task| {
        let text = std::fs::read_to_string(task.path().join("config.json")).ok()?;
        let config: Value = serde_json::from_str(&text).ok()?;
        let notes = &config["annotations"];
        // Older runtimes do not tell a container its pod's uid: its sandbox's name is the next best.
        let own = match &notes["io.kubernetes.cri.sandbox-uid"] {
            Value::Null => notes["io.kubernetes.cri.sandbox-name"] == pod,
            named => named == uid,
        };
        let wanted = match container {
            None => notes["io.kubernetes.cri.container-type"] == "sandbox",
            Some(name) => notes["io.kubernetes.cri.container-name"] == name,
        };
        let pid = std::fs::read_to_string(task.path().join("init.pid")).ok()?;
        (own && wanted).then(|| pid.trim().parse().ok())?
    })
}

/// A pod on the worker that `spec` names, chosen by the scheduler.
fn manifest(spec: &PodOptions) -> String {
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
