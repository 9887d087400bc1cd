use super::*;

/// Runs in steps of 0.1 ms until `node` holds, and asserts that somebody forwards all the time.
fn run_until_moved(net: &mut TestNetwork, node: usize, limit: u64) {
    let end = net.now + limit * MS;
    while net.holders() != [name(node)] {
        assert!(net.now < end, "not moved: {:?}", net.kernel);
        net.now += MS / 10;
        net.run(0);
        let forwards = net.kernel.values().any(|(state, _, until)| {
            matches!(state, AddressState::Held | AddressState::Coming)
                && until.is_some_and(|until| until.0 > net.now)
        });
        assert!(forwards, "a gap: {:?}", net.kernel);
    }
}

#[test]
fn a_planned_move_makes_before_it_breaks() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(500);
    net.adopt();
    net.run(100);
    net.plan().owner = Some(name(3));
    net.plan().standbys = vec![name(1), name(2)];
    net.publish();
    run_until_moved(&mut net, 3, 20);
    assert_eq!(net.kernel[&name(1)].0, AddressState::Leaving);
    assert_eq!(net.kernel[&name(1)].1, Some(name(3)));
    net.run(2100);
    assert_eq!(net.kernel[&name(1)].0, AddressState::Standby);
    assert_eq!(net.kernel[&name(4)].1, Some(name(3)));
    assert!(!net.has_report(|_, report| matches!(report, Report::Lost { .. })));
}

#[test]
fn a_plan_made_for_another_epoch_moves_nothing() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(500);
    net.adopt();
    net.plan().owner = Some(name(3));
    net.plan().standbys = vec![name(1), name(2)];
    net.plan().made_for.as_mut().unwrap().epoch.counter -= 1;
    net.publish();
    net.run(3000);
    assert_eq!(net.holders(), [name(1)]);
}

#[test]
fn who_stops_hands_over_to_its_first_living_standby() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(500);
    net.adopt();
    net.cut.insert(name(2));
    net.run(600);
    assert_eq!(net.holders(), [name(1)]);
    net.give(1, Input::Stop(StopMode::Restart));
    run_until_moved(&mut net, 3, 200);
    net.run(100);
    assert!(net.has_report(|node, report| *node == name(1) && *report == Report::Stopped));
}

#[test]
fn who_stops_alone_releases() {
    let mut net = TestNetwork::new();
    net.plan().standbys.clear();
    net.publish();
    net.run_until_held(2000);
    net.give(1, Input::Stop(StopMode::Restart));
    net.run(100);
    assert!(net.holders().is_empty());
    assert!(net.has_report(|_, report| *report == Report::Stopped));
    for voter in 1..=3 {
        assert!(net.nodes[&name(voter)].persisted().grants.is_empty());
    }
}

#[test]
fn a_successor_that_never_answers_costs_nothing() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(500);
    net.adopt();
    net.cut.insert(name(3));
    net.plan().owner = Some(name(3));
    net.plan().standbys = vec![name(1), name(2)];
    net.publish();
    for _ in 0..3000 {
        net.run(1);
        assert_eq!(net.holders(), [name(1)]);
    }
    net.cut.clear();
    run_until_moved(&mut net, 3, 1100);
}

#[test]
fn a_forced_move_closes_at_once() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(500);
    net.adopt();
    net.plan().owner = Some(name(3));
    net.plan().standbys = vec![name(2)];
    net.plan().fence = 8;
    net.publish();
    assert!(net.holders().is_empty());
    net.run_until_held(700);
    assert_eq!(net.holders(), [name(3)]);
}

/// A node finds whether its own uplink reaches the network.
fn sees(net: &mut TestNetwork, number: usize, reach: UplinkReach) {
    let mut view = net.view.clone();
    view.addresses.get_mut(&address()).unwrap().reach = reach;
    net.give(number, Input::View(Box::new(view)));
}

/// n1 holds, and the plan knows it.
fn held() -> TestNetwork {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(500);
    net.adopt();
    net.run(100);
    net
}

#[test]
fn who_is_cut_off_hands_over_and_nothing_goes_back_to_a_link_that_flaps() {
    let mut net = held();
    sees(&mut net, 1, UplinkReach::Lost);
    run_until_moved(&mut net, 2, 20);
    net.adopt();
    for reach in [UplinkReach::Unsteady, UplinkReach::Lost, UplinkReach::Unsteady] {
        sees(&mut net, 1, reach);
        net.run(1500);
        assert_eq!(net.holders(), [name(2)]);
    }
    sees(&mut net, 2, UplinkReach::Lost);
    run_until_moved(&mut net, 3, 1100);
    assert!(!net.has_report(|_, report| matches!(report, Report::Lost { .. })));
}

#[test]
fn where_nobody_reaches_the_network_nothing_moves() {
    let mut net = held();
    for number in [2, 3, 1] {
        sees(&mut net, number, UplinkReach::Lost);
    }
    for _ in 0..200 {
        net.run(100);
        assert_eq!(net.holders(), [name(1)]);
    }
    sees(&mut net, 3, UplinkReach::Steady);
    run_until_moved(&mut net, 3, 11_000);
}

#[test]
fn who_is_cut_off_does_not_wait_for_a_dead_owner() {
    let mut net = held();
    net.cut.insert(name(3));
    net.plan().owner = Some(name(3));
    net.plan().standbys = vec![name(1), name(2)];
    net.publish();
    net.run(3000);
    assert_eq!(net.holders(), [name(1)]);
    sees(&mut net, 1, UplinkReach::Lost);
    run_until_moved(&mut net, 2, 1100);
}

/// n2 takes over from n1, which is dead, while it is drained: the plan is one for n1.
fn taken_over_by_who_is_drained() -> TestNetwork {
    let mut net = held();
    net.stop(1);
    net.kernel.remove(&name(1));
    net.run_until_held(700);
    net.run(50);
    assert_eq!(net.holders(), [name(2)]);
    net.plan().owner = Some(name(1));
    net.plan().standbys = vec![name(3)];
    net
}

#[test]
fn a_standby_that_won_while_it_was_drained_hands_over_in_rank() {
    let mut net = taken_over_by_who_is_drained();
    net.publish();
    run_until_moved(&mut net, 3, 1100);
    assert!(!net.has_report(|_, report| matches!(report, Report::Left { successor: None, .. })));
}

#[test]
fn who_is_in_no_rank_stays_where_the_pool_is_paused() {
    let mut net = taken_over_by_who_is_drained();
    net.plan().paused = true;
    net.publish();
    net.run(3000);
    assert_eq!(net.holders(), [name(2)]);
}

/// n2 is in no rank, n3 dead, and n1 back, but cut off from the network.
fn nobody_comes() -> TestNetwork {
    let mut net = taken_over_by_who_is_drained();
    net.start(1, "boot 2");
    // It votes again.
    net.run(1500);
    net.cut.insert(name(3));
    net.publish();
    sees(&mut net, 1, UplinkReach::Lost);
    for _ in 0..120 {
        net.run(100);
        assert_eq!(net.holders(), [name(2)]);
    }
    net
}

#[test]
fn who_is_in_no_rank_holds_on_until_one_comes() {
    let mut net = nobody_comes();
    sees(&mut net, 1, UplinkReach::Steady);
    run_until_moved(&mut net, 1, 11_000);
}

#[test]
fn who_is_ranked_again_stays() {
    let mut net = nobody_comes();
    net.plan().standbys = vec![name(2), name(3)];
    net.publish();
    net.run(12_000);
    assert_eq!(net.holders(), [name(2)]);
    assert!(!net.has_report(|_, report| matches!(report, Report::Left { .. })));
}
