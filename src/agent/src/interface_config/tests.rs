use egret_datapath::interface::InterfaceAddress;

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
const OWN: &str = "10.0.1.201/24";

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn named(own: Option<&str>) -> NamedInterface {
    NamedInterface {
        id: Some("eni-0a1b2c".to_owned()),
        own: own.map(net),
        router: Some(ip("10.0.1.1")),
        carries_v6: false,
    }
}

/// An address is Egret's where it begins with an `e`.
fn found(up: bool, addresses: &[&str], manager: Option<LinkManager>) -> FoundInterface {
    let address = |text: &&str| InterfaceAddress {
        address: net(text.trim_start_matches('e')),
        ours: text.starts_with('e'),
    };
    let addresses = addresses.iter().map(address).collect();
    FoundInterface { name: "eth1".to_owned(), index: 3, mac: MAC, up, addresses, manager }
}

fn uplink(mac: [u8; 6], own: &str) -> HostUplink {
    HostUplink { mac, ..crate::testing::uplink(3, &[own]) }
}

/// Where Egret chooses the uplinks.
fn host<'a>(uplinks: &'a [HostUplink], placed: &'a PlacedAddresses) -> HostView<'a> {
    HostView { uplinks, chosen: &[], placed }
}

fn past(settled: bool) -> Past {
    Past { settled, ..Past::default() }
}

/// For an interface that is not among the uplinks.
fn decided(found: &FoundInterface, settled: bool) -> InterfaceDecision {
    let placed = PlacedAddresses::from([(ip("10.0.1.66"), ip("203.0.113.17"))]);
    decide((&MAC, &named(Some(OWN))), Some(found), host(&[], &placed), past(settled))
}

/// What is said, which names the interface in the cloud's words and in the host's.
fn trouble(decision: InterfaceDecision) -> (AgentReason, String) {
    let InterfaceDecision::Unusable { reason, message } = decision else { panic!("{decision:?}") };
    assert!(message.starts_with("eni-0a1b2c with 02:00:00:00:00:03 "), "{message}");
    (reason, message)
}

#[test]
fn what_is_nobodys_is_configured_once_it_has_been_there_for_a_while() {
    let configure = InterfaceDecision::Configure("10.0.1.201/24".parse().unwrap());
    let (own, wrong) = (format!("e{OWN}"), "e10.0.1.201/25");
    // With a secondary address that a tool has put there, which is taken back.
    let cases: [(bool, &[&str]); 5] =
        [(false, &[]), (true, &[]), (false, &[&own]), (true, &[wrong]), (false, &["10.0.1.66/32"])];
    for (up, addresses) in cases {
        let found = found(up, addresses, None);
        assert_eq!(decided(&found, true), configure, "{up} {addresses:?}");
        assert_eq!(decided(&found, false), InterfaceDecision::Wait, "{up} {addresses:?}");
    }
    let done = found(true, &[&own, "10.0.1.66/32"], None);
    let placed = PlacedAddresses::from([(ip("10.0.1.66"), ip("203.0.113.17"))]);
    let uplinks = [uplink(MAC, OWN)];
    let usable =
        decide((&MAC, &named(Some(OWN))), Some(&done), host(&uplinks, &placed), past(false));
    assert_eq!(usable, InterfaceDecision::Usable);
    let (_, message) = trouble(decided(&done, true));
    assert!(message.contains("add --uplink=eth1"), "{message}");
}

/// Whether it is up, its addresses, who manages it; and parts of what is said.
type LackingCase<'a> = (bool, &'a [&'a str], Option<LinkManager>, &'a [&'a str]);

#[test]
fn what_somebody_else_configures_is_left_alone_and_named_where_it_is_no_good() {
    use LinkManager::{NetworkManager, Networkd, Stacked};
    let lacking: [LackingCase<'_>; 6] = [
        (false, &[], Some(Networkd), &["is down", "systemd-networkd", OWN, "Unmanaged=yes"]),
        (true, &[], Some(Networkd), &["has no address", "networkctl reload"]),
        (false, &[OWN], Some(NetworkManager), &["is down", "nmcli device set eth1 managed no"]),
        (true, &[], Some(NetworkManager), &["has no address", OWN]),
        (false, &[], Some(Stacked), &["is down", "bond or bridge", OWN]),
        (false, &["192.0.2.7/24"], None, &["is down", "192.0.2.7/24", "ip link set eth1 up"]),
    ];
    for (up, addresses, manager, parts) in lacking {
        let (reason, message) = trouble(decided(&found(up, addresses, manager), true));
        assert_eq!(reason, AgentReason::InterfaceUnusable);
        assert!(message.contains("(eth1)"), "{message}");
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn what_somebody_else_has_configured_is_usable_where_it_is_an_uplink() {
    let placed = PlacedAddresses::new();
    for manager in [None, Some(LinkManager::Networkd), Some(LinkManager::NetworkManager)] {
        let found = found(true, &[OWN], manager);
        let with = |uplinks: &[HostUplink]| {
            decide((&MAC, &named(Some(OWN))), Some(&found), host(uplinks, &placed), past(true))
        };
        assert_eq!(with(&[uplink(MAC, OWN)]), InterfaceDecision::Usable);
        // --uplink names others.
        let (reason, message) = trouble(with(&[uplink([2, 0, 0, 0, 0, 2], "10.0.1.20/24")]));
        assert_eq!(reason, AgentReason::InterfaceNotFound);
        assert!(message.contains("add --uplink=eth1"), "{message}");
    }
    // A bond over it has its address, and a hardware address of its own or not.
    let below = found(true, &[], Some(LinkManager::Stacked));
    let bond = [uplink([2, 0, 0, 0, 0, 9], OWN)];
    let named = named(Some(OWN));
    assert_eq!(
        decide((&MAC, &named), Some(&below), host(&bond, &placed), past(true)),
        InterfaceDecision::Usable
    );
    assert_eq!(
        decide((&MAC, &named), None, host(&bond, &placed), past(true)),
        InterfaceDecision::Usable
    );
}

#[test]
fn what_others_have_left_or_fight_for_or_nobody_chose_is_not_configured() {
    let placed = PlacedAddresses::new();
    let bare = found(false, &[], None);
    let chosen = ["eth0".to_owned()];
    let settled = past(true);
    let free = HostView { chosen: &[], ..host(&[], &placed) };
    for (view, past, part) in [
        (free, Past { others: true, ..settled }, "restart this node's agent"),
        (free, Past { contested: true, ..settled }, "again and again: find what changes it"),
        (HostView { chosen: &chosen, ..free }, settled, "add --uplink=eth1"),
    ] {
        let (_, message) = trouble(decide((&MAC, &named(Some(OWN))), Some(&bare), view, past));
        assert!(message.contains(part), "{message}");
    }
    // Its address is on a bond above, with a hardware address of its own.
    let bond = [HostUplink { index: 9, ..uplink([2, 0, 0, 0, 0, 9], OWN) }];
    let above = decide((&MAC, &named(Some(OWN))), Some(&bare), host(&bond, &placed), settled);
    assert_eq!(above, InterfaceDecision::Usable);
}

#[test]
fn what_is_missing_or_of_an_older_controller_is_said_with_a_remedy() {
    let placed = PlacedAddresses::new();
    let gone = decide((&MAC, &named(Some(OWN))), None, host(&[], &placed), past(true));
    let (reason, message) = trouble(gone);
    assert_eq!(reason, AgentReason::InterfaceNotFound);
    assert!(message.contains("is not there: attach it"), "{message}");
    let bare = found(false, &[], None);
    let (reason, message) =
        trouble(decide((&MAC, &named(None)), Some(&bare), host(&[], &placed), past(true)));
    assert_eq!(reason, AgentReason::InterfaceUnusable);
    assert!(message.contains("older than the agent"), "{message}");
    let judged = |answers| judge_router((&MAC, &named(Some(OWN))), ip("10.0.1.1"), answers);
    assert_eq!(judged(Some(true)), InterfaceDecision::Usable);
    assert_eq!(judged(None), InterfaceDecision::Wait, "a failed question is no answer");
    let silent = judged(Some(false));
    let (reason, message) = trouble(silent);
    assert_eq!(reason, AgentReason::RouterSilent);
    assert!(message.contains("no answer from its router 10.0.1.1"), "{message}");
}

#[test]
fn an_interface_is_named_by_whatever_is_delivered_or_would_be() {
    let at = |mac: &str| Attachment {
        mac: Some(mac.to_owned()),
        interface: Some("eni-0a1b2c".to_owned()),
        primary_address: Some(net(OWN)),
        ..Attachment::at("node-1".into())
    };
    let first = Attachment { next_hop: Some(ip("10.0.1.1")), ..at("02:00:00:00:00:03") };
    let sixth = at("02:00:00:00:00:03");
    let nameless = Attachment::at("node-1".into());
    let all = [
        (ip("2001:db8::17"), &sixth),
        (ip("203.0.113.17"), &first),
        (ip("203.0.113.18"), &nameless),
    ];
    let expected = NamedInterface { carries_v6: true, ..named(Some(OWN)) };
    assert_eq!(named_interfaces(all), NamedInterfaces::from([(MAC, expected)]));
}
