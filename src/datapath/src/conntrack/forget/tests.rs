use std::sync::OnceLock;

use egret_core::model::PortRange;
use egret_core::node_config::Flow;
use egret_netns::NetworkNamespace;

use super::*;
use crate::conntrack::filter;

const MARK: u32 = 0x10;
const OLD: &str = "203.0.113.16";
const NEW: &str = "203.0.113.17";
const POD: &str = "10.244.1.2";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What a pod that leaves with `NEW` has, with or without ports.
fn config(action: Option<FlowAction>, ports: bool) -> SteeringConfig {
    let flow =
        |action| Flow { source: ip(POD).into(), destination: "0.0.0.0/0".parse().unwrap(), action };
    let ports = [PortRange::new(1024, 1151).unwrap()].into_iter().filter(|_| ports).collect();
    SteeringConfig {
        never_steered: ["10.0.0.0/8".parse().unwrap()].into(),
        flows: action.map(flow).into_iter().collect(),
        blocks: [(ip(NEW), ports)].into(),
        ..SteeringConfig::default()
    }
}

fn steer() -> Option<FlowAction> {
    Some(FlowAction::Steer { address: ip(NEW) })
}

/// Whether an entry of the pod that left with `address`, or not steered, ends: unanswered, or all.
fn ends(config: &SteeringConfig, address: Option<&str>, to: &str) -> (bool, bool) {
    let entry = ConntrackEntry {
        source: ip(POD),
        reply_source: ip(to),
        reply_destination: ip(address.unwrap_or("192.0.2.11")),
        mark: if address.is_some() { MARK } else { 0 },
        ..ConntrackEntry::default()
    };
    let index = FlowIndex::new(config);
    let ends = |scope| disagrees(&entry, MARK, &index, config, scope);
    (ends(StaleScope::Unanswered), ends(StaleScope::All))
}

#[test]
fn what_leaves_as_the_config_says_goes_on() {
    let world = "198.51.100.1";
    assert_eq!(ends(&config(steer(), true), Some(NEW), world), (false, false));
    assert_eq!(ends(&config(None, true), None, world), (false, false));
    // Never steered, whoever selects the pod.
    assert_eq!(ends(&config(steer(), true), None, "10.1.1.1"), (false, false));
}

#[test]
fn what_leaves_otherwise_ends_once_it_can_leave_as_it_should() {
    let world = "198.51.100.1";
    assert_eq!(ends(&config(steer(), true), None, world), (true, true));
    assert_eq!(ends(&config(steer(), true), Some(OLD), world), (true, true));
    assert_eq!(ends(&config(None, true), Some(OLD), world), (true, true));
    // Without ports, or without an address: a live pod's stream waits, a dead one's does not.
    assert_eq!(ends(&config(steer(), false), Some(OLD), world), (false, true));
    let refused = config(Some(FlowAction::DropNoAddress), true);
    assert_eq!(ends(&refused, Some(OLD), world), (false, true));
    // Nothing selected leaves with the node's address.
    assert_eq!(ends(&refused, None, world), (true, true));
}

/// Kernels that delete by address, that only list by it, and that do neither.
#[test]
fn every_kernel_ends_a_pods_entries_and_no_others() {
    let pods =
        [("10.244.1.2", "10.244.1.3", "198.51.100.1"), ("fd00::2", "fd00::3", "2001:db8::1")];
    let (none, lists) = (AddressFilter::default(), |deletes| AddressFilter {
        by_source: true,
        by_answerer: true,
        deletes,
    });
    for (number, filter) in [none, lists(false), lists(true)].into_iter().enumerate() {
        let ns = NetworkNamespace::new(&format!("forget-{number}"));
        let _inside = ns.enter();
        let mut conntrack = Conntrack::open().unwrap();
        for (pod, other, world) in pods.map(|(pod, other, world)| (ip(pod), ip(other), ip(world))) {
            let family = Family::of(pod);
            // This kernel's filter for IPv6 may be of no use.
            let filter = if family == Family::IPv4 { filter } else { none };
            for ends in [(pod, world), (world, pod), (other, world), (world, other)] {
                conntrack.create(family, filter::entry(ends, 0)).unwrap();
            }
            forget_family(filter, family, &[pod.into()]).unwrap();
            let left = conntrack.narrowed(family, &Narrowing::default(), |_| true).unwrap();
            let left: BTreeSet<_> =
                left.iter().map(|entry| (entry.source, entry.destination)).collect();
            assert_eq!(left, [(other, world), (world, other)].into(), "{filter:?}");
        }
    }
}

/// A full table takes no entry of the probe.
#[test]
fn a_kernel_that_cannot_be_asked_is_asked_again() {
    let (known, full) = (OnceLock::new(), io::Error::from_raw_os_error(libc::ENOMEM));
    let none = AddressFilter::known_or_found(&known, || Err(full));
    assert_eq!(none, AddressFilter::default());
    let all = AddressFilter { by_source: true, by_answerer: true, deletes: true };
    assert_eq!(AddressFilter::known_or_found(&known, || Ok(all)), all);
    assert_eq!(AddressFilter::known_or_found(&known, || panic!("it is known")), all);
}

/// Whatever it says, it must be right: a filter that is taken for good deletes by itself.
#[test]
fn the_probe_leaves_nothing_behind_and_believes_no_inverted_filter() {
    let ns = NetworkNamespace::new("probe-filter");
    let _inside = ns.enter();
    let mut conntrack = Conntrack::open().unwrap();
    let others = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")];
    for (source, destination) in others.map(|(from, to)| (ip(from), ip(to))) {
        let family = Family::of(source);
        conntrack.create(family, filter::entry((source, destination), 0)).unwrap();
        let filter = filter::probe(family).unwrap();
        let asked = Narrowing::address(EntryEnd::Source, source);
        let listed = conntrack.narrowed(family, &asked, |_| true).unwrap();
        assert!(!filter.by_source || listed.len() == 1, "{filter:?}");
    }
}
