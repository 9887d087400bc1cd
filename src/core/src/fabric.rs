//! What the leader knows of a cloud: where it delivers addresses, and what its nodes can serve.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{Attachment, NodeName, PoolName};

/// What a node can serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeOffer {
    /// How many more addresses it can take; `u32::MAX` where nothing limits it.
    pub free: u32,
    /// The addresses asked for that its subnets or zone can serve.
    pub can_serve: BTreeSet<IpAddr>,
    /// Why it can serve none, and what to do; `None` where nothing is wrong with it.
    pub refused: Option<String>,
}

/// What the leader knows of a cloud. Lost with its term: the next one reads it anew, and until then
/// the statuses of the addresses count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fabric {
    /// It has been read as a whole.
    pub seen: bool,
    /// Where it delivers each address.
    pub attached: BTreeMap<IpAddr, Attachment>,
    /// What is ready at each gateway.
    pub prepared: BTreeMap<NodeName, BTreeMap<IpAddr, Attachment>>,
    /// What each gateway can serve; one that the cloud does not know is absent.
    pub offers: BTreeMap<NodeName, NodeOffer>,
    /// What was found by the tags of a pool.
    pub found: BTreeMap<PoolName, BTreeSet<IpAddr>>,
    /// Why a pool's addresses could not be found.
    pub not_found: BTreeMap<PoolName, String>,
    /// Why an address is not where it should be.
    pub faults: BTreeMap<IpAddr, String>,
    /// Why a gateway cannot be made ready for an address.
    pub refused: BTreeMap<(NodeName, IpAddr), String>,
    /// Revoked addresses that have been taken off every gateway.
    pub gone: BTreeSet<IpAddr>,
    /// Why the cloud could not be read the last time.
    pub unread: Option<String>,
}
