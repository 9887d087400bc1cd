use super::*;
use crate::lease::holder::GrantedLease;
use crate::lease::tests::{address, at, name, view};
use crate::lease::{LeaseConfig, PersistedLease, PlanView, UplinkReach};

struct Node {
    config: LeaseConfig,
    view: PlanView,
    durable: DurableState,
    state: HandoverState,
}

impl Node {
    fn new(number: usize) -> Self {
        let config = LeaseConfig::new(name(number), "boot");
        let durable = DurableState::new(PersistedLease::default());
        Self { config, view: view(), durable, state: HandoverState::default() }
    }

    fn plan(&mut self) -> &mut AddressView {
        self.view.addresses.get_mut(&address()).unwrap()
    }

    /// Calls with the surroundings of a moment.
    fn at<T>(
        &mut self,
        ms: u64,
        call: impl FnOnce(&mut HandoverState, &Context<'_>, &mut DurableState) -> T,
    ) -> T {
        let cx = Context::new(&self.config, Some(&self.view), at(ms));
        call(&mut self.state, &cx, &mut self.durable)
    }
}

/// A lease of n1 until 450 ms, with epoch 3.
fn lease(node: &Node) -> Holder {
    let cx = Context::new(&node.config, Some(&node.view), at(0));
    let ask = cx.ask(address(), 3).unwrap();
    let (started, deadline) = (at(0).boot, at(450).boot);
    let (voters_epoch, follows_closely) = (0, true);
    let granted = GrantedLease { ask: &ask, started, deadline, voters_epoch, follows_closely };
    Holder::new(&cx, &granted, 3)
}

#[test]
fn only_a_plan_made_for_this_lease_moves_it() {
    let mut holder = Node::new(1);
    let lease = lease(&holder);
    for (epoch, to) in [(2, None), (3, Some(name(3))), (4, None)] {
        let plan = holder.plan();
        (plan.owner, plan.made_for) = (Some(name(3)), Some(holding(&name(1), epoch)));
        plan.standbys = vec![name(1), name(2)];
        let plan = plan.clone();
        holder.at(0, |state, cx, _| state.follow_plan(cx, &plan, &lease));
        assert_eq!(holder.state.outgoing.as_ref().map(|its| its.to.clone()), to);
    }
}

#[test]
fn who_is_cut_off_gives_up_also_the_owner_that_the_plan_wants() {
    let mut holder = Node::new(1);
    let lease = lease(&holder);
    let plan = holder.plan();
    (plan.owner, plan.made_for) = (Some(name(3)), Some(holding(&name(1), 3)));
    plan.standbys = vec![name(2), name(1), name(4)];
    let steady = plan.clone();
    let lost = AddressView { reach: UplinkReach::Lost, ..steady.clone() };
    let follow = |holder: &mut Node, ms, plan: &AddressView| {
        holder.at(ms, |state, cx, _| state.follow_plan(cx, plan, &lease));
        let outgoing = holder.state.outgoing.as_ref();
        (outgoing.map(|its| its.to.clone()), outgoing.and_then(|its| its.give_up))
    };
    assert_eq!(follow(&mut holder, 0, &steady), (Some(name(3)), None));
    let asked = (Some(name(3)), Some(at(1005).boot));
    assert_eq!(follow(&mut holder, 5, &lost), asked);
    assert_eq!(follow(&mut holder, 6, &lost), asked, "once");
    for (ms, next) in [(1005, 2), (2005, 4), (3005, 3)] {
        holder.at(ms, |state, cx, _| state.try_standbys_in_turn(cx, &lost));
        assert_eq!(holder.state.outgoing.as_ref().unwrap().to, name(next));
    }
    assert_eq!(follow(&mut holder, 3006, &steady), (Some(name(3)), None), "it reaches it again");
}

#[test]
fn who_is_in_no_rank_asks_all_that_are_in_turn_whatever_the_plan_was_made_for() {
    for made_for in [holding(&name(1), 3), holding(&name(4), 2)] {
        let mut holder = Node::new(1);
        let lease = lease(&holder);
        let plan = holder.plan();
        (plan.owner, plan.made_for) = (Some(name(3)), Some(made_for));
        plan.standbys = vec![name(2)];
        let plan = plan.clone();
        for (ms, next) in [(0, 3), (1000, 2), (2000, 3)] {
            holder.at(ms, |state, cx, _| state.follow_plan(cx, &plan, &lease));
            assert!(holder.state.next_standby_due().is_some_and(|due| due <= at(ms).boot));
            holder.at(ms, |state, cx, _| state.try_standbys_in_turn(cx, &plan));
            assert_eq!(holder.state.outgoing.as_ref().unwrap().to, name(next));
        }
        let paused = AddressView { paused: true, ..plan };
        holder.at(2001, |state, cx, _| state.follow_plan(cx, &paused, &lease));
        assert_eq!(holder.state.outgoing, None);
    }
}

#[test]
fn a_successor_counts_the_rest_of_the_lease_from_its_question() {
    let (mut holder, mut successor) = (Node::new(1), Node::new(2));
    let (lease, plan) = (lease(&holder), holder.plan().clone());
    assert!(holder.at(100, |state, cx, _| state.try_next_standby(cx, &plan)));
    let question = successor.at(101, |state, cx, _| state.begin_to_come(cx, &name(1)));
    let answer = |node: &mut Node, from: usize| {
        node.at(105, |state, cx, durable| {
            state.on_how_long(cx, durable, address(), &lease, &name(from), question)
        })
    };
    assert_eq!(answer(&mut holder, 3), None, "not the one that was asked");
    let Some(HandoverStep::Remaining { remaining, .. }) = answer(&mut holder, 2) else { panic!() };
    assert_eq!(holder.durable.kept.promised[&address()], (name(2), at(450).boot));
    let remains = |node: &mut Node, ms, question| {
        node.at(ms, |state, cx, _| state.on_remaining(cx, &name(1), question, remaining))
    };
    assert!(!remains(&mut successor, 110, question + 1), "another question");
    assert!(remains(&mut successor, 110, question));
    assert!(!remains(&mut successor, 111, question), "once");
    let deadline = successor.state.incoming.as_ref().unwrap().deadline;
    assert_eq!(deadline, Some(at(446).boot), "345 ms from 101 on");
    assert!(holder.state.is_answered(&name(2), question));
    assert!(!holder.state.is_answered(&name(2), question + 1));
}

#[test]
fn no_second_successor_is_promised_anything_while_the_first_may_forward() {
    let mut holder = Node::new(1);
    let (lease, plan) = (lease(&holder), holder.plan().clone());
    holder.durable.kept.promised.insert(address(), (name(3), at(200).boot));
    holder.at(100, |state, cx, _| state.try_next_standby(cx, &plan));
    let mut answers = |ms| {
        holder.at(ms, |state, cx, durable| {
            state.on_how_long(cx, durable, address(), &lease, &name(2), 1).is_some()
        })
    };
    assert_eq!([199, 200, 450].map(&mut answers), [false, true, false]);
}

#[test]
fn who_stops_asks_one_standby_after_the_other() {
    let mut holder = Node::new(1);
    let plan = holder.plan().clone();
    assert_eq!(holder.state.next_standby_due(), Some(BootTime(0)));
    for (ms, to) in [(0, 2), (150, 3)] {
        assert!(holder.at(ms, |state, cx, _| state.try_next_standby(cx, &plan)));
        assert_eq!(holder.state.outgoing.as_ref().unwrap().to, name(to));
        assert_eq!(holder.state.next_standby_due(), Some(at(ms + 150).boot));
    }
    assert!(!holder.at(300, |state, cx, _| state.try_next_standby(cx, &plan)));
}

#[test]
fn a_successor_asks_the_voters_once_it_is_told_and_ends_with_the_lease() {
    let mut node = Node::new(2);
    let told = |node: &mut Node, ms| node.at(ms, |state, cx, _| state.on_released(cx, &name(1)));
    assert_eq!(told(&mut node, 0), ReleasedToSuccessor::TooLate);
    let question = node.at(1, |state, cx, _| state.begin_to_come(cx, &name(1)));
    node.at(2, |state, cx, _| state.on_remaining(cx, &name(1), question, 9_000_000));
    assert_eq!(told(&mut node, 3), ReleasedToSuccessor::Asks);
    assert_eq!(told(&mut node, 3), ReleasedToSuccessor::AsksAlready);
    assert!(node.at(3, |state, cx, _| state.vote_due(cx)));
    assert_eq!(
        [true, false].map(|idle| node.state.deadline(idle)),
        [3, 10].map(|ms| Some(at(ms).boot))
    );
    assert_eq!(node.at(9, |state, cx, _| state.end(cx)), None);
    assert_eq!(node.at(10, |state, cx, _| state.end(cx)), Some(true), "what it got is released");
    assert_eq!(node.state, HandoverState::default());
}
