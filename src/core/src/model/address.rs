use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    ClaimRef, Condition, Millis, MovedOff, NodeName, PoolName, ProviderFacts, ProviderKind,
    Timestamp, Uid, text,
};

/// An `EgressAddress`: one address in use, its plan and what is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressAddress {
    /// The canonical address.
    pub address: IpAddr,
    /// What the leader wrote.
    pub plan: AddressPlan,
    /// What the holder and the controller wrote.
    pub status: AddressStatus,
    /// Somebody deletes it: it ends as if its claim had.
    pub deleting: bool,
}

impl EgressAddress {
    /// Whether nothing has left with it yet. Agents before `was_held` wrote `probed` once and for all.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        !self.status.was_held && !self.status.probed
    }

    /// Whether a node has answered for it since it was bound, or was taken back after a revocation: an end in
    /// between has drawn another fence (docs/leases.md rule 15).
    #[must_use]
    pub fn was_held_since_its_end(&self) -> bool {
        self.status.held_fence == Some(self.plan.fence)
    }
}

/// The plan of an address: written by the elected controller alone, by compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPlan {
    /// The claim that the address is bound to.
    pub claim: ClaimRef,
    /// The uid that the claim had when this was written. A later claim of the same name and pool is
    /// the same one.
    pub claim_uid: Uid,
    /// The pool that it came from.
    pub pool: PoolName,
    /// Who attaches it: the pool's, kept for when the pool is gone.
    pub provider: ProviderKind,
    /// Rank 0.
    pub owner: Option<NodeName>,
    /// Ranks 1, 2, … in order.
    pub standbys: Vec<NodeName>,
    /// docs/leases.md rule 15.
    pub fence: u64,
    /// The holder and epoch that this plan was made for; `None` before the first holder. A holder
    /// obeys only a plan that names itself and its present epoch.
    pub made_for: Option<Holding>,
    /// T of this address's leases.
    pub lease: Millis,
    /// Set once the address is to end. Taken back only for the claim that has it here, when that
    /// asks for it again.
    pub end: Option<AddressEnd>,
    /// Set by `egret move`: the owner that a person asked for.
    pub preferred_node: Option<NodeName>,
    /// The owner that it failed over from, where the pool's failback may return it there.
    pub home: Option<NodeName>,
    /// The pool is paused: the controller neither moves the address nor revokes it.
    pub paused: bool,
    /// When the controller last moved it to make its pool more even.
    pub rebalanced_at: Option<Timestamp>,
    /// When the controller last moved it off a holder that its directors did not reach, and which.
    pub moved_off: Option<MovedOff>,
}

/// How far the end of an address has come (docs/leases.md rule 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressEnd {
    /// Directors steer nothing new to it; it stays held for open connections.
    Released {
        /// When it was released: names the release.
        since: Timestamp,
        /// When it is revoked at the latest (`releaseAfter`).
        until: Timestamp,
    },
    /// Its fence was raised; it is free when a majority of the voters has acknowledged.
    Revoked {
        /// When it was revoked.
        since: Timestamp,
    },
}

// What people read of the types below in `kubectl explain` are their comments here.

/// A node that holds an address, and the epoch of its lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// The holder.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub node: NodeName,
    /// The epoch of its lease.
    pub epoch: Epoch,
}

// docs/leases.md rule 10: the counter, then the node's name.
/// Orders announcements of holders.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Epoch {
    /// Grows at every change of the holder.
    pub counter: u64,
    /// The node that became the holder with it.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub node: NodeName,
}

impl Ord for Epoch {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.counter, &self.node).cmp(&(other.counter, &other.node))
    }
}

impl PartialOrd for Epoch {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.counter, self.node)
    }
}

impl AddressPlan {
    /// What holds of the address.
    #[must_use]
    pub fn facts(&self) -> ProviderFacts {
        self.provider.facts()
    }

    /// Nobody holds it any more, or asks for it: its fence was raised.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        matches!(self.end, Some(AddressEnd::Revoked { .. }))
    }
}

/// What is so of an address: written by its holder and by the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AddressStatus {
    /// The holder and its epoch, as the last holder wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holding: Option<Holding>,
    /// Since when this node holds it (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", with = "text::option")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<String>", extend("format" = "date-time"))
    )]
    pub since: Option<Timestamp>,
    // Probed anew after nobody had it for a while: false meanwhile.
    /// Its holder answers for the address: nobody else was found to have it (RFC 5227).
    pub probed: bool,
    // As last seen; `None` without a cloud.
    /// Where the cloud delivers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    // In order of name, with the gateway that it is attached to.
    /// What the cloud keeps ready at each gateway of the plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prepared: Vec<Attachment>,
    /// Ready, Conflict and others.
    pub conditions: Vec<Condition>,
    // A holder that took over from a silent one tells directors then. Controllers before this field
    // leave it out, and agents before it wait for `attachment`.
    /// Where the cloud has accepted to deliver it to its holder, while that is not seen yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Attachment>,
    // Agents before this field leave it out, and wrote `probed` once and for all.
    /// A node has answered for it, or served it in a cloud, since it was bound.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub was_held: bool,
    // Agents before this field leave it out: what a node has on an interface is then not held again after a gap.
    /// The fence under which a node last answered for it, or served it in a cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_fence: Option<u64>,
}

/// Where a cloud delivers an address, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The node that the cloud delivers to.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub node: NodeName,
    /// What the packet carries on that node's uplink, where it is not the address itself.
    #[serde(
        rename = "wireAddress",
        default,
        skip_serializing_if = "Option::is_none",
        with = "text::option"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub wire: Option<IpAddr>,
    // Detaching needs it once the Node is gone.
    /// What the cloud calls the network interface, such as eni-0a1b2c.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    // Two interfaces of a node may be in one subnet.
    /// The interface's hardware address, such as 02:00:5e:10:00:01.
    #[serde(rename = "macAddress", default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// What the cloud calls the address, such as eipalloc-0a1b2c.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<String>,
    // Controllers before this field leave it out, and an agent then takes an IPv4 subnet's first
    // address for its router, as AWS has it.
    /// The router of the interface's subnet, where the node's routes do not name it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub next_hop: Option<IpAddr>,
    // What an interface that nothing on the node has configured needs.
    /// The interface's own address with the prefix length of its subnet, such as 10.0.2.20/24.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub primary_address: Option<IpNet>,
}

impl AddressStatus {
    /// The cloud delivers to this node.
    #[must_use]
    pub fn is_attached_to(&self, node: &NodeName) -> bool {
        self.attachment.as_ref().is_some_and(|attachment| attachment.node == *node)
    }

    /// Whether a cloud lets `node` serve the address as its holder: it delivers there, or, where the
    /// holder announces, it delivers somewhere and follows an announcement of this node.
    #[must_use]
    pub fn is_served_at(&self, node: &NodeName, facts: ProviderFacts) -> bool {
        let follows = facts.announcement().is_some()
            && self.attachment.is_some()
            && self.attachment_at(node).is_some();
        follows || self.is_attached_to(node)
    }

    /// Whether `node` could serve the address from the moment at which it holds it. Where the holder
    /// announces to a cloud, the cloud follows those alone that it has made ready; elsewhere every
    /// gateway could.
    #[must_use]
    pub fn is_ready_at(&self, node: &NodeName, facts: ProviderFacts) -> bool {
        let follows = facts.cloud_places() && facts.announcement().is_some();
        !follows || self.attachment_at(node).is_some()
    }

    /// How the cloud delivers, or would deliver, the address to `node`.
    #[must_use]
    pub fn attachment_at(&self, node: &NodeName) -> Option<&Attachment> {
        let known = self.attachment.iter().chain(&self.accepted).chain(&self.prepared);
        known.into_iter().find(|at| at.node == *node)
    }
}

impl Attachment {
    /// At `node`, where the packets carry the address itself and the cloud has no ids for it.
    #[must_use]
    pub fn at(node: NodeName) -> Self {
        Self {
            node,
            wire: None,
            interface: None,
            mac: None,
            allocation: None,
            next_hop: None,
            primary_address: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_ready_where_the_cloud_follows_it_or_need_not() {
        let at = |name: &str| Attachment::at(name.into());
        let status = AddressStatus {
            prepared: vec![at("b")],
            attachment: Some(at("a")),
            ..AddressStatus::default()
        };
        let ready = |kind: ProviderKind| {
            ["a", "b", "c"].map(|name| status.is_ready_at(&name.into(), kind.facts()))
        };
        assert_eq!(ready(ProviderKind::Gcp), [true, true, false]);
        assert_eq!(ready(ProviderKind::Aws), [true; 3], "it is attached when it is held");
        assert_eq!(ready(ProviderKind::L2), [true; 3]);
    }

    #[test]
    fn a_holder_serves_where_the_cloud_delivers_or_follows_it() {
        let at = |name: &str| Attachment::at(name.into());
        let (aws, gcp) = (ProviderKind::Aws.facts(), ProviderKind::Gcp.facts());
        let mut status = AddressStatus { prepared: vec![at("b")], ..AddressStatus::default() };
        let served = |status: &AddressStatus, facts| {
            ["a", "b", "c"].map(|name| status.is_served_at(&name.into(), facts))
        };
        assert_eq!(served(&status, gcp), [false; 3], "it has no rule yet");
        status.attachment = Some(at("a"));
        assert_eq!(served(&status, aws), [true, false, false]);
        assert_eq!(served(&status, gcp), [true, true, false], "c is no endpoint");
    }
}
