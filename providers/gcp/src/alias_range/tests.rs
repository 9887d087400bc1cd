//! Decisions against an ideal Compute Engine.

use super::*;
use crate::snapshot::GceSnapshot;
use crate::tests::ideal::{
    attach_to, check_every_prefix, drive, home, inventory, ip, path, pods, prepare_at, project,
    refusal,
};

const MODE: AliasRanges = AliasRanges;

fn aliases(view: &GceSnapshot, node: &str) -> Vec<String> {
    let (_, at) = view.instances.iter().find(|(path, _)| path.name() == node).unwrap();
    at.aliases.iter().map(|alias| alias.cidr.clone()).collect()
}

#[test]
fn an_address_is_added_behind_the_pods_and_taken_away_first() {
    let (mut view, address) = (project(), ip("10.0.0.77"));
    let (first, calls) = attach_to(&MODE, &mut view, address, "a1");
    assert_eq!((calls.len(), first.next_hop), (1, Some(ip("10.0.0.1"))));
    assert_eq!(aliases(&view, "a1"), ["10.100.0.0/24", "10.0.0.77/32"]);
    let ready = prepare_at(&MODE, &mut view, "b1", &[address]);
    let (moved, calls) = attach_to(&MODE, &mut view, address, "b1");
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(ready[&address], Ok(moved), "prepare says what attach returns");
    assert_eq!(aliases(&view, "a1"), ["10.100.0.0/24"]);
    assert_eq!(aliases(&view, "b1"), ["10.100.2.0/24", "10.0.0.77/32"]);
    // Of a secondary range, by its name.
    attach_to(&MODE, &mut view, ip("10.9.0.7"), "b1");
    let (_, at) = view.instances.iter().find(|(path, _)| path.name() == "b1").unwrap();
    assert_eq!(at.aliases[2].name.as_deref(), Some("egress"));
}

#[test]
fn every_prefix_is_gone_on_from_and_the_end_leaves_nothing() {
    let addresses = [ip("10.0.0.77"), ip("10.9.0.7")];
    check_every_prefix(&MODE, addresses, (["a1", "b1"], ["b1", "a2"]));
}

#[test]
fn what_a_machine_has_that_is_off_or_no_node_any_more_is_moved() {
    let (mut view, address) = (project(), ip("10.0.0.77"));
    attach_to(&MODE, &mut view, address, "a1");
    let a1 = view.instances.keys().find(|path| path.name() == "a1").unwrap().clone();
    view.instances.get_mut(&a1).unwrap().running = false;
    attach_to(&MODE, &mut view, address, "b1");
    assert_eq!(aliases(&view, "a1"), [pods(0).cidr]);
}

#[test]
fn google_may_leave_the_mask_out() {
    let (mut view, address) = (project(), ip("10.0.0.77"));
    attach_to(&MODE, &mut view, address, "a1");
    let a1 = view.instances.values_mut().find(|at| at.id == 100).unwrap();
    a1.aliases[1].cidr = "10.0.0.77".to_owned();
    assert_eq!(attach_to(&MODE, &mut view, address, "a1").1, [], "it is there");
    drive(&mut view, |inputs| MODE.detach(inputs, address, &"a1".into()));
    assert_eq!(view, project());
}

#[test]
fn what_is_under_way_is_waited_for() {
    let (mut view, inventory, address) = (project(), inventory(), ip("10.0.0.77"));
    attach_to(&MODE, &mut view, address, "a1");
    for (name, detached) in [("a1", GceStep::Wait), ("b1", GceStep::Done(()))] {
        view.busy = view.instances.keys().filter(|path| path.name() == name).cloned().collect();
        let inputs = GceInputs { view: &view, inventory: &inventory };
        assert_eq!(MODE.attach(&inputs, address, &"b1".into()), GceStep::Wait, "{name}");
        if name == "a1" {
            assert_eq!(MODE.detach(&inputs, address, &"a1".into()), detached);
        }
    }
}

#[test]
fn addresses_that_something_else_has_are_refused() {
    let (mut view, inventory) = (project(), inventory());
    let user = home().path("forwardingRules", "theirs");
    let subnetwork = view.subnetworks.keys().next().unwrap().clone();
    let mut reserved = view.addresses[&ip("203.0.113.7")][0].clone();
    reserved.subnetwork = Some(subnetwork);
    reserved.users = [user].into();
    assert!(MODE.finds(&reserved));
    view.addresses.insert(ip("10.0.0.90"), vec![reserved]);
    let inputs = GceInputs { view: &view, inventory: &inventory };
    for (address, why) in [
        ("10.0.0.3", "is the address of projects/p/zones/r-a/instances/a2 itself"),
        ("10.0.0.90", "is used by projects/p/regions/r/forwardingRules/theirs"),
        ("10.100.1.7", "is in the range pods"),
        ("10.7.0.7", "is in no range of projects/p/regions/r/subnetworks/s"),
        ("2001:db8::7", "IPv6 addresses of Google Cloud are not served yet"),
    ] {
        let refused = refusal(MODE.attach(&inputs, ip(address), &"a1".into()));
        assert_eq!(refused.class, ErrorClass::Invalid, "{refused:?}");
        assert!(refused.message.contains(why), "{refused:?}");
        assert_eq!(MODE.refusal(&inputs, ip(address), &"a1".into()), Some(refused));
    }
}

#[test]
fn an_interface_has_room_for_150() {
    let (mut view, inventory) = (project(), inventory());
    let a1 = view.instances.values_mut().find(|at| at.id == 100).unwrap();
    let more = (0..149).map(|last| AliasRange::single([10, 9, 0, last].into(), None));
    a1.aliases.extend(more);
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let refused = refusal(MODE.attach(&inputs, ip("10.0.0.77"), &"a1".into()));
    assert_eq!(refused.class, ErrorClass::Quota);
    assert!(refused.message.contains("150 alias ranges"), "{refused:?}");
    let asked = [ip("10.0.0.77")].into();
    let free = |node: &str| MODE.capacity(&inputs, &node.into(), &asked).unwrap().free;
    assert_eq!((free("a1"), free("a2")), (0, 149));
    // Before it is taken away where it is.
    attach_to(&MODE, &mut view, ip("10.0.0.77"), "b1");
    let inputs = GceInputs { view: &view, inventory: &inventory };
    refusal(MODE.attach(&inputs, ip("10.0.0.77"), &"a1".into()));
}

#[test]
fn no_more_is_ready_than_there_is_room_for() {
    let (mut view, inventory) = (project(), inventory());
    let a1 = view.instances.values_mut().find(|at| at.id == 100).unwrap();
    let more = (0..147).map(|last| AliasRange::single([10, 9, 0, last].into(), None));
    a1.aliases.extend(more);
    let asked: BTreeSet<IpAddr> =
        (70..75).map(|last| IpAddr::from([10, 0, 0, last])).chain([ip("10.9.0.7")]).collect();
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let GceStep::Done(ready) = MODE.prepare(&inputs, &"a1".into(), &asked) else { panic!() };
    let refused = ready.values().filter_map(|ready| ready.as_ref().err());
    let classes: Vec<_> = refused.map(|refusal| refusal.class).collect();
    assert_eq!(classes, [ErrorClass::Quota; 3], "two of five new ones, and the one that is here");
    assert!(ready[&ip("10.9.0.7")].is_ok());
}

#[test]
fn what_is_being_added_is_not_nowhere() {
    let (mut view, inventory, address) = (project(), inventory(), ip("10.0.0.77"));
    view.busy = view.instances.keys().filter(|path| path.name() == "a1").cloned().collect();
    let inputs = GceInputs { view: &view, inventory: &inventory };
    assert_eq!(MODE.detach(&inputs, address, &"a1".into()), GceStep::Wait);
    assert_eq!(MODE.detach(&inputs, address, &"b1".into()), GceStep::Done(()));
}

#[test]
fn what_could_not_be_read_is_not_nowhere() {
    let (mut view, address) = (project(), ip("10.0.0.77"));
    let mut inventory = inventory();
    let refused = GceRefusal::new(ErrorClass::Denied, "no right");
    let far = path("projects/p/zones/far-a/instances/x/nic0");
    let interface = Some(far.to_string());
    let at = Attachment { interface, ..Attachment::at("gone".into()) };
    inventory.addresses = [(address, [("gone".into(), at)].into())].into();
    view.unreadable.insert(crate::names::scope_of(&far).unwrap(), refused.clone());
    let inputs = GceInputs { view: &view, inventory: &inventory };
    let step = MODE.detach(&inputs, address, &"gone".into());
    assert_eq!(step, GceStep::Refuse(refused));
    let elsewhere = MODE.detach(&inputs, ip("10.0.0.78"), &"a1".into());
    assert!(matches!(elsewhere, GceStep::Refuse(_)), "it may be there: {elsewhere:?}");
}
