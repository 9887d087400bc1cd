use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::NodeCapacity;
use crate::model::{Attachment, Labels, Millis, NodeName, PoolName};

/// Something to do in a cloud; each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloudTask {
    /// Look where the addresses are and what the gateways offer.
    Scan {
        /// Every address in use.
        addresses: BTreeSet<IpAddr>,
        /// Every gateway.
        nodes: BTreeSet<NodeName>,
    },
    /// Find the addresses of a pool.
    Discover {
        /// The pool.
        pool: PoolName,
        /// By these tags.
        tags: Labels,
    },
    /// Attach an address to its holder.
    Attach {
        /// The egress address.
        address: IpAddr,
        /// To whom.
        node: NodeName,
    },
    /// Wait until the cloud is seen to deliver an address where it has accepted to.
    Observe {
        /// The egress address.
        address: IpAddr,
        /// Its holder.
        node: NodeName,
    },
    /// Take an address off a node.
    Detach {
        /// The egress address.
        address: IpAddr,
        /// From whom.
        node: NodeName,
    },
    /// Make a gateway ready for these addresses and no others.
    Prepare {
        /// The node.
        node: NodeName,
        /// For these.
        addresses: BTreeSet<IpAddr>,
    },
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskOutcome {
    /// Of a scan.
    Seen {
        /// Where the addresses are.
        attached: BTreeMap<IpAddr, Attachment>,
        /// What the gateways offer.
        capacities: BTreeMap<NodeName, NodeCapacity>,
    },
    /// Of a search.
    Found {
        /// What has the tags.
        addresses: BTreeSet<IpAddr>,
        /// Where nothing has: what to tell people.
        nothing: Option<String>,
    },
    /// Of an attachment that the cloud has accepted; it was not seen yet.
    Accepted(Attachment),
    /// Of an attachment that was seen.
    Attached(Attachment),
    /// Of a detachment: it is not there.
    Detached,
    /// Of a preparation: for each address what is ready there, or why not.
    Prepared(BTreeMap<IpAddr, Result<Attachment, String>>),
}

/// Why a task failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// It is tried again after this.
    pub wait: Millis,
    /// For people: what is so and what to do.
    pub message: String,
}

/// One at a time of each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TaskKey {
    Scan,
    Pool(PoolName),
    Address(IpAddr),
    Node(NodeName),
}

impl CloudTask {
    /// What kind of task it is, in snake_case: the label of metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scan { .. } => "scan",
            Self::Discover { .. } => "discover",
            Self::Attach { .. } => "attach",
            Self::Observe { .. } => "observe",
            Self::Detach { .. } => "detach",
            Self::Prepare { .. } => "prepare",
        }
    }

    /// What is tried again where it fails: a call that was accepted and has no effect is made anew.
    pub(super) fn retried(&self) -> Self {
        match self {
            Self::Observe { address, node } => {
                Self::Attach { address: *address, node: node.clone() }
            }
            task => task.clone(),
        }
    }

    /// What it does, for people; the same for what cannot be under way at once.
    pub fn subject(&self) -> String {
        match self {
            Self::Scan { .. } => "scan".to_owned(),
            Self::Discover { pool, .. } => format!("find the addresses of pool {pool}"),
            Self::Attach { address, node } | Self::Observe { address, node } => {
                format!("attach {address} to {node}")
            }
            Self::Detach { address, node } => format!("detach {address} from {node}"),
            Self::Prepare { node, .. } => format!("make {node} ready"),
        }
    }

    pub(super) fn key(&self) -> TaskKey {
        match self {
            Self::Scan { .. } => TaskKey::Scan,
            Self::Discover { pool, .. } => TaskKey::Pool(pool.clone()),
            Self::Attach { address, .. }
            | Self::Observe { address, .. }
            | Self::Detach { address, .. } => TaskKey::Address(*address),
            Self::Prepare { node, .. } => TaskKey::Node(node.clone()),
        }
    }
}
