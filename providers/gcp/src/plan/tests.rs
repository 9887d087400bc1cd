//! Decisions against an ideal Compute Engine, which does at once what it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::NodeName;
use egret_ports::error::ErrorClass;
use egret_ports::provider::Inventory;

use super::*;
use crate::names::instance_of_provider_id;
use crate::snapshot::{GceSnapshot, GceSubnetwork, HaRule, StaticAddress};

const NODES: [(&str, &str); 3] = [("a1", "r-a"), ("a2", "r-a"), ("b1", "r-b")];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn path(text: &str) -> ResourcePath {
    ResourcePath::new(text)
}

fn home() -> RegionScope {
    RegionScope { project: "p".into(), region: "r".into() }
}

fn inventory() -> Inventory {
    let id =
        |(name, zone): &(&str, &str)| (NodeName::from(*name), format!("gce://p/{zone}/{name}"));
    Inventory { nodes: NODES.iter().map(id).collect(), addresses: BTreeMap::new() }
}

fn instance(name: &str) -> ResourcePath {
    instance_of_provider_id(&inventory().nodes[&NodeName::from(name)]).unwrap()
}

/// Three nodes in two zones, and the addresses 203.0.113.7 and .8.
fn project() -> GceSnapshot {
    let network = path("projects/p/global/networks/n");
    let subnetwork = path("projects/p/regions/r/subnetworks/s");
    let mut view = GceSnapshot::default();
    for (number, (name, zone)) in NODES.iter().enumerate() {
        let at = GceInstance {
            scope: home(),
            zone: (*zone).to_owned(),
            interface: "nic0".to_owned(),
            network: network.clone(),
            subnetwork: subnetwork.clone(),
            v4: format!("10.0.0.{}", number + 2).parse().unwrap(),
        };
        view.instances.insert(instance(name), at);
    }
    let range = "10.0.0.0/24".parse().unwrap();
    let gateway = "10.0.0.1".parse().unwrap();
    view.subnetworks.insert(subnetwork, GceSubnetwork { network, range, gateway });
    for last in [7, 8] {
        view.addresses.insert(ip(&format!("203.0.113.{last}")), vec![reserved(last)]);
    }
    view
}

fn reserved(last: u8) -> StaticAddress {
    StaticAddress {
        path: home().path("addresses", &format!("static-{last}")),
        scope: home(),
        subnetwork: None,
        standard_tier: false,
        labels: BTreeMap::new(),
        users: BTreeSet::new(),
    }
}

/// What Google refuses, it refuses here too.
fn apply(view: &mut GceSnapshot, call: &GceCall) {
    match call.clone() {
        GceCall::InsertGroup { group, subnetwork, .. } => {
            let description = names::description_of_group(&subnetwork);
            let made = EndpointGroup { description, endpoints: BTreeSet::new() };
            assert_eq!(view.groups.insert(group, made), None, "it exists");
        }
        GceCall::DeleteGroup { group } => {
            assert!(!view.services.values().any(|service| service.groups.contains(&group)));
            view.groups.remove(&group).unwrap();
        }
        GceCall::AttachEndpoint { group, instance } => {
            assert!(view.groups.get_mut(&group).unwrap().endpoints.insert(instance));
        }
        GceCall::DetachEndpoint { group, instance } => {
            let leads = |service: &HaService| service.leader.as_ref() == Some(&instance);
            assert!(!view.services.values().any(leads), "a leader is not let go of");
            assert!(view.groups.get_mut(&group).unwrap().endpoints.remove(&instance));
        }
        GceCall::InsertService(new) => {
            let service = HaService {
                fast: true,
                network: Some(new.network.clone()),
                description: names::description_of_address(new.address),
                fingerprint: vec![0],
                groups: new.settings.groups.clone(),
                leader: leader(view, &new.settings),
            };
            assert_eq!(view.services.insert(new.service, service), None, "it exists");
        }
        GceCall::PatchService { service, settings, fingerprint } => {
            let leader = leader(view, &settings);
            let service = view.services.get_mut(&service).unwrap();
            assert_eq!(service.fingerprint, fingerprint, "stale");
            service.fingerprint[0] += 1;
            service.groups = settings.groups;
            service.leader = leader.or(service.leader.take());
        }
        GceCall::DeleteService { service } => {
            assert!(!view.rules.values().any(|rule| rule.service.as_ref() == Some(&service)));
            view.services.remove(&service).unwrap();
        }
        GceCall::InsertRule(new) => {
            assert!(view.services.contains_key(&new.service));
            let rule = HaRule {
                description: names::description_of_address(new.address),
                address: Some(new.address),
                service: Some(new.service),
            };
            view.addresses.get_mut(&new.address).unwrap()[0].users = [new.rule.clone()].into();
            assert_eq!(view.rules.insert(new.rule, rule), None, "it exists");
        }
        GceCall::DeleteRule { rule } => {
            let address = view.rules.remove(&rule).unwrap().address.unwrap();
            view.addresses.get_mut(&address).unwrap()[0].users.clear();
        }
    }
}

fn leader(view: &GceSnapshot, settings: &ServiceSettings) -> Option<ResourcePath> {
    let (group, instance) = settings.leader.clone()?;
    assert!(settings.groups.contains(&group), "the leader's group is no backend");
    assert!(view.groups[&group].endpoints.contains(&instance), "the leader is no endpoint");
    Some(instance)
}

/// Applies what `decide` says until it is so.
fn drive<T>(
    view: &mut GceSnapshot,
    decide: impl Fn(&GceInputs<'_>) -> GceStep<T>,
) -> (T, Vec<GceCall>) {
    let (inventory, mut calls) = (inventory(), Vec::new());
    loop {
        let step = decide(&GceInputs { view, inventory: &inventory });
        match step {
            GceStep::Done(value) => return (value, calls),
            GceStep::Call(call) if calls.len() < 20 => {
                apply(view, &call);
                calls.push(call);
            }
            GceStep::Call(call) => panic!("no end: {call:?}"),
            GceStep::Wait => panic!("nothing is under way"),
            GceStep::Refuse(refusal) => panic!("{refusal:?}"),
        }
    }
}

fn attach_to(view: &mut GceSnapshot, address: IpAddr, node: &str) -> (Attachment, Vec<GceCall>) {
    drive(view, |inputs| attach(inputs, address, &node.into()))
}

fn prepare_at(view: &mut GceSnapshot, node: &str, addresses: &[IpAddr]) -> PreparedAddresses {
    let addresses = addresses.iter().copied().collect();
    drive(view, |inputs| prepare(inputs, &node.into(), &addresses)).0
}

fn refusal<T: std::fmt::Debug>(step: GceStep<T>) -> GceRefusal {
    match step {
        GceStep::Refuse(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failover_to_a_gateway_that_was_made_ready_is_one_call() {
    let (mut view, address) = (project(), ip("203.0.113.7"));
    let (first, calls) = attach_to(&mut view, address, "a1");
    assert_eq!(calls.len(), 4, "group, endpoint, service, rule: {calls:?}");
    assert_eq!(first.mac.as_deref(), Some("42:01:0a:00:00:02"));
    assert_eq!((first.next_hop, first.wire), (Some(ip("10.0.0.1")), None));
    let ready = prepare_at(&mut view, "b1", &[address]);
    let (moved, calls) = attach_to(&mut view, address, "b1");
    assert!(matches!(&calls[..], [GceCall::PatchService { .. }]), "{calls:?}");
    assert_eq!(ready[&address], Ok(moved), "prepare says what attach returns");
}

#[test]
fn every_prefix_is_gone_on_from_and_the_end_leaves_nothing() {
    let addresses = [ip("203.0.113.7"), ip("203.0.113.8")];
    for stop in 0..9 {
        let (mut view, inventory) = (project(), inventory());
        // Whoever came before got as far as `stop` calls in all.
        let mut made = 0;
        'before: for (address, node) in addresses.into_iter().zip(["a1", "b1"]) {
            loop {
                let node = NodeName::from(node);
                match attach(&GceInputs { view: &view, inventory: &inventory }, address, &node) {
                    GceStep::Call(call) if made < stop => {
                        apply(&mut view, &call);
                        made += 1;
                    }
                    GceStep::Call(_) => break 'before,
                    _ => break,
                }
            }
        }
        for (address, node) in addresses.into_iter().zip(["b1", "a2"]) {
            assert_eq!(attach_to(&mut view, address, node).0.node, NodeName::from(node));
        }
        for (address, node) in addresses.into_iter().zip(["b1", "a2"]) {
            let before = view.clone();
            drive(&mut view, |inputs| detach(inputs, address, &"a1".into()));
            assert_eq!(view, before, "not a1's");
            drive(&mut view, |inputs| detach(inputs, address, &node.into()));
        }
        for (node, _) in NODES {
            prepare_at(&mut view, node, &[]);
        }
        assert_eq!(view, project(), "after {stop} calls");
    }
}

#[test]
fn a_leader_leaves_once_another_one_leads() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&mut view, address, "a1");
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let refused = refusal(prepare(&inputs, &"a1".into(), &BTreeSet::new()));
    assert_eq!(refused.class, ErrorClass::Transient, "nothing waits for it: {refused:?}");
    attach_to(&mut view, address, "b1");
    prepare_at(&mut view, "a1", &[]);
    // Of the zone that has no gateway any more the service forgets the group.
    assert_eq!((view.groups.len(), view.services.values().next().unwrap().groups.len()), (1, 1));
}

#[test]
fn what_is_under_way_is_waited_for() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&mut view, address, "a1");
    let all = view.services.keys().chain(view.rules.keys()).chain(view.groups.keys());
    for busy in all.cloned().collect::<Vec<_>>() {
        view.busy = [busy.clone()].into();
        let inputs = GceInputs { view: &view, inventory: &inventory };
        assert_eq!(attach(&inputs, address, &"a1".into()), GceStep::Wait, "{busy}");
        let group = view.groups.contains_key(&busy);
        assert!(group || detach(&inputs, address, &"a1".into()) == GceStep::Wait, "{busy}");
    }
}

#[test]
fn what_others_made_is_refused_and_kept() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&mut view, address, "a1");
    let whole = view.clone();
    let asked = |view: &GceSnapshot| {
        let refused =
            refusal(attach(&GceInputs { view, inventory: &inventory }, address, &"b1".into()));
        assert_eq!(refused.class, ErrorClass::Invalid, "{refused:?}");
        refused.message
    };
    view.services.values_mut().next().unwrap().description = "somebody's".to_owned();
    assert!(asked(&view).contains("Egret did not make it"));
    let inputs = GceInputs { view: &view, inventory: &inventory };
    assert_eq!(detach(&inputs, address, &"a1".into()), GceStep::Done(()));
    view = whole.clone();
    view.services.values_mut().next().unwrap().leader =
        Some(path("projects/p/zones/r-a/instances/x"));
    assert!(asked(&view).contains("is no node of this cluster"));
    let inputs = GceInputs { view: &view, inventory: &inventory };
    assert_eq!(detach(&inputs, address, &"a1".into()), GceStep::Done(()));
    view = whole;
    let user = home().path("forwardingRules", "theirs");
    view.addresses.get_mut(&address).unwrap()[0].users = [user].into();
    assert!(asked(&view).contains("is used by projects/p/regions/r/forwardingRules/theirs"));
}

#[test]
fn limits_are_refused_with_the_remedy() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&mut view, address, "a1");
    let service = view.services.values().next().unwrap().clone();
    for number in 1..64 {
        let other = HaService { description: "theirs".to_owned(), ..service.clone() };
        view.services.insert(home().path("backendServices", &format!("theirs-{number}")), other);
    }
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let refused = refusal(attach(&inputs, ip("203.0.113.8"), &"a1".into()));
    assert_eq!(refused.class, ErrorClass::Quota);
    assert!(refused.message.contains("network n has 64 backend services"), "{refused:?}");
    let asked = [address, ip("203.0.113.8")].into();
    let capacity = inputs.capacity(&"b1".into(), &asked).unwrap();
    assert_eq!((capacity.free, capacity.can_serve), (u32::MAX, [address].into()));
    // One that is there already may move on.
    let step = attach(&inputs, address, &"a2".into());
    assert!(matches!(step, GceStep::Call(GceCall::AttachEndpoint { .. })), "{step:?}");

    let group = view.groups.values_mut().next().unwrap();
    group.endpoints.extend((0..31).map(|n| path(&format!("projects/p/zones/r-a/instances/g{n}"))));
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let refused = refusal(attach(&inputs, address, &"a2".into()));
    assert_eq!(refused.class, ErrorClass::Quota);
    assert!(refused.message.contains("at most 32 endpoints"), "{refused:?}");
    let ready = prepare(&inputs, &"a2".into(), &[address].into());
    let GceStep::Done(ready) = ready else { panic!("{ready:?}") };
    assert_eq!(ready[&address], Err(refused), "placement is to know");
}

#[test]
fn a_leader_that_exists_no_more_is_nobodys() {
    let (mut view, address) = (project(), ip("203.0.113.7"));
    attach_to(&mut view, address, "a1");
    let lost = path("projects/p/zones/r-a/instances/lost");
    view.services.values_mut().next().unwrap().leader = Some(lost.clone());
    view.gone = [lost].into();
    attach_to(&mut view, address, "b1");
    view.services.values_mut().next().unwrap().leader = view.gone.first().cloned();
    drive(&mut view, |inputs| detach(inputs, address, &"b1".into()));
    assert_eq!((view.services.len(), view.rules.len()), (0, 0));
}

#[test]
fn the_same_address_of_another_network_is_another_clusters() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&mut view, address, "a1");
    let ours = view.clone();
    // By name before ours and after it.
    for number in 0..8 {
        let network = path(&format!("projects/p/global/networks/other-{number}"));
        let name = names::of_address(address, &network);
        let mut theirs = view.services.values().next().unwrap().clone();
        (theirs.network, theirs.leader) = (Some(network), None);
        view.services.insert(home().path("backendServices", &name), theirs);
    }
    let inputs = GceInputs { view: &view, inventory: &inventory };
    assert_eq!(inputs.attachment(address).map(|at| at.node), Some("a1".into()));
    drive(&mut view, |inputs| detach(inputs, address, &"a1".into()));
    assert_eq!(view.services.len(), 8, "{:?}", ours.services.len());
}

#[test]
fn a_region_that_cannot_be_read_is_refused_alone() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&mut view, address, "a1");
    let refusal = GceRefusal::new(ErrorClass::Denied, "no right");
    let far = RegionScope { region: "far".to_owned(), ..home() };
    view.unreadable = [(far, refusal.clone())].into();
    attach_to(&mut view, address, "b1");
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let step = detach(&inputs, ip("203.0.113.8"), &"a1".into());
    assert_eq!(step, GceStep::Refuse(refusal.clone()), "it may be there");
    view.unreadable = [(home(), refusal)].into();
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let capacity = inputs.capacity(&"a1".into(), &[address].into()).unwrap();
    assert_eq!((capacity.can_serve.len(), capacity.refused.as_deref()), (0, Some("no right")));
}

#[test]
fn an_address_of_another_network_or_region_cannot_be_there() {
    let (mut view, inventory) = (project(), inventory());
    let far = RegionScope { region: "far".to_owned(), ..home() };
    view.addresses.get_mut(&ip("203.0.113.7")).unwrap()[0].scope = far;
    let internal = path("projects/p/regions/r/subnetworks/other");
    view.addresses.get_mut(&ip("203.0.113.8")).unwrap()[0].subnetwork = Some(internal);
    let inputs = GceInputs { view: &view, inventory: &inventory };
    for (address, class) in [
        ("203.0.113.7", ErrorClass::Invalid),
        ("203.0.113.8", ErrorClass::Invalid),
        ("203.0.113.9", ErrorClass::NotFound),
    ] {
        let refused = refusal(attach(&inputs, ip(address), &"a1".into()));
        assert_eq!(refused.class, class, "{address}: {refused:?}");
        let ready = prepare(&inputs, &"a1".into(), &[ip(address)].into());
        let GceStep::Done(ready) = ready else { panic!("{ready:?}") };
        assert_eq!(ready[&ip(address)].clone().unwrap_err().class, class);
    }
}
