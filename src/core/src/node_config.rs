//! What one node's kernel must do, as data: made here, carried out by `egret-datapath`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{AddressRange, PortRange};

mod boot_guard;
pub(crate) mod flow_decision;
mod gateway;
mod pod_sources;
mod steering;
mod unknown_pods;
mod unreadable_claims;

pub use boot_guard::{BootGuard, boot_guard};
pub use gateway::{
    BlockHolder, directors_of, gateway_blocks, gateways_of, granted_blocks, is_gateway,
    newest_block_number, nodes_of, planned_for,
};
pub use pod_sources::{PodIdentity, address_winner};
pub use steering::{overridden, steering_config};
pub use unreadable_claims::keep_unreadable;

/// What a director knows of addresses beside the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressAvailability {
    /// The blocks that may be used now: granted, and acknowledged by the address's holder.
    pub open_blocks: BTreeMap<IpAddr, BTreeSet<PortRange>>,
    /// The addresses that nobody has held, or of which a block has been missing, for 5 s, while no
    /// takeover runs: `whenUnavailable: Node` applies where no other address of the claim works.
    pub unavailable: BTreeSet<IpAddr>,
    /// The addresses whose holder has taken over from a silent one and waits for the cloud to
    /// deliver them to it. Of these and of the unavailable ones new connections leave with another
    /// address of the claim, where there is one that is served and has an open block here
    /// (docs/design.md decision 15).
    pub undelivered: BTreeSet<IpAddr>,
}

/// The director's part of a node: which flows of its own pods are steered, and into which ports.
///
/// Guarantees: no two [`Flow`]s of a steering config overlap in source *and* destination, and none
/// overlaps `never_steered` or `exempt` in its destination; sources and destinations of a flow are of one
/// family, and so is the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SteeringConfig {
    /// Destinations that are never steered: cluster ranges, node addresses, link-local, loopback,
    /// multicast. `throw` routes of our table.
    pub never_steered: BTreeSet<IpNet>,
    /// Underlay addresses from which datagrams to the tunnel's port and to the peers' port are
    /// let in.
    pub peers: BTreeSet<IpAddr>,
    /// The flows, in order of source and destination.
    pub flows: Vec<Flow>,
    /// The open port blocks of this node by egress address. An address of a flow without an entry
    /// here has no block: its new connections are dropped and counted as `NoBlock`.
    pub blocks: BTreeMap<IpAddr, BTreeSet<PortRange>>,
    /// New connections that are dropped until the pod is known.
    pub unknown: UnknownPods,
    /// Further destinations to which no new connection is steered. A steered one goes on, so they have no
    /// `throw` routes. They may overlap `never_steered`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub exempt: BTreeSet<IpNet>,
}

impl SteeringConfig {
    /// All destinations to which no new connection is steered; they may overlap.
    pub fn not_steered(&self) -> impl Iterator<Item = &IpNet> {
        self.never_steered.iter().chain(&self.exempt)
    }
}

/// Pod addresses of this node of which no pod is known, and where a claim might want their traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnknownPods {
    /// The node's pod ranges without the addresses of the pods that have been read; disjoint.
    pub sources: BTreeSet<AddressRange>,
    /// What any claim with an address selects; disjoint. `never_steered` and `exempt` go before it.
    pub destinations: BTreeSet<AddressRange>,
}

/// Traffic from `source` (pods of this node) to `destination`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// A pod's address, or a range of workloads.
    pub source: IpNet,
    /// Where to.
    pub destination: IpNet,
    /// What happens to a new connection.
    pub action: FlowAction,
}

/// What happens to a new connection of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FlowAction {
    /// SNAT to this egress address and into the tunnel.
    Steer {
        /// The egress address.
        address: IpAddr,
    },
    /// Dropped and counted: the claim selects the destination but has no address of the family.
    DropFamilyWithoutAddress,
    /// Dropped and counted: the claim has no bound address yet, or its address is revoked.
    DropNoAddress,
    /// Dropped and counted: the claim selects everything outside the cluster, and what is outside
    /// cannot be told, since a pod has an address in no known range.
    DropUnknownRange,
}

#[cfg(test)]
mod tests;
