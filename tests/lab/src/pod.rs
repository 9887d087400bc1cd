use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_netns::NetworkNamespace;

use crate::test_bed::PodNet;

/// A pod to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodOptions {
    /// The node that it runs on.
    pub node: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`, unique in the laboratory.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
}

impl PodOptions {
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

/// A pod: a namespace joined to its node.
#[derive(Debug)]
pub struct LabPod {
    pub(crate) spec: PodOptions,
    /// IPv4 and IPv6.
    pub addresses: [IpAddr; 2],
    /// Its network namespace.
    pub net: NetworkNamespace,
}

impl From<&LabPod> for PodNet {
    fn from(pod: &LabPod) -> Self {
        Self { path: pod.net.path(), addresses: pod.addresses }
    }
}

impl LabPod {
    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// `metadata.namespace`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.spec.namespace
    }

    /// Where it runs.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.spec.node
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.spec.labels
    }
}
