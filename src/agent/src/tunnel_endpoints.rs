//! By which of its addresses the other nodes reach this one: its ends of the tunnel, and where its agent
//! listens.
//!
//! State: the addresses in use, the link of each family, the address that was left last, and since when one
//! is missing. Always: one of a family at most, and the family of the first one stays as long as it is there; what
//! is on an interface is not given up, but for what was there before it, or for one that was asked for; unless
//! something else is asked for no other is sought on another link, since that may be another network, and nothing
//! would lead back.

mod wanted;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::{ENDPOINT_ANNOTATION, EndpointChoice, Family, Text as _};
use egret_core::reason::AgentReason;
use egret_datapath::host::HostUplink;
use ipnet::IpNet;
use tracing::warn;

pub(crate) use self::wanted::{HostAddresses, WantedEndpoints};
use self::wanted::{candidate, passing};
use crate::error::AgentError;

/// So long an address may be missing before another one of its link takes its place: what renews it
/// often takes it away and gives it again.
const RENEWAL: Duration = Duration::from_millis(500);
/// So long before a family is given up.
const FAMILY_LOST: Duration = Duration::from_secs(10);
/// So long time alone may decide something; after that only what changes on the host does.
const RESTLESS: Duration = Duration::from_secs(15);
const FAMILIES: [Family; 2] = [Family::IPv4, Family::IPv6];

/// A link. One that was made anew has another index, one that was renamed another name.
#[derive(Clone, Debug)]
struct HomeLink {
    index: u32,
    name: String,
    /// Its address was one that was asked for: what comes in its place there is right too.
    asked: bool,
}

/// The addresses in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct TunnelEndpoints {
    given: bool,
    /// What an endpoint is to be in, the best first; it is moved there when the host has one.
    wanted: Vec<IpNet>,
    /// Who asks for that, where the tunnel may have to do without.
    asked_by: Option<String>,
    /// What is wanted are the addresses by which Kubernetes knows the node.
    of_node: bool,
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
        chosen.of_node = matches!(wanted, WantedEndpoints::OfNode(_));
        if let WantedEndpoints::Asked { by, .. } = wanted {
            chosen.asked_by = Some(by.clone());
        }
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

    /// Ends where it is asked to by now, as at a start; where nothing is there, where it did before.
    pub(crate) fn want(
        &mut self,
        wanted: &WantedEndpoints,
        host: &HostAddresses<'_>,
        now: Instant,
    ) {
        match Self::choose(wanted, host, now) {
            Ok(chosen) if chosen.is_astray() && chosen.asked_by.is_some() => {
                (self.given, self.wanted, self.asked_by) = (false, chosen.wanted, chosen.asked_by);
                self.of_node = false;
            }
            Ok(chosen) => *self = chosen,
            Err(error) => warn!(%error, "the tunnel ends where it did before"),
        }
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
        self.follow_to_other_family(host, now);
        // What only took the place of what was asked for goes when that is there again.
        if self.current.iter().any(|address| self.is_wanted(*address)) {
            let mut current = std::mem::take(&mut self.current);
            current.retain(|address| self.is_wanted(*address) || self.is_at_home(*address));
            self.current = current;
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
            let known = self.homes.get(&family).is_some_and(|home| astray || home.asked);
            self.current.extend(if self.wanted.is_empty() || known { at_home } else { wanted });
            return;
        };
        if !self.is_wanted(self.current[at]) {
            if let Some(wanted) = wanted {
                self.left.remove(&family);
                self.current[at] = wanted;
                return;
            }
            if at > 0 && !self.wanted.is_empty() && !astray && !self.is_at_home(self.current[at]) {
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
            // The tunnel's own family stays as long as there is no other.
            None if age >= FAMILY_LOST && (at > 0 || self.has_another()) => {
                self.current.remove(at);
            }
            None => {}
        }
    }

    /// Whether the address of the other family is there.
    fn has_another(&self) -> bool {
        self.current.get(1).is_some_and(|other| !self.missing.contains_key(other))
    }

    /// A link that has lost the only family that it was used for may have got the other one, as where a network
    /// becomes one of IPv6 alone.
    fn follow_to_other_family(&mut self, host: &HostAddresses<'_>, now: Instant) {
        let [only] = self.current[..] else { return };
        let Some(since) = self.missing.get(&only) else { return };
        if now.saturating_duration_since(*since) < FAMILY_LOST {
            return;
        }
        let Some(home) = self.homes.get(&Family::of(only)) else { return };
        let home: Vec<&HostUplink> = host.links().filter(|link| home.is(link)).collect();
        let other = match Family::of(only) {
            Family::IPv4 => Family::IPv6,
            Family::IPv6 => Family::IPv4,
        };
        if let Some(found) = candidate(other, home.iter().copied(), host.egress) {
            self.current = vec![found];
        }
    }

    /// Whether it is on the link of one that was asked for, in its place.
    fn is_at_home(&self, address: IpAddr) -> bool {
        self.homes.get(&Family::of(address)).is_some_and(|home| home.asked)
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
        if let Some(by) = self.asked_by.as_ref().filter(|_| self.is_astray()) {
            let why = format!(
                "no Ethernet link that is up has an address in {}, which {by} names: name one that this node has, or \
                 take it away; until then the tunnel ends at {}",
                self.wanted_text(),
                self.current_text()
            );
            troubles.insert(AgentReason::EndpointImpaired, why);
        } else if self.of_node && self.is_astray() {
            let why = format!(
                "no Ethernet link that is up has an address by which Kubernetes knows this node ({}): the tunnel ends at \
                 {}, towards the world, until one has; name the network that is meant in the annotation \
                 {ENDPOINT_ANNOTATION} of the Node, or Uplink there where it is this one",
                self.wanted_text(),
                self.current_text()
            );
            troubles.insert(AgentReason::EndpointImpaired, why);
        }
        troubles
    }

    fn wanted_text(&self) -> String {
        EndpointChoice::Within(self.wanted.clone()).to_text()
    }

    fn current_text(&self) -> String {
        let now: Vec<String> = self.current.iter().map(IpAddr::to_string).collect();
        now.join(", ")
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
                let family = Family::of(*address);
                let before = self.homes.get(&family).filter(|home| home.index == *index);
                let asked = self.is_wanted(*address) || before.is_some_and(|home| home.asked);
                self.homes.insert(family, HomeLink { index: *index, name: name.clone(), asked });
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

#[cfg(test)]
mod tests;
