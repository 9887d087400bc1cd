//! What every part may read and none may change.

use std::net::IpAddr;
use std::time::Duration;

use super::{AddressView, Ask, LeaseConfig, Now, PlanView};

/// The surroundings of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub config: &'a LeaseConfig,
    /// What the store said last; `None` before it has said anything.
    pub view: Option<&'a PlanView>,
    pub now: Now,
}

impl<'a> Context<'a> {
    pub(super) fn new(config: &'a LeaseConfig, view: Option<&'a PlanView>, now: Now) -> Self {
        Self { config, view, now }
    }

    /// The plans of all addresses.
    pub(super) fn plans(&self) -> impl Iterator<Item = (&'a IpAddr, &'a AddressView)> + use<'a> {
        self.view.into_iter().flat_map(|view| &view.addresses)
    }

    pub(super) fn plan(&self, address: IpAddr) -> Option<&'a AddressView> {
        self.view?.addresses.get(&address)
    }

    /// T of the address; zero without a plan.
    pub(super) fn lease(&self, address: IpAddr) -> Duration {
        self.plan(address).map_or(Duration::ZERO, |plan| Duration::from_millis(plan.lease.0))
    }

    /// The fabric is the fence of the address.
    pub(super) fn has_no_deadline(&self, address: IpAddr) -> bool {
        self.plan(address).is_some_and(|plan| plan.no_deadline)
    }

    /// What this node asks with for an address: the fence that it has read.
    pub(super) fn ask(&self, address: IpAddr, epoch: u64) -> Option<Ask> {
        let plan = self.plan(address)?;
        let lease = u32::try_from(plan.lease.0).unwrap_or(u32::MAX);
        Some(Ask { address, fence: plan.fence, lease, epoch })
    }
}
