use super::*;
use crate::lease::tests::{address, at, name, view, voter_set};
use crate::lease::{Effect, LeaseConfig, PersistedLease, PlanView};

/// n4 directs; voters are n1, n2 and n3.
fn fixture() -> (LeaseConfig, PlanView, DurableState, Directors) {
    let (config, view) = (LeaseConfig::new(name(4), "boot"), view());
    let kept = PersistedLease { set: Some(voter_set(1, &[1, 2, 3])), ..Default::default() };
    let mut directors = Directors::default();
    directors.read_plans(&Context::new(&config, Some(&view), at(0)));
    (config, view, DurableState::new(kept), directors)
}

fn holds(node: usize, epoch: u64) -> Vec<Holds> {
    vec![Holds { address: address(), holder: Some((name(node), epoch)) }]
}

#[test]
fn only_a_majority_makes_a_holder_with_its_greatest_epoch() {
    let (_, _, durable, mut directors) = fixture();
    assert_eq!(directors.on_holds(&durable, &name(1), holds(2, 5)), []);
    assert_eq!(directors.on_holds(&durable, &name(9), holds(2, 5)), [], "no voter");
    assert_eq!(directors.on_holds(&durable, &name(2), holds(3, 9)), []);
    let made = directors.on_holds(&durable, &name(3), holds(2, 4));
    assert_eq!(made, [(address(), holding(&name(2), 5))]);
}

#[test]
fn the_voters_are_asked_once_a_second_and_five_seconds_without_an_answer_are_reported() {
    let (config, view, _, mut directors) = fixture();
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    for ms in (0..8000).step_by(10) {
        let cx = Context::new(&config, Some(&view), at(ms));
        let mut out = Effects::default();
        if !directors.advance(&cx, |_| None, &mut out).is_empty() {
            asked.push(ms);
        }
        said.extend(out.0.into_iter().map(|effect| (ms, effect)));
        assert!(directors.deadline(&cx).is_some_and(|due| due > cx.now.boot));
    }
    assert_eq!(asked, [0, 1000, 2000, 3000, 4000, 5000, 6000, 7000]);
    let unavailable = Effect::Report(Report::Unavailable { address: address() });
    assert_eq!(said, [(5000, unavailable)]);
    let mut out = Effects::default();
    let cx = Context::new(&config, Some(&view), at(8000));
    directors.sign_of_holder(&cx, address(), &mut out);
    assert_eq!(out.0, [Effect::Report(Report::AvailableAgain { address: address() })]);
}

#[test]
fn a_quiet_holder_is_pinged_before_the_voters_are_asked() {
    let (config, view, _, mut directors) = fixture();
    let (holder, mut out) = (name(1), Effects::default());
    let cx = |ms| Context::new(&config, Some(&view), at(ms));
    directors.sign_of_holder(&cx(0), address(), &mut out);
    directors.need_holder(&cx(899), address(), Some(&holder), &mut out);
    assert_eq!(out.0, [], "it was heard within 2 T");
    directors.need_holder(&cx(900), address(), Some(&holder), &mut out);
    assert_eq!(out.0.len(), 1);
    let mut asks = |ms| directors.advance(&cx(ms), |_| Some(&holder), &mut out).len();
    assert_eq!([1350, 1799, 1800].map(&mut asks), [0, 0, 1]);
    assert_eq!(out.0.len(), 2, "pinged once more after T");
}

#[test]
fn the_holder_is_asked_for_grants_until_it_has_them() {
    let (config, view, _, mut directors) = fixture();
    let (holder, mut out) = (name(1), Effects::default());
    let cx = |ms| Context::new(&config, Some(&view), at(ms));
    directors.ask_grants(&cx(0), address(), 3);
    for ms in 0..100 {
        directors.repeat_grant_questions(&cx(ms), |_| Some(&holder), 9, &mut out);
    }
    assert_eq!(out.0.len(), 3, "at 0, 20 and 60 ms");
    out.0.clear();
    directors.on_grants_applied(address(), 2, &mut out);
    assert_eq!(out.0, []);
    directors.on_grants_applied(address(), 4, &mut out);
    let acknowledged = Report::GrantAcknowledged { address: address(), epoch: 3 };
    assert_eq!(out.0, [Effect::Report(acknowledged)]);
}
