//! The links that may be uplinks, as far as it takes to tell which notices matter: a node has a
//! notice or more per pod, and one that speaks BGP many a second.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use egret_core::model::Family;
use netlink_packet_route::address::{AddressMessage, AddressScope};

use crate::netlink::RouteNetlink;
use crate::netlink::link::LinkRecord;
use crate::netlink::way::{MAIN_TABLE, RouteHop};

/// Name, up and carrier, MTU and MAC address.
type LinkState = (String, (bool, bool), u32, Option<[u8; 6]>);

/// Links with an address of global scope.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Each as last seen; `None` where only its address has been.
    links: BTreeMap<u32, Option<LinkState>>,
    /// Where a default route is known to leave: routes to parts of the world do not matter there.
    defaults: BTreeSet<(u32, Family)>,
}

impl Candidates {
    pub(super) fn read(netlink: &mut RouteNetlink) -> io::Result<Self> {
        let mut read = Self::default();
        for address in netlink.addresses()?.into_iter().filter(|address| address.global) {
            read.links.insert(address.index, None);
        }
        for link in netlink.links()? {
            read.link(link);
        }
        for family in [Family::IPv4, Family::IPv6] {
            let ways = netlink.default_ways(family, MAIN_TABLE)?;
            read.defaults.extend(ways.iter().map(|way| (way.device, family)));
        }
        Ok(read)
    }

    /// An address was added or removed.
    pub(super) fn address(&mut self, message: &AddressMessage) -> bool {
        if message.header.scope != AddressScope::Universe {
            return false;
        }
        self.links.entry(message.header.index).or_default();
        true
    }

    /// A link was changed, or may have been.
    pub(super) fn link(&mut self, link: LinkRecord) -> bool {
        let Some(seen) = self.links.get_mut(&link.index) else { return false };
        if !link.up {
            // IPv4 routes go with it, and nothing says so (fib_table_flush in net/ipv4/fib_trie.c).
            self.defaults.retain(|(index, _)| *index != link.index);
        }
        let now = (link.name, (link.up, link.carrier), link.mtu, link.mac);
        let changed = seen.as_ref() != Some(&now);
        *seen = Some(now);
        changed
    }

    /// Whether it is one of them.
    pub(super) fn has(&self, index: u32) -> bool {
        self.links.contains_key(&index)
    }

    /// A link is gone.
    pub(super) fn gone(&mut self, index: u32) -> bool {
        self.defaults.retain(|(other, _)| *other != index);
        self.links.remove(&index).is_some()
    }

    /// A route was added or removed: a default one counts in any table; one to a part of the world
    /// where it names a gateway and its link has no default route.
    pub(super) fn ways(&mut self, family: Family, ways: &[RouteHop], added: bool) -> bool {
        let mut matters = false;
        for way in ways {
            let here = (way.device, family);
            if way.length > 0 {
                matters |= way.gateway.is_some()
                    && self.links.contains_key(&way.device)
                    && !self.defaults.contains(&here);
                continue;
            }
            matters = true;
            // Another one may be left: then more matters than need be.
            if added {
                self.defaults.insert(here);
            } else {
                self.defaults.remove(&here);
            }
        }
        matters
    }
}
