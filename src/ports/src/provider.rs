//! Who attaches addresses to nodes: a cloud, or nobody (L2).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;

pub use egret_core::fabric::NodeOffer;
use egret_core::model::{Attachment, Labels, NodeName};

use crate::error::{ErrorClass, PortError};

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

    /// The addresses of a pool that names them by tags: all that have all of these tags, whether
    /// attached or not. A read; nothing is changed.
    ///
    /// Default: `Invalid`, since the provider has no tags.
    fn discover(
        &self,
        tags: &Labels,
    ) -> impl Future<Output = Result<BTreeSet<IpAddr>, PortError>> + Send {
        let tags = format!("find addresses by the tags {tags:?}");
        async move { Err(PortError::new(ErrorClass::Invalid, tags, "this provider has no tags")) }
    }

    /// Makes `node` ready for exactly these addresses, as their owner or a standby, so that a later
    /// `attach` there is the shortest, and takes away what was made ready there for others; what is
    /// attached there stays. Says, for each of them, what `attach` would return, as things are now.
    ///
    /// Call it at every change of the plan and at every scan: what makes an address ready depends
    /// on where it is attached.
    ///
    /// Default: there is nothing to make ready.
    fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> impl Future<Output = Result<Prepared, PortError>> + Send {
        let ready = |address: &IpAddr| (*address, Ok(Attachment::at(node.clone())));
        let prepared = addresses.iter().map(ready).collect();
        async move { Ok(prepared) }
    }

    /// Attaches `address` to `node`, moving it there in the shortest sequence where it is attached
    /// elsewhere. The node that it comes from may stay ready for it: `detach` and `prepare` there
    /// end that.
    fn attach(
        &self,
        address: IpAddr,
        node: &NodeName,
    ) -> impl Future<Output = Result<Attachment, PortError>> + Send;

    /// Detaches `address` from `node` and takes away what was made ready there for it; success
    /// where there is neither.
    fn detach(
        &self,
        address: IpAddr,
        node: &NodeName,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// What `prepare` made of each address.
pub type Prepared = BTreeMap<IpAddr, Result<Attachment, PortError>>;

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

/// What the caller knows and a cloud does not: written whole at every change, read at every call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Every node that may be a gateway, with its `spec.providerID`.
    pub nodes: BTreeMap<NodeName, String>,
    /// Every egress address in use with this provider, and for each what its status says of the
    /// nodes that it is attached to or made ready at. What stands there is found again once its
    /// Node object is gone.
    pub addresses: BTreeMap<IpAddr, BTreeMap<NodeName, Attachment>>,
}

/// The provider of a build without one: there is no value of it.
#[derive(Clone, Copy, Debug)]
pub enum NoProvider {}

impl Provider for NoProvider {
    fn capabilities(&self) -> Capabilities {
        match *self {}
    }

    async fn observe(
        &self,
        _: &BTreeSet<IpAddr>,
        _: &BTreeSet<NodeName>,
    ) -> Result<Observed, PortError> {
        match *self {}
    }

    async fn attach(&self, _: IpAddr, _: &NodeName) -> Result<Attachment, PortError> {
        match *self {}
    }

    async fn detach(&self, _: IpAddr, _: &NodeName) -> Result<(), PortError> {
        match *self {}
    }
}
