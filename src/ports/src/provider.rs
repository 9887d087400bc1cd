//! Who attaches addresses to nodes: a cloud, or nobody (L2).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;

use egret_core::model::{Attachment, NodeName};

use crate::error::PortError;

/// Attaches addresses.
///
/// # Guarantees
/// - Every call is idempotent and safe to repeat after a crash or a cancellation. *Already so* is
///   success. Errors are classified.
/// - Success is the observed state, never "the call returned".
/// - `detach` takes away only what it can prove is held by the node that it names.
/// - A node or address that the provider does not know is `ErrorClass::NotFound`; an address that
///   the node's subnets or zone cannot serve is `Invalid`; a node without room is `Quota`; none of
///   these changes anything.
/// - Two calls for one address at once leave it at one of the two nodes.
///
/// Where [`Capabilities::fabric_is_fence`] is false nothing is attached anywhere: `attach` and
/// `detach` only check what they are asked, and `observe` reports offers alone.
///
/// The suite is `contract::provider`.
pub trait Provider: Send + Sync + 'static {
    /// What this provider can do; the planner reads it.
    fn capabilities(&self) -> Capabilities;

    /// Where the addresses are attached, and what each node can serve. A node that the provider
    /// does not know is absent.
    fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> impl Future<Output = Result<Observed, PortError>> + Send;

    /// Attaches `address` to `node`, moving it there in the shortest sequence where it is attached
    /// elsewhere.
    fn attach(
        &self,
        address: IpAddr,
        node: &NodeName,
    ) -> impl Future<Output = Result<Attachment, PortError>> + Send;

    /// Detaches `address` from `node`; success where it is not attached there.
    fn detach(
        &self,
        address: IpAddr,
        node: &NodeName,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// What a provider can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The fabric decides who has an address, and this provider tells it: addresses are attached,
    /// and the kernel deadline is not armed.
    pub fabric_is_fence: bool,
    /// The holder announces the address by ARP and NDP.
    pub announces: bool,
}

/// What a provider observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Where the addresses are attached; absent: nowhere.
    pub attachments: BTreeMap<IpAddr, Attachment>,
    /// Per node: how many more addresses it can take, and which of the addresses it can serve.
    pub nodes: BTreeMap<NodeName, NodeOffer>,
}

/// What a node can serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeOffer {
    /// How many more addresses it can take; `u32::MAX` where nothing limits it.
    pub free: u32,
    /// The addresses asked for that its subnets or zone can serve.
    pub can_serve: BTreeSet<IpAddr>,
}
