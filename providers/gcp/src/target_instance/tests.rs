//! Decisions against an ideal Compute Engine.

use super::*;
use crate::snapshot::GceSnapshot;
use crate::tests::ideal::{
    apply, attach_to, check_every_prefix, drive, inventory, ip, path, prepare_at, project, refusal,
};

const MODE: TargetInstances = TargetInstances;

#[test]
fn a_failover_to_a_gateway_that_was_made_ready_is_one_call() {
    let (mut view, address) = (project(), ip("203.0.113.7"));
    let (first, calls) = attach_to(&MODE, &mut view, address, "a1");
    assert_eq!(calls.len(), 2, "target, rule: {calls:?}");
    assert_eq!((first.mac.as_deref(), first.wire), (Some("42:01:0a:00:00:02"), None));
    let ready = prepare_at(&MODE, &mut view, "b1", &[address]);
    let (moved, calls) = attach_to(&MODE, &mut view, address, "b1");
    assert!(matches!(&calls[..], [GceCall::SetTarget { .. }]), "{calls:?}");
    assert_eq!(ready[&address], Ok(moved), "prepare says what attach returns");
}

#[test]
fn every_prefix_is_gone_on_from_and_the_end_leaves_nothing() {
    let addresses = [ip("203.0.113.7"), ip("203.0.113.8")];
    check_every_prefix(&MODE, addresses, (["a1", "b1"], ["b1", "a2"]));
}

#[test]
fn a_machine_that_was_deleted_leaves_nothing() {
    let (mut view, address) = (project(), ip("203.0.113.7"));
    attach_to(&MODE, &mut view, address, "b1");
    let b1 = view.instances.keys().find(|path| path.name() == "b1").unwrap().clone();
    view.instances.remove(&b1);
    view.gone.insert(b1.clone());
    // It has no receiver, or one that is gone: both are documented nowhere.
    for instance in [Some(b1.clone()), None] {
        let mut view = view.clone();
        view.targets.values_mut().next().unwrap().instance = instance;
        let mut ended = view.clone();
        drive(&mut ended, |inputs| MODE.detach(inputs, address, &"b1".into()));
        assert_eq!(ended.rules.len(), 0);
        attach_to(&MODE, &mut view, address, "a1");
        prepare_at(&MODE, &mut view, "a1", &[address]);
        let left: Vec<_> = view.targets.keys().map(|path| path.name().to_owned()).collect();
        assert_eq!(left, ["egret-100"]);
    }
    // A new machine of the name has another target, and what is left of the old one goes.
    let mut again = project();
    attach_to(&MODE, &mut again, address, "b1");
    again.instances.get_mut(&b1).unwrap().id = 7;
    again.targets.values_mut().next().unwrap().instance = None;
    attach_to(&MODE, &mut again, address, "b1");
    prepare_at(&MODE, &mut again, "b1", &[address]);
    let left: Vec<_> = again.targets.keys().map(|path| path.name().to_owned()).collect();
    assert_eq!(left, ["egret-7"]);
}

#[test]
fn what_is_under_way_is_waited_for() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&MODE, &mut view, address, "a1");
    for busy in view.rules.keys().chain(view.targets.keys()).cloned().collect::<Vec<_>>() {
        view.busy = [busy.clone()].into();
        let inputs = GceInputs { view: &view, inventory: &inventory };
        assert_eq!(MODE.attach(&inputs, address, &"a1".into()), GceStep::Wait, "{busy}");
    }
}

#[test]
fn what_others_made_is_refused_and_kept() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&MODE, &mut view, address, "a1");
    let whole = view.clone();
    let asked = |view: &GceSnapshot| {
        let inputs = GceInputs { view, inventory: &inventory };
        let refused = refusal(MODE.attach(&inputs, address, &"a1".into()));
        assert_eq!(refused.class, ErrorClass::Invalid, "{refused:?}");
        assert_eq!(MODE.refusal(&inputs, address, &"a1".into()), Some(refused.clone()));
        refused.message
    };
    view.rules.values_mut().next().unwrap().description = "somebody's".to_owned();
    assert!(asked(&view).contains("Egret did not make it"));
    let inputs = GceInputs { view: &view, inventory: &inventory };
    assert_eq!(MODE.detach(&inputs, address, &"a1".into()), GceStep::Done(()));
    view = whole.clone();
    view.targets.values_mut().next().unwrap().description = "somebody's".to_owned();
    assert!(asked(&view).contains("targetInstances/egret-100 exists and Egret did not make it"));
    view = whole.clone();
    view.targets.values_mut().next().unwrap().instance =
        Some(path("projects/p/zones/r-a/instances/x"));
    assert!(asked(&view).contains("is no node of this cluster"));
    let inputs = GceInputs { view: &view, inventory: &inventory };
    assert_eq!(MODE.detach(&inputs, address, &"a1".into()), GceStep::Done(()));
    view = whole;
    let service = path("projects/p/regions/r/backendServices/egret-s");
    view.rules.values_mut().next().unwrap().target = Some(service);
    assert!(asked(&view).contains("the pool had another mode"));
}

#[test]
fn internal_addresses_are_for_other_modes() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    let subnetwork = view.subnetworks.keys().next().cloned();
    let reserved = &mut view.addresses.get_mut(&address).unwrap()[0];
    reserved.subnetwork = subnetwork;
    assert!(!MODE.finds(reserved));
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let refused = refusal(MODE.attach(&inputs, address, &"a1".into()));
    assert!(refused.message.contains("HAPolicy or AliasRange"), "{refused:?}");
}

#[test]
fn a_gateway_with_addresses_keeps_its_target_and_is_asked_again() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&MODE, &mut view, address, "a1");
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let refused = refusal(MODE.prepare(&inputs, &"a1".into(), &BTreeSet::new()));
    assert_eq!(refused.class, ErrorClass::Transient, "else its target would stay: {refused:?}");
    let GceStep::Call(call) = MODE.detach(&inputs, address, &"a1".into()) else { panic!() };
    apply(&mut view, &call);
    prepare_at(&MODE, &mut view, "a1", &[]);
    assert_eq!(view, project());
}

#[test]
fn a_move_that_is_under_way_is_waited_for_wherever_it_ends() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&MODE, &mut view, address, "a1");
    view.busy = view.rules.keys().cloned().collect();
    let inputs = GceInputs { view: &view, inventory: &inventory };
    for node in ["a1", "b1"] {
        assert_eq!(MODE.detach(&inputs, address, &node.into()), GceStep::Wait, "{node}");
    }
}

/// Of another cluster in the same project, in zones that this one has no nodes in.
#[test]
fn a_target_that_is_none_of_ours_is_a_strangers() {
    let (mut view, inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    attach_to(&MODE, &mut view, address, "a1");
    let theirs = path("projects/p/zones/r-c/targetInstances/theirs");
    view.rules.values_mut().next().unwrap().target = Some(theirs);
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let refused = refusal(MODE.attach(&inputs, address, &"a1".into()));
    assert!(refused.message.contains("targetInstances/theirs has it by"), "{refused:?}");
    assert_eq!(MODE.detach(&inputs, address, &"a1".into()), GceStep::Done(()));
}

#[test]
fn an_address_leaves_a_zone_that_does_not_answer() {
    let (mut view, mut inventory, address) = (project(), inventory(), ip("203.0.113.7"));
    let (at, _) = attach_to(&MODE, &mut view, address, "b1");
    prepare_at(&MODE, &mut view, "a1", &[address]);
    let refused = GceRefusal::new(ErrorClass::Transient, "no answer in time");
    view.unreadable_zones = [(("p".into(), "r-b".into()), refused.clone())].into();
    view.instances.retain(|path, _| path.name() != "b1");
    view.targets.retain(|path, _| path.part("zones") != Some("r-b"));
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let unknown = refusal(MODE.attach(&inputs, address, &"a1".into()));
    assert_eq!(unknown, refused, "it may be another cluster's");
    inventory.addresses = [(address, [("b1".into(), at)].into())].into();
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let step = MODE.attach(&inputs, address, &"a1".into());
    assert!(matches!(step, GceStep::Call(GceCall::SetTarget { .. })), "{step:?}");
    assert_eq!(MODE.detach(&inputs, address, &"b1".into()), GceStep::Refuse(refused));
}
