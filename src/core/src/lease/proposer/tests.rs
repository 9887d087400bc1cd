use super::*;
use crate::lease::tests::{AskingNode, address, at, name};
use crate::lease::{AddressState, BootTime, Effect};

#[test]
fn a_node_that_is_the_majority_holds_at_once_and_goes_on_renewing() {
    let mut node = AskingNode::new(1, true);
    node.at(4, |call, proposer, _| proposer.advance_candidates(call));
    assert!(node.holds());
    assert_eq!(node.durable.kept.grants[&address()].node, name(1));
    for ms in (94..2000).step_by(90) {
        node.at(ms, |call, proposer, _| proposer.advance_holders(call));
    }
    assert!(node.holds());
    let ended = node.at(9999, |call, proposer, _| proposer.advance_holders(call));
    assert!(ended.contains(&Effect::Report(Report::Lost { address: address() })));
}

#[test]
fn without_voters_a_candidate_rests() {
    let mut node = AskingNode::new(1, false);
    node.at(4, |call, proposer, _| proposer.advance_candidates(call));
    let candidate = &node.proposer.addresses.get(address()).unwrap().candidate;
    assert_eq!((candidate.stage, candidate.pause), (CandidateStage::Idle, at(54).boot));
}

#[test]
fn what_is_given_up_is_closed_before_the_voters_hear_of_it() {
    let mut node = AskingNode::new(1, true);
    node.at(4, |call, proposer, _| proposer.advance_candidates(call));
    let left = node.at(5, |call, proposer, _| proposer.leave(call, &BTreeSet::from([address()])));
    let state = AddressState::Standby;
    let (address, valid_until) = (address(), Some(BootTime(0)));
    assert_eq!(
        left,
        [
            Effect::Kernel { address, state, holder: None, valid_until },
            Effect::Report(Report::Left { address, successor: None }),
        ]
    );
    assert!(node.durable.kept.grants.is_empty(), "its own voter needs no datagram");
}

#[test]
fn a_revoked_address_is_left_and_one_without_a_plan_forgotten() {
    let mut node = AskingNode::new(1, true);
    node.at(4, |call, proposer, _| proposer.advance_candidates(call));
    node.view.addresses.get_mut(&address()).unwrap().revoked = true;
    node.at(5, |call, proposer, _| proposer.read_plans(call, true));
    assert!(!node.holds());
    node.view.addresses.clear();
    let forgot = node.at(6, |call, proposer, _| proposer.read_plans(call, true));
    assert_eq!(forgot, [Effect::Forget { address: address() }]);
}

#[test]
fn the_renewal_of_another_names_the_holder() {
    let mut node = AskingNode::new(2, true);
    let ask = Ask { address: address(), fence: 7, lease: 450, epoch: 3 };
    let heard = node.at(9, |call, proposer, _| proposer.on_renewal(call, &name(1), &ask));
    let holding = holding(&name(1), 3);
    assert!(heard.contains(&Effect::Report(Report::HolderKnown { address: address(), holding })));
    assert_eq!(node.durable.greatest_epoch(address()), 3);
}
