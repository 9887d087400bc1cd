//! Where Google's network delivers what is for a forwarding rule's address or for an alias: pure functions
//! of what the project says, of the announcements, and of the time.
//!
//! A rule of a backend service with `fastIPMove` follows announcements. A rule of a target instance and an
//! alias are where the project says, whoever announces. What `haPolicy.fastIPMove: GARP_RA` promises is in the API's discovery document and in
//! <https://cloud.google.com/load-balancing/docs/garp-ra-packet-spec>. What it leaves open (two nodes
//! that announce at the same time) is a setting here, so that a scenario can try both.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::WallTime;

#[cfg(test)]
mod announcer;
#[cfg(test)]
mod tests;

/// How long an announcement overrides the service's leader: "about 20 minutes".
pub const OVERRIDES: Duration = Duration::from_secs(20 * 60);
/// Within this time after a node's announcement that of another one may be without effect: Google
/// recommends that at least 3 s lie between two movers.
pub const CONTESTED: Duration = Duration::from_secs(3);

/// Whose announcement is followed where two nodes announce within [`CONTESTED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contest {
    /// The one that came last.
    #[default]
    Newer,
    /// The one that is in force already, until it is [`CONTESTED`] old.
    Older,
}

/// A service with `fastIPMove`, as far as delivery needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MovableService {
    /// The addresses of its forwarding rules: they move together.
    pub addresses: BTreeSet<IpAddr>,
    /// The instances that are endpoints of its groups.
    pub endpoints: BTreeSet<String>,
    /// The instance that it names as leader, where that is an endpoint.
    pub leader: Option<String>,
}

/// All services by name.
pub type MovableServices = BTreeMap<String, MovableService>;

/// Addresses that are at one instance each, whoever announces: those of the rules of target instances
/// (untranslated, as these have `natPolicy` `NO_NAT`), and aliases of a single address.
pub type FixedAddresses = BTreeMap<IpAddr, String>;

/// An announcement that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FollowedAnnouncement {
    instance: String,
    last: WallTime,
}

/// What is remembered from announcement to announcement.
#[derive(Clone, Debug)]
pub struct VpcDelivery {
    /// Who wins where two announce within [`CONTESTED`].
    pub contest: Contest,
    /// How long an announcement counts: [`OVERRIDES`], or less where a test has no time.
    overrides: Duration,
    services: MovableServices,
    fixed: FixedAddresses,
    followed: BTreeMap<String, FollowedAnnouncement>,
}

impl VpcDelivery {
    /// Without an address.
    #[must_use]
    pub fn new(contest: Contest, overrides: Duration) -> Self {
        let (services, fixed) = (MovableServices::new(), FixedAddresses::new());
        Self { contest, overrides, services, fixed, followed: BTreeMap::new() }
    }

    /// Takes in what the project says now of services. An instance that is no endpoint any more has announced
    /// nothing, and a service that is gone is forgotten.
    pub fn update(&mut self, services: MovableServices) {
        self.followed.retain(|name, followed| {
            let service = services.get(name);
            service.is_some_and(|service| service.endpoints.contains(&followed.instance))
        });
        self.services = services;
    }

    /// Takes in what the project says now of the addresses that are at one instance.
    pub fn fix(&mut self, fixed: FixedAddresses) {
        self.fixed = fixed;
    }

    /// An instance says that an address is at it. Returns whether that is followed.
    pub fn announce(&mut self, address: IpAddr, instance: &str, now: WallTime) -> bool {
        let Some((name, service)) = self.service_of(address) else { return false };
        if !service.endpoints.contains(instance) {
            return false;
        }
        let other = self.followed.get(name).filter(|followed| followed.instance != instance);
        let fresh = other.is_some_and(|followed| now.since(followed.last) < CONTESTED);
        if fresh && self.contest == Contest::Older {
            return false;
        }
        let followed = FollowedAnnouncement { instance: instance.to_owned(), last: now };
        self.followed.insert(name.to_owned(), followed);
        true
    }

    /// The instance that an address is delivered to.
    #[must_use]
    pub fn target(&self, address: IpAddr, now: WallTime) -> Option<&str> {
        let Some((name, service)) = self.service_of(address) else {
            return self.fixed.get(&address).map(String::as_str);
        };
        let followed = self.followed.get(name);
        let followed = followed.filter(|followed| now.since(followed.last) < self.overrides);
        followed.map(|followed| followed.instance.as_str()).or(service.leader.as_deref())
    }

    /// Every address of a rule and every alias, with the instance that it is delivered to.
    #[must_use]
    pub fn targets(&self, now: WallTime) -> BTreeMap<IpAddr, Option<String>> {
        let addresses = self.services.values().flat_map(|service| &service.addresses);
        let addresses = addresses.chain(self.fixed.keys());
        addresses.map(|address| (*address, self.target(*address, now).map(str::to_owned))).collect()
    }

    /// The instances that may send with an address: all endpoints of its service, or the one instance
    /// that it is at. ("VMs can send packets whose source IP addresses match the forwarding rule's IP
    /// address": <https://cloud.google.com/load-balancing/docs/protocol-forwarding>.)
    pub fn senders(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        let service = self.service_of(address).map(|(_, service)| service);
        let fixed = self.fixed.get(&address).filter(|_| service.is_none());
        let endpoints = service.into_iter().flat_map(|service| &service.endpoints);
        endpoints.chain(fixed).map(String::as_str)
    }

    /// Whether the address is at one instance, which alone may send with it.
    #[must_use]
    pub fn is_fixed(&self, address: IpAddr) -> bool {
        self.service_of(address).is_none() && self.fixed.contains_key(&address)
    }

    /// The service that has an address.
    #[must_use]
    pub fn service_of(&self, address: IpAddr) -> Option<(&str, &MovableService)> {
        let mut all = self.services.iter();
        let found = all.find(|(_, service)| service.addresses.contains(&address));
        found.map(|(name, service)| (name.as_str(), service))
    }
}
