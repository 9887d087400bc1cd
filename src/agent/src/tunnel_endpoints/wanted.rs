//! What is asked of a node's endpoints, and what its host has of it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_core::model::Family;
use egret_datapath::host::HostUplink;
use ipnet::IpNet;

/// By which of its addresses the other nodes are to reach this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WantedEndpoints {
    /// By these, whatever the host has.
    Given(Vec<IpAddr>),
    /// By its address in one of these.
    Within(Vec<IpNet>),
    /// By one of these, by which Kubernetes knows it, where a link has one; else by its first.
    OfNode(Vec<IpAddr>),
    /// By its address in one of these, where a link has one; `by` says who asks.
    Asked { nets: Vec<IpNet>, by: String },
}

impl WantedEndpoints {
    /// What an endpoint is in, the best first; none where any is as good.
    pub(crate) fn nets(&self) -> Vec<IpNet> {
        match self {
            Self::Given(addresses) | Self::OfNode(addresses) => {
                addresses.iter().copied().map(IpNet::from).collect()
            }
            Self::Within(nets) | Self::Asked { nets, .. } => nets.clone(),
        }
    }
}

/// What this host has, as far as its endpoints go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostAddresses<'a> {
    /// The links to the world, the one to use first.
    pub(crate) uplinks: &'a [HostUplink],
    /// The host's other links: an endpoint is on one of them where it was asked for.
    pub(crate) others: &'a [HostUplink],
    /// Which of the endpoints an interface has, whichever.
    pub(crate) present: &'a BTreeSet<IpAddr>,
    /// Egress addresses, and what carries them: nobody's own.
    pub(crate) egress: &'a BTreeSet<IpAddr>,
}

impl<'a> HostAddresses<'a> {
    pub(crate) fn links(&self) -> impl Iterator<Item = &'a HostUplink> + use<'a> {
        self.uplinks.iter().chain(self.others)
    }

    /// The best of the addresses of a family that are in one of `nets` and the node's own.
    pub(super) fn within(
        &self,
        nets: &[IpNet],
        family: Family,
        addresses: impl Fn(&'a HostUplink) -> Vec<IpAddr>,
    ) -> Option<IpAddr> {
        let own: Vec<IpAddr> = self.links().flat_map(addresses).collect();
        let usable =
            |address: &&IpAddr| Family::of(**address) == family && !self.egress.contains(address);
        let usable: Vec<&IpAddr> = own.iter().filter(usable).collect();
        let first = |net: &IpNet| usable.iter().find(|address| net.contains(**address));
        nets.iter().find_map(first).map(|address| **address)
    }
}

/// The first address of a family on these links that stays and is the node's own.
pub(super) fn candidate<'a>(
    family: Family,
    links: impl Iterator<Item = &'a HostUplink>,
    egress: &BTreeSet<IpAddr>,
) -> Option<IpAddr> {
    let mut all = links.flat_map(|link| link.lasting.iter().copied());
    all.find(|address| Family::of(*address) == family && !egress.contains(address))
}

/// Any address of a family that is the node's own: until one that stays is there, as after a boot.
pub(super) fn passing(family: Family, host: &HostAddresses<'_>) -> Option<IpAddr> {
    let mut all = host.uplinks.iter().flat_map(|uplink| uplink.addresses.iter().map(IpNet::addr));
    all.find(|address| Family::of(*address) == family && !host.egress.contains(address))
}
