//! Decisions against an ideal Compute Engine.

use egret_ports::error::ErrorClass;

use super::*;
use crate::names::{self, RegionScope};
use crate::snapshot::{GceSnapshot, HaService};
use crate::tests::ideal::{
    attach_to, check_every_prefix, drive, home, inventory, ip, path, prepare_at, project, refusal,
};

#[test]
fn a_failover_to_a_gateway_that_was_made_ready_is_one_call() {
    let (mut view, address) = (project(), ip("203.0.113.7"));
    let (first, calls) = attach_to(&HaPolicy, &mut view, address, "a1");
    assert_eq!(calls.len(), 4, "group, endpoint, service, rule: {calls:?}");
    assert_eq!(first.mac.as_deref(), Some("42:01:0a:00:00:02"));
    assert_eq!((first.next_hop, first.wire), (Some(ip("10.0.0.1")), None));
    let ready = prepare_at(&HaPolicy, &mut view, "b1", &[address]);
    let (moved, calls) = attach_to(&HaPolicy, &mut view, address, "b1");
    assert!(matches!(&calls[..], [GceCall::PatchService { .. }]), "{calls:?}");
    assert_eq!(ready[&address], Ok(moved), "prepare says what attach returns");
}

#[test]
fn every_prefix_is_gone_on_from_and_the_end_leaves_nothing() {
    let addresses = [ip("203.0.113.7"), ip("203.0.113.8")];
    check_every_prefix(&HaPolicy, addresses, (["a1", "b1"], ["b1", "a2"]));
}

#[test]
fn a_zone_whose_last_machine_was_deleted_keeps_no_group() {
    let (mut view, address) = (project(), ip("203.0.113.7"));
    attach_to(&HaPolicy, &mut view, address, "b1");
    attach_to(&HaPolicy, &mut view, address, "a1");
    // Google takes an instance that is deleted out of its groups.
    let b1 = view.instances.keys().find(|path| path.name() == "b1").unwrap().clone();
    view.instances.remove(&b1);
    for group in view.groups.values_mut() {
        group.endpoints.remove(&b1);
    }
    prepare_at(&HaPolicy, &mut view, "a1", &[address]);
    assert_eq!((view.groups.len(), view.services.values().next().unwrap().groups.len()), (1, 1));
}

#[test]
fn a_leader_leaves_once_another_one_leads() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&HaPolicy, &mut view, address, "a1");
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let refused = refusal(prepare(&inputs, &"a1".into(), &BTreeSet::new()));
    assert_eq!(refused.class, ErrorClass::Transient, "nothing waits for it: {refused:?}");
    attach_to(&HaPolicy, &mut view, address, "b1");
    prepare_at(&HaPolicy, &mut view, "a1", &[]);
    // Of the zone that has no gateway any more the service forgets the group.
    assert_eq!((view.groups.len(), view.services.values().next().unwrap().groups.len()), (1, 1));
}

#[test]
fn what_is_under_way_is_waited_for() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&HaPolicy, &mut view, address, "a1");
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
    attach_to(&HaPolicy, &mut view, address, "a1");
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
    view = whole.clone();
    let target = path("projects/p/zones/r-a/targetInstances/egret-100");
    view.rules.values_mut().next().unwrap().target = Some(target);
    assert!(asked(&view).contains("the pool had another mode"));
    view = whole;
    let user = home().path("forwardingRules", "theirs");
    view.addresses.get_mut(&address).unwrap()[0].users = [user].into();
    assert!(asked(&view).contains("is used by projects/p/regions/r/forwardingRules/theirs"));
}

#[test]
fn limits_are_refused_with_the_remedy() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&HaPolicy, &mut view, address, "a1");
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
    let capacity = HaPolicy.capacity(&inputs, &"b1".into(), &asked).unwrap();
    assert_eq!((capacity.free, capacity.can_serve), (u32::MAX, [address].into()));
    assert_eq!(capacity.unserved, [(ip("203.0.113.8"), refused.message.into())].into());
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
    attach_to(&HaPolicy, &mut view, address, "a1");
    let lost = path("projects/p/zones/r-a/instances/lost");
    view.services.values_mut().next().unwrap().leader = Some(lost.clone());
    view.gone = [lost].into();
    attach_to(&HaPolicy, &mut view, address, "b1");
    view.services.values_mut().next().unwrap().leader = view.gone.first().cloned();
    drive(&mut view, |inputs| detach(inputs, address, &"b1".into()));
    assert_eq!((view.services.len(), view.rules.len()), (0, 0));
}

#[test]
fn the_same_address_of_another_network_is_another_clusters() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&HaPolicy, &mut view, address, "a1");
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
    assert_eq!(HaPolicy.attachment(&inputs, address).map(|at| at.node), Some("a1".into()));
    drive(&mut view, |inputs| detach(inputs, address, &"a1".into()));
    assert_eq!(view.services.len(), 8, "{:?}", ours.services.len());
}

#[test]
fn a_region_that_cannot_be_read_is_refused_alone() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&HaPolicy, &mut view, address, "a1");
    let refusal = GceRefusal::new(ErrorClass::Denied, "no right");
    let far = RegionScope { region: "far".to_owned(), ..home() };
    view.unreadable = [(far, refusal.clone())].into();
    attach_to(&HaPolicy, &mut view, address, "b1");
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let step = detach(&inputs, ip("203.0.113.8"), &"a1".into());
    assert_eq!(step, GceStep::Refuse(refusal.clone()), "it may be there");
    view.unreadable = [(home(), refusal)].into();
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let capacity = HaPolicy.capacity(&inputs, &"a1".into(), &[address].into()).unwrap();
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
        let capacity = HaPolicy.capacity(&inputs, &"a1".into(), &[ip(address)].into()).unwrap();
        assert_eq!(capacity.unserved, [(ip(address), refused.message.into())].into());
        assert_eq!(capacity.refused, None, "{address}: nothing is wrong with the node");
        let ready = prepare(&inputs, &"a1".into(), &[ip(address)].into());
        let GceStep::Done(ready) = ready else { panic!("{ready:?}") };
        assert_eq!(ready[&ip(address)].clone().unwrap_err().class, class);
    }
}

#[test]
fn nodes_of_autopilot_are_refused_by_name() {
    let (mut view, mut inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    let a1 = view.instances.keys().find(|path| path.name() == "a1").unwrap().clone();
    let at = view.instances.remove(&a1).unwrap();
    view.instances.insert(path("projects/p/zones/r-a/instances/gk3-pool-1"), at);
    inventory.nodes.insert("a1".into(), "gce://p/r-a/gk3-pool-1".to_owned());
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let refused = refusal(attach(&inputs, address, &"a1".into()));
    assert!(refused.message.contains("GKE Autopilot"), "{refused:?}");
    let capacity = HaPolicy.capacity(&inputs, &"a1".into(), &[address].into()).unwrap();
    assert_eq!(capacity.refused, Some(refused.message), "the pool's condition says so");
}
