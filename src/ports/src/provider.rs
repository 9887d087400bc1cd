//! Who attaches addresses to nodes: a cloud, or nobody (L2).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

pub use egret_core::cloud::NodeCapacity;
use egret_core::model::{Attachment, Labels, NodeName, ProviderKind};
use tokio::sync::watch;

use crate::error::{ErrorClass, PortError};

/// Attaches addresses.
///
/// # Guarantees
/// - Every call is idempotent and safe to repeat after a crash or a cancellation. *Already so* is
///   success. Errors are classified.
/// - Success is the observed state, never "the call returned"; `attach` alone says of each address
///   whether it was observed or only accepted.
/// - `detach` takes away only what it can prove is held by the node that it names.
/// - A node or address that the provider does not know is `ErrorClass::NotFound`; an address that
///   the node's subnets or zone cannot serve is `Invalid`; a node without room is `Quota`; none of
///   these changes anything.
///
/// # Concurrency
/// The caller has one call that changes an address under way at a time, and one `prepare` of a node
/// (`core::cloud::Reconciler` sees to it), so the provider needs no lock for either. It does need one
/// for what several addresses or calls share and the caller cannot see, such as an interface: calls
/// for different addresses of one node, and a `prepare` of it, run at once.
///
/// The suite is `contract::provider`.
pub trait Provider: Send + Sync + 'static {
    /// Where the addresses are attached, and what each node can serve. A node that the provider
    /// does not know is absent.
    fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> impl Future<Output = Result<Observation, PortError>> + Send;

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

    /// For people: that nothing has these tags, the pool's field that names them, and what to do.
    fn nothing_found(&self, tags: &Labels) -> String {
        format!("no address has the tags {tags:?}")
    }

    /// Makes `node` ready for exactly these addresses, as their owner or a standby, so that a later
    /// `attach` there is the shortest, and takes away what was made ready there for others and what
    /// calls without an answer have left there; what is attached there stays. Says, for each of
    /// them, what `attach` would return, as things are now.
    ///
    /// Call it at every change of the plan and at every scan: what makes an address ready depends
    /// on where it is attached.
    ///
    /// Default: there is nothing to make ready.
    fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> impl Future<Output = Result<ByAddress<Attachment>, PortError>> + Send {
        let ready = |address: &IpAddr| (*address, Ok(Attachment::at(node.clone())));
        let prepared = addresses.iter().map(ready).collect();
        async move { Ok(prepared) }
    }

    /// Attaches `addresses` to `node`, moving each there in the shortest sequence where it is
    /// attached elsewhere. Returns once the cloud has *accepted* all that it takes, with a result of
    /// each address: one that cannot be there keeps no other from it. What is accepted takes effect
    /// though nobody calls `await_attached`: directors may already follow. The node that an address comes
    /// from may stay ready for it: `detach` and `prepare` there end that.
    fn attach(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> impl Future<Output = Result<ByAddress<Accepted>, PortError>> + Send;

    /// Waits until it is *observed* that `addresses`, of which `attach` was accepted, are at `node`;
    /// goes on with what is still missing for that. Fails as `Transient` where it does not show in
    /// time.
    fn await_attached(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> impl Future<Output = Result<ByAddress<Attachment>, PortError>> + Send;

    /// Detaches `address` from `node` and takes away what was made ready there for it; success
    /// where there is neither.
    fn detach(
        &self,
        address: IpAddr,
        node: &NodeName,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// What became of each address of a call for several.
pub type ByAddress<T> = BTreeMap<IpAddr, Result<T, PortError>>;

/// What `attach` made of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// How it is attached, or will be.
    pub attachment: Attachment,
    /// It was observed already: there is nothing to wait for.
    pub observed: bool,
}

/// Attaches one address and waits until that is observed.
///
/// # Errors
/// Those of the two calls, and of the address.
pub async fn attach_one(
    provider: &dyn DynProvider,
    address: IpAddr,
    node: &NodeName,
) -> Result<Attachment, PortError> {
    let silent = || {
        let operation = format!("attach {address} to {node}");
        PortError::new(ErrorClass::Transient, operation, "the provider says nothing of it")
    };
    let one = BTreeSet::from([address]);
    let accepted = provider.attach(&one, node).await?.remove(&address).ok_or_else(silent)??;
    if accepted.observed {
        return Ok(accepted.attachment);
    }
    provider.await_attached(&one, node).await?.remove(&address).ok_or_else(silent)?
}

/// What a provider observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Where the addresses are attached; absent: nowhere.
    pub attachments: BTreeMap<IpAddr, Attachment>,
    /// Per node: how many more addresses it can take, and which of the addresses it can serve.
    pub nodes: BTreeMap<NodeName, NodeCapacity>,
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

/// A cloud that this build can talk to.
pub trait Cloud: fmt::Debug + Send + Sync + 'static {
    /// Whose pools it serves.
    fn kind(&self) -> ProviderKind;

    /// A provider for one term of leadership; calls nothing yet.
    fn connect(
        &self,
        inventory: watch::Receiver<Arc<Inventory>>,
    ) -> BoxFuture<'_, Arc<dyn DynProvider>>;
}

/// A future whose type is not named.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`Provider`] whose type is not named: every one of them is one of these.
pub trait DynProvider: Send + Sync + 'static {
    /// [`Provider::observe`].
    fn observe<'a>(
        &'a self,
        addresses: &'a BTreeSet<IpAddr>,
        nodes: &'a BTreeSet<NodeName>,
    ) -> BoxFuture<'a, Result<Observation, PortError>>;

    /// [`Provider::discover`].
    fn discover<'a>(
        &'a self,
        tags: &'a Labels,
    ) -> BoxFuture<'a, Result<BTreeSet<IpAddr>, PortError>>;

    /// [`Provider::nothing_found`].
    fn nothing_found(&self, tags: &Labels) -> String;

    /// [`Provider::prepare`].
    fn prepare<'a>(
        &'a self,
        node: &'a NodeName,
        addresses: &'a BTreeSet<IpAddr>,
    ) -> BoxFuture<'a, Result<ByAddress<Attachment>, PortError>>;

    /// [`Provider::attach`].
    fn attach<'a>(
        &'a self,
        addresses: &'a BTreeSet<IpAddr>,
        node: &'a NodeName,
    ) -> BoxFuture<'a, Result<ByAddress<Accepted>, PortError>>;

    /// [`Provider::await_attached`].
    fn await_attached<'a>(
        &'a self,
        addresses: &'a BTreeSet<IpAddr>,
        node: &'a NodeName,
    ) -> BoxFuture<'a, Result<ByAddress<Attachment>, PortError>>;

    /// [`Provider::detach`].
    fn detach<'a>(
        &'a self,
        address: IpAddr,
        node: &'a NodeName,
    ) -> BoxFuture<'a, Result<(), PortError>>;
}

impl<P: Provider> DynProvider for P {
    fn observe<'a>(
        &'a self,
        addresses: &'a BTreeSet<IpAddr>,
        nodes: &'a BTreeSet<NodeName>,
    ) -> BoxFuture<'a, Result<Observation, PortError>> {
        Box::pin(Provider::observe(self, addresses, nodes))
    }

    fn discover<'a>(
        &'a self,
        tags: &'a Labels,
    ) -> BoxFuture<'a, Result<BTreeSet<IpAddr>, PortError>> {
        Box::pin(Provider::discover(self, tags))
    }

    fn nothing_found(&self, tags: &Labels) -> String {
        Provider::nothing_found(self, tags)
    }

    fn prepare<'a>(
        &'a self,
        node: &'a NodeName,
        addresses: &'a BTreeSet<IpAddr>,
    ) -> BoxFuture<'a, Result<ByAddress<Attachment>, PortError>> {
        Box::pin(Provider::prepare(self, node, addresses))
    }

    fn attach<'a>(
        &'a self,
        addresses: &'a BTreeSet<IpAddr>,
        node: &'a NodeName,
    ) -> BoxFuture<'a, Result<ByAddress<Accepted>, PortError>> {
        Box::pin(Provider::attach(self, addresses, node))
    }

    fn await_attached<'a>(
        &'a self,
        addresses: &'a BTreeSet<IpAddr>,
        node: &'a NodeName,
    ) -> BoxFuture<'a, Result<ByAddress<Attachment>, PortError>> {
        Box::pin(Provider::await_attached(self, addresses, node))
    }

    fn detach<'a>(
        &'a self,
        address: IpAddr,
        node: &'a NodeName,
    ) -> BoxFuture<'a, Result<(), PortError>> {
        Box::pin(Provider::detach(self, address, node))
    }
}
