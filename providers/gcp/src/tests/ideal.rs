//! For tests of decisions: an ideal Compute Engine, which does at once what it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{Attachment, NodeName};
use egret_ports::provider::Inventory;

use crate::inputs::GceInputs;
use crate::mode::DeliveryMode;
use crate::names::{self, RegionScope, ResourcePath, instance_of_provider_id};
use crate::refusal::GceRefusal;
use crate::snapshot::{
    AliasRange, EndpointGroup, GceInstance, GceRule, GceSnapshot, GceSubnetwork, GceTarget,
    HaService, StaticAddress,
};
use crate::step::{AliasChange, GceCall, GceStep, PreparedAddresses, RuleTarget, ServiceSettings};

pub(crate) const NODES: [(&str, &str); 3] = [("a1", "r-a"), ("a2", "r-a"), ("b1", "r-b")];

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn path(text: &str) -> ResourcePath {
    ResourcePath::new(text)
}

pub(crate) fn home() -> RegionScope {
    RegionScope { project: "p".into(), region: "r".into() }
}

pub(crate) fn inventory() -> Inventory {
    let id =
        |(name, zone): &(&str, &str)| (NodeName::from(*name), format!("gce://p/{zone}/{name}"));
    Inventory { nodes: NODES.iter().map(id).collect(), addresses: BTreeMap::new() }
}

pub(crate) fn instance(name: &str) -> ResourcePath {
    instance_of_provider_id(&inventory().nodes[&NodeName::from(name)]).unwrap()
}

/// Three nodes in two zones, and the addresses 203.0.113.7 and .8.
pub(crate) fn project() -> GceSnapshot {
    let network = path("projects/p/global/networks/n");
    let subnetwork = path("projects/p/regions/r/subnetworks/s");
    let mut view = GceSnapshot::default();
    for (number, (name, zone)) in NODES.iter().enumerate() {
        let at = GceInstance {
            id: 100 + u64::try_from(number).unwrap(),
            running: true,
            scope: home(),
            zone: (*zone).to_owned(),
            interface: "nic0".to_owned(),
            network: network.clone(),
            subnetwork: subnetwork.clone(),
            v4: format!("10.0.0.{}", number + 2).parse().unwrap(),
            aliases: vec![pods(number)],
            fingerprint: vec![0],
        };
        view.instances.insert(instance(name), at);
    }
    let range = "10.0.0.0/24".parse().unwrap();
    let gateway = "10.0.0.1".parse().unwrap();
    let secondary = [("pods", "10.100.0.0/16"), ("egress", "10.9.0.0/24")]
        .map(|(name, range)| (name.to_owned(), range.parse().unwrap()))
        .into();
    view.subnetworks.insert(subnetwork, GceSubnetwork { network, range, secondary, gateway });
    for last in [7, 8] {
        view.addresses.insert(ip(&format!("203.0.113.{last}")), vec![reserved(last)]);
    }
    view
}

pub(crate) fn reserved(last: u8) -> StaticAddress {
    StaticAddress {
        path: home().path("addresses", &format!("static-{last}")),
        scope: home(),
        subnetwork: None,
        standard_tier: false,
        labels: BTreeMap::new(),
        users: BTreeSet::new(),
    }
}

/// The range of a node's pods.
pub(crate) fn pods(number: usize) -> AliasRange {
    AliasRange { cidr: format!("10.100.{number}.0/24"), name: Some("pods".to_owned()) }
}

/// What Google refuses, it refuses here too.
pub(crate) fn apply(view: &mut GceSnapshot, call: &GceCall) {
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
            assert!(!view.rules.values().any(|rule| rule.target.as_ref() == Some(&service)));
            view.services.remove(&service).unwrap();
        }
        other => apply_delivery(view, other),
    }
}

/// What addresses are delivered by.
fn apply_delivery(view: &mut GceSnapshot, call: GceCall) {
    match call {
        GceCall::InsertRule(new) => {
            let (there, target) = match new.deliver {
                RuleTarget::Service(service) => (view.services.contains_key(&service), service),
                RuleTarget::Instance(target) => (view.targets.contains_key(&target), target),
            };
            assert!(there, "{target} is not there");
            let rule = GceRule {
                description: names::description_of_address(new.address),
                address: Some(new.address),
                target: Some(target),
            };
            view.addresses.get_mut(&new.address).unwrap()[0].users = [new.rule.clone()].into();
            assert_eq!(view.rules.insert(new.rule, rule), None, "it exists");
        }
        GceCall::InsertTarget { target, instance, .. } => {
            let description = names::description_of_target(&instance);
            let made = GceTarget { description, instance: Some(instance) };
            assert_eq!(view.targets.insert(target, made), None, "it exists");
        }
        GceCall::DeleteTarget { target } => {
            assert!(!view.rules.values().any(|rule| rule.target.as_ref() == Some(&target)));
            view.targets.remove(&target).unwrap();
        }
        GceCall::SetTarget { rule, target } => {
            assert!(view.targets.contains_key(&target));
            view.rules.get_mut(&rule).unwrap().target = Some(target);
        }
        GceCall::ChangeAliases(change) => change_aliases(view, change),
        GceCall::DeleteRule { rule } => {
            let address = view.rules.remove(&rule).unwrap().address.unwrap();
            view.addresses.get_mut(&address).unwrap()[0].users.clear();
        }
        other => panic!("{other:?} is of services or groups"),
    }
}

fn change_aliases(view: &mut GceSnapshot, AliasChange { instance, add, remove }: AliasChange) {
    let elsewhere = |range: &AliasRange| {
        view.instances.iter().any(|(path, at)| *path != instance && at.aliases.contains(range))
    };
    assert!(!add.iter().any(elsewhere), "an address is at two interfaces");
    let at = view.instances.get_mut(&instance).unwrap();
    at.aliases.retain(|alias| !remove.contains(alias));
    at.aliases.extend(add);
}

fn leader(view: &GceSnapshot, settings: &ServiceSettings) -> Option<ResourcePath> {
    let (group, instance) = settings.leader.clone()?;
    assert!(settings.groups.contains(&group), "the leader's group is no backend");
    assert!(view.groups[&group].endpoints.contains(&instance), "the leader is no endpoint");
    Some(instance)
}

/// Applies what `decide` says until it is so.
pub(crate) fn drive<T>(
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

/// How it is attached, and the calls that it took.
pub(crate) fn attach_to(
    mode: &dyn DeliveryMode,
    view: &mut GceSnapshot,
    address: IpAddr,
    node: &str,
) -> (Attachment, Vec<GceCall>) {
    drive(view, |inputs| mode.attach(inputs, address, &node.into()))
}

/// Each address, ready or not.
pub(crate) fn prepare_at(
    mode: &dyn DeliveryMode,
    view: &mut GceSnapshot,
    node: &str,
    addresses: &[IpAddr],
) -> PreparedAddresses {
    let addresses = addresses.iter().copied().collect();
    let ready = drive(view, |inputs| mode.prepare(inputs, &node.into(), &addresses)).0;
    drive(view, |inputs| mode.sweep(inputs));
    ready
}

/// Why it cannot be.
pub(crate) fn refusal<T: std::fmt::Debug>(step: GceStep<T>) -> GceRefusal {
    match step {
        GceStep::Refuse(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Attaches the addresses at `first` with every number of calls made before somebody else goes on, moves
/// them to `then`, ends them, and expects the project as it was.
pub(crate) fn check_every_prefix(
    mode: &dyn DeliveryMode,
    addresses: [IpAddr; 2],
    (first, then): ([&str; 2], [&str; 2]),
) {
    for stop in 0..9 {
        let (mut view, inventory) = (project(), inventory());
        let mut made = 0;
        'before: for (address, node) in addresses.into_iter().zip(first) {
            loop {
                let node = NodeName::from(node);
                let inputs = GceInputs { view: &view, inventory: &inventory };
                match mode.attach(&inputs, address, &node) {
                    GceStep::Call(call) if made < stop => {
                        apply(&mut view, &call);
                        made += 1;
                    }
                    GceStep::Call(_) => break 'before,
                    _ => break,
                }
            }
        }
        for (address, node) in addresses.into_iter().zip(then) {
            assert_eq!(attach_to(mode, &mut view, address, node).0.node, NodeName::from(node));
            let inputs = GceInputs { view: &view, inventory: &inventory };
            let seen = mode.attachment(&inputs, address).map(|at| at.node);
            assert_eq!(seen, Some(node.into()), "attach and observe disagree");
        }
        for (address, node) in addresses.into_iter().zip(then) {
            let before = view.clone();
            drive(&mut view, |inputs| mode.detach(inputs, address, &"a1".into()));
            assert_eq!(view, before, "not a1's");
            drive(&mut view, |inputs| mode.detach(inputs, address, &node.into()));
        }
        for (node, _) in NODES {
            prepare_at(mode, &mut view, node, &[]);
        }
        assert_eq!(view, project(), "after {stop} calls");
    }
}
