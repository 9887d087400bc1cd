use super::*;
use crate::lease::tests::{at, name, view, voter_set};
use crate::lease::{LeaseConfig, PersistedLease};

fn durable() -> DurableState {
    let set = Some(voter_set(1, &[1, 2, 3]));
    let cluster = Some("c".to_owned());
    DurableState::new(PersistedLease { cluster, set, t_max: 1000, ..Default::default() })
}

#[test]
fn the_only_deadline_after_a_boot_is_the_end_of_the_silence() {
    let (config, durable) = (LeaseConfig::new(name(1), "boot"), durable());
    let view = view();
    let cx = Context { config: &config, view: Some(&view), now: at(0) };
    let voter = VoterState::default();
    assert_eq!(voter.deadline(&cx, &durable), Some(at(1120).raw));
}

#[test]
fn what_is_past_its_deadline_is_done_once() {
    let (config, mut durable) = (LeaseConfig::new(name(1), "boot"), durable());
    let cx = Context { config: &config, view: None, now: at(1120) };
    let (mut voter, mut out) = (VoterState::default(), Effects::default());
    voter.advance(&cx, &mut durable, &mut out);
    let boot = "boot".to_owned();
    assert_eq!(out.0, [Effect::Report(Report::MayVote { boot }), Effect::ReadConsistently]);
    assert_eq!(voter.deadline(&cx, &durable), Some(at(3120).raw), "asked again after 2 s");
}

#[test]
fn a_set_is_adopted_once() {
    let (config, mut durable) = (LeaseConfig::new(name(1), "boot"), durable());
    let cx = Context { config: &config, view: None, now: at(7) };
    let (mut voter, mut out) = (VoterState::default(), Effects::default());
    let set = voter_set(2, &[1, 2, 3, 4]);
    assert!(voter.adopt_set(&cx, &mut durable, &set, &name(2), &mut out));
    assert!(!voter.adopt_set(&cx, &mut durable, &set, &name(2), &mut out));
    assert_eq!((durable.set_number(), voter.set_seen, out.0.len()), (2, at(7).raw, 0));
}
