//! What the caller knows and EC2 does not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::model::{Attachment, NodeName};

/// Written by the caller, whole, at every change; read at every call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Every node that may be a gateway, with its `spec.providerID`.
    pub nodes: BTreeMap<NodeName, String>,
    /// Every egress address in use with this provider, and for each what its status says of the
    /// nodes that it is attached to or made ready at. What stands there is found again once its
    /// Node object is gone.
    pub addresses: BTreeMap<IpAddr, BTreeMap<NodeName, Attachment>>,
}
