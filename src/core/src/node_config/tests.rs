use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::cidr::Span;
use crate::explain::{ConnectionOutcome, explain};
use crate::model::{
    ApiServerReading, Attachment, Claim, ClusterRanges, Destination, Family, NamespaceName,
    NodeName, PortRange, ProviderKind, Timestamp, WhenUnavailable,
};
use crate::testing::*;

mod parts;
mod undelivered;

/// A quiet world with `claims`, and pods `bank` (10.244.4.7) on d1.
fn world(claims: Vec<Claim>) -> Fixture {
    let mut world = Fixture::small();
    for claim in claims {
        world.claim(claim);
    }
    world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
    world.settle();
    world
}

fn config_of(world: &Fixture, unavailable: &[&str]) -> SteeringConfig {
    let unavailable = unavailable.iter().map(|text| ip(text)).collect();
    let availability = AddressAvailability { unavailable, ..AddressAvailability::default() };
    steering_config(&world.snapshot, &"d1".into(), &availability)
}

fn bank(destinations: &[(&str, &[&str])]) -> Claim {
    let destination = |(cidr, except): &(&str, &[&str])| Destination {
        cidr: net(cidr),
        except: except.iter().map(|text| net(text)).collect(),
    };
    Claim {
        destinations: Some(destinations.iter().map(destination).collect()),
        ..mk_claim("payments/bank", "partners")
    }
}

fn flows(config: &SteeringConfig) -> Vec<String> {
    let action = |action: &FlowAction| match action {
        FlowAction::Steer { address } => address.to_string(),
        other => format!("{other:?}"),
    };
    let line = |f: &Flow| format!("{} {} {}", f.source, f.destination, action(&f.action));
    config.flows.iter().map(line).collect()
}

#[test]
fn an_address_is_unknown_until_its_pod_is_read() {
    let mut world = world(vec![bank(&[("198.51.100.0/24", &["198.51.100.0/25"])])]);
    let range = |first: &str, last: &str| AddressRange::new(ip(first), ip(last)).unwrap();
    let node = world.snapshot.nodes.get_mut(&"d1".into()).unwrap();
    node.pod_cidrs = vec![net("10.244.4.0/29")];
    let unknown = config_of(&world, &[]).unknown;
    assert_eq!(unknown.sources, [range("10.244.4.0", "10.244.4.6")].into());
    assert_eq!(unknown.destinations, [range("198.51.100.128", "198.51.100.255")].into());
    world.pod(mk_pod("payments/q", "other", "d1", &["10.244.4.2/32"]));
    let unknown = config_of(&world, &[]).unknown;
    assert_eq!(
        unknown.sources,
        [range("10.244.4.0", "10.244.4.1"), range("10.244.4.3", "10.244.4.6")].into()
    );
    world.snapshot.claims.clear();
    assert_eq!(config_of(&world, &[]).unknown, UnknownPods::default());
}

#[test]
fn explicit_destinations_without_their_exceptions() {
    let world = world(vec![bank(&[("198.51.100.0/30", &["198.51.100.1/32"])])]);
    assert_eq!(
        flows(&config_of(&world, &[])),
        ["10.244.4.7/32 198.51.100.0/32 192.0.2.100", "10.244.4.7/32 198.51.100.2/31 192.0.2.100",]
    );
}

#[test]
fn the_longest_prefix_wins_then_the_older_then_the_name() {
    let wide = |name: &str| Claim {
        pods: mk_claim("payments/bank", "").pods,
        reference: mk_ref(name),
        uid: name.into(),
        ..bank(&[("198.51.100.0/29", &[])])
    };
    let mut older = wide("payments/z-older");
    older.created = Timestamp(1);
    let narrow = bank(&[("198.51.100.4/31", &[])]);
    let world = world(vec![narrow, older, wide("payments/a-younger")]);
    let address = |claim: &str| {
        let claim = &world.snapshot.claims[&mk_ref(claim)].value.1;
        claim.addresses[0]
    };
    assert_eq!(
        flows(&config_of(&world, &[])),
        [
            format!("10.244.4.7/32 198.51.100.0/30 {}", address("payments/z-older")),
            format!("10.244.4.7/32 198.51.100.4/31 {}", address("payments/bank")),
            format!("10.244.4.7/32 198.51.100.6/31 {}", address("payments/z-older")),
        ]
    );
    let lost = overridden(&world.snapshot, &"d1".into());
    assert_eq!(
        lost[&mk_ref("payments/a-younger")],
        [mk_ref("payments/bank"), mk_ref("payments/z-older")].into()
    );
    assert_eq!(lost[&mk_ref("payments/z-older")], [mk_ref("payments/bank")].into());
    assert!(!lost.contains_key(&mk_ref("payments/bank")));
}

#[test]
fn the_default_is_everywhere_outside_the_cluster() {
    let mut world = Fixture::small();
    world.settings.services.insert(net("10.96.0.0/12"));
    world.snapshot.discovered.api_servers = ApiServerReading::Read([ip("198.51.100.44")].into());
    world.claim(mk_claim("payments/bank", "partners"));
    world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
    world.settle();
    let config = config_of(&world, &[]);
    let hit = |text: &str| {
        config.flows.iter().filter(|flow| flow.destination.contains(&ip(text))).count()
    };
    for outside in ["8.8.8.8", "192.0.2.77", "1.0.0.0", "223.255.255.255", "10.0.0.1"] {
        assert_eq!(hit(outside), 1, "{outside}");
    }
    let inside = [
        "10.244.1.1",
        "10.96.0.1",
        "192.0.2.1",
        "169.254.169.254",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.1",
        "198.51.100.44",
        "168.63.129.16",
    ];
    for inside in inside {
        assert_eq!(hit(inside), 0, "{inside}");
        assert!(config.not_steered().any(|net| net.contains(&ip(inside))), "{inside}");
    }
    // The nodes' addresses, not their subnet.
    assert!(!config.never_steered.contains(&net("192.0.2.0/24")));
    for fixed in ["::/128", "::1/128", "fe80::/10", "ff00::/8"] {
        assert!(config.never_steered.iter().any(|n| n.contains(&net(fixed))), "{fixed}");
    }
    // Steered connections to these go on: no `throw` route takes them out of the tunnel.
    let exempt = [
        "100.100.100.200/32",
        "168.63.129.16/32",
        "198.51.100.44/32",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
    ];
    assert_eq!(config.exempt, exempt.map(net).into());
    assert!(!config.never_steered.iter().any(|net| exempt.map(self::net).contains(net)));
    assert_eq!(config.peers.len(), 5);
}

#[test]
fn a_family_without_an_address_is_dropped_only_by_default_destinations() {
    let both = ["10.244.4.7/32", "fd00::7/128"];
    let with = |claim: Claim| {
        let mut world = Fixture::small();
        world.settings.pods.extend([net("10.244.0.0/16"), net("fd00::/48")]);
        world.claim(claim);
        world.pod(mk_pod("payments/p", "bank", "d1", &both));
        world.settle();
        config_of(&world, &[])
    };
    let dropped = |config: &SteeringConfig, text: &str| {
        let mut flows = config.flows.iter();
        flows.any(|flow| {
            flow.destination.contains(&ip(text))
                && flow.action == FlowAction::DropFamilyWithoutAddress
        })
    };
    let config = with(mk_claim("payments/bank", "partners"));
    assert!(dropped(&config, "2001:db8::1"));
    assert!(!dropped(&config, "fd00::1"), "the cluster's own is never touched");
    let config = with(bank(&[("198.51.100.0/24", &[])]));
    assert!(!dropped(&config, "2001:db8::1"));
    let config = with(bank(&[("198.51.100.0/24", &[]), ("2001:db8:9::/48", &[])]));
    assert!(dropped(&config, "2001:db8:9::1"));
    // A family that the cluster does not have is none of our business.
    let world = world(vec![mk_claim("payments/bank", "partners")]);
    assert!(!dropped(&config_of(&world, &[]), "2001:db8::1"));
}

#[test]
fn a_claim_that_is_not_bound_drops_and_one_that_has_ended_selects_nothing() {
    let mut world = world(vec![bank(&[("198.51.100.0/24", &[])])]);
    world.claim(Claim {
        pods: mk_claim("payments/bank", "").pods,
        ..mk_explicit("payments/outside", "partners", &["203.0.113.9"])
    });
    world.settle();
    let config = config_of(&world, &[]);
    let action = |text: &str| {
        let mut flows = config.flows.iter();
        flows.find(|flow| flow.destination.contains(&ip(text))).map(|flow| flow.action)
    };
    assert_eq!(action("198.51.100.1"), Some(FlowAction::Steer { address: ip("192.0.2.100") }));
    assert_eq!(action("8.8.8.8"), Some(FlowAction::DropNoAddress));
    world.delete_claim("payments/outside");
    world.delete_claim("payments/bank");
    world.step();
    assert_eq!(config_of(&world, &[]).flows, vec![]);
}

#[test]
fn nothing_is_steered_before_the_clusters_own_ranges_are_known() {
    let mut world = Fixture::small();
    world.claim(mk_claim("payments/bank", "partners"));
    world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
    assert_eq!(config_of(&world, &[]).flows, vec![]);
    world.step();
    assert!(!config_of(&world, &[]).flows.is_empty());
}

#[test]
fn when_unavailable_node_lets_go_and_gives_the_destination_to_nobody_else() {
    let mut claim = bank(&[("198.51.100.0/24", &[])]);
    claim.when_unavailable = WhenUnavailable::Node;
    let mut wide = mk_claim("payments/wide", "partners");
    wide.pods = claim.pods.clone();
    let world = world(vec![claim, wide]);
    let config = config_of(&world, &["192.0.2.100", "192.0.2.101"]);
    let count = |text: &str| {
        config.flows.iter().filter(|flow| flow.destination.contains(&ip(text))).count()
    };
    assert_eq!(count("198.51.100.1"), 0, "it leaves with the node's address");
    assert_eq!(count("8.8.8.8"), 1, "the other claim says Drop");
    assert_eq!(config_of(&world, &[]).flows.len(), config.flows.len() + 1);
}

#[test]
fn host_network_pods_are_skipped_and_overlapping_sources_are_made_disjoint() {
    let mut world = world(vec![bank(&[("198.51.100.0/24", &[])])]);
    let mut host = mk_pod("payments/host", "bank", "d1", &["192.0.2.4/32"]);
    host.host_network = true;
    world.pod(host);
    world.pod(mk_pod("payments/range", "bank", "d1", &["10.244.4.4/30"]));
    world.pod(mk_pod("payments/other", "not-selected", "d1", &["10.244.4.5/32"]));
    assert_eq!(
        flows(&config_of(&world, &[])),
        [
            "10.244.4.4/32 198.51.100.0/24 192.0.2.100",
            "10.244.4.6/32 198.51.100.0/24 192.0.2.100",
            "10.244.4.7/32 198.51.100.0/24 192.0.2.100",
        ]
    );
}

#[test]
fn gateways_see_live_blocks_and_who_ranks_where() {
    let mut world = world(vec![mk_claim("payments/bank", "partners")]);
    let blocks = gateway_blocks(&world.snapshot);
    assert_eq!(blocks.len(), 5);
    let mine = granted_blocks(&world.snapshot, &"d1".into())[&ip("192.0.2.100")].clone();
    let (ports, epoch) = mine.first_key_value().unwrap();
    let holder = &blocks[&(ip("192.0.2.100"), *ports)];
    assert_eq!((holder.node.as_str(), holder.epoch), ("d1", *epoch));
    assert_eq!(holder.endpoints, [ip("192.0.2.4")]);
    assert_eq!(gateways_of(&world.snapshot).len(), 3);
    let ranks: Vec<_> = ["g1", "g2", "g3", "d1"]
        .map(|node| planned_for(&world.snapshot, &node.into()).get(&ip("192.0.2.100")).map(|p| p.0))
        .into();
    let mut sorted = ranks.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [None, Some(0), Some(1), Some(2)]);
    assert_eq!(ranks[3], None);
    assert_eq!(directors_of(&world.snapshot, ip("192.0.2.100")).len(), 5);
    world.edit_pool("partners", |pool| pool.failover.release_after = crate::model::Millis(0));
    world.delete_claim("payments/bank");
    world.step();
    assert!(gateway_blocks(&world.snapshot).is_empty(), "ends are dropped as soon as read");
    assert!(planned_for(&world.snapshot, &"g1".into()).is_empty());
    assert!(is_gateway(&world.snapshot, &"g1".into()), "it has ends to acknowledge");
    assert!(!is_gateway(&world.snapshot, &"d1".into()));
    assert_eq!(directors_of(&world.snapshot, ip("192.0.2.100")).len(), 5);
    assert_eq!(newest_block_number(&world.snapshot), world.counter - 1);
}

/// Prefixes of a small part of the space, so that they overlap.
fn any_net() -> impl Strategy<Value = IpNet> {
    (any::<bool>(), 0u8..=255, 0u8..=8).prop_map(|(six, low, shorter)| {
        let net: IpNet = if six {
            format!("2001:db8::{low:x}/{}", 128 - shorter).parse().unwrap()
        } else {
            format!("198.51.100.{low}/{}", 32 - shorter).parse().unwrap()
        };
        net.trunc()
    })
}

fn any_claim(number: u8) -> impl Strategy<Value = Claim> {
    let destination =
        (any_net(), prop::collection::vec(any_net(), 0..3)).prop_map(|(cidr, except)| {
            Destination {
                cidr,
                except: except
                    .into_iter()
                    .filter(|e| crate::cidr::contains_net(cidr, *e))
                    .collect(),
            }
        });
    let destinations = prop::option::of(prop::collection::vec(destination, 1..4));
    (destinations, 0i64..3, any::<bool>()).prop_map(move |(destinations, created, bound)| Claim {
        destinations,
        created: Timestamp(created),
        pods: mk_claim("payments/bank", "").pods,
        ..mk_claim(&format!("payments/c{number}"), if bound { "dual" } else { "nowhere" })
    })
}

proptest! {
    #[test]
    fn flows_are_disjoint_and_say_what_explain_says(
        claims in (any_claim(0), any_claim(1), any_claim(2), any_claim(3)),
        sources in prop::collection::vec(any_net(), 1..4),
        probes in prop::collection::vec(any_net(), 1..20),
    ) {
        let mut world = Fixture::small();
        world.settings.pods.insert(net("fd00::/48"));
        let ranges = [("192.0.2.150", "192.0.2.159"), ("2001:db8:1::10", "2001:db8:1::1f")];
        world.pool(mk_pool("dual", &ranges));
        for claim in [claims.0, claims.1, claims.2, claims.3] {
            world.claim(claim);
        }
        for (index, source) in sources.iter().enumerate() {
            world.pod(mk_pod(&format!("payments/p{index}"), "bank", "d1", &[&source.to_string()]));
        }
        world.pod(mk_pod("payments/q", "bank", "d1", &["10.244.4.7/32", "fd00::7/128"]));
        world.settle();
        let config = config_of(&world, &[]);
        for (index, flow) in config.flows.iter().enumerate() {
            prop_assert_eq!(family(flow.source), family(flow.destination));
            if let FlowAction::Steer { address } = flow.action {
                prop_assert_eq!(Family::of(address), family(flow.source));
            }
            for never in config.not_steered() {
                prop_assert!(!overlap(flow.destination, *never));
            }
            for other in &config.flows[index + 1..] {
                prop_assert!(
                    !(overlap(flow.source, other.source)
                        && overlap(flow.destination, other.destination)),
                    "{flow:?} {other:?}"
                );
            }
        }
        for probe in probes {
            let to = probe.network();
            let explanation = explain(&world.snapshot, (&"payments".into(), "q"), to).unwrap();
            let from = if to.is_ipv4() { ip("10.244.4.7") } else { ip("fd00::7") };
            let flow = config.flows.iter().find(|flow| {
                flow.source.contains(&from) && flow.destination.contains(&to)
            });
            let expected = match flow.map(|flow| flow.action) {
                Some(FlowAction::Steer { .. }) => ConnectionOutcome::Steered,
                Some(FlowAction::DropNoAddress) => ConnectionOutcome::DropNoAddress,
                Some(FlowAction::DropUnknownRange) => ConnectionOutcome::DropUnknownRange,
                Some(FlowAction::DropFamilyWithoutAddress) => ConnectionOutcome::DropFamilyWithoutAddress,
                None => ConnectionOutcome::NotSelected,
            };
            prop_assert_eq!(explanation.outcome, expected, "{}", to);
        }
    }
}

fn family(net: IpNet) -> Family {
    Family::of(net.network())
}

fn overlap(a: IpNet, b: IpNet) -> bool {
    Span::of_net(a).overlaps(&Span::of_net(b))
}

#[test]
fn every_range_that_is_never_steered_parses() {
    let nets = crate::ipam::ranges::never_steered(&ClusterRanges::default());
    assert_eq!(nets.len(), 9 - 1, "::/128 and ::1/128 are one prefix: {nets:?}");
    assert_eq!(crate::ipam::ranges::exempt(&ClusterRanges::default()).len(), 4);
}
