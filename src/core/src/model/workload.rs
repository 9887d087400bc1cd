use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{EndpointAnnotation, LabelSelector, Labels, NamespaceName, NodeName, Timestamp, Uid};

/// A `v1` Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: NodeName,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.unschedulable`: a cordoned node comes after all others.
    pub cordoned: bool,
    /// `status.addresses` of type InternalIP and ExternalIP.
    pub addresses: BTreeSet<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// How `pod_cidrs` was read.
    pub pod_cidrs_reading: RangeReading,
    /// The label `topology.kubernetes.io/zone`, empty where absent.
    pub zone: String,
    /// `spec.providerID`: what its cloud calls it; empty where absent.
    pub provider_id: String,
    /// It has the taint [`STARTUP_TAINT`].
    pub awaits_agent: bool,
    /// Why it goes; `None` where nothing says so.
    pub leaving: Option<LeavingReason>,
    /// The annotation [`ENDPOINT_ANNOTATION`](super::ENDPOINT_ANNOTATION).
    pub tunnel_endpoint: EndpointAnnotation,
}

impl Node {
    /// Where `spec.podCIDRs` could not be read, takes what was read of it before.
    pub fn keep_pod_cidrs(&mut self, before: &Self) {
        if self.pod_cidrs_reading == RangeReading::Unread
            && before.pod_cidrs_reading != RangeReading::Unread
        {
            self.pod_cidrs.clone_from(&before.pod_cidrs);
            self.pod_cidrs_reading = RangeReading::Kept;
        }
    }
}

/// How the ranges of an object were read: a list is believed whole or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RangeReading {
    /// All of them.
    #[default]
    Read,
    /// Not now, but before.
    Kept,
    /// Never by this process.
    Unread,
}

/// What says that a node goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeavingReason {
    /// A taint with this key.
    Taint(String),
    /// Its `metadata.deletionTimestamp`.
    Deleted,
}

impl fmt::Display for LeavingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taint(key) => write!(f, "taint {key}"),
            Self::Deleted => f.write_str("its Node is being deleted"),
        }
    }
}

/// The taint that keeps pods off a node until its agent is ready, where a cluster asks for it.
pub const STARTUP_TAINT: &str = "egret.dev/agent-not-ready";

/// A `v1` Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.name`.
    pub name: NamespaceName,
    /// `metadata.labels`, with `kubernetes.io/metadata.name`.
    pub labels: Labels,
}

/// A `v1` Pod that has a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: NamespaceName,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.nodeName`.
    pub node: NodeName,
    /// `spec.hostNetwork`: such a pod cannot be steered.
    pub host_network: bool,
    /// `status.podIPs`, and the ranges of the annotation `egret.dev/cidr`.
    pub sources: BTreeSet<IpNet>,
    /// `metadata.uid`: what tells it from a later pod of the same name. Empty where nobody wrote one.
    pub uid: Uid,
    /// `metadata.creationTimestamp`; the epoch where absent.
    pub created: Timestamp,
    /// It has a `metadata.deletionTimestamp`: it is being deleted, and its containers may still run.
    pub terminating: bool,
}

/// A `v1` Service, of which only the selector matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `metadata.namespace`.
    pub namespace: NamespaceName,
    /// `metadata.name`.
    pub name: String,
    /// `spec.selector`; `None` where the Service has none and so selects nothing.
    pub selector: Option<LabelSelector>,
}
