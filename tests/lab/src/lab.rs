use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::address;
use crate::clock::WallTime;
use crate::cloud::gce::{GceRegion, LabVpc};
use crate::cloud::{LabCloud, Region, Site};
use crate::journal::LabJournal;
use crate::machine::NodeMachine;
use crate::manifest::{NodeMarks, namespace_manifest, node_manifest, pod_manifest};
use crate::network::LabNetwork;
use crate::node::{LabNode, PODS};
use crate::pod::{LabPod, PodOptions};
use crate::process::Daemon;
use crate::role::LabNodeRole;

mod cloud_choice;
mod test_bed;

use cloud_choice::CloudChoice;

/// What a laboratory will consist of.
#[derive(Clone, Debug)]
pub struct LabBuilder {
    gateways: u8,
    directors: u8,
    pods: Vec<PodOptions>,
    egret: Option<PathBuf>,
    t_max: Duration,
    cloud: CloudChoice,
}

impl Default for LabBuilder {
    fn default() -> Self {
        let t_max = Duration::from_secs(1);
        let (pods, cloud) = (Vec::new(), CloudChoice::default());
        Self { gateways: 3, directors: 2, pods, egret: None, t_max, cloud }
    }
}

impl LabBuilder {
    /// How many gateway nodes (`gateway-1` …; 3 by default).
    #[must_use]
    pub fn gateways(mut self, count: u8) -> Self {
        self.gateways = count;
        self
    }

    /// How many nodes that only run pods (`director-1` …; 2 by default).
    #[must_use]
    pub fn directors(mut self, count: u8) -> Self {
        self.directors = count;
        self
    }

    /// One more pod.
    #[must_use]
    pub fn pod(mut self, pod: PodOptions) -> Self {
        self.pods.push(pod);
        self
    }

    /// The binary (else the environment variable EGRET, else beside the laboratory's own).
    #[must_use]
    pub fn egret(mut self, path: PathBuf) -> Self {
        self.egret = Some(path);
        self
    }

    /// The longest lease that the cluster may have: a voter is silent for 1.12 times as long after
    /// its boot (1 s by default; 10 s is what Egret has by default).
    #[must_use]
    pub fn t_max(mut self, t_max: Duration) -> Self {
        self.t_max = t_max;
        self
    }

    /// A cloud in the LAN's place. Needs the double of EC2 (`make setup-aws`), and Egret a binary
    /// with the feature `aws`. Sets the longest lease to 2.5 s: the default of a lease in clouds is
    /// 2 s.
    #[must_use]
    pub fn cloud(mut self, region: Region) -> Self {
        self.cloud = CloudChoice::Ec2(region);
        self.t_max = Duration::from_millis(2500);
        self
    }

    /// A VPC of Google in the LAN's place. Needs the double of Compute Engine (`make setup-gcp`), and
    /// Egret a binary with the feature `gcp`.
    #[must_use]
    pub fn google(mut self, region: GceRegion) -> Self {
        self.cloud = CloudChoice::Gce(region);
        self
    }

    /// Makes the namespaces, plugs everything together and starts the pods; no process of Egret
    /// runs yet.
    ///
    /// # Errors
    /// Without root or a tool, and where the kernel refuses something.
    pub fn build(self) -> Result<Lab> {
        Lab::build(self)
    }

    fn nodes(&self) -> Vec<(String, LabNodeRole, Site)> {
        let site = |role, n: u8| self.cloud.site(role, n.into());
        let named = |name: &str, role, count: u8| {
            let one = |n| (format!("{name}-{}", n + 1), role, site(role, n));
            (0..count).map(one).collect::<Vec<_>>()
        };
        let mut nodes = named("gateway", LabNodeRole::Gateway, self.gateways);
        nodes.extend(named("director", LabNodeRole::Director, self.directors));
        nodes
    }
}

/// A pod whose manifest was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncedPod {
    /// Just before it was written.
    pub at: WallTime,
    /// The pod's IPv4 address.
    pub address: IpAddr,
}

/// A laboratory that is up. Dropping it removes all of it.
#[derive(Debug)]
pub struct Lab {
    // First to go: their routers must not take the end of the control machine for a fault.
    pub(crate) cloud: Option<LabCloud>,
    pub(crate) vpc: Option<LabVpc>,
    pub(crate) nodes: Vec<LabNode>,
    pub(crate) controller: Option<Daemon>,
    pub(crate) control: NodeMachine,
    pub(crate) network: LabNetwork,
    pub(crate) egret: Option<PathBuf>,
    pub(crate) t_max: Duration,
    journal: LabJournal,
    dir: TempDir,
}

impl Lab {
    /// What to build, with defaults: three gateways, two directors, no pod.
    #[must_use]
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    fn build(plan: LabBuilder) -> Result<Self> {
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
        let control = NodeMachine::boot("control", &store, &dir.path().join("state/control"))?;
        let mut lab = Self {
            nodes: Vec::new(),
            controller: None,
            control,
            network: plan.cloud.plug(),
            egret: plan.egret.clone(),
            t_max: plan.t_max,
            cloud: None,
            vpc: None,
            journal: LabJournal::new(dir.path().join("logs")),
            dir,
        };
        for (number, (name, role, site)) in (1..).zip(plan.nodes()) {
            lab.nodes.push(LabNode::new(name, number, (role, site), lab.dir.path())?);
        }
        let at = (&lab.control.net, &lab.network);
        let clouds = plan.cloud.start(at, &mut lab.nodes, lab.dir.path())?;
        (lab.cloud, lab.vpc) = clouds;
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
    pub fn journal(&self) -> &LabJournal {
        &self.journal
    }

    /// The cloud around the nodes.
    ///
    /// # Errors
    /// Where it was built without one.
    pub fn cloud(&self) -> Result<&LabCloud> {
        self.cloud.as_ref().context("this laboratory has no cloud: LabBuilder::cloud")
    }

    /// The VPC of Google around the nodes.
    ///
    /// # Errors
    /// Where it was built without one.
    pub fn vpc(&self) -> Result<&LabVpc> {
        self.vpc.as_ref().context("this laboratory has no VPC of Google: LabBuilder::google")
    }

    /// Every node's name, gateways first.
    #[must_use]
    pub fn node_names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// Every node.
    #[must_use]
    pub fn nodes(&self) -> &[LabNode] {
        &self.nodes
    }

    /// A node by its name.
    ///
    /// # Errors
    /// Where the laboratory has none of that name.
    pub fn node(&self, name: &str) -> Result<&LabNode> {
        self.nodes.iter().find(|node| node.name == name).with_context(|| format!("no node {name}"))
    }

    pub(crate) fn node_mut(&mut self, name: &str) -> Result<&mut LabNode> {
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
    pub fn pod(&self, name: &str) -> Result<&LabPod> {
        let mut pods = self.nodes.iter().flat_map(|node| &node.pods);
        pods.find(|pod| pod.spec.name == name).with_context(|| format!("no pod {name}"))
    }

    /// Starts a pod. Its manifest is written before its link comes up.
    ///
    /// # Errors
    /// Where the node is unknown or off.
    pub fn add_pod(&mut self, spec: &PodOptions) -> Result<()> {
        let index = self.write_pod(spec)?;
        self.node_mut(&spec.node)?.add_pod(spec, index)
    }

    /// Writes the manifest of a pod that does not run (yet).
    ///
    /// # Errors
    /// Where the node is unknown.
    pub fn announce_pod(&mut self, spec: &PodOptions) -> Result<AnnouncedPod> {
        let at = WallTime::now();
        let index = self.write_pod(spec)?;
        let address = address::pod(self.node(&spec.node)?.number, index)[0];
        Ok(AnnouncedPod { at, address })
    }

    /// Writes a pod's manifest and decides its address; the pod does not run yet.
    fn write_pod(&mut self, spec: &PodOptions) -> Result<u8> {
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

    /// Has the next pod of a node get these addresses, as soon as they are free.
    ///
    /// # Errors
    /// Where the node is unknown.
    pub fn use_again(&mut self, node: &str, addresses: [IpAddr; 2]) -> Result<()> {
        let node = self.node_mut(node)?;
        let index = (0..PODS).find(|index| address::pod(node.number, *index) == addresses);
        node.next_pod = index.context("no address of this node's pods")?;
        Ok(())
    }

    /// Where a node's agent listens to the chained CNI plugin.
    #[must_use]
    pub fn cni_socket(&self, node: &str) -> PathBuf {
        self.dir.path().join(format!("cni-{node}.sock"))
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
        self.write_node_as(name, &NodeMarks::default())
    }

    /// The same, of one that goes.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn write_node_as(&self, name: &str, marks: &NodeMarks<'_>) -> Result<()> {
        let node = self.node(name)?;
        let instance = match node.site {
            Site::Lan => None,
            Site::Ec2(zone) => Some((zone.name(), self.cloud()?.instance(name)?.provider_id())),
            Site::Gce(zone) => Some((zone.name(), self.vpc()?.instance(name)?.provider_id.clone())),
        };
        let text = node_manifest(node, instance, marks);
        self.write_manifest(&format!("node-{name}.yaml"), &text)
    }

    /// Where the binary is.
    ///
    /// # Errors
    /// Where it is not, with the sentence that says how to build it.
    pub fn egret(&self) -> Result<PathBuf> {
        crate::process::binary(self.egret.as_deref())
    }
}
