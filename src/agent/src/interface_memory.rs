//! What the main loop remembers of a cloud's interfaces between looks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use crate::interface_config::NamedInterfaces;
use crate::interface_health::InterfaceHealth;
use crate::interface_history::InterfaceHistory;
use crate::program_proofs::ProgramProofs;
use crate::router_watch::{KeptRouters, RouterWatch};
use crate::uplink_reach::UplinkReaches;

/// What is remembered of interfaces.
#[derive(Debug, Default)]
pub(crate) struct InterfaceMemory {
    pub named: NamedInterfaces,
    /// Those of them that the cloud names now.
    pub wanted: BTreeSet<[u8; 6]>,
    /// When each was first seen, by index.
    pub seen: BTreeMap<u32, Instant>,
    /// Those that are there.
    pub present: BTreeSet<[u8; 6]>,
    pub history: InterfaceHistory,
    pub health: InterfaceHealth,
    /// The same of the uplinks that no cloud names, by name: VLANs share a hardware address.
    pub uplink_health: InterfaceHealth<String>,
    /// Whose hardware address each of those has.
    pub uplink_macs: BTreeMap<String, [u8; 6]>,
    pub reaches: UplinkReaches,
    pub proofs: ProgramProofs,
    pub routers: RouterWatch,
    pub restless: bool,
    /// What an earlier process has said was taken over.
    pub recalled: bool,
    /// A timer for an address of this node's that is missing is under way.
    pub endpoint_timer: bool,
    /// Where this node was last told to listen.
    pub heard: Vec<IpAddr>,
    /// Why this node listens on none of its new addresses.
    pub not_listening: Option<String>,
}

impl InterfaceMemory {
    /// Whether it is worth another look soon.
    pub(crate) fn is_restless(&self) -> bool {
        self.restless || self.health.changes() || self.uplink_health.changes()
    }

    /// Goes on with what an earlier process knew of the routers, from the first word to the lease thread on: else
    /// a restart would offer this node as one of which nothing bad is known.
    pub(crate) fn recall_routers(&mut self, kept: Vec<KeptRouters>, now: Instant) {
        self.routers.recall(kept, now);
        self.reaches.note_routers(&self.routers, now);
    }

    /// Takes note of how the uplinks are that no cloud names and that would carry these addresses.
    pub(crate) fn note_uplinks(&mut self, addresses: &[IpAddr], now: Instant) {
        // What a cloud no longer names is no uplink any more either, and nothing is wrong with it.
        let mut troubles = self.reaches.troubles(addresses);
        troubles.retain(|_, (mac, _)| !self.named.contains_key(mac));
        for (name, (_, why)) in &troubles {
            self.uplink_health.note(name.clone(), why.as_deref(), now);
        }
        self.uplink_health.keep(|name| troubles.contains_key(name));
        self.uplink_macs = troubles.into_iter().map(|(name, (mac, _))| (name, mac)).collect();
    }

    /// What is said of interfaces: of hardware addresses with which none works, and by name of uplinks beside which
    /// another with the same hardware address does.
    pub(crate) fn all_said(&self) -> (BTreeMap<[u8; 6], &str>, BTreeMap<&str, &str>) {
        let mut by_mac: BTreeMap<_, _> =
            self.health.all_said().map(|(mac, why)| (*mac, why)).collect();
        let mut by_name = BTreeMap::new();
        for (name, why) in self.uplink_health.all_said() {
            let Some(mac) = self.uplink_macs.get(name) else { continue };
            let beside = self.uplink_macs.iter().filter(|(_, its)| *its == mac);
            if beside.map(|(other, _)| other).all(|other| self.uplink_health.said(other).is_some())
            {
                by_mac.insert(*mac, why);
            } else {
                by_name.insert(name.as_str(), why);
            }
        }
        (by_mac, by_name)
    }

    /// Takes over what an earlier process has said of an uplink that no cloud names.
    pub(crate) fn recall_uplink(&mut self, (name, mac): (&str, [u8; 6]), why: &str, now: Instant) {
        self.uplink_health.recall(name.to_owned(), why, now);
        self.uplink_macs.insert(name.to_owned(), mac);
    }

    /// What the cloud names now, and what it named while that cannot carry addresses: else its trouble
    /// would be over as soon as nothing is to be delivered there any more, and addresses come back. One
    /// that is gone is forgotten when the cloud names another, or after a while.
    pub(crate) fn with_unusable(&self, mut named: NamedInterfaces) -> NamedInterfaces {
        let others = !named.is_empty();
        let kept = self.health.all_said().map(|(mac, _)| mac);
        for mac in kept.filter(|mac| !others || self.present.contains(*mac)) {
            // What an earlier process has said is not among them.
            let interface = || self.named.get(mac).cloned().unwrap_or_default();
            named.entry(*mac).or_insert_with(interface);
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use egret_core::lease::UplinkReach;
    use egret_core::model::Family;
    use egret_datapath::host::LinkCarrier;

    use super::*;
    use crate::testing::uplink;

    #[test]
    fn a_dead_vlan_is_told_from_its_parent_until_both_are_dead() {
        let (mut memory, begun) = (InterfaceMemory::default(), Instant::now());
        let parent = uplink(3, &["203.0.113.11/24"]);
        let mut vlan = uplink(4, &["198.51.100.11/24"]);
        vlan.mac = parent.mac;
        let mac = parent.mac;
        let addresses =
            ["203.0.113.17", "198.51.100.17"].map(|text| text.parse::<IpAddr>().unwrap());
        let uplinks = [parent, vlan];
        let mut said = |at: u64, parent: LinkCarrier| {
            let carriers = [(3, parent), (4, LinkCarrier::Missing)].into();
            for later in [at, at + 10] {
                let now = begun + Duration::from_secs(later);
                memory.reaches.note((&uplinks, true), &carriers, now);
                memory.note_uplinks(&addresses, now);
            }
            let (by_mac, by_name) = memory.all_said();
            (by_mac.into_keys().collect(), by_name.keys().map(ToString::to_string).collect())
        };
        let alone: (Vec<[u8; 6]>, Vec<String>) = (Vec::new(), vec!["eth4".to_owned()]);
        assert_eq!(said(0, LinkCarrier::There), alone);
        assert_eq!(said(20, LinkCarrier::Missing), (vec![mac], Vec::new()), "as to older readers");
    }

    /// A router that is silent before the agent's restart, and still is.
    #[test]
    fn an_agent_that_begins_anew_offers_no_way_by_a_silent_router() {
        let begun = Instant::now();
        let kept = serde_json::json!([{
            "link": 3, "family": Family::IPv4, "inDoubt": {"203.0.113.1": true}, "silent": true, "again": false,
        }]);
        let (uplinks, address) =
            ([uplink(3, &["203.0.113.11/24"])], "203.0.113.17".parse().unwrap());
        let reach = |kept| {
            let mut memory = InterfaceMemory::default();
            memory.reaches.note((&uplinks, true), &[(3, LinkCarrier::There)].into(), begun);
            memory.recall_routers(kept, begun);
            memory.reaches.of(Some(3), address)
        };
        assert_eq!(reach(serde_json::from_value(kept).unwrap()), UplinkReach::Lost);
        assert_eq!(reach(Vec::new()), UplinkReach::Steady, "of an older version");
    }

    #[test]
    fn what_is_said_of_an_uplink_is_taken_back_when_a_cloud_names_it_or_nothing_needs_it() {
        let (mut memory, begun) = (InterfaceMemory::default(), Instant::now());
        let (uplinks, needed) =
            ([uplink(3, &["203.0.113.11/24"])], ["203.0.113.17".parse().unwrap()]);
        memory.reaches.note((&uplinks, true), &[(3, LinkCarrier::Missing)].into(), begun);
        let said = |memory: &mut InterfaceMemory, addresses: &[IpAddr]| {
            for later in [0, 10] {
                memory.note_uplinks(addresses, begun + Duration::from_secs(later));
            }
            memory.uplink_health.all_said().count()
        };
        assert_eq!(said(&mut memory, &needed), 1);
        assert_eq!(said(&mut memory, &[]), 0);
        assert_eq!(said(&mut memory, &needed), 1);
        memory.named.entry(uplinks[0].mac).or_default();
        assert_eq!(said(&mut memory, &needed), 0);
    }
}
