use super::*;

#[test]
fn the_owner_holds_after_the_silence_and_goes_on_holding() {
    let mut net = TestNetwork::new();
    net.run(1119);
    assert!(net.holders().is_empty(), "the voters are silent for T_max × 1.12");
    net.run_until_held(200);
    assert_eq!(net.holders(), [name(1)]);
    for _ in 0..5000 {
        net.run(1);
        assert_eq!(net.holders(), [name(1)]);
    }
    assert!(!net.has_report(|_, report| matches!(report, Report::Lost { .. })));
}

#[test]
fn it_is_announced_at_once_then_four_times_then_every_30_s() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(70_000);
    let times: Vec<u64> = net.announced.iter().map(|(at, _)| at / MS).collect();
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [1100, 1100, 1100, 1100, 30_000, 30_000]);
}

#[test]
fn a_standby_takes_over_from_a_dead_holder() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(1000);
    net.cut.insert(name(1));
    net.stop(1);
    let died = net.now;
    while net.holders() != [name(2)] {
        assert!(net.now < died + 530 * MS, "{:?}", net.kernel);
        net.run(1);
    }
    let took_over = |node: &NodeName, report: &Report| {
        *node == name(2)
            && matches!(report, Report::TookOver { previous, silent_for: Some(ns), .. }
                if *previous == Some(name(1)) && *ns < 520 * MS)
    };
    assert!(net.has_report(took_over), "{:?}", net.reports);
    net.run(50);
    let known = |node: &NodeName, report: &Report| {
        *node == name(4)
            && matches!(report, Report::HolderKnown { holding, .. } if holding.node == name(2))
    };
    assert!(net.has_report(known), "the director was told");
}

#[test]
fn a_holder_without_a_majority_is_closed_by_its_deadline() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(300);
    net.cut.extend([name(2), name(3)]);
    net.run(450);
    assert!(net.holders().is_empty());
    net.run(2600);
    assert!(net.has_report(|node, report| *node == name(1)
        && matches!(report, Report::MajorityLost { silent } if silent.len() == 2)));
    net.cut.clear();
    net.run_until_held(300);
    net.run(1100);
    assert!(net.has_report(|node, report| *node == name(1) && *report == Report::MajorityBack));
}

#[test]
fn an_address_that_was_never_probed_is_coming_until_the_probe_is_over() {
    let mut net = TestNetwork::new();
    net.plan().probed = false;
    net.publish();
    net.run(2000);
    assert_eq!(net.kernel[&name(1)].0, AddressState::Coming);
    assert!(net.announced.is_empty());
    net.give(1, Input::Probed { address: address(), found: ProbeFinding::Nobody });
    assert_eq!(net.holders(), [name(1)]);
    assert_eq!(net.announced.len(), 1);
    let probed =
        |_: &NodeName, report: &Report| matches!(report, Report::Held { probed: true, .. });
    assert!(net.has_report(probed));
}

#[test]
fn it_is_announced_at_once_where_its_interface_has_come_late() {
    let mut net = TestNetwork::new();
    let plan = net.view.addresses.get_mut(&address()).unwrap();
    plan.announcement = AnnouncementForm::GarpRa;
    net.publish();
    net.run(6000);
    let holder = net.holders()[0].clone();
    let known = net.announced.len();
    net.give(1, Input::LinkReady { address: address() });
    let times = |net: &TestNetwork| -> Vec<(u64, NodeName)> {
        net.announced[known..].iter().map(|(at, node)| (at / MS, node.clone())).collect()
    };
    assert_eq!(times(&net), [(6000, holder.clone())]);
    net.run(10_000);
    let later: Vec<u64> = times(&net).into_iter().map(|(at, _)| at).collect();
    assert_eq!(later, [6000, 7000, 9000, 12_000], "and again, as if it had just begun to hold");
    // Whoever does not hold it announces nothing.
    net.give(2, Input::LinkReady { address: address() });
    assert!(times(&net).iter().all(|(_, node)| *node == holder));
}

#[test]
fn a_foreign_host_keeps_it_from_being_announced() {
    let mut net = TestNetwork::new();
    net.plan().probed = false;
    net.publish();
    net.run(2000);
    net.give(1, Input::Probed { address: address(), found: ProbeFinding::Host });
    net.run(1000);
    let told =
        |_: &NodeName, report: &Report| matches!(report, Report::Held { conflict: true, .. });
    assert!(net.has_report(told));
    assert!(net.announced.is_empty() && net.holders().is_empty());
    let closed = (AddressState::Standby, Some(name(1)), Some(BootTime(0)));
    assert_eq!(net.kernel[&name(1)], closed, "nothing leaves with another host's address");
}

#[test]
fn what_nobody_has_had_for_a_while_is_probed_again_and_what_follows_closely_is_not() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(1000);
    assert_eq!(net.probed, [name(1)], "nobody was heard before");
    net.stop(1);
    net.run_until_held(600);
    assert_eq!(net.probed, [name(1)], "n2 has heard n1 just now");
    net.run(100);
    // No majority for a while, as when all agents are gone.
    net.cut.extend([name(1), name(3)]);
    net.run(5000);
    assert!(net.holders().is_empty());
    net.cut.clear();
    net.run_until_held(600);
    assert_eq!(net.probed.len(), 2, "somebody else may have taken it");
}

#[test]
fn an_agent_killed_and_started_within_its_lease_announces_at_once_and_later_probes_first() {
    for (away, probes) in [(100, 1), (9000, 2)] {
        let mut net = TestNetwork::new();
        net.run_until_held(2000);
        net.run(1000);
        net.plan().standbys.clear();
        net.publish();
        let until = net.kernel[&name(1)].2.unwrap();
        net.stop(1);
        net.run(away);
        let kept = net.kept.get_mut(&name(1)).unwrap();
        kept.held_until.insert(address(), until);
        net.start(1, "boot");
        net.run(1200);
        assert_eq!(net.holders(), [name(1)]);
        assert_eq!(net.probed.len(), probes, "away for {away} ms");
    }
}

#[test]
fn a_foreign_host_that_shows_itself_while_it_is_held_ends_nothing() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.give(1, Input::Probed { address: address(), found: ProbeFinding::Host });
    assert_eq!(net.holders(), [name(1)]);
    let told = |wanted| move |_: &NodeName, report: &Report| matches!(report, Report::Held { probed: true, conflict, .. } if *conflict == wanted);
    assert!(net.has_report(told(true)));
    net.reports.clear();
    let probed = net.probed.len();
    net.run(61_000);
    assert_eq!((net.probed.len(), net.has_report(told(false))), (probed + 1, false));
    net.run(60_000);
    assert_eq!((net.probed.len(), net.has_report(told(false))), (probed + 2, true));
    net.run(120_000);
    assert_eq!(net.probed.len(), probed + 2, "nobody is looked for any more");
    assert_eq!(net.holders(), [name(1)]);
}

/// n1 has got a lease after a gap, and probes. `change` says what the store knows of the address.
fn probing(change: impl FnOnce(&mut AddressView)) -> TestNetwork {
    let mut net = TestNetwork::new();
    net.plan().probed = false;
    change(net.plan());
    net.publish();
    net.run(2000);
    assert!(net.holders().is_empty() && net.announced.is_empty(), "a host may have taken it");
    assert_eq!(net.probed, [name(1)]);
    net
}

fn found(net: &mut TestNetwork, found: ProbeFinding) {
    net.give(1, Input::Probed { address: address(), found });
}

#[test]
fn what_a_node_has_on_an_interface_is_held_after_a_gap_where_it_was_held_and_nobody_else_has_it() {
    for was_held in [false, true] {
        let has_it = |plan: &mut AddressView| (plan.on_interface, plan.was_held) = (true, was_held);
        let mut net = probing(has_it);
        found(&mut net, ProbeFinding::Nobody);
        let holders = if was_held { vec![name(1)] } else { Vec::new() };
        assert_eq!((net.holders(), net.announced.len()), (holders, usize::from(was_held)));
        let mut net = probing(has_it);
        found(&mut net, ProbeFinding::Host);
        net.run(59_000);
        assert!(net.holders().is_empty() && net.announced.is_empty(), "a foreign host has it");
    }
}

#[test]
fn what_was_held_is_held_once_it_is_known_that_a_node_has_what_answers() {
    for foreign_host in [false, true] {
        let mut net = probing(|plan| (plan.was_held, plan.foreign_host) = (true, foreign_host));
        found(&mut net, ProbeFinding::Host);
        assert_eq!(net.kernel[&name(1)].0, AddressState::Standby);
        net.plan().on_interface = true;
        net.publish();
        found(&mut net, ProbeFinding::Harmless);
        if foreign_host {
            assert_eq!(net.kernel[&name(1)].0, AddressState::Standby, "who was it before?");
            assert_eq!(net.probed.len(), 1);
            continue;
        }
        assert_eq!(net.kernel[&name(1)].0, AddressState::Coming);
        assert_eq!((net.probed.len(), net.announced.len()), (2, 0), "others are looked for");
        let told = |_: &NodeName, report: &Report| {
            matches!(report, Report::Held { fence: 7, probed: true, conflict: false, .. })
        };
        assert!(!net.has_report(told));
        found(&mut net, ProbeFinding::Nobody);
        assert_eq!((net.holders(), net.announced.len()), (vec![name(1)], 1));
        assert!(net.has_report(told));
    }
}

#[test]
fn a_restarted_holder_goes_on_with_its_kernel_entry_and_asks_at_once() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(1000);
    net.stop(1);
    net.run(100);
    let before = net.kernel[&name(1)].clone();
    net.start(1, "boot");
    assert_eq!(net.kernel[&name(1)], before, "closed by nothing but its deadline");
    for _ in 0..1000 {
        net.run(1);
        assert_eq!(net.holders(), [name(1)]);
    }
    let lost = |_: &NodeName, report: &Report| matches!(report, Report::Lost { .. });
    assert!(!net.has_report(lost));
    let elsewhere = |node: &NodeName, report: &Report| {
        *node != name(1) && matches!(report, Report::TookOver { .. })
    };
    assert!(!net.has_report(elsewhere));
}

#[test]
fn after_a_boot_nothing_is_asked_before_a_plan_is_read_and_nothing_granted_in_the_silence() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(1000);
    net.stop(1);
    net.kernel.remove(&name(1));
    net.start(1, "another boot");
    assert_eq!(net.nodes[&name(1)].persisted().grants.len(), 0);
    assert!(!net.nodes[&name(1)].persisted().may_grant);
    net.run(1119);
    assert!(!net.nodes[&name(1)].persisted().may_grant);
    net.run(10);
    assert!(net.nodes[&name(1)].persisted().may_grant);
}

#[test]
fn a_paused_pool_moves_nothing() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(100);
    net.plan().paused = true;
    net.adopt();
    net.run(1000);
    assert_eq!(net.holders(), [name(1)], "who holds goes on holding");
    net.stop(1);
    net.run(5000);
    assert!(net.holders().is_empty());
    net.start(1, "boot");
    net.run_until_held(100);
    assert_eq!(net.holders(), [name(1)]);
}

#[test]
fn a_revoked_address_is_closed_at_once_and_the_voters_acknowledge() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(100);
    net.plan().revoked = true;
    net.plan().fence = 9;
    net.publish();
    assert!(net.holders().is_empty());
    net.run(5);
    for voter in 1..=3 {
        let acknowledged = |node: &NodeName, report: &Report| {
            *node == name(voter) && matches!(report, Report::AcknowledgedFence { fence: 9, .. })
        };
        assert!(net.has_report(acknowledged), "{voter}");
    }
    net.run(2000);
    assert!(net.holders().is_empty());
}

/// docs/leases.md rule 18. Also a holder that never reads of the revocation gets a new lease.
#[test]
fn a_revoked_address_that_is_taken_back_is_held_again() {
    for seen in [true, false] {
        let mut net = TestNetwork::new();
        net.run_until_held(2000);
        net.run(100);
        let before = net.adopt();
        net.run(100);
        net.plan().revoked = true;
        net.plan().fence = 9;
        if seen {
            net.publish();
        } else {
            for voter in 2..=3 {
                net.give(voter, Input::View(Box::new(net.view.clone())));
            }
        }
        net.run(5);
        net.plan().revoked = false;
        net.plan().fence = 10;
        net.publish();
        net.run_until_held(2000);
        net.run(1000);
        let after = net.adopt();
        assert_eq!(net.holders(), std::slice::from_ref(&after.node), "seen: {seen}");
        assert!(after.epoch > before.epoch, "{after:?} after {before:?}");
        assert_eq!(net.kept[&after.node].fences[&address()].fence, 10);
    }
}

#[test]
fn a_lost_holder_is_known_again_after_a_greater_epoch_elsewhere() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.run(100);
    let before = net.adopt();
    // The director has heard of the same counter from another node.
    net.give(
        4,
        Input::Receive {
            from: name(3),
            message: Message::Notice(vec![NoticedAddress {
                address: address(),
                epoch: before.epoch.counter + 5,
            }]),
        },
    );
    net.run(31_000);
    let after = net.adopt();
    assert_eq!(after.node, name(1));
    assert!(after.epoch.counter > before.epoch.counter + 5, "{after:?}");
    assert_eq!(net.kernel[&name(4)].1, Some(name(1)));
    assert!(!net.has_report(|_, report| matches!(report, Report::Lost { .. })));
}

#[test]
fn what_a_restarted_holder_held_and_no_plan_gives_it_any_more_is_forgotten() {
    let mut net = TestNetwork::new();
    net.run_until_held(2000);
    net.stop(1);
    net.view.addresses.clear();
    net.start(1, "boot");
    assert!(!net.kernel.contains_key(&name(1)));
    assert!(net.nodes[&name(1)].persisted().held.is_empty());
}
