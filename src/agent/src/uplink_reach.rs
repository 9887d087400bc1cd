//! Since when each uplink reaches its network, or not: a link that comes and goes moves addresses once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::lease::UplinkReach;
use egret_core::model::Family;
use egret_core::reason::AgentReason;
use egret_datapath::host::{HostUplink, LinkCarrier};
use ipnet::IpNet;

use crate::program_proofs::ProgramProofs;
use crate::router_watch::RouterWatch;

#[cfg(test)]
mod tests;

/// So long an uplink that was cut off has to reach its network before this node takes addresses as any
/// other would: at most one move a minute, however a link comes and goes.
const STEADY_AFTER: Duration = Duration::from_secs(60);
/// So long a link with a carrier may be without an address before that counts: what renews one often takes it
/// away and gives it again.
const RENEWAL: Duration = Duration::from_secs(2);

/// Uplinks by the index of their link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct UplinkReaches {
    links: BTreeMap<u32, SeenUplink>,
    /// Subnets of links that the kernel has no more, since: one that is made anew is as one that was cut off.
    gone: BTreeMap<IpNet, Instant>,
    /// Other routers answer than at the last look, or a first proof has come.
    news: bool,
}

/// An uplink, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenUplink {
    /// As it was when it last could carry addresses.
    last: HostUplink,
    /// Since when it cannot, whatever its carrier; `None` while it can.
    unlisted: Option<Instant>,
    /// Subnets that it no longer has an address in, since; for [`RENEWAL`].
    former: BTreeMap<IpNet, Instant>,
    carrier: LinkCarrier,
    /// Why Egret's programs do not run there, with the remedy.
    passed_by: Option<String>,
    /// Whether they run has not been asked yet.
    unproven: bool,
    /// Whether its routers answer, and which do not.
    routers: BTreeMap<Family, (UplinkReach, Vec<IpAddr>)>,
    reach: UplinkReach,
    /// Since when.
    since: Instant,
    /// It has kept an address of this node's plans from its network, and does not reach it yet.
    blamed: bool,
}

impl UplinkReaches {
    /// The links to look at: those of `uplinks`, and those that were seen before.
    pub(crate) fn links(&self, uplinks: &[HostUplink]) -> BTreeSet<u32> {
        self.links.keys().copied().chain(uplinks.iter().map(|uplink| uplink.index)).collect()
    }

    /// Takes note of one look at [`Self::links`]; `known`: these are the uplinks of now, else of before, and none
    /// is left. What the kernel has no more is forgotten, and so is what has another in its place. True where one
    /// is another than before, by what was seen or by time alone.
    pub(crate) fn note(
        &mut self,
        (uplinks, known): (&[HostUplink], bool),
        carriers: &BTreeMap<u32, LinkCarrier>,
        now: Instant,
    ) -> bool {
        let count = self.links.len();
        self.gone.retain(|_, since| now.duration_since(*since) < STEADY_AFTER);
        let gone = self.links.iter().filter(|(index, _)| !carriers.contains_key(index));
        self.gone.extend(gone.flat_map(|(_, seen)| seen.last.subnets()).map(|net| (net, now)));
        self.links.retain(|index, seen| {
            carriers.get(index).is_some_and(|carrier| !seen.is_replaced(*carrier, uplinks))
        });
        let mut changed = self.links.len() != count || std::mem::take(&mut self.news);
        for uplink in uplinks {
            let Some(carrier) = carriers.get(&uplink.index) else { continue };
            let seen = self.links.entry(uplink.index);
            let seen = seen.or_insert_with(|| {
                let is_anew = uplink.subnets().iter().any(|net| self.gone.contains_key(net));
                let reach = if is_anew { UplinkReach::Unsteady } else { UplinkReach::Steady };
                SeenUplink { reach, ..SeenUplink::new(uplink, *carrier, now) }
            });
            if known {
                seen.list(uplink, now);
            }
        }
        for (index, seen) in &mut self.links {
            if let Some(carrier) = carriers.get(index) {
                let listed = known && uplinks.iter().any(|uplink| uplink.index == *index);
                changed |= seen.look(listed, *carrier, now);
            }
        }
        changed
    }

    /// Whether `address`, which the link `carrying` carries here, reaches its network; steady where nothing is
    /// known against it. A link in a smaller subnet around the address is its own, whether it is up or not;
    /// without any the address is nowhere.
    pub(crate) fn of(&self, carrying: Option<u32>, address: IpAddr) -> UplinkReach {
        let around = self.links.values();
        let around =
            around.filter_map(|seen| Some((seen.prefix_for(address)?, seen.reach_for(address))));
        let own = around.max_by_key(|(length, reach)| (*length, closeness(*reach)));
        let Some(index) = carrying else {
            return own.map_or(UplinkReach::Lost, |(_, reach)| reach);
        };
        let Some(seen) = self.links.get(&index) else { return UplinkReach::Steady };
        match (seen.prefix_for(address), own) {
            (Some(carried), Some((smallest, reach))) if carried < smallest => reach,
            _ => seen.reach_for(address),
        }
    }

    /// Takes note of where Egret's programs do not run, for the next look: such an uplink carries nothing. One of which
    /// that is not known yet is as one that was cut off: nobody comes to it who has another.
    /// True where the latter is something else than before, for the next look too.
    pub(crate) fn note_proofs(&mut self, proofs: &ProgramProofs) -> bool {
        for (index, seen) in &mut self.links {
            seen.passed_by = proofs.trouble(*index, &seen.last.name);
            let unproven = proofs.awaits(&seen.last);
            self.news |= seen.unproven != unproven;
            seen.unproven = unproven;
        }
        self.news
    }

    /// Takes note of which routers answer; true where that is something else than before, for the next look.
    pub(crate) fn note_routers(&mut self, routers: &RouterWatch, now: Instant) -> bool {
        for (index, seen) in &mut self.links {
            let ways = routers.ways(*index, now);
            let reaches = |ways: &BTreeMap<Family, (UplinkReach, Vec<IpAddr>)>| {
                ways.iter().map(|(family, (reach, _))| (*family, *reach)).collect::<Vec<_>>()
            };
            self.news |= reaches(&seen.routers) != reaches(&ways);
            seen.routers = ways;
        }
        self.news
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &SeenUplink> {
        self.links.values()
    }

    /// Those that are not among `uplinks` and would carry one of these addresses again, as they were.
    pub(crate) fn absent(&self, uplinks: &[HostUplink], addresses: &[IpAddr]) -> Vec<HostUplink> {
        let there = |seen: &SeenUplink| uplinks.iter().any(|its| its.index == seen.last.index);
        let absent = self.links.values().filter(|seen| !there(seen) && seen.would_carry(addresses));
        absent.map(|seen| seen.last.clone()).collect()
    }

    /// The links that would carry these addresses, by name, with their hardware addresses, which a VLAN has from its
    /// parent; and why each does not reach its network, `None` where it does.
    pub(crate) fn troubles(
        &self,
        addresses: &[IpAddr],
    ) -> BTreeMap<String, ([u8; 6], Option<String>)> {
        let carrying = self.links.values().filter(|seen| seen.would_carry(addresses));
        let trouble = |seen: &SeenUplink| {
            let why = seen.trouble(addresses).map(|(_, why)| why);
            (seen.last.name.clone(), (seen.last.mac, why))
        };
        carrying.map(trouble).collect()
    }

    /// What keeps the addresses that are `cut_off` from their networks, with the remedy: what this node's plans
    /// are `in_need` of, and then until it is mended, whatever the plans say.
    pub(crate) fn blame(
        &mut self,
        in_need: &[IpAddr],
        cut_off: &[IpAddr],
    ) -> Vec<(AgentReason, String)> {
        let mut troubles = Vec::new();
        let all = [in_need, cut_off].concat();
        for seen in self.links.values_mut() {
            let why = seen.trouble(&all);
            seen.blamed = why.is_some() && (seen.blamed || seen.would_carry(in_need));
            // That programs do not run is said by itself, whatever the plans need.
            let carries = seen.passed_by.is_none() && seen.would_carry(cut_off);
            troubles.extend(why.filter(|_| seen.blamed && carries));
        }
        let somewhere =
            |address: &&IpAddr| self.links.values().any(|its| its.would_carry(&[**address]));
        if let Some(nowhere) = in_need.iter().find(|address| !somewhere(address)) {
            let why = format!("no uplink of this node is in the subnet of {nowhere}");
            troubles.push((AgentReason::InterfaceUnusable, why));
        }
        troubles
    }
}

/// The greater, the better.
fn closeness(reach: UplinkReach) -> u8 {
    match reach {
        UplinkReach::Lost => 0,
        UplinkReach::Unsteady => 1,
        UplinkReach::Steady => 2,
    }
}

impl fmt::Display for SeenUplink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routers = self.routers.values().map(|(reach, _)| *reach);
        write!(out, "{} {:?}", self.last.name, self.with(routers))
    }
}

impl SeenUplink {
    fn new(uplink: &HostUplink, carrier: LinkCarrier, now: Instant) -> Self {
        Self {
            last: uplink.clone(),
            unlisted: None,
            former: BTreeMap::new(),
            carrier,
            passed_by: None,
            unproven: false,
            routers: BTreeMap::new(),
            reach: UplinkReach::Steady,
            since: now,
            blamed: false,
        }
    }

    /// Takes note of how it is while it can carry addresses.
    fn list(&mut self, uplink: &HostUplink, now: Instant) {
        let (before, after) = (self.last.subnets(), uplink.subnets());
        self.former.retain(|net, _| !after.contains(net));
        self.former.extend(before.difference(&after).map(|net| (*net, now)));
        self.last = uplink.clone();
    }

    /// Takes note of one look; true where it is another than before.
    fn look(&mut self, listed: bool, carrier: LinkCarrier, now: Instant) -> bool {
        let before = (self.reach, self.carrier, self.former.len());
        self.carrier = carrier;
        self.unlisted = (!listed).then(|| self.unlisted.unwrap_or(now));
        self.former.retain(|_, since| now.duration_since(*since) < RENEWAL);
        let renewed = self.unlisted.is_none_or(|since| {
            self.reach != UplinkReach::Lost && now.duration_since(since) < RENEWAL
        });
        let lasts = now.duration_since(self.since);
        let works = carrier == LinkCarrier::There && self.passed_by.is_none();
        let reach = match (works && renewed, self.reach) {
            (false, _) => UplinkReach::Lost,
            (true, UplinkReach::Lost) => UplinkReach::Unsteady,
            (true, UplinkReach::Unsteady) if lasts >= STEADY_AFTER => UplinkReach::Steady,
            (true, as_before) => as_before,
        };
        if reach != self.reach {
            (self.reach, self.since) = (reach, now);
        }
        before != (self.reach, self.carrier, self.former.len())
    }

    /// Its addresses are on other links by now.
    fn is_replaced(&self, carrier: LinkCarrier, uplinks: &[HostUplink]) -> bool {
        let others = || uplinks.iter().flat_map(HostUplink::subnets).collect::<BTreeSet<_>>();
        carrier == LinkCarrier::There
            && uplinks.iter().all(|uplink| uplink.index != self.last.index)
            && self.last.subnets().is_subset(&others())
    }

    fn subnets(&self) -> impl Iterator<Item = IpNet> {
        self.last.subnets().into_iter().chain(self.former.keys().copied())
    }

    /// The length of the smallest of its subnets that contain `address`.
    fn prefix_for(&self, address: IpAddr) -> Option<u8> {
        let around = self.subnets().filter(|net| net.contains(&address));
        around.map(|net| net.prefix_len()).max()
    }

    /// Whether one of these is in a subnet of it.
    fn would_carry(&self, addresses: &[IpAddr]) -> bool {
        addresses.iter().any(|address| self.prefix_for(*address).is_some())
    }

    fn reach_for(&self, address: IpAddr) -> UplinkReach {
        let by_router = self.routers.get(&Family::of(address)).map(|(reach, _)| *reach);
        self.with(by_router.into_iter())
    }

    /// The least of its own and these.
    fn with(&self, routers: impl Iterator<Item = UplinkReach>) -> UplinkReach {
        let unproven = self.unproven.then_some(UplinkReach::Unsteady);
        let all = routers.chain(unproven).chain([self.reach]);
        all.min_by_key(|reach| closeness(*reach)).unwrap_or(self.reach)
    }

    /// Why these addresses do not reach their network there, with the remedy.
    fn trouble(&self, addresses: &[IpAddr]) -> Option<(AgentReason, String)> {
        let of_link = self.link_trouble().map(|why| (AgentReason::InterfaceUnusable, why));
        of_link.or_else(|| Some((AgentReason::RouterSilent, self.router_trouble(addresses)?)))
    }

    fn router_trouble(&self, addresses: &[IpAddr]) -> Option<String> {
        let carried = addresses.iter().filter(|address| self.prefix_for(**address).is_some());
        let families: BTreeSet<Family> = carried.map(|address| Family::of(*address)).collect();
        let (_, (_, silent)) = self
            .routers
            .iter()
            .find(|(family, way)| families.contains(family) && way.0 == UplinkReach::Lost)?;
        let silent: Vec<String> = silent.iter().map(ToString::to_string).collect();
        let (name, silent) = (&self.last.name, silent.join(", "));
        Some(format!(
            "the router of {name} ({silent}) answers no question any more, and what leaves there is lost: look at \
             the router, and at what is between it and {name}"
        ))
    }

    /// Why it carries nothing, with the remedy.
    fn link_trouble(&self) -> Option<String> {
        let name = &self.last.name;
        if let Some(why) = &self.passed_by {
            return Some(why.clone());
        }
        let why = match self.carrier {
            LinkCarrier::Missing => format!(
                "{name} has no carrier: look at its cable, the switch's port, its VLAN's parent"
            ),
            LinkCarrier::Down => format!("{name} is down: ip link set {name} up"),
            LinkCarrier::There => {
                let subnets = self.last.subnets();
                let subnets: Vec<String> = subnets.iter().map(ToString::to_string).collect();
                format!(
                    "{name} has lost its address or its way out: give it one in {}, and its route",
                    subnets.join(", ")
                )
            }
        };
        (self.reach == UplinkReach::Lost).then_some(why)
    }
}
