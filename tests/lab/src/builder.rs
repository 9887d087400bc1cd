use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::cloud::{Region, Zone};
use crate::lab::Lab;
use crate::node::Role;

/// A pod to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSpec {
    /// The node that it runs on.
    pub node: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`, unique in the laboratory.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
}

impl PodSpec {
    /// A pod without labels.
    #[must_use]
    pub fn new(node: &str, namespace: &str, name: &str) -> Self {
        Self {
            node: node.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels: BTreeMap::new(),
        }
    }

    /// The pod with one more label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// What a laboratory will consist of.
#[derive(Clone, Debug)]
pub struct LabBuilder {
    pub(crate) gateways: u8,
    pub(crate) directors: u8,
    pub(crate) pods: Vec<PodSpec>,
    pub(crate) egret: Option<PathBuf>,
    pub(crate) t_max: Duration,
    pub(crate) cloud: Option<Region>,
}

impl Default for LabBuilder {
    fn default() -> Self {
        let t_max = Duration::from_secs(1);
        Self { gateways: 3, directors: 2, pods: Vec::new(), egret: None, t_max, cloud: None }
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
    pub fn pod(mut self, pod: PodSpec) -> Self {
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
        self.cloud = Some(region);
        self.t_max = Duration::from_millis(2500);
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

    pub(crate) fn nodes(&self) -> Vec<(String, Role, Option<Zone>)> {
        let zone = |role, n: u8| self.cloud.as_ref().map(|cloud| cloud.zone(role, n.into()));
        let named = |name: &str, role, count: u8| {
            let one = |n| (format!("{name}-{}", n + 1), role, zone(role, n));
            (0..count).map(one).collect::<Vec<_>>()
        };
        let mut nodes = named("gateway", Role::Gateway, self.gateways);
        nodes.extend(named("director", Role::Director, self.directors));
        nodes
    }
}
