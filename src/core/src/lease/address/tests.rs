use super::*;
use crate::lease::tests::{address, at, name, view};
use crate::lease::{LeaseConfig, PersistedLease, PlanView};

/// What n2 knows of the address.
struct Node {
    config: LeaseConfig,
    view: PlanView,
    durable: DurableState,
    entry: AddressLease,
}

impl Node {
    fn new() -> Self {
        let (config, view) = (LeaseConfig::new(name(2), "boot"), view());
        let durable = DurableState::new(PersistedLease::default());
        let cx = Context::new(&config, Some(&view), at(0));
        let mut entry = AddressLease::new(&cx, &durable, address());
        entry.candidate.heard = Some(at(0).boot);
        Self { config, view, durable, entry }
    }

    /// Calls at a moment; what it does.
    fn at(
        &mut self,
        ms: u64,
        call: impl FnOnce(&mut AddressLease, &Context<'_>, &mut DurableState, &mut Effects),
    ) -> Vec<Effect> {
        let cx = Context::new(&self.config, Some(&self.view), at(ms));
        let mut out = Effects::default();
        call(&mut self.entry, &cx, &mut self.durable, &mut out);
        out.0
    }

    /// A majority that knows the epoch `voters` grants a round of epoch 1.
    fn granted(&mut self, started: u64, ms: u64, voters: u64) -> Vec<Effect> {
        self.at(ms, |entry, cx, durable, out| {
            let ask = cx.ask(address(), 1).unwrap();
            entry.granted(cx, durable, at(started).boot, &ask, voters, out);
        })
    }
}

fn kernel(state: AddressState, holder: Option<usize>, until: Option<u64>) -> Effect {
    let valid_until = until.map(|ms| at(ms).boot);
    Effect::Kernel { address: address(), state, holder: holder.map(name), valid_until }
}

#[test]
fn a_lease_runs_from_the_start_of_its_round_to_its_end() {
    let mut node = Node::new();
    assert_eq!(node.granted(0, 450, 0), [], "over before it was granted");
    let begun = node.granted(0, 5, 0);
    assert_eq!(begun[0], kernel(AddressState::Held, Some(2), Some(450)));
    assert!(matches!(begun[1], Effect::Report(Report::TookOver { previous: None, .. })));
    assert_eq!(node.durable.kept.held[&address()], 1);
    assert_eq!(node.granted(90, 95, 0), [kernel(AddressState::Held, Some(2), Some(540))]);
    let end = |node: &mut Node, ms| {
        node.at(ms, |entry, cx, durable, out| entry.end_lease(cx, durable, out))
    };
    assert_eq!(end(&mut node, 539), []);
    let lost = Effect::Report(Report::Lost { address: address() });
    assert_eq!(end(&mut node, 540), [kernel(AddressState::Standby, None, Some(0)), lost]);
    assert_eq!(node.entry.candidate.last_renewal, Some(at(90).boot), "the round that it had last");
    assert!(node.entry.is_idle() && node.durable.kept.held.is_empty());
}

#[test]
fn a_greater_epoch_elsewhere_is_outdone_without_letting_go() {
    let mut node = Node::new();
    node.granted(0, 5, 4);
    assert_eq!(node.entry.holder.as_ref().unwrap().epoch, 5);
    let raised = node.granted(0, 6, 9);
    let holding = holding(&name(2), 10);
    let held =
        Report::Held { address: address(), holding, fence: 7, probed: true, conflict: false };
    assert_eq!(raised, [Effect::Report(held)]);
    assert_eq!(node.durable.greatest_epoch(address()), 10);
}

#[test]
fn the_greatest_epoch_names_the_holder() {
    let mut node = Node::new();
    let learn = |node: &mut Node, holder, epoch| {
        node.at(1, |entry, cx, _, out| {
            entry.learn_holder(cx, &holding(&name(holder), epoch), out);
        })
    };
    assert_eq!(learn(&mut node, 1, 3)[1], kernel(AddressState::Standby, Some(1), Some(0)));
    assert_eq!(learn(&mut node, 3, 2), []);
    let greater = |node: &Node, holder, epoch| {
        node.entry.greater_than(&holding(&name(holder), epoch)).map(|epoch| epoch.counter)
    };
    assert_eq!([1, 3].map(|holder| greater(&node, holder, 3)), [None, Some(3)]);
    assert_eq!(greater(&node, 3, 4), None);
}

#[test]
fn what_an_earlier_process_held_is_left_alone_for_t() {
    let mut node = Node::new();
    node.durable.hold(address(), 1);
    let cx = Context::new(&node.config, Some(&node.view), at(0));
    node.entry = AddressLease::new(&cx, &node.durable, address());
    assert!(node.entry.is_active());
    let end = |node: &mut Node, ms| node.at(ms, |entry, cx, _, out| entry.end_adoption(cx, out));
    assert_eq!(end(&mut node, 449), []);
    assert_eq!(end(&mut node, 450), [kernel(AddressState::Standby, None, Some(0))]);
}

#[test]
fn a_fence_or_a_revocation_takes_it_away() {
    let mut node = Node::new();
    node.granted(0, 5, 0);
    let plan = node.view.addresses[&address()].clone();
    assert!(!node.entry.is_taken_away(&plan, true));
    assert!(node.entry.is_taken_away(&AddressView { fence: 8, ..plan.clone() }, true));
    let revoked = AddressView { revoked: true, ..plan };
    assert_eq!(
        [false, true].map(|active| node.entry.is_taken_away(&revoked, active)),
        [false, true]
    );
    let to = Successor { node: name(3), round: crate::lease::RoundId::default() };
    let closed = node.at(6, |entry, cx, _, out| {
        entry.give_up(cx, Some(&to));
        entry.write_entry(cx, out);
    });
    assert_eq!(closed, [kernel(AddressState::Leaving, Some(3), Some(0))]);
}

/// n1 was heard at `heard`, and n2 is granted at `taken`; n2 sees the cloud accept.
fn accepted_after(heard: u64, taken: u64) -> Node {
    let mut node = Node::new();
    let plan = node.view.addresses.get_mut(&address()).unwrap();
    (plan.no_deadline, plan.accepted) = (true, Some(name(2)));
    node.entry.candidate.last_renewal = Some(at(heard).boot);
    node.at(heard, |entry, cx, _, out| entry.learn_holder(cx, &holding(&name(1), 1), out));
    node.granted(taken - 5, taken, 1);
    node
}

fn may_announce(node: &mut Node, ms: u64) -> bool {
    let mut may = false;
    node.at(ms, |entry, cx, _, _| may = entry.may_announce(cx));
    may
}

#[test]
fn directors_may_follow_at_accepted_from_a_holder_that_was_silent_for_a_lease() {
    assert!(may_announce(&mut accepted_after(100, 550), 550));
    assert!(!may_announce(&mut accepted_after(101, 550), 550), "handed over too late to be a move");
    let mut again = accepted_after(100, 550);
    again.at(1000, |entry, cx, durable, out| entry.end_lease(cx, durable, out));
    again.granted(1045, 1050, 1);
    assert!(may_announce(&mut again, 1050), "its own lease lapsed for a moment");
}

#[test]
fn a_drift_is_followed_when_its_repair_is_seen() {
    let mut node = accepted_after(100, 550);
    let read = |attached: usize, node: &mut Node| {
        node.view.addresses.get_mut(&address()).unwrap().attached = Some(name(attached));
        node.at(560, |entry, cx, _, _| entry.end_early_following(cx));
        may_announce(node, 560)
    };
    assert!(read(1, &mut node), "the old one still has it");
    assert!(read(2, &mut node));
    assert!(!read(3, &mut node), "somebody moved it, and it was accepted to move back");
}
