//! From the machine's word on an address to the entry that the BPF programs read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::lease::{AddressState, BootTime};
use egret_core::model::NodeName;
use egret_core::tunnel_network::reached_by;
use egret_ports::gateway::{AddressEntry, HostPart};

use super::PlanUpdate;

/// The last word of the machine on one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapEntry {
    pub(crate) state: AddressState,
    pub(crate) holder: Option<NodeName>,
    pub(crate) valid_until: Option<BootTime>,
}

/// What the programs read of `entry`. A holder whose endpoint is unknown counts as none: dropped and
/// counted rather than sent to a guess.
pub(crate) fn address_entry(
    address: IpAddr,
    entry: &MapEntry,
    me: &NodeName,
    update: &PlanUpdate,
) -> AddressEntry {
    let link = update.links.get(&address).copied().unwrap_or_default();
    AddressEntry {
        state: entry.state,
        holder: entry.holder.as_ref().and_then(|holder| endpoint(holder, me, &update.endpoints)),
        valid_until: entry.valid_until,
        wire: link.wire,
        uplink: link.uplink,
        host: host_part(address, update),
    }
}

/// What no gateway answers for stays the host's own where it is on an interface.
fn host_part(address: IpAddr, update: &PlanUpdate) -> HostPart {
    match update.local.contains(&address) {
        false => HostPart::Nothing,
        true if update.is_answered_for(address) => HostPart::Packets,
        true => HostPart::All,
    }
}

/// The endpoint of `node` by which this one reaches it.
pub(crate) fn endpoint(
    node: &NodeName,
    me: &NodeName,
    endpoints: &BTreeMap<NodeName, Vec<IpAddr>>,
) -> Option<IpAddr> {
    reached_by(endpoints.get(me)?, endpoints.get(node)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use egret_core::lease::AddressView;
    use egret_core::model::{AnnouncementForm, Millis};

    use super::*;

    #[test]
    fn the_holders_endpoint_is_of_a_family_that_we_have() {
        let v4: IpAddr = "203.0.113.101".parse().unwrap();
        let v6: IpAddr = "2001:db8:5::101".parse().unwrap();
        let other: IpAddr = "203.0.113.102".parse().unwrap();
        let endpoints = BTreeMap::from([
            (NodeName::from("a"), vec![v4, v6]),
            (NodeName::from("b"), vec!["2001:db8:5::102".parse().unwrap(), other]),
            (NodeName::from("six"), vec![v6]),
            (NodeName::from("four"), vec![v4]),
        ]);
        let of = |node: &str, me: &str| endpoint(&node.into(), &me.into(), &endpoints);
        assert_eq!(of("b", "a"), Some(other));
        assert_eq!(of("six", "a"), Some(v6), "the only one that it has");
        assert_eq!(of("four", "six"), None);
        assert_eq!(of("a", "six"), Some(v6));
        assert_eq!(of("gone", "a"), None);
    }

    #[test]
    fn what_nobody_has_answered_for_stays_the_hosts_own() {
        let address: IpAddr = "203.0.113.17".parse().unwrap();
        let mut update = PlanUpdate::default();
        assert_eq!(host_part(address, &update), HostPart::Nothing);
        update.local.insert(address);
        assert_eq!(host_part(address, &update), HostPart::All);
        assert!(PlanUpdate::default().lacks_of_entries(&update));
        let mut held = update.clone();
        held.view.addresses.insert(address, answered_for());
        assert_eq!(host_part(address, &held), HostPart::Packets);
        assert!(update.lacks_of_entries(&held) && !held.lacks_of_entries(&held.clone()));
        // Nobody answers any more, whatever its last holder has written.
        let mut revoked = held.clone();
        let ended = AddressView { revoked: true, ..answered_for() };
        revoked.view.addresses.insert(address, ended);
        assert_eq!(host_part(address, &revoked), HostPart::All);
        assert!(held.lacks_of_entries(&revoked));
    }

    fn answered_for() -> AddressView {
        AddressView {
            owner: None,
            standbys: Vec::new(),
            fence: 1,
            lease: Millis(450),
            made_for: None,
            holding: None,
            probed: true,
            revoked: false,
            paused: false,
            no_deadline: false,
            attached: None,
            announces: true,
            directors: BTreeSet::new(),
            gateways: BTreeSet::new(),
            announcement: AnnouncementForm::ArpNdp,
            accepted: None,
            foreign_host: false,
            on_interface: false,
            was_held: false,
            reach: Default::default(),
        }
    }
}
