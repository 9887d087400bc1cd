use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, UdpSocket};
use std::rc::Rc;

use egret_core::lease::BootTime;
use egret_peers::Identity;
use egret_ports::error::PortError;
use egret_ports::gateway::AddressEntry;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::super::address_probe::DueProbes;
use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 17));
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// After everything that is due.
const LATER: BootTime = BootTime(u64::MAX / 2);

/// What was written last: egress addresses, and this host's own.
#[derive(Default)]
struct KeptMap(BTreeMap<IpAddr, AddressEntry>, BTreeSet<IpAddr>);

impl AddressMap for KeptMap {
    fn put(&mut self, address: IpAddr, entry: &AddressEntry) -> Result<(), PortError> {
        self.0.insert(address, entry.clone());
        Ok(())
    }

    fn remove(&mut self, address: IpAddr) -> Result<(), PortError> {
        self.0.remove(&address);
        Ok(())
    }

    fn set_host(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), PortError> {
        self.1 = addresses.iter().copied().filter(|own| !self.0.contains_key(own)).collect();
        Ok(())
    }

    fn entries(&mut self) -> Result<BTreeMap<IpAddr, AddressEntry>, PortError> {
        Ok(self.0.clone())
    }
}

/// Hears what the test says. A clone has the same ears.
#[derive(Clone, Default)]
struct Ears(Rc<RefCell<Vec<ForeignClaim>>>);

impl Ears {
    fn hear_probe(&self) {
        self.hear(OTHER, true);
    }

    fn hear(&self, mac: [u8; 6], probes: bool) {
        self.0.borrow_mut().push(ForeignClaim { address: ADDRESS, mac, probes });
    }
}

impl Announcer for Ears {
    fn announce(
        &mut self,
        _: IpAddr,
        _: AnnouncementForm,
        _: &UplinkLink,
    ) -> Result<(), PortError> {
        Ok(())
    }

    fn probe(&mut self, _: IpAddr, _: &UplinkLink) -> Result<(), PortError> {
        Ok(())
    }

    fn conflicts(&mut self) -> Result<Vec<ForeignClaim>, PortError> {
        Ok(self.0.take())
    }

    fn listen(&mut self, _: IpAddr, _: &UplinkLink) -> Result<(), PortError> {
        Ok(())
    }

    fn forget(&mut self, _: IpAddr) -> Result<(), PortError> {
        Ok(())
    }
}

/// The hands of node `me`, and its ears.
fn hands() -> (KernelEffects<KeptMap, Ears>, Ears, tempfile::TempDir) {
    let (ears, events) = (Ears::default(), unbounded_channel().0);
    let (hands, directory) = hands_with(ears.clone(), events);
    (hands, ears, directory)
}

fn hands_and_events()
-> (KernelEffects<KeptMap, Ears>, tempfile::TempDir, UnboundedReceiver<LeaseEvent>) {
    let (sender, events) = unbounded_channel();
    let (hands, directory) = hands_with(Ears::default(), sender);
    (hands, directory, events)
}

fn hands_with(
    announcer: Ears,
    events: UnboundedSender<LeaseEvent>,
) -> (KernelEffects<KeptMap, Ears>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::open(&directory.path().join("identity")).unwrap();
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let ports = LeasePorts {
        endpoint: Endpoint::bind(&loopback, 0, identity, "me".into()).unwrap(),
        map: KeptMap::default(),
        announcer,
        persisted: PersistedLeaseFile::new(directory.path()),
    };
    (KernelEffects::new("me".into(), ports, events), directory)
}

fn kernel(state: AddressState, holder: Option<&str>) -> Effect {
    let valid_until = Some(LATER);
    Effect::Kernel { address: ADDRESS, state, holder: holder.map(Into::into), valid_until }
}

#[test]
fn who_holds_it_no_longer_probes_no_longer() {
    for (state, holder) in [
        (AddressState::Standby, None),
        (AddressState::Standby, Some("other")),
        (AddressState::Leaving, Some("other")),
    ] {
        let (mut hands, ..) = hands();
        let begun =
            vec![kernel(AddressState::Coming, Some("me")), Effect::Probe { address: ADDRESS }];
        hands.carry_out(begun).unwrap();
        // Who is kept off holds it all the same, and looks again.
        hands.carry_out(vec![kernel(AddressState::Standby, Some("me"))]).unwrap();
        assert_eq!(hands.probes.due(now().boot), [DueProbes::Send(ADDRESS)]);
        hands.carry_out(vec![kernel(state, holder)]).unwrap();
        assert_eq!(hands.probes.due(LATER), [], "{state:?}, held by {holder:?}");
    }
}

#[test]
fn what_was_heard_before_the_first_probe_answers_none() {
    let (mut hands, ears, _directory) = hands();
    ears.hear_probe();
    hands.carry_out(vec![kernel(AddressState::Coming, Some("me"))]).unwrap();
    hands.carry_out(vec![Effect::Probe { address: ADDRESS }]).unwrap();
    hands.take_in_conflict();
    let due = hands.probes.due(now().boot);
    assert_eq!(due, [DueProbes::Send(ADDRESS)], "the former holder's last probe");
    ears.hear_probe();
    hands.take_in_conflict();
    let over = DueProbes::Done { address: ADDRESS, conflict: true };
    assert_eq!(hands.probes.due(LATER), [over], "another host's, at the same time");
}

#[test]
fn what_has_no_uplink_is_not_found_free() {
    let (mut hands, ..) = hands();
    hands.carry_out(vec![Effect::Probe { address: ADDRESS }]).unwrap();
    for _ in 0..9 {
        let due = hands.probes.due(LATER);
        assert_eq!(due, [DueProbes::Send(ADDRESS)], "again and again");
        hands.send_probe(ADDRESS);
    }
}

/// As the holder of its own pods' address, and as a voter: only where it listens has changed.
#[test]
fn another_address_of_this_node_is_in_the_entries_at_once() {
    let (mut hands, ..) = hands();
    let (own, other) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::from([127, 0, 0, 2]));
    // The store still says where the node was, before and after.
    let update = || {
        let at = |last| vec![IpAddr::from([192, 0, 2, last])];
        let endpoints = [("me".into(), at(9)), ("other".into(), at(2))].into();
        PlanUpdate { endpoints, ..PlanUpdate::default() }
    };
    hands.adopt(update());
    hands.carry_out(vec![kernel(AddressState::Held, Some("me"))]).unwrap();
    assert_eq!(hands.ports.map.0[&ADDRESS].holder, Some(own));
    hands.listen(vec![other]);
    assert_eq!(hands.ports.map.0[&ADDRESS].holder, Some(other));
    assert_eq!(hands.ports.endpoint.addresses(), [other]);
    hands.adopt(update());
    assert_eq!(hands.ports.map.0[&ADDRESS].holder, Some(other));
}

/// A foreign socket, or no file descriptor left: no reason to end.
#[test]
fn what_cannot_be_listened_on_is_tried_again() {
    let (mut hands, _directory, mut events) = hands_and_events();
    let (own, other) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::from([127, 0, 0, 2]));
    let mut said = || match events.try_recv() {
        Ok(LeaseEvent::Listening(result)) => Some(result),
        Ok(other) => panic!("{other:?}"),
        Err(_) => None,
    };
    hands.carry_out(vec![kernel(AddressState::Held, Some("me"))]).unwrap();
    let port = hands.ports.endpoint.local_addresses().unwrap()[0].port();
    let taken = UdpSocket::bind((other, port)).unwrap();
    hands.listen(vec![other]);
    assert_eq!(hands.ports.map.0[&ADDRESS].holder, Some(other), "the tunnel ends there");
    assert_eq!(hands.ports.endpoint.addresses(), [own]);
    let why = said().unwrap().unwrap_err();
    assert!(why.contains("127.0.0.2"), "{why}");
    hands.listen_again(LATER);
    assert_eq!(said(), None, "once");
    drop(taken);
    hands.listen_again(BootTime(0));
    assert_eq!(hands.ports.endpoint.addresses(), [own], "not in every turn");
    hands.listen_again(BootTime(u64::MAX));
    assert_eq!(hands.ports.endpoint.addresses(), [other]);
    assert_eq!(said(), Some(Ok(())));
}

fn dead(mac: [u8; 6]) -> BTreeMap<IpAddr, BTreeSet<[u8; 6]>> {
    [(ADDRESS, [mac].into())].into()
}

/// ARP suppression (RFC 9161) answers for a host that is off, with its hardware address.
#[test]
fn what_answers_with_a_dead_nodes_hardware_address_keeps_nobody_off() {
    const DEAD: [u8; 6] = [2, 0, 0, 0, 0, 1];
    for (state, mac, conflict) in [
        (AddressState::Coming, DEAD, false),
        (AddressState::Coming, OTHER, true),
        // Kept off, and looking again.
        (AddressState::Standby, DEAD, false),
        (AddressState::Standby, OTHER, true),
    ] {
        let (mut hands, ears, _directory) = hands();
        hands.adopt(PlanUpdate { harmless: dead(DEAD), ..PlanUpdate::default() });
        hands.carry_out(vec![kernel(state, Some("me"))]).unwrap();
        hands.carry_out(vec![Effect::Probe { address: ADDRESS }]).unwrap();
        let mut over = None;
        while let Some(at) = hands.probes.next_wakeup() {
            ears.hear(mac, false);
            hands.take_in_conflict();
            for due in hands.probes.due(at.max(now().boot)) {
                if let DueProbes::Done { conflict, .. } = due {
                    over = Some(conflict);
                }
            }
        }
        assert_eq!(over, Some(conflict), "{state:?} {mac:?}");
    }
}

/// A node of the cluster answers before its agent has said that it has the address.
#[test]
fn who_answered_before_it_was_known_that_it_is_harmless_is_explained_once_that_is_known() {
    for (others, explained) in [(false, vec![ADDRESS]), (true, vec![])] {
        let (mut hands, ears, _directory) = hands();
        hands.carry_out(vec![kernel(AddressState::Coming, Some("me"))]).unwrap();
        hands.carry_out(vec![Effect::Probe { address: ADDRESS }]).unwrap();
        ears.hear(OTHER, false);
        if others {
            ears.hear([2, 0, 0, 0, 0, 7], false);
        }
        hands.take_in_conflict();
        let over = DueProbes::Done { address: ADDRESS, conflict: true };
        assert_eq!(hands.probes.due(LATER), [over]);
        assert!(hands.take_explained().is_empty(), "who is it?");
        hands.adopt(PlanUpdate { harmless: dead(OTHER), ..PlanUpdate::default() });
        assert_eq!(hands.take_explained(), explained);
    }
}

/// It is alive after all: who holds the address says so.
#[test]
fn a_dead_node_that_claims_what_is_held_is_in_conflict() {
    let (mut hands, ears, _directory) = hands();
    hands.adopt(PlanUpdate { harmless: dead(OTHER), ..PlanUpdate::default() });
    hands.carry_out(vec![kernel(AddressState::Held, Some("me"))]).unwrap();
    ears.hear(OTHER, false);
    assert_eq!(hands.take_in_conflict(), [ADDRESS].into());
}

#[test]
fn an_address_of_the_host_is_programmed_as_such_while_it_is_no_egress_address() {
    let (mut hands, ..) = hands();
    let own = BTreeSet::from([ADDRESS]);
    hands.adopt(PlanUpdate { host: own.clone(), ..PlanUpdate::default() });
    assert_eq!(hands.ports.map.1, own);
    hands.carry_out(vec![kernel(AddressState::Standby, None)]).unwrap();
    hands.adopt(PlanUpdate::default());
    assert!(hands.ports.map.1.is_empty() && hands.ports.map.0.contains_key(&ADDRESS));
    // Its entry may end after the plan that no longer has it.
    hands.adopt(PlanUpdate { host: own.clone(), ..PlanUpdate::default() });
    hands.carry_out(vec![Effect::Forget { address: ADDRESS }]).unwrap();
    assert_eq!(hands.ports.map.1, own);
}
