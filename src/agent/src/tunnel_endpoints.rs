//! By which of its addresses the other nodes reach this one: its ends of the tunnel, and where its agent
//! listens.
//!
//! State: the addresses in use, the link of each, and since when one is missing. Always: one of a family
//! at most, and the family of the first one stays; what is on an interface is not given up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::Family;
use egret_datapath::host::HostUplink;

use crate::error::AgentError;

/// So long an address may be missing before another one of its link takes its place: what renews it
/// often takes it away and gives it again.
const RENEWAL: Duration = Duration::from_millis(500);
/// So long before one of another link does: that may be another network.
const LINK_LOST: Duration = Duration::from_secs(10);
/// So long time alone may decide something; after that only what changes on the host does.
const RESTLESS: Duration = Duration::from_secs(15);
const FAMILIES: [Family; 2] = [Family::IPv4, Family::IPv6];

/// What this host has, as far as its endpoints go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostAddresses<'a> {
    /// The links to the world, the one to use first.
    pub(crate) uplinks: &'a [HostUplink],
    /// Which of the endpoints an interface has, whichever.
    pub(crate) present: &'a BTreeSet<IpAddr>,
    /// Egress addresses, and what carries them: nobody's own.
    pub(crate) egress: &'a BTreeSet<IpAddr>,
}

/// The addresses in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct TunnelEndpoints {
    given: bool,
    current: Vec<IpAddr>,
    /// The index of the link that each family's was on when last seen.
    links: BTreeMap<Family, u32>,
    missing: BTreeMap<IpAddr, Instant>,
}

impl TunnelEndpoints {
    /// Those of `--endpoint`, and where there are none the first of the first uplink of each family.
    ///
    /// # Errors
    /// Where no uplink has one.
    pub(crate) fn choose(given: &[IpAddr], uplinks: &[HostUplink]) -> Result<Self, AgentError> {
        let mut chosen = Self { given: !given.is_empty(), ..Self::default() };
        if chosen.given {
            chosen.current = given.to_vec();
            return Ok(chosen);
        }
        let none = BTreeSet::new();
        let host = HostAddresses { uplinks, present: &none, egress: &none };
        let first = |family| candidate(family, &host, |_| true);
        chosen.current = FAMILIES.into_iter().filter_map(first).collect();
        if chosen.current.is_empty() {
            return Err(AgentError::NoEndpoint);
        }
        chosen.note_links(uplinks);
        Ok(chosen)
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
        self.note_links(host.uplinks);
        if self.given {
            return false;
        }
        let before = self.current.clone();
        for family in FAMILIES {
            self.follow_family(family, host, now);
        }
        self.note_links(host.uplinks);
        self.missing.retain(|address, _| self.current.contains(address));
        self.current != before
    }

    fn follow_family(&mut self, family: Family, host: &HostAddresses<'_>, now: Instant) {
        let Some(at) = self.current.iter().position(|address| Family::of(*address) == family)
        else {
            self.current.extend(candidate(family, host, |_| true));
            return;
        };
        let Some(since) = self.missing.get(&self.current[at]) else { return };
        let age = now.saturating_duration_since(*since);
        if age < RENEWAL {
            return;
        }
        let link = self.links.get(&family).copied();
        let same = candidate(family, host, |uplink| link == Some(uplink.index));
        let other = || candidate(family, host, |_| age >= LINK_LOST);
        match same.or_else(other) {
            Some(address) => self.current[at] = address,
            // The tunnel's own family has to stay: the other nodes' ends are of that one too.
            None if at > 0 && age >= LINK_LOST => drop(self.current.remove(at)),
            None => {}
        }
    }

    /// When another address may take the place of one that is missing; `None` where none is, or it may
    /// by now.
    pub(crate) fn due(&self, now: Instant) -> Option<Duration> {
        let since = self.missing.values().max()?;
        RENEWAL.checked_sub(now.saturating_duration_since(*since)).filter(|left| !left.is_zero())
    }

    /// Whether time alone may change something.
    pub(crate) fn is_restless(&self, now: Instant) -> bool {
        self.missing.values().any(|since| now.saturating_duration_since(*since) < RESTLESS)
    }

    /// Why the other nodes cannot reach this one, with the remedy.
    pub(crate) fn trouble(&self, now: Instant) -> Option<String> {
        let missed = |address: &&IpAddr| {
            let since = self.missing.get(*address);
            since.is_some_and(|since| now.saturating_duration_since(*since) >= RENEWAL)
        };
        let needed = if self.given { self.current.len() } else { 1 };
        let address = self.current.iter().take(needed).find(missed)?;
        let remedy = if self.given {
            format!(
                "--endpoint {address} is on no interface: give it to one again, or name the address \
                 that this node has now"
            )
        } else {
            format!(
                "{address} is on no interface any more, and no uplink has another {} address: give it \
                 one, which is used within a second; --endpoint names an address elsewhere",
                Family::of(*address)
            )
        };
        Some(format!("{remedy}; other nodes do not reach this one"))
    }

    fn note_links(&mut self, uplinks: &[HostUplink]) {
        for address in &self.current {
            let on =
                |uplink: &&HostUplink| uplink.addresses.iter().any(|net| net.addr() == *address);
            if let Some(uplink) = uplinks.iter().find(on) {
                self.links.insert(Family::of(*address), uplink.index);
            }
        }
    }
}

/// The first address of a family that stays and is the node's own, of those links that `admits`.
fn candidate(
    family: Family,
    host: &HostAddresses<'_>,
    admits: impl Fn(&HostUplink) -> bool,
) -> Option<IpAddr> {
    let links = host.uplinks.iter().filter(|uplink| admits(uplink));
    let mut all = links.flat_map(|uplink| uplink.lasting.iter().copied());
    all.find(|address| Family::of(*address) == family && !host.egress.contains(address))
}

#[cfg(test)]
mod tests;
