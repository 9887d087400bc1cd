use super::*;

const HELD: AddressState = AddressState::Held;

/// n1 holds, and the fabric delivers to it.
fn cloud() -> TestNetwork {
    let mut net = TestNetwork::new();
    let plan = net.plan();
    (plan.no_deadline, plan.announces) = (true, false);
    net.publish();
    net.run(4000);
    assert_eq!(adopted(&mut net), name(1));
    attach(&mut net, 1);
    net.run(100);
    assert_eq!(net.kernel[&name(4)].1, Some(name(1)));
    net
}

fn adopted(net: &mut TestNetwork) -> NodeName {
    net.adopt().node
}

fn attach(net: &mut TestNetwork, node: usize) {
    net.plan().attached = Some(name(node));
    net.publish();
}

#[test]
fn directors_follow_a_takeover_once_the_fabric_has() {
    let mut net = cloud();
    net.stop(1);
    net.run(3000);
    assert!(net.has_report(|node, report| *node == name(2)
        && matches!(report, Report::TookOver { .. })));
    assert_eq!(net.kernel[&name(2)], (HELD, Some(name(2)), None), "no deadline is armed");
    assert_eq!(net.kernel[&name(4)].1, Some(name(1)), "not before the fabric has moved");
    assert_eq!(adopted(&mut net), name(2));
    net.run(1000);
    assert_eq!(net.kernel[&name(4)].1, Some(name(1)), "the status alone moves no director");
    // The new holder alone has read of it: directors hear it from there.
    net.plan().attached = Some(name(2));
    net.give(2, Input::View(Box::new(net.view.clone())));
    net.run(10);
    assert_eq!(net.kernel[&name(4)].1, Some(name(2)));
}

/// The cloud has accepted to deliver to a node; who holds it reads of that, and nobody else.
fn accept(net: &mut TestNetwork, node: usize) {
    net.plan().accepted = Some(name(node));
    net.give(node, Input::View(Box::new(net.view.clone())));
    net.run(10);
}

#[test]
fn directors_follow_a_takeover_from_a_silent_holder_as_soon_as_the_cloud_accepts() {
    let mut net = cloud();
    net.stop(1);
    net.run(3000);
    assert_eq!(adopted(&mut net), name(2));
    accept(&mut net, 3);
    assert_eq!(net.kernel[&name(4)].1, Some(name(1)), "accepted for another");
    accept(&mut net, 2);
    assert_eq!(net.kernel[&name(4)].1, Some(name(2)));
    assert_eq!(net.kernel[&name(2)], (HELD, Some(name(2)), None));
}

#[test]
fn a_planned_move_waits_until_the_fabric_is_seen_to_deliver() {
    let mut net = cloud();
    net.plan().owner = Some(name(3));
    net.plan().standbys = vec![name(1), name(2)];
    net.publish();
    net.run(500);
    assert_eq!(adopted(&mut net), name(3));
    accept(&mut net, 3);
    net.publish();
    net.run(3000);
    assert_eq!(net.kernel[&name(4)].1, Some(name(1)));
    assert_eq!(net.kernel[&name(1)], (HELD, Some(name(1)), None), "it still forwards");
    net.plan().accepted = None;
    attach(&mut net, 3);
    net.run(10);
    assert_eq!(net.kernel[&name(4)].1, Some(name(3)));
}

#[test]
fn an_old_holder_that_was_only_cut_off_forwards_until_the_fabric_is_seen_to_have_moved() {
    let mut net = cloud();
    net.cut.insert(name(1));
    net.run(3000);
    assert_eq!(adopted(&mut net), name(2));
    net.cut.clear();
    accept(&mut net, 2);
    net.publish();
    net.run(100);
    assert_eq!(net.kernel[&name(4)].1, Some(name(2)));
    assert_eq!(net.kernel[&name(1)], (HELD, Some(name(1)), None), "what still reaches it");
    attach(&mut net, 2);
    net.run(10);
    assert_eq!(net.kernel[&name(1)].0, AddressState::Standby);
    assert_eq!(net.kernel[&name(1)].1, Some(name(2)));
}

#[test]
fn the_old_holder_forwards_while_the_fabric_delivers_to_it() {
    let mut net = cloud();
    net.plan().owner = Some(name(3));
    net.plan().standbys = vec![name(1), name(2)];
    net.publish();
    net.run(500);
    assert_eq!(adopted(&mut net), name(3));
    net.run(3000);
    assert_eq!(net.kernel[&name(1)], (HELD, Some(name(1)), None));
    assert_eq!(net.kernel[&name(2)].1, Some(name(1)), "a standby relays to where it is");
    assert_eq!(net.kernel[&name(4)].1, Some(name(1)));
    attach(&mut net, 3);
    net.run(10);
    assert_eq!(net.kernel[&name(1)], (AddressState::Standby, Some(name(3)), Some(BootTime(0))));
    assert_eq!(net.kernel[&name(4)].1, Some(name(3)));
}

#[test]
fn a_revoked_address_is_closed_wherever_the_fabric_delivers_it() {
    let mut net = cloud();
    let plan = net.plan();
    (plan.revoked, plan.fence) = (true, plan.fence + 1);
    net.publish();
    net.run(10);
    assert_eq!(net.kernel[&name(1)].0, AddressState::Standby);
}

#[test]
fn standbys_wait_for_a_holder_that_restarts_and_not_for_ever() {
    let mut net = cloud();
    let took_over = |net: &TestNetwork| {
        net.has_report(|node, report| *node == name(2) && matches!(report, Report::TookOver { .. }))
    };
    net.give(1, Input::Stop(StopMode::Restart));
    assert!(net.has_report(|_, report| matches!(report, Report::Stopped)));
    assert_eq!(net.kernel[&name(1)].0, HELD, "its kernel goes on");
    net.run(10);
    net.stop(1);
    net.run(5000);
    assert!(!took_over(&net));
    net.start(1, "boot");
    net.run(4000);
    assert!(!took_over(&net), "it is back");
    net.give(1, Input::Stop(StopMode::Restart));
    net.run(10);
    net.stop(1);
    net.run(9000);
    assert!(took_over(&net));
}

/// What a director has said of addresses that wait for the cloud, in order.
fn waiting(net: &TestNetwork, director: usize) -> Vec<usize> {
    let said = net.reports.iter().filter_map(|(node, report)| match report {
        Report::Undelivered { addresses } if *node == name(director) => Some(addresses.len()),
        _ => None,
    });
    said.collect()
}

#[test]
fn directors_hear_of_a_takeover_that_waits_for_the_cloud_and_of_its_end() {
    let mut net = cloud();
    // The new holder has pods of its own.
    net.plan().directors.insert(name(2));
    net.publish();
    net.stop(1);
    net.run(3000);
    assert_eq!([2, 4].map(|director| waiting(&net, director)), [[1], [1]]);
    attach(&mut net, 2);
    net.run(1000);
    assert_eq!([2, 4].map(|director| waiting(&net, director)), [[1, 0], [1, 0]]);
}

#[test]
fn directors_hear_it_again_from_a_holder_that_has_restarted() {
    let mut net = cloud();
    net.stop(1);
    net.run(3000);
    net.stop(2);
    net.start(2, "boot");
    net.stop(4);
    net.start(4, "boot");
    net.run(9000);
    assert_eq!(waiting(&net, 4), [1], "it may have been handed the address");
    net.run(3000);
    assert_eq!(waiting(&net, 4), [1, 1]);
}

#[test]
fn a_planned_move_waits_for_the_cloud_in_silence() {
    let mut net = cloud();
    net.plan().owner = Some(name(3));
    net.plan().standbys = vec![name(1), name(2)];
    net.publish();
    net.run(3000);
    assert_eq!(adopted(&mut net), name(3));
    assert!(waiting(&net, 4).is_empty(), "the old way is in use");
    net.run(9000);
    assert_eq!(waiting(&net, 4), [1], "no move takes so long");
}

#[test]
fn who_leaves_hands_over_and_goes_when_the_fabric_has_followed() {
    let mut net = cloud();
    net.give(1, Input::Stop(StopMode::Leave));
    net.run(500);
    let stopped = |net: &TestNetwork| {
        net.has_report(|node, report| *node == name(1) && *report == Report::Stopped)
    };
    assert_eq!(adopted(&mut net), name(2), "nobody has waited for it");
    assert!(!stopped(&net));
    assert_eq!(net.kernel[&name(1)], (HELD, Some(name(1)), None), "it forwards as before");
    attach(&mut net, 2);
    net.run(10);
    assert_eq!(net.kernel[&name(1)].1, Some(name(2)), "it relays");
    assert!(stopped(&net));
}

#[test]
fn who_leaves_and_has_no_standby_waits_for_nobody() {
    let mut net = cloud();
    net.plan().standbys.clear();
    net.publish();
    net.run(10);
    net.give(1, Input::Stop(StopMode::Leave));
    net.run(100);
    assert!(net.has_report(|node, report| *node == name(1) && *report == Report::Stopped));
    assert_eq!(net.kernel[&name(1)].0, HELD, "its kernel goes on");
}
