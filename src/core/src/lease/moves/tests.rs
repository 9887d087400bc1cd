use super::*;
use crate::lease::tests::{AskingNode, address, name, sent};
use crate::lease::{AddressState, Effect, UplinkReach};

/// n1 holds the address, of which n2 and n3 are the standbys.
fn holder() -> AskingNode {
    let mut node = AskingNode::new(1, true);
    node.at(4, |call, proposer, _| proposer.advance_candidates(call));
    assert!(node.holds());
    node
}

fn step(node: &mut AskingNode, ms: u64, from: usize, step: HandoverStep) -> Vec<Effect> {
    node.at(ms, |call, proposer, moves| moves.on_step(call, proposer, &name(from), step))
}

fn is_kernel(effect: &Effect, wanted: AddressState) -> bool {
    matches!(effect, Effect::Kernel { state, .. } if *state == wanted)
}

#[test]
fn a_move_is_made_before_it_is_broken() {
    let (mut old, mut new, address) = (holder(), AskingNode::new(2, true), address());
    old.at(5, |call, proposer, moves| moves.stop(call, proposer, StopMode::Restart));
    let come = old.at(5, |call, proposer, moves| moves.advance(call, proposer));
    assert_eq!(sent(&come), [(name(2), Message::Move(HandoverStep::Come(address)))]);
    let mut said = HandoverStep::Come(address);
    for (ms, asks_new) in [(6, true), (7, false), (8, true), (9, false)] {
        let (node, from) = if asks_new { (&mut new, 1) } else { (&mut old, 2) };
        let effects = step(node, ms, from, said);
        match ms {
            8 => assert!(is_kernel(&effects[0], AddressState::Coming), "before it says so"),
            9 => assert!(is_kernel(&effects[0], AddressState::Leaving), "before it says so"),
            _ => {}
        }
        let [(_, Message::Move(next))] = &sent(&effects)[..] else { panic!("{effects:?}") };
        said = next.clone();
    }
    assert_eq!(said, HandoverStep::Yours(address));
    assert!(!old.holds());
    step(&mut new, 10, 1, said);
    assert!(new.holds(), "it asks its voters at once");
}

#[test]
fn who_stops_releases_where_no_standby_comes_and_then_ends() {
    let mut node = holder();
    node.at(5, |call, proposer, moves| moves.stop(call, proposer, StopMode::Restart));
    for ms in [5, 155] {
        node.at(ms, |call, proposer, moves| moves.advance(call, proposer));
        assert!(node.holds());
        node.at(ms, |call, proposer, moves| assert!(!moves.may_finish_stop(&call.cx, proposer)));
    }
    let left = node.at(305, |call, proposer, moves| moves.advance(call, proposer));
    let report = Report::Left { address: address(), successor: None };
    assert!(left.contains(&Effect::Report(report)));
    node.at(305, |call, proposer, moves| assert!(moves.may_finish_stop(&call.cx, proposer)));
}

#[test]
fn who_stops_or_leaves_keeps_what_is_paused() {
    for mode in [StopMode::Restart, StopMode::Leave] {
        let mut node = holder();
        node.view.addresses.values_mut().for_each(|plan| plan.paused = true);
        node.at(5, |call, proposer, moves| moves.stop(call, proposer, mode));
        node.at(305, |call, proposer, moves| moves.advance(call, proposer));
        assert!(node.holds());
        node.at(305, |call, proposer, moves| assert!(moves.may_finish_stop(&call.cx, proposer)));
    }
}

#[test]
fn who_stops_at_once_hands_nothing_over_and_comes_to_nothing() {
    let mut node = AskingNode::new(2, true);
    let stop = |node: &mut AskingNode| {
        node.at(1, |call, proposer, moves| moves.stop(call, proposer, StopMode::AtOnce))
    };
    assert_eq!(stop(&mut node), [Effect::Report(Report::Stopped)]);
    assert_eq!(stop(&mut node), []);
    assert_eq!(step(&mut node, 2, 1, HandoverStep::Come(address())), []);
}

#[test]
fn who_is_cut_off_asks_one_standby_after_the_other_and_holds_on() {
    let mut node = holder();
    let asked = |node: &mut AskingNode, ms| {
        let effects = node.at(ms, |call, proposer, moves| moves.advance(call, proposer));
        let come = Message::Move(HandoverStep::Come(address()));
        let asked = sent(&effects).into_iter().filter(|(_, message)| *message == come);
        asked.map(|(node, _)| node).collect::<Vec<_>>()
    };
    let reaches = |node: &mut AskingNode, reach| {
        node.view.addresses.values_mut().for_each(|plan| plan.reach = reach);
    };
    for reach in [UplinkReach::Steady, UplinkReach::Unsteady] {
        reaches(&mut node, reach);
        assert_eq!(asked(&mut node, 5), []);
    }
    reaches(&mut node, UplinkReach::Lost);
    for (ms, standby) in [(10, 2), (1010, 3), (2010, 2), (7010, 3), (12_010, 2)] {
        assert_eq!(asked(&mut node, ms), [name(standby)], "after {ms} ms");
        assert!(node.holds());
    }
    // Once a second from the second turn on: one network that is gone has thousands of addresses.
    let later: Vec<u64> = (12_011..17_010).filter(|ms| !asked(&mut node, *ms).is_empty()).collect();
    assert_eq!(later, [13_010, 14_010, 15_010, 16_010]);
    let mut node = holder();
    reaches(&mut node, UplinkReach::Lost);
    node.view.addresses.values_mut().for_each(|plan| plan.standbys.clear());
    assert_eq!(asked(&mut node, 10), [], "there is nobody to ask");
    node.at(10, |call, proposer, moves| {
        assert_eq!(moves.deadline(&call.cx, proposer).filter(|at| *at <= call.cx.now.boot), None);
    });
}

#[test]
fn who_does_not_reach_the_network_does_not_come() {
    for (reach, comes) in
        [(UplinkReach::Steady, true), (UplinkReach::Unsteady, false), (UplinkReach::Lost, false)]
    {
        for owner in [1, 2] {
            let mut node = AskingNode::new(2, true);
            let plan = node.view.addresses.values_mut().next().unwrap();
            (plan.reach, plan.owner) = (reach, Some(name(owner)));
            let effects = step(&mut node, 5, 1, HandoverStep::Come(address()));
            assert_eq!(!sent(&effects).is_empty(), comes, "{reach:?}");
        }
    }
}
