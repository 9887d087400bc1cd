use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    AddressRange, ClaimRef, Condition, LabelSelector, Labels, Millis, NodeName, PoolName,
    ProviderFacts, ProviderKind, Timestamp, Uid, text,
};

/// An `EgressPool`: where addresses come from and which nodes may carry them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// `metadata.name`.
    pub name: PoolName,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// Who attaches the addresses.
    pub provider: ProviderKind,
    /// The addresses, as ranges: those of the spec in the order written, then those that were found
    /// by `discovery_tags` and stand in the status.
    pub ranges: Vec<AddressRange>,
    /// The tags by which the cloud's addresses of this pool are found; empty: not looked for.
    pub discovery_tags: Labels,
    /// Network and broadcast addresses of the ranges that were written as CIDRs: never given out.
    pub reserved: BTreeSet<IpAddr>,
    /// Which nodes may be gateways.
    pub gateways: LabelSelector,
    /// The most addresses that one node holds.
    pub max_addresses_per_node: u32,
    /// Addresses move, one at a time, to gateways that have fewer of the pool.
    pub rebalances: bool,
    /// Which namespaces may claim; `None` admits none.
    pub allowed_namespaces: Option<LabelSelector>,
    /// Largest default size of a port block: 128 … 8192.
    pub ports_per_node: u16,
    /// Lease and failback settings.
    pub failover: Failover,
    /// A paused pool moves nothing and fences nothing.
    pub paused: bool,
    /// Nodes may be gateways whose dataplane Google supports beside no other programs.
    pub accepts_unsupported_dataplane: bool,
}

impl Pool {
    /// Whether `address` is one that the pool gives out: in a range of it, and no network or
    /// broadcast address.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address)) && !self.reserved.contains(&address)
    }

    /// What holds of its addresses.
    #[must_use]
    pub fn facts(&self) -> ProviderFacts {
        self.provider.facts()
    }
}

/// How leases of a pool run and what happens after a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// T of docs/leases.md; `None` where the pool leaves it to the default (450 ms; 2 s on AWS;
    /// 10 s where the selector matches exactly one node).
    pub lease: Option<Millis>,
    /// When an address goes back to a node that it failed over from.
    pub failback: Failback,
    /// How long an address whose claim has ended serves its open connections.
    pub release_after: Millis,
}

/// When an address goes back to the node that it failed over from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Failback {
    /// It stays where it is.
    #[default]
    Never,
    /// Back when the present holder is drained.
    WhenDrained,
    /// Back after 5 minutes of health.
    Immediately,
}

/// Whether addresses move to gateways that have fewer of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Rebalance {
    /// An address stays where it is while that may carry it.
    Never,
    /// One address moves at a time, at most one a minute.
    Gradually,
}

// What people read of it in `kubectl explain` are its comments here.
/// A move that makes the addresses of a pool lie more evenly on its gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RebalanceMove {
    /// The address that moves.
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub address: IpAddr,
    /// Its present owner.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub from: NodeName,
    /// The gateway that it moves to.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub to: NodeName,
    /// It is not made before (RFC 3339).
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub not_before: Timestamp,
}

// What people read of it in `kubectl explain` are its comments here.
/// What the controller says of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PoolStatus {
    /// The generation that the conditions speak of.
    pub observed_generation: i64,
    /// The addresses that were found by the tags of the spec.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", with = "text::set")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub addresses: BTreeSet<IpAddr>,
    /// Ready, Paused and others.
    pub conditions: Vec<Condition>,
    // Controllers before this field leave it out.
    /// By claim: addresses that were chosen for it and that another host was found to have. They are
    /// chosen for nobody while the claim exists.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", with = "text::map_of_sets")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, BTreeSet<String>>"))]
    pub taken_elsewhere: BTreeMap<ClaimRef, BTreeSet<IpAddr>>,
    // Controllers before this field leave it out.
    /// The next move that makes the addresses lie more evenly on the gateways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<RebalanceMove>,
}
