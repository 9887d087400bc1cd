//! By which of its addresses the other nodes reach this one: its ends of the tunnel, and where its agent
//! listens.
//!
//! State: the addresses in use, the link of each family, the address that was left last, and since when one
//! is missing. Always: one of a family at most, and the family of the first one stays; what is on an
//! interface is not given up, but for what was there before it, or for one that was asked for; while the
//! process lives no other is sought on another link, since that may be another network, and nothing would
//! lead back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::Family;
use egret_core::reason::AgentReason;
use egret_datapath::host::HostUplink;
use ipnet::IpNet;

use crate::error::AgentError;

/// So long an address may be missing before another one of its link takes its place: what renews it
/// often takes it away and gives it again.
const RENEWAL: Duration = Duration::from_millis(500);
/// So long before a family that the tunnel does not need is given up.
const FAMILY_LOST: Duration = Duration::from_secs(10);
/// So long time alone may decide something; after that only what changes on the host does.
const RESTLESS: Duration = Duration::from_secs(15);
const FAMILIES: [Family; 2] = [Family::IPv4, Family::IPv6];

/// By which of its addresses the other nodes are to reach this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WantedEndpoints {
    /// By these, whatever the host has.
    Given(Vec<IpAddr>),
    /// By its address in one of these.
    Within(Vec<IpNet>),
    /// By one of these, by which Kubernetes knows it, where a link has one; else by its first.
    OfNode(Vec<IpAddr>),
}

impl WantedEndpoints {
    /// What an endpoint is in, the best first; none where any is as good.
    pub(crate) fn nets(&self) -> Vec<IpNet> {
        match self {
            Self::Given(addresses) | Self::OfNode(addresses) => {
                addresses.iter().copied().map(IpNet::from).collect()
            }
            Self::Within(nets) => nets.clone(),
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
    fn within(
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

/// A link. One that was made anew has another index, one that was renamed another name.
#[derive(Clone, Debug)]
struct HomeLink {
    index: u32,
    name: String,
}

/// The addresses in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct TunnelEndpoints {
    given: bool,
    /// What an endpoint is to be in, the best first; it is moved there when the host has one.
    wanted: Vec<IpNet>,
    current: Vec<IpAddr>,
    /// The link that each family's was on when last seen.
    homes: BTreeMap<Family, HomeLink>,
    /// What each family's took the place of. It is gone back to: the other may be an address that comes
    /// and goes (keepalived), and was there when this one was renewed.
    left: BTreeMap<Family, IpAddr>,
    missing: BTreeMap<IpAddr, Instant>,
}

impl TunnelEndpoints {
    /// Those given; else those wanted, and those alone; else of each family the first of the first uplink.
    ///
    /// # Errors
    /// Where no uplink has one, or where the host has none of those given, or none within the subnets given.
    pub(crate) fn choose(
        wanted: &WantedEndpoints,
        host: &HostAddresses<'_>,
        now: Instant,
    ) -> Result<Self, AgentError> {
        let mut chosen = Self::default();
        if let WantedEndpoints::Given(given) = wanted {
            chosen.given = true;
            if !given.iter().any(|address| host.present.contains(address)) {
                let all: Vec<String> = given.iter().map(IpAddr::to_string).collect();
                return Err(AgentError::EndpointAbsent(all.join(", ")));
            }
            chosen.current.clone_from(given);
            chosen.follow(host, now);
            return Ok(chosen);
        }
        chosen.wanted = wanted.nets();
        let nets = chosen.wanted.as_slice();
        let best = |family| {
            let lasting = host.within(nets, family, |link| link.lasting.clone());
            let passing = |link: &HostUplink| link.addresses.iter().map(IpNet::addr).collect();
            lasting.or_else(|| host.within(nets, family, passing))
        };
        chosen.current = FAMILIES.into_iter().filter_map(best).collect();
        if chosen.current.is_empty() {
            if matches!(wanted, WantedEndpoints::Within(_)) {
                let all: Vec<String> = nets.iter().map(IpNet::to_string).collect();
                return Err(AgentError::EndpointNotWithin(all.join(", ")));
            }
            let first = |family| {
                let lasting = candidate(family, host.uplinks.iter(), host.egress);
                lasting.or_else(|| passing(family, host))
            };
            chosen.current = FAMILIES.into_iter().filter_map(first).collect();
        }
        if chosen.current.is_empty() {
            return Err(AgentError::NoEndpoint);
        }
        chosen.note_homes(host);
        Ok(chosen)
    }

    /// Whether the tunnel ends elsewhere than it was asked to, for want of such an address.
    pub(crate) fn is_astray(&self) -> bool {
        let first = self.current.first();
        !self.given && !self.wanted.is_empty() && first.is_some_and(|first| !self.is_wanted(*first))
    }

    fn is_wanted(&self, address: IpAddr) -> bool {
        self.wanted.iter().any(|net| net.contains(&address))
    }

    /// One per family; both ends of the tunnel use the first one's.
    pub(crate) fn current(&self) -> &[IpAddr] {
        &self.current
    }

    /// Goes after the addresses that the host has by now; true where others are in use than before.
    pub(crate) fn follow(&mut self, host: &HostAddresses<'_>, now: Instant) -> bool {
        self.missing.retain(|address, _| !host.present.contains(address));
        for address in self.current.iter().filter(|address| !host.present.contains(address)) {
            self.missing.entry(*address).or_insert(now);
        }
        self.note_homes(host);
        if self.given {
            return false;
        }
        let before = self.current.clone();
        for family in FAMILIES {
            self.follow_family(family, host, now);
        }
        self.note_homes(host);
        self.missing.retain(|address, _| self.current.contains(address));
        self.current != before
    }

    fn follow_family(&mut self, family: Family, host: &HostAddresses<'_>, now: Instant) {
        let wanted = host.within(&self.wanted, family, |link| link.lasting.clone());
        let astray = self.is_astray();
        let home: Vec<&HostUplink> = match self.homes.get(&family) {
            Some(home) => host.links().filter(|link| home.is(link)).collect(),
            None => host.uplinks.iter().collect(),
        };
        let at_home = wanted.or_else(|| candidate(family, home.iter().copied(), host.egress));
        let Some(at) = self.current.iter().position(|address| Family::of(*address) == family)
        else {
            let asked = self.wanted.is_empty() || astray && self.homes.contains_key(&family);
            self.current.extend(if asked { at_home } else { wanted });
            return;
        };
        if !self.is_wanted(self.current[at]) {
            if let Some(wanted) = wanted {
                self.left.remove(&family);
                self.current[at] = wanted;
                return;
            }
            if at > 0 && !self.wanted.is_empty() && !astray {
                self.current.remove(at);
                return;
            }
        }
        let is_back = |left: &IpAddr| {
            let is_worse = self.is_wanted(self.current[at]) && !self.is_wanted(*left);
            let is_here = home.iter().any(|link| link.lasting.contains(left));
            is_here && !is_worse && !host.egress.contains(left)
        };
        let back = self.left.get(&family).copied().filter(is_back);
        if let Some(back) = back {
            self.left.remove(&family);
            self.current[at] = back;
            return;
        }
        let Some(since) = self.missing.get(&self.current[at]) else { return };
        let age = now.saturating_duration_since(*since);
        if age < RENEWAL {
            return;
        }
        match at_home {
            Some(address) => {
                let left = std::mem::replace(&mut self.current[at], address);
                self.left.insert(family, left);
            }
            // The tunnel's own family has to stay: the other nodes' ends are of that one too.
            None if at > 0 && age >= FAMILY_LOST => drop(self.current.remove(at)),
            None => {}
        }
    }

    /// When another address may take the place of the one that has been missing longest of those where
    /// none may yet; `None` where there is no such.
    pub(crate) fn due(&self, now: Instant) -> Option<Duration> {
        let ages = self.missing.values().map(|since| now.saturating_duration_since(*since));
        ages.filter_map(|age| RENEWAL.checked_sub(age)).filter(|left| !left.is_zero()).min()
    }

    /// Whether time alone may change something.
    pub(crate) fn is_restless(&self, now: Instant) -> bool {
        self.missing.values().any(|since| now.saturating_duration_since(*since) < RESTLESS)
    }

    /// Why the other nodes cannot reach this one, or not by all that was given, with the remedy. Only the
    /// first one matters to pods: both ends of the tunnel are of its family.
    pub(crate) fn troubles(&self, now: Instant) -> BTreeMap<AgentReason, String> {
        let missed = |address: &&IpAddr| {
            let since = self.missing.get(*address);
            since.is_some_and(|since| now.saturating_duration_since(*since) >= RENEWAL)
        };
        let mut troubles = BTreeMap::new();
        if let Some(address) = self.current.first().filter(missed) {
            let why = if self.given { given_missing(*address) } else { self.left(*address) };
            let why = format!("{why}; other nodes do not reach this one");
            troubles.insert(AgentReason::EndpointMissing, why);
        }
        if let Some(address) = self.current.iter().skip(1).find(missed).filter(|_| self.given) {
            let why = format!(
                "{}; agents send this one no messages by {}, and pods are steered all the same",
                given_missing(*address),
                Family::of(*address)
            );
            troubles.insert(AgentReason::EndpointImpaired, why);
        }
        troubles
    }

    fn left(&self, address: IpAddr) -> String {
        let family = Family::of(address);
        let link = self.homes.get(&family).map_or("its link", |home| home.name.as_str());
        format!(
            "{address} is on no interface that is up, and {link} has no other {family} address: give it \
             one, which is used within a second; --endpoint names an address elsewhere, and an agent \
             that is started anew takes one of another uplink"
        )
    }

    fn note_homes(&mut self, host: &HostAddresses<'_>) {
        for address in &self.current {
            let on = |link: &&HostUplink| link.addresses.iter().any(|net| net.addr() == *address);
            if let Some(HostUplink { index, name, .. }) = host.links().find(on) {
                let home = HomeLink { index: *index, name: name.clone() };
                self.homes.insert(Family::of(*address), home);
            }
        }
    }
}

impl HomeLink {
    fn is(&self, uplink: &HostUplink) -> bool {
        uplink.index == self.index || uplink.name == self.name
    }
}

fn given_missing(address: IpAddr) -> String {
    format!(
        "--endpoint {address} is on no interface that is up: give it to one again, or name the address that this \
         node has now"
    )
}

/// The first address of a family on these links that stays and is the node's own.
fn candidate<'a>(
    family: Family,
    links: impl Iterator<Item = &'a HostUplink>,
    egress: &BTreeSet<IpAddr>,
) -> Option<IpAddr> {
    let mut all = links.flat_map(|link| link.lasting.iter().copied());
    all.find(|address| Family::of(*address) == family && !egress.contains(address))
}

/// Any address of a family that is the node's own: until one that stays is there, as after a boot.
fn passing(family: Family, host: &HostAddresses<'_>) -> Option<IpAddr> {
    let mut all = host.uplinks.iter().flat_map(|uplink| uplink.addresses.iter().map(IpNet::addr));
    all.find(|address| Family::of(*address) == family && !host.egress.contains(address))
}

#[cfg(test)]
mod tests;
