use std::collections::BTreeSet;

use egret_core::model::{NamespaceName, NodeName, SnapshotScope};

use super::index::{Selector, WatchSource};
use super::kind::ResourceKind::{
    self, Address, CalicoApi, CalicoCrd, CiliumNode, Claim, Cluster, ClusterClaim, EgressNode,
    EndpointSlice, Namespace, Nirmata, Node, Pod, Pool, Service, ServiceCidr,
};

/// The label of an `EgressNode` that every agent knows.
pub const ROLE_LABEL: &str = "egret.dev/role";

/// Namespace and name of the API servers' own EndpointSlice: each API server writes its address there.
const API_SERVERS: [&str; 2] = ["default", "kubernetes"];

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchScope {
    /// Everything but pods, watched; of EndpointSlices the API servers' own. Pods of some nodes without an
    /// agent.
    Controller,
    /// What one node's agent needs, watched: no Nodes, Namespaces and Services, its own node's
    /// pods, and of the `EgressNode`s its own and those with roles (all, where it has one itself).
    Agent {
        /// The node.
        node: NodeName,
    },
    /// Everything but pods, and only when it is asked for: for commands that end.
    Reader,
    /// As a reader, and one pod: a cluster may have a hundred thousand.
    Pod {
        /// Its namespace.
        namespace: NamespaceName,
        /// Its name.
        name: String,
    },
}

impl WatchScope {
    pub(super) fn is_watched(&self) -> bool {
        matches!(self, Self::Controller | Self::Agent { .. })
    }

    /// How much of the cluster a snapshot shows.
    pub(super) fn of_snapshot(&self) -> SnapshotScope {
        match self {
            Self::Agent { .. } => SnapshotScope::Node,
            Self::Controller | Self::Reader | Self::Pod { .. } => SnapshotScope::Cluster,
        }
    }

    /// The optional kinds that are read where the API server has them.
    pub(super) fn optional_kinds(&self) -> &'static [ResourceKind] {
        match self {
            Self::Agent { .. } => &[Nirmata],
            Self::Controller | Self::Reader | Self::Pod { .. } => {
                &[ServiceCidr, CalicoCrd, CalicoApi, CiliumNode, Nirmata]
            }
        }
    }

    /// The sources of a complete snapshot, of an API server that has these optional kinds.
    /// `has_roles` says whether others need to know the agent's node, as far as is known.
    pub(super) fn sources(
        &self,
        optional: &BTreeSet<ResourceKind>,
        has_roles: impl FnOnce(&NodeName) -> bool,
    ) -> BTreeSet<WatchSource> {
        let all = |kind: ResourceKind| WatchSource { kind, selector: Selector::All };
        let mut sources: BTreeSet<WatchSource> =
            [Pool, Claim, ClusterClaim, Address, Cluster].map(all).into();
        let optional = self.optional_kinds().iter().filter(|kind| optional.contains(*kind));
        sources.extend(optional.map(|kind| all(*kind)));
        match self {
            Self::Controller | Self::Reader | Self::Pod { .. } => {
                sources.extend([EgressNode, Node, Namespace, Service].map(all));
                if matches!(self, Self::Controller) {
                    let [namespace, name] = API_SERVERS.map(str::to_owned);
                    let selector = Selector::One { namespace, name };
                    sources.insert(WatchSource { kind: EndpointSlice, selector });
                }
                if let Self::Pod { namespace, name } = self {
                    let (namespace, name) = (namespace.as_str().to_owned(), name.clone());
                    let selector = Selector::One { namespace, name };
                    sources.insert(WatchSource { kind: Pod, selector });
                }
            }
            Self::Agent { node } => {
                let name = node.as_str().to_owned();
                let own_pods = Selector::OnNode(name.clone());
                sources.insert(WatchSource { kind: Pod, selector: own_pods });
                // A gateway opens the port blocks of every node, and a voter counts them all.
                if has_roles(node) {
                    sources.insert(all(EgressNode));
                } else {
                    let selectors = [Selector::Labelled(ROLE_LABEL), Selector::Named(name)];
                    let source = |selector| WatchSource { kind: EgressNode, selector };
                    sources.extend(selectors.map(source));
                }
            }
        }
        sources
    }
}
