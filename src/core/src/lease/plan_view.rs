//! What the store says, as far as leases need it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{AnnouncementForm, Holding, Millis, NodeName, VoterSet};

/// What the store says, as far as leases need it. The last one read stays in force while the
/// store cannot be reached. `Default` is a store without a cluster object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// The cluster's id, newest set and longest lease; `None` before the object exists.
    pub cluster: Option<ClusterView>,
    /// Every address that has a plan.
    pub addresses: BTreeMap<IpAddr, AddressView>,
    /// Every node that has an agent: the voters watch them for absence.
    pub nodes: BTreeSet<NodeName>,
}

/// The `EgressCluster`, as far as leases need it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterView {
    /// The cluster's id.
    pub id: String,
    /// The newest set of voters; `None` before the first.
    pub set: Option<VoterSet>,
    /// The longest T that any pool may have (docs/leases.md rule 13).
    pub t_max: Millis,
}

/// The plan and the status of one address, as far as leases need them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressView {
    /// Rank 0.
    pub owner: Option<NodeName>,
    /// Ranks 1, 2, … in order.
    pub standbys: Vec<NodeName>,
    /// docs/leases.md rule 15.
    pub fence: u64,
    /// T: 1 ms … T_max; a voter refuses a longer one.
    pub lease: Millis,
    /// The holder and epoch that the plan was made for.
    pub made_for: Option<Holding>,
    /// The holder that the status names.
    pub holding: Option<Holding>,
    /// The status says that its holder has found nobody else to have the address.
    pub probed: bool,
    /// The address is revoked: closed at once, and nobody asks for it. (`Released` is no concern
    /// of leases: such an address stays held.)
    pub revoked: bool,
    /// The pool is paused: nobody hands over or takes over; who holds goes on holding.
    pub paused: bool,
    /// The fabric is the fence (clouds): the kernel deadline is not armed.
    #[serde(rename = "unarmed")]
    pub no_deadline: bool,
    /// The node that the fabric was last seen to deliver to.
    #[serde(default)]
    pub attached: Option<NodeName>,
    /// The holder announces it.
    pub announces: bool,
    /// Nodes with a port block of the address, ended grants in quarantine included.
    pub directors: BTreeSet<NodeName>,
    /// The gateways of the address's pool.
    pub gateways: BTreeSet<NodeName>,
    // Agents before this field knew one form.
    /// How the holder announces it; without meaning where it does not.
    #[serde(default)]
    pub announcement: AnnouncementForm,
    // Agents before this field wait until `attached` names the node.
    /// The node that the fabric has been told to deliver to, and was not seen to yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<NodeName>,
    // Agents before these fields know of no such thing.
    /// The status says that a host that is no node's has the address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign_host: bool,
    /// A node of the cluster has the address on an interface.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_interface: bool,
    // Agents before this field do not hold again after a gap what a node has on an interface.
    /// A node has answered for it since it was bound, or was taken back after a revocation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_held: bool,
    // Of now, and of this process: kept nowhere.
    /// Whether what would carry the address on this node reaches its network.
    #[serde(skip)]
    pub reach: UplinkReach,
}

/// Whether the uplink that carries, or would carry, an address on this node reaches the network behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UplinkReach {
    /// It does, as far as this node can tell.
    #[default]
    Steady,
    /// It does again, but has not for long: it may come and go.
    Unsteady,
    /// It does not: who holds the address here serves nobody.
    Lost,
}

impl AddressView {
    /// Owner and standbys in order of rank.
    pub fn ranks(&self) -> impl Iterator<Item = &NodeName> {
        self.owner.iter().chain(&self.standbys)
    }

    /// Somebody but `node` may have it.
    pub(super) fn has_others(&self, node: &NodeName) -> bool {
        self.ranks().any(|other| other != node)
    }

    /// This node takes the address over, or from another, as any other would.
    pub(super) fn is_reached(&self) -> bool {
        self.reach == UplinkReach::Steady
    }

    /// This node serves nobody with it, and may ask another to take it. Where the fabric is the fence, the
    /// fabric moves it.
    pub(super) fn is_cut_off(&self) -> bool {
        self.reach == UplinkReach::Lost && !self.paused && !self.revoked && !self.no_deadline
    }

    /// Another host is looked for before the first announcement: one may have taken the address while
    /// nobody here had it. `follows_closely`: the holder before was heard just now.
    pub(super) fn is_probed_for(&self, follows_closely: bool) -> bool {
        let known = self.probed && follows_closely;
        self.is_on_link() && !known
    }

    /// Its holder announces it by ARP and NDP: it lives in a subnet of an uplink, as no cloud's address does.
    pub fn is_on_link(&self) -> bool {
        self.announces && self.announcement == AnnouncementForm::ArpNdp
    }

    /// The plan ranks others, and not `node`.
    fn ranks_only_others(&self, node: &NodeName) -> bool {
        let moves = !self.paused && !self.revoked;
        moves && self.has_others(node) && self.ranks().all(|other| other != node)
    }

    /// A holder `node` asks the others in the plan, in order, to take it: it serves nobody with it, or is
    /// not to have it.
    pub(super) fn is_offered_by(&self, node: &NodeName) -> bool {
        self.is_cut_off() || self.ranks_only_others(node)
    }

    /// The fabric is seen to deliver to `node`.
    pub(super) fn is_attached_to(&self, node: &NodeName) -> bool {
        self.attached.as_ref() == Some(node)
    }

    /// The fabric delivers to `node`, and is the fence.
    pub(super) fn delivers_to(&self, node: &NodeName) -> bool {
        self.no_deadline && self.is_attached_to(node)
    }

    /// Whether directors may be told that `node` holds it. `silent`: who had it before has been silent
    /// for a lease's length, so that little is lost by going too early.
    pub(super) fn may_announce(&self, node: &NodeName, silent: bool) -> bool {
        let accepted = silent && self.accepted.as_ref() == Some(node);
        !self.no_deadline || accepted || self.delivers_to(node)
    }
}
