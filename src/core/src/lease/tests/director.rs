use super::*;

#[test]
fn a_director_learns_the_holder_from_the_voters_when_it_starts() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(5000);
    net.stop(4);
    net.reports.clear();
    net.start(4, "later");
    net.run(5);
    let known = |node: &NodeName, report: &Report| {
        *node == name(4)
            && matches!(report, Report::HolderKnown { holding, .. } if holding.node == name(1))
    };
    assert!(net.has_report(known));
    assert_eq!(net.kernel[&name(4)].0, AddressState::Standby);
    assert_eq!(net.kernel[&name(4)].1, Some(name(1)));
}

#[test]
fn five_seconds_without_a_holder_are_unavailable_and_a_takeover_is_not() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(1000);
    net.stop(1);
    net.run(600);
    net.give(4, Input::NeedHolder { address: address() });
    net.run(7000);
    let unavailable = |_: &NodeName, report: &Report| matches!(report, Report::Unavailable { .. });
    assert!(!net.has_report(unavailable), "n2 took over");
    net.stop(2);
    net.stop(3);
    for _ in 0..9 {
        net.give(4, Input::NeedHolder { address: address() });
        net.run(1000);
    }
    assert!(net.has_report(unavailable));
    net.start(2, "boot");
    net.start(3, "boot");
    net.run(2000);
    let back = |_: &NodeName, report: &Report| matches!(report, Report::AvailableAgain { .. });
    assert!(net.has_report(back));
}

#[test]
fn a_grant_is_acknowledged_when_the_holders_kernel_has_it() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(100);
    let acknowledged = |node: &NodeName, report: &Report| {
        *node == name(4) && matches!(report, Report::GrantAcknowledged { epoch: 3, .. })
    };
    net.give(1, Input::GrantsApplied { epoch: 2 });
    net.give(4, Input::AskGrants { address: address(), epoch: 3 });
    net.run(3000);
    assert!(!net.has_report(acknowledged));
    net.give(1, Input::GrantsApplied { epoch: 4 });
    net.run(1);
    assert!(net.has_report(acknowledged));
}

#[test]
fn voters_say_who_is_absent_and_when_it_is_back() {
    let mut net = TestNetwork::new();
    net.run(2000);
    net.cut.insert(name(4));
    net.run(12_000);
    let absent = |node: &NodeName, report: &Report| {
        *node == name(1)
            && matches!(report, Report::Absent { nodes } if *nodes == BTreeSet::from([name(4)]))
    };
    assert!(net.has_report(absent));
    net.cut.clear();
    net.reports.clear();
    net.run(2000);
    assert!(net.has_report(|node, report| *node == name(1)
        && matches!(report, Report::Absent { nodes } if nodes.is_empty())));
}
