use std::collections::BTreeSet;

use egret_core::model::{AddressStatus, ProviderKind};

use super::*;
use crate::testing::put_address;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(node: &str, wire: Option<&str>) -> Attachment {
    Attachment { wire: wire.map(ip), ..Attachment::at(node.into()) }
}

/// An address of a provider, with an owner, a standby, and what the cloud says of it.
fn add(
    snapshot: &mut Snapshot,
    address: &str,
    provider: ProviderKind,
    nodes: [&str; 2],
    status: AddressStatus,
) {
    put_address(snapshot, ip(address), |put| {
        put.plan.provider = provider;
        put.plan.owner = Some(nodes[0].into());
        put.plan.standbys = vec![nodes[1].into()];
        put.status = status;
    });
}

fn placed_at(snapshot: &Snapshot, me: &str) -> Vec<(String, String)> {
    let all = placed(snapshot, &me.into()).into_iter();
    all.map(|(carried, egress)| (carried.to_string(), egress.to_string())).collect()
}

fn route(address: &str, protocol: u8) -> LocalAddress {
    let by = LocalOrigin::Route { protocol };
    LocalAddress { address: ip(address), interface: "eth0".to_owned(), by }
}

fn on_interface(prefix_len: u8, prefix_route: bool) -> LocalAddress {
    let by = LocalOrigin::Interface { prefix_len, prefix_route };
    LocalAddress { address: ip("10.0.1.66"), interface: "ens6".to_owned(), by }
}

#[test]
fn what_a_cloud_placed_here_must_not_be_this_hosts_own() {
    let mut snapshot = Snapshot::default();
    let status = AddressStatus {
        attachment: Some(at("a", Some("10.0.1.66"))),
        prepared: vec![at("b", Some("10.0.2.66")), at("d", None)],
        ..AddressStatus::default()
    };
    add(&mut snapshot, "203.0.113.17", ProviderKind::Aws, ["a", "b"], status);
    add(&mut snapshot, "203.0.113.18", ProviderKind::Gcp, ["b", "c"], AddressStatus::default());
    add(&mut snapshot, "203.0.113.19", ProviderKind::L2, ["a", "b"], AddressStatus::default());
    let pair = |carried: &str, egress: &str| (carried.to_owned(), egress.to_owned());
    let own = pair("203.0.113.17", "203.0.113.17");
    let other = pair("203.0.113.18", "203.0.113.18");
    assert_eq!(placed_at(&snapshot, "a"), [pair("10.0.1.66", "203.0.113.17"), own.clone()]);
    assert_eq!(
        placed_at(&snapshot, "b"),
        [pair("10.0.2.66", "203.0.113.17"), own.clone(), other.clone()]
    );
    assert_eq!(placed_at(&snapshot, "c"), [other]);
    assert_eq!(placed_at(&snapshot, "d"), [own], "it is no longer in the plan, but prepared");
    assert_eq!(placed_at(&snapshot, "e"), []);
}

#[test]
fn what_an_earlier_process_knew_counts_until_the_store_answers() {
    let known = BTreeMap::from([(ip("203.0.113.17"), at("a", Some("10.0.1.66")))]);
    let carried: BTreeSet<IpAddr> = placed_before(&known).into_keys().collect();
    assert_eq!(carried, [ip("10.0.1.66"), ip("203.0.113.17")].into());
}

/// The times, in seconds, at which an address is taken back that a tool puts there every second.
fn taken_back(seconds: u64) -> Vec<u64> {
    let (begin, found) = (Instant::now(), route("203.0.113.18", 66));
    let mut take_backs = TakeBacks::default();
    let mut times = Vec::new();
    for second in 0..seconds {
        let now = begin + Duration::from_secs(second);
        take_backs.forget(now);
        if take_backs.is_due(&found, now) {
            take_backs.note(&found, now);
            times.push(second);
        }
    }
    times
}

#[test]
fn three_are_taken_back_at_once_and_further_ones_after_a_while() {
    assert_eq!(taken_back(200), [0, 1, 2, 4, 8, 16, 32, 64, 124, 184]);
    let all = taken_back(3600);
    let waits: Vec<u64> = all.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits.iter().max(), Some(&60), "it is never given up");
    assert!(all.len() < 80, "{all:?}");
}

#[test]
fn who_fights_is_named_with_a_remedy_until_it_is_over() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let (often, once) = (route("203.0.113.18", 66), on_interface(32, false));
    let mut take_backs = TakeBacks::default();
    take_backs.note(&once, begin);
    for second in 0..3 {
        take_backs.note(&often, at(second));
        assert_eq!(take_backs.contested(), None);
    }
    take_backs.note(&often, at(3));
    let said = take_backs.contested().unwrap();
    for part in ["203.0.113.18 comes back to eth0", "Google's guest agent", "ip_aliases = false"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("10.0.1.66"), "{said}");
    take_backs.forget(at(599));
    assert_eq!(take_backs.contested(), Some(said));
    take_backs.forget(at(601));
    assert_eq!(take_backs.contested(), None);
    assert!(take_backs.is_due(&often, at(604)), "what was long ago is forgotten");
}

#[test]
fn each_maker_is_named_with_its_own_remedy() {
    let me = "gateway-1".into();
    let egress = ip("203.0.113.17");
    for (found, parts) in [
        (
            route("203.0.113.17", 66),
            ["guest agent", "under [NetworkInterfaces]", "under [IpForwarding]"],
        ),
        (route("203.0.113.17", 4), ["protocol 4", "ip route show table local", "gateway-1"]),
        (
            on_interface(32, false),
            [
                "10.0.1.66, which carries 203.0.113.17 there,",
                "amazon-ec2-net-utils",
                "/etc/systemd/network/70-ens6.network.d/ec2net_alias.conf",
            ],
        ),
        (on_interface(32, true), ["10.0.1.66/32", "cloud-init", "nm-cloud-setup"]),
        (on_interface(24, true), ["10.0.1.66/24", "on ens6", "nm-cloud-setup"]),
    ] {
        let text = message(&found, egress, &me);
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
        // The API server takes no longer note of an event.
        assert!(text.len() <= 1024, "{text}");
        assert_eq!(text, message(&found, egress, &me), "equal events are counted together");
    }
}
