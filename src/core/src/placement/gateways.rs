use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use serde::Serialize;

use super::dataplane::is_unsupported;
use crate::cidr::Span;
use crate::cloud::CloudState;
use crate::membership::departure::{self, DrainReason};
use crate::model::{NodeName, Placement, Pool, PoolName, ProviderKind, Snapshot};
use crate::rendezvous;

/// Why a node cannot own or back up an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Ineligible {
    /// The pool's `gateways.nodeSelector` does not select it, or its Node is gone.
    NotSelected,
    /// Its agent has not said where it listens, or its key.
    NoAgent,
    /// A majority of the voters does not hear it, or a taint says that it is off.
    Absent,
    /// It is drained, or leaves.
    Drained,
    /// None of its uplinks is in the address's subnet; in a cloud: its subnet or zone cannot serve
    /// the address, or the cloud refuses it there.
    WrongSubnet,
    /// Google supports no other programs beside its dataplane, and the pool does not accept that.
    UnsupportedDataplane,
    /// Its agent says that the network interface in the address's subnet, or by which the cloud would
    /// deliver, cannot carry it.
    InterfaceUnusable,
    /// It is cordoned and nothing else keeps it off: it may where nobody else may.
    Cordoned,
}

/// A node, looked at once: names are compared for 5,000 addresses and more.
pub(super) struct Gateway<'a> {
    pub(super) name: &'a NodeName,
    /// Its zone, by number.
    pub(super) zone: usize,
    pub(super) seed: u64,
    /// Why it can be no gateway of any pool.
    unfit: Option<Ineligible>,
    /// It comes after all that are not.
    cordoned: bool,
    subnets: Vec<Span>,
    /// One of its interfaces at least cannot carry addresses.
    lacks_interface: bool,
}

/// One pool's gateways.
#[derive(Default)]
struct Group {
    selected: Vec<bool>,
    /// Whose dataplane the pool does not accept.
    refused: Vec<bool>,
    /// Subnets, each with the gateways in it that may carry addresses, in order of name.
    subnets: BTreeMap<Span, Vec<usize>>,
    most: usize,
    provider: ProviderKind,
    placement: Placement,
    /// In order of name: whom a cloud may be asked for.
    fit: Vec<usize>,
    /// The subnets of each gateway, by number, where the cloud moves an address sooner within one.
    neighbourhoods: Vec<BTreeSet<usize>>,
}

/// The gateways of every pool, by subnet: who may carry which address.
pub struct EligibleGateways<'a> {
    nodes: Vec<Gateway<'a>>,
    positions: HashMap<&'a NodeName, usize>,
    groups: BTreeMap<&'a PoolName, Group>,
    clouds: &'a BTreeMap<ProviderKind, CloudState>,
    snapshot: &'a Snapshot,
}

impl<'a> EligibleGateways<'a> {
    /// Looks at every node once, and once more for every pool.
    pub fn new(snapshot: &'a Snapshot, fabrics: &'a BTreeMap<ProviderKind, CloudState>) -> Self {
        let absent = departure::gone(snapshot);
        let zones: BTreeSet<&str> =
            snapshot.nodes.values().map(|node| node.zone.as_str()).collect();
        let zones: BTreeMap<&str, usize> = zones.into_iter().zip(0..).collect();
        let mut gateways = Self {
            nodes: Vec::new(),
            positions: HashMap::new(),
            groups: BTreeMap::new(),
            clouds: fabrics,
            snapshot,
        };
        for (name, node) in &snapshot.nodes {
            let egress = snapshot.egress_nodes.get(name).map(|stored| &stored.value);
            let links = egress.into_iter().flat_map(|egress| &egress.status.uplinks);
            let nets = links.flat_map(|uplink| &uplink.subnets);
            let subnets: BTreeSet<Span> = nets.map(|net| Span::of_net(*net)).collect();
            gateways.positions.insert(name, gateways.nodes.len());
            gateways.nodes.push(Gateway {
                name,
                zone: zones.get(node.zone.as_str()).copied().unwrap_or(0),
                seed: rendezvous::seed(name),
                unfit: unfit(snapshot, &absent, name),
                cordoned: node.cordoned,
                subnets: subnets.into_iter().collect(),
                lacks_interface: egress.is_some_and(|egress| egress.status.lacks_interface()),
            });
        }
        for (name, stored) in &snapshot.pools {
            let group = gateways.group(snapshot, &stored.value.0);
            gateways.groups.insert(name, group);
        }
        gateways
    }

    fn group(&self, snapshot: &Snapshot, pool: &Pool) -> Group {
        let mut group = Group {
            selected: snapshot.nodes.values().map(|n| pool.gateways.matches(&n.labels)).collect(),
            refused: snapshot.nodes.values().map(|n| is_unsupported(snapshot, pool, n)).collect(),
            subnets: BTreeMap::new(),
            most: usize::try_from(pool.max_addresses_per_node).unwrap_or(usize::MAX),
            provider: pool.provider,
            placement: pool.facts().placement,
            fit: Vec::new(),
            neighbourhoods: self.neighbourhoods(pool.provider),
        };
        for (position, gateway) in self.nodes.iter().enumerate() {
            let has = |list: &[bool]| list.get(position) == Some(&true);
            let taken = has(&group.selected) && !has(&group.refused);
            if taken && gateway.unfit.is_none() {
                group.fit.push(position);
                for span in &gateway.subnets {
                    group.subnets.entry(*span).or_default().push(position);
                }
            }
        }
        group
    }

    fn neighbourhoods(&self, provider: ProviderKind) -> Vec<BTreeSet<usize>> {
        let Some(fabric) = self.clouds.get(&provider) else { return Vec::new() };
        let names: BTreeSet<&String> =
            fabric.capacities.values().flat_map(|capacity| &capacity.subnets).collect();
        let numbers: BTreeMap<&String, usize> = names.into_iter().zip(0..).collect();
        let of_node = |gateway: &Gateway<'_>| {
            let capacity = fabric.capacities.get(gateway.name);
            let subnets = capacity.into_iter().flat_map(|capacity| &capacity.subnets);
            subnets.filter_map(|subnet| numbers.get(subnet).copied()).collect()
        };
        self.nodes.iter().map(of_node).collect()
    }

    /// Whether the pool's cloud moves an address sooner between these two than to others.
    pub(super) fn are_neighbours(&self, pool: &PoolName, one: usize, other: usize) -> bool {
        let subnets = |at: usize| self.groups.get(pool)?.neighbourhoods.get(at);
        let (one, other) = (subnets(one), subnets(other));
        one.zip(other).is_some_and(|(one, other)| !one.is_disjoint(other))
    }

    /// How many nodes there are: positions are below it.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn get(&self, position: usize) -> Option<&Gateway<'a>> {
        self.nodes.get(position)
    }

    pub(super) fn position(&self, node: &NodeName) -> Option<usize> {
        self.positions.get(node).copied()
    }

    /// Why a node can be no gateway of any pool; `None` also of one that does not exist.
    pub(super) fn unfit(&self, node: &NodeName) -> Option<Ineligible> {
        self.nodes.get(self.position(node)?)?.unfit
    }

    /// Whether an interface of a node at least cannot carry addresses.
    pub(super) fn lacks_interface(&self, node: &NodeName) -> bool {
        let gateway = self.position(node).and_then(|at| self.nodes.get(at));
        gateway.is_some_and(|gateway| gateway.lacks_interface)
    }

    /// The positions of the pool's gateways that can be gateways at all and are not cordoned.
    pub(super) fn fit(&self, pool: &PoolName) -> impl Iterator<Item = usize> {
        let fit = self.groups.get(pool).map(|group| group.fit.as_slice()).unwrap_or_default();
        fit.iter().copied().filter(|at| self.nodes.get(*at).is_some_and(|node| !node.cordoned))
    }

    /// Whether the pool exists.
    pub(super) fn knows(&self, pool: &PoolName) -> bool {
        self.groups.contains_key(pool)
    }

    /// The most addresses of the pool that one node owns.
    pub(super) fn most(&self, pool: &PoolName) -> usize {
        self.groups.get(pool).map_or(usize::MAX, |group| group.most)
    }

    /// The positions of the gateways that may carry `address` of `pool`, in order of name; not of those
    /// that are cordoned.
    pub(super) fn serving(&self, pool: &PoolName, address: IpAddr) -> Vec<usize> {
        self.placed(pool, address, |gateway, usable| usable && !gateway.cordoned)
    }

    /// The positions of those that may where nobody else may: they are cordoned.
    pub(super) fn cordoned(&self, pool: &PoolName, address: IpAddr) -> Vec<usize> {
        self.placed(pool, address, |gateway, usable| usable && gateway.cordoned)
    }

    /// The positions of those that could but for their interface, where no cloud has to make them ready.
    pub(super) fn cut_off(&self, pool: &PoolName, address: IpAddr) -> Vec<usize> {
        let places = self.groups.get(pool).is_some_and(|at| at.placement == Placement::Cloud);
        if places || !self.nodes.iter().any(|node| node.lacks_interface) {
            return Vec::new();
        }
        self.placed(pool, address, |_, usable| !usable)
    }

    /// The positions of the gateways where `address` could be, in order of name; of these the ones that
    /// are `taken`, who is told whether their interface can carry it.
    fn placed(
        &self,
        pool: &PoolName,
        address: IpAddr,
        taken: impl Fn(&Gateway<'_>, bool) -> bool,
    ) -> Vec<usize> {
        let Some(group) = self.groups.get(pool) else { return Vec::new() };
        let mut all = self.reached(group, address);
        all.retain(|at| {
            let usable = !self.is_unusable(group, *at, address);
            self.nodes.get(*at).is_some_and(|gateway| taken(gateway, usable))
        });
        all
    }

    /// The positions of the gateways that the network or the cloud would deliver `address` to.
    fn reached(&self, group: &Group, address: IpAddr) -> Vec<usize> {
        if group.placement == Placement::Cloud {
            let serves = |at: &&usize| self.cloud_serves(group, **at, address) == Some(true);
            return group.fit.iter().filter(serves).copied().collect();
        }
        let found = group.subnets.iter().filter(|(span, _)| span.contains(address));
        let mut lists: Vec<&Vec<usize>> = found.map(|(_, positions)| positions).collect();
        match (lists.pop(), lists.is_empty()) {
            (None, _) => Vec::new(),
            (Some(only), true) => only.clone(),
            (Some(last), false) => {
                let all: BTreeSet<usize> =
                    lists.into_iter().flatten().chain(last).copied().collect();
                all.into_iter().collect()
            }
        }
    }

    /// Why `node` may not carry `address` of `pool`; `None` where it may.
    pub fn ineligible(
        &self,
        pool: &PoolName,
        address: IpAddr,
        node: &NodeName,
    ) -> Option<Ineligible> {
        let position = self.position(node);
        let Some((gateway, position)) = position.and_then(|at| Some((self.nodes.get(at)?, at)))
        else {
            return Some(Ineligible::NotSelected);
        };
        if gateway.unfit == Some(Ineligible::Absent) {
            return gateway.unfit;
        }
        let group = self.groups.get(pool);
        if group.is_none_or(|group| group.selected.get(position) != Some(&true)) {
            return Some(Ineligible::NotSelected);
        }
        let serves = match group {
            // What is not known (yet) moves nothing.
            Some(group) if group.placement == Placement::Cloud => {
                self.cloud_serves(group, position, address) != Some(false)
            }
            // Such an address lives in a subnet of an uplink: elsewhere nobody would ask for it.
            _ => gateway.subnets.iter().any(|span| span.contains(address)),
        };
        let refused = group.is_some_and(|group| group.refused.get(position) == Some(&true));
        gateway
            .unfit
            .or(refused.then_some(Ineligible::UnsupportedDataplane))
            .or((!serves).then_some(Ineligible::WrongSubnet))
            .or_else(|| {
                let unusable = group.is_some_and(|at| self.is_unusable(at, position, address));
                unusable.then_some(Ineligible::InterfaceUnusable)
            })
            .or(gateway.cordoned.then_some(Ineligible::Cordoned))
    }

    fn is_unusable(&self, group: &Group, position: usize, address: IpAddr) -> bool {
        let lacking = self.nodes.get(position).filter(|gateway| gateway.lacks_interface);
        let Some(gateway) = lacking else { return false };
        let Some(stored) = self.snapshot.egress_nodes.get(gateway.name) else { return false };
        let status = &stored.value.status;
        if group.placement != Placement::Cloud {
            return status.cut_off_from(address).is_some();
        }
        let address = self.snapshot.addresses.get(&address).map(|stored| &stored.value.status);
        let at = address.and_then(|address| address.attachment_at(gateway.name));
        status.unusable_for(at).is_some()
    }

    fn cloud_serves(&self, group: &Group, position: usize, address: IpAddr) -> Option<bool> {
        let fabric = self.clouds.get(&group.provider)?;
        fabric.can_serve(self.nodes.get(position)?.name, address)
    }

    /// How many more addresses of the pool's cloud a node can take that are not there yet, and
    /// whether `address` is; `None` outside clouds, and where that is not known.
    pub(super) fn room_in_cloud(
        &self,
        pool: &PoolName,
        position: usize,
        address: IpAddr,
    ) -> Option<(usize, bool)> {
        let provider = self.groups.get(pool)?.provider;
        let fabric = self.clouds.get(&provider)?;
        let name = self.nodes.get(position)?.name;
        let free = usize::try_from(fabric.capacities.get(name)?.free).unwrap_or(usize::MAX);
        Some((free, fabric.is_at(name, address)))
    }
}

/// Why a node can be no gateway of any pool, as things are; `None` where it can be one.
pub fn unfit(
    snapshot: &Snapshot,
    absent: &BTreeSet<NodeName>,
    name: &NodeName,
) -> Option<Ineligible> {
    let egress = snapshot.egress_nodes.get(name).map(|stored| &stored.value);
    let agent =
        egress.is_some_and(|e| !e.status.endpoints.is_empty() && e.status.public_key.is_some());
    if absent.contains(name) {
        Some(Ineligible::Absent)
    } else if !agent {
        Some(Ineligible::NoAgent)
    } else {
        // One that is only cordoned still runs: who else is there decides.
        let drain = departure::drain_reason(snapshot, name);
        drain.is_some_and(|why| why != DrainReason::Cordoned).then_some(Ineligible::Drained)
    }
}
