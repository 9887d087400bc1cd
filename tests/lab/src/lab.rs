use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::address;
use crate::builder::{LabBuilder, PodSpec};
use crate::clock::Stamp;
use crate::cloud::{Cloud, Host};
use crate::ground::Surroundings;
use crate::journal::Journal;
use crate::machine::{Machine, STORE};
use crate::manifest::{namespace_manifest, node_manifest, pod_manifest};
use crate::node::{Node, PODS, Pod};
use crate::process::Daemon;

mod ground;

/// A pod whose manifest was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Just before it was written.
    pub at: Stamp,
    /// The pod's IPv4 address.
    pub address: IpAddr,
}

/// A laboratory that is up. Dropping it removes all of it.
#[derive(Debug)]
pub struct Lab {
    // First to go: its router must not take the end of the control machine for a fault.
    pub(crate) cloud: Option<Cloud>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) controller: Option<Daemon>,
    pub(crate) control: Machine,
    pub(crate) around: Surroundings,
    pub(crate) egret: Option<PathBuf>,
    pub(crate) t_max: Duration,
    journal: Journal,
    dir: TempDir,
}

impl Lab {
    /// What to build, with defaults: three gateways, two directors, no pod.
    #[must_use]
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    pub(crate) fn build(plan: LabBuilder) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "the laboratory makes network namespaces: run it as root (sudo)"
        );
        let dir = tempfile::Builder::new()
            .prefix(&format!("egret-lab-{}-", std::process::id()))
            .tempdir()?;
        for part in ["store", "logs", "state/control"] {
            std::fs::create_dir_all(dir.path().join(part))?;
        }
        let store = dir.path().join("store");
        let control = Machine::boot("control", &store, &dir.path().join("state/control"))?;
        let mut lab = Self {
            nodes: Vec::new(),
            controller: None,
            control,
            around: match &plan.cloud {
                None => Surroundings::plug(),
                Some(region) => Surroundings::plug_vpc(region.outside),
            },
            egret: plan.egret.clone(),
            t_max: plan.t_max,
            cloud: None,
            journal: Journal::new(dir.path().join("logs")),
            dir,
        };
        for (number, (name, role, zone)) in (1..).zip(plan.nodes()) {
            lab.nodes.push(Node::new(name, number, (role, zone), lab.dir.path())?);
        }
        if let Some(region) = &plan.cloud {
            let log = lab.dir.path().join("ec2.log");
            let hosts = lab.nodes.iter().map(Host::of).collect::<Result<Vec<_>>>()?;
            let around = (&lab.control.net, &lab.around);
            let cloud = lab.cloud.insert(Cloud::start(region, around, &hosts, &log)?);
            for node in &mut lab.nodes {
                node.mac = cloud.instance(&node.name)?.mac;
            }
        }
        for name in lab.node_names() {
            lab.boot_network(&name)?;
        }
        for pod in &plan.pods {
            lab.add_pod(pod)?;
        }
        Ok(lab)
    }

    /// The directory that holds everything: store, logs, state.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The store's directory, as this process sees it.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// The logs of agents and controller, parsed.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The cloud around the nodes.
    ///
    /// # Errors
    /// Where it was built without one.
    pub fn cloud(&self) -> Result<&Cloud> {
        self.cloud.as_ref().context("this laboratory has no cloud: LabBuilder::cloud")
    }

    /// Every node's name, gateways first.
    #[must_use]
    pub fn node_names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// Every node.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node by its name.
    ///
    /// # Errors
    /// Where the laboratory has none of that name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.iter().find(|node| node.name == name).with_context(|| format!("no node {name}"))
    }

    pub(crate) fn node_mut(&mut self, name: &str) -> Result<&mut Node> {
        let found = self.nodes.iter_mut().find(|node| node.name == name);
        found.with_context(|| format!("no node {name}"))
    }

    /// The name of the node whose uplink has this hardware address.
    #[must_use]
    pub fn node_of(&self, mac: [u8; 6]) -> Option<&str> {
        self.nodes.iter().find(|node| node.mac() == mac).map(|node| node.name.as_str())
    }

    /// A pod by its name, on whichever node.
    ///
    /// # Errors
    /// Where no such pod runs.
    pub fn pod(&self, name: &str) -> Result<&Pod> {
        let mut pods = self.nodes.iter().flat_map(|node| &node.pods);
        pods.find(|pod| pod.spec.name == name).with_context(|| format!("no pod {name}"))
    }

    /// Starts a pod. Its manifest is written before its link comes up.
    ///
    /// # Errors
    /// Where the node is unknown or off.
    pub fn add_pod(&mut self, spec: &PodSpec) -> Result<()> {
        let index = self.write_pod(spec)?;
        self.node_mut(&spec.node)?.add_pod(spec, index)
    }

    /// Writes the manifest of a pod that does not run (yet).
    ///
    /// # Errors
    /// Where the node is unknown.
    pub fn announce_pod(&mut self, spec: &PodSpec) -> Result<Announced> {
        let at = Stamp::now();
        let index = self.write_pod(spec)?;
        let address = address::pod(self.node(&spec.node)?.number, index)[0];
        Ok(Announced { at, address })
    }

    /// Writes a pod's manifest and decides its address; the pod does not run yet.
    fn write_pod(&mut self, spec: &PodSpec) -> Result<u8> {
        let node = self.node_mut(&spec.node)?;
        let (index, number) = (node.free_pod(), node.number);
        // Addresses are used again only after all others, as CNIs do.
        node.next_pod = (index + 1) % PODS;
        let addresses = address::pod(number, index);
        let (namespace, name) = (&spec.namespace, &spec.name);
        let text = pod_manifest(namespace, name, &spec.node, &spec.labels, addresses);
        self.write_manifest(&format!("pod-{name}.yaml"), &text)?;
        Ok(index)
    }

    /// Ends a pod and removes its manifest.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn remove_pod(&mut self, name: &str) -> Result<()> {
        let node = self.pod(name)?.spec.node.clone();
        self.node_mut(&node)?.remove_pod(name)?;
        self.remove_manifest(&format!("pod-{name}.yaml"))
    }

    /// Writes a file into the store, atomically.
    ///
    /// # Errors
    /// Where the disk refuses it.
    pub fn write_manifest(&self, file: &str, text: &str) -> Result<()> {
        let part = self.dir.path().join(format!("part-{file}"));
        std::fs::write(&part, text)?;
        std::fs::rename(&part, self.store().join(file)).with_context(|| file.to_owned())
    }

    /// Removes a file from the store.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn remove_manifest(&self, file: &str) -> Result<()> {
        std::fs::remove_file(self.store().join(file)).with_context(|| file.to_owned())
    }

    /// Writes a `v1` Namespace.
    ///
    /// # Errors
    /// Where the disk refuses it.
    pub fn write_namespace(&self, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.write_manifest(&format!("namespace-{name}.yaml"), &namespace_manifest(name, &labels))
    }

    /// Leaves a node out when the store is made: it joins later, by [`Lab::write_node`].
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn forget_node(&mut self, name: &str) -> Result<()> {
        self.node_mut(name)?.late = true;
        Ok(())
    }

    /// Writes a node's `v1` Node.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn write_node(&self, name: &str) -> Result<()> {
        let node = self.node(name)?;
        let cloud = self.cloud.as_ref();
        let instance = cloud.map(|cloud| cloud.instance(name)).transpose()?;
        let text = node_manifest(node, instance);
        self.write_manifest(&format!("node-{name}.yaml"), &text)
    }

    /// Where the binary is.
    ///
    /// # Errors
    /// Where it is not, with the sentence that says how to build it.
    pub fn egret(&self) -> Result<PathBuf> {
        crate::process::binary(self.egret.as_deref())
    }

    /// Runs a person's command on the controller's machine, with `--manifests` added.
    ///
    /// # Errors
    /// Where the binary is missing.
    pub fn egret_command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.control.command(self.egret()?);
        command.args(arguments).args(["--manifests", STORE]).stdin(Stdio::null());
        Ok(command.output()?)
    }

    /// The same, and it has to succeed; returns what it printed.
    ///
    /// # Errors
    /// Where it fails, with what it printed.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self.egret_command(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("egret {}: {}{said}{text}", arguments.join(" "), output.status);
        }
        Ok(text)
    }
}

/// Removes what laboratories of processes that are gone left behind; returns what it removed.
///
/// # Errors
/// Where the temporary directory cannot be read.
pub fn cleanup() -> Result<Vec<String>> {
    let mut removed = egret_netns::remove_dead();
    removed.extend(remove_dirs(|pid| !Path::new(&format!("/proc/{pid}")).exists())?);
    Ok(removed)
}

/// Removes all of this process's laboratories, for its way out on a signal.
pub fn cleanup_own() {
    egret_netns::remove_own();
    let own = std::process::id();
    let _ = remove_dirs(|pid| pid == own);
}

fn remove_dirs(doomed: impl Fn(u32) -> bool) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in std::fs::read_dir(std::env::temp_dir())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid =
            name.strip_prefix("egret-lab-").and_then(|rest| rest.split('-').next()?.parse().ok());
        if pid.is_some_and(&doomed) {
            std::fs::remove_dir_all(entry.path())?;
            removed.push(entry.path().display().to_string());
        }
    }
    Ok(removed)
}

/// From now on Ctrl-C, SIGTERM and SIGHUP remove this process's laboratories and end it with 130.
pub fn end_on_signal() {
    on_signal(cleanup_own);
}

/// From now on Ctrl-C, SIGTERM and SIGHUP run `clean` and end this process with 130.
pub fn on_signal(clean: impl FnOnce() + Send + 'static) {
    std::thread::spawn(|| {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [Ok(mut one), Ok(mut two), Ok(mut three)] = kinds.map(signal) else { return };
            tokio::select! { _ = one.recv() => {} _ = two.recv() => {} _ = three.recv() => {} }
            eprintln!("\ninterrupted: removing the laboratory");
            clean();
            std::process::exit(130);
        });
    });
}
