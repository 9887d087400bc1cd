use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{ClaimRef, Condition, Millis, NodeName, PoolName, ProviderKind, Timestamp, Uid};

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

/// The plan of an address: written by the elected controller alone, by compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressPlan {
    /// The claim that the address is bound to.
    pub claim: ClaimRef,
    /// Tells this claim from a later one of the same name.
    pub claim_uid: Uid,
    /// The pool that it came from.
    pub pool: PoolName,
    /// Who attaches it: the pool's, kept for when the pool is gone.
    #[serde(default)]
    pub provider: ProviderKind,
    /// Rank 0.
    pub owner: Option<NodeName>,
    /// Ranks 1, 2, … in order.
    #[serde(default)]
    pub standbys: Vec<NodeName>,
    /// docs/leases.md rule 15.
    pub fence: u64,
    /// The holder and epoch that this plan was made for; `None` before the first holder. A holder
    /// obeys only a plan that names itself and its present epoch.
    #[serde(default)]
    pub made_for: Option<Holding>,
    /// T of this address's leases.
    pub lease: Millis,
    /// Set once the address is to end; never unset.
    #[serde(default)]
    pub end: Option<AddressEnd>,
    /// Set by `egret move`: the owner that a person asked for.
    #[serde(default)]
    pub preferred_node: Option<NodeName>,
    /// The owner that it failed over from, where the pool's failback may return it there.
    #[serde(default)]
    pub home: Option<NodeName>,
    /// The pool is paused: nobody moves, fences or takes over on purpose.
    #[serde(default)]
    pub paused: bool,
}

/// How far the end of an address has come (docs/leases.md rule 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AddressEnd {
    /// Directors steer nothing new to it; it stays held for open connections.
    Released {
        /// When it was released.
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

/// A node that holds an address, with the epoch of its lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// The holder.
    pub node: NodeName,
    /// The epoch of its lease.
    pub epoch: Epoch,
}

/// Orders announcements of holders: a counter, then a node's name (docs/leases.md rule 10).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// Grows at every change of the holder.
    pub counter: u64,
    /// Who took it.
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
    /// A cloud decides who has the address.
    #[must_use]
    pub fn in_cloud(&self) -> bool {
        self.provider.fabric_is_fence()
    }

    /// Nobody holds it any more, or asks for it: its fence was raised.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        matches!(self.end, Some(AddressEnd::Revoked { .. }))
    }
}

/// What is so of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AddressStatus {
    /// The holder and its epoch, as the last holder wrote it.
    pub holding: Option<Holding>,
    /// Since when this node holds it.
    pub since: Option<Timestamp>,
    /// The first holder has probed the address (RFC 5227) since it was bound.
    pub probed: bool,
    /// Where the cloud was last seen to deliver it; `None` without a cloud.
    pub attachment: Option<Attachment>,
    /// What is ready at each gateway of its plan, the one that it is attached to included, in order
    /// of name: what the packets would carry there.
    pub prepared: Vec<Attachment>,
    /// `Held`, `Conflict`, …
    pub conditions: Vec<Condition>,
}

/// Where a cloud has attached an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The node that the cloud delivers to.
    pub node: NodeName,
    /// What the packet carries on that node's uplink, where it is not the canonical address.
    #[serde(default)]
    pub wire: Option<IpAddr>,
    /// What the cloud calls the interface that has it: detaching needs it once the Node is gone.
    #[serde(default)]
    pub interface: Option<String>,
    /// The interface's hardware address, as in `02:00:5e:10:00:01`: two interfaces of a node may be
    /// in one subnet.
    #[serde(default)]
    pub mac: Option<String>,
    /// What the cloud calls the address, where that is not the address (an Elastic IP's allocation).
    #[serde(default)]
    pub allocation: Option<String>,
}

impl AddressStatus {
    /// The cloud delivers to this node.
    #[must_use]
    pub fn is_attached_to(&self, node: &NodeName) -> bool {
        self.attachment.as_ref().is_some_and(|attachment| attachment.node == *node)
    }

    /// How the cloud delivers, or would deliver, the address to `node`.
    #[must_use]
    pub fn attachment_at(&self, node: &NodeName) -> Option<&Attachment> {
        self.attachment.iter().chain(&self.prepared).find(|at| at.node == *node)
    }
}

impl Attachment {
    /// At `node`, where the packets carry the address itself and the cloud has no ids for it.
    #[must_use]
    pub fn at(node: NodeName) -> Self {
        Self { node, wire: None, interface: None, mac: None, allocation: None }
    }
}
