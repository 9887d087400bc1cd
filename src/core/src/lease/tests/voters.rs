use super::*;

fn request(round: u64, fence: u64, kind: RequestKind) -> Request {
    Request {
        round: RoundId { boot: 1, counter: round },
        set: SetId::of("c", &voter_set(1, &[1, 2, 3])),
        kind,
        asks: vec![Ask { address: address(), fence, lease: 450, epoch: 1 }],
    }
}

/// A voter past its silence, at 2 s.
fn voter() -> Machine {
    let mut machine = Machine::new(LeaseConfig::new(name(1), "boot"), None, at(0), 1);
    machine.handle(at(2000), Input::View(Box::new(other_owner())));
    let view = Box::new(other_owner());
    machine.handle(at(2000), Input::ConsistentRead { began: at(2000), view });
    machine
}

fn other_owner() -> PlanView {
    let mut view = view();
    let plan = view.addresses.get_mut(&address()).unwrap();
    plan.owner = Some(name(2));
    plan.standbys = vec![name(3)];
    view
}

fn ask(machine: &mut Machine, ms: u64, from: usize, request: Request) -> Vec<Message> {
    let input = Input::Receive { from: name(from), message: Message::Request(request) };
    let effects = machine.handle(at(ms), input);
    let sent = |effect| match effect {
        Effect::Send { to, message } if to == name(from) => Some(message),
        _ => None,
    };
    let all = effects.into_iter().filter_map(sent);
    all.filter(|message| *message != Message::Heartbeat).collect()
}

fn verdict(messages: &[Message]) -> Option<Vote> {
    match messages {
        [Message::Answer(answer)] => Some(answer.answers[0].vote),
        _ => None,
    }
}

#[test]
fn one_node_at_a_time_until_112_percent_of_t() {
    let mut voter = voter();
    assert_eq!(
        verdict(&ask(&mut voter, 2000, 2, request(1, 7, RequestKind::Vote))),
        Some(Vote::Granted)
    );
    assert_eq!(
        verdict(&ask(&mut voter, 2001, 3, request(9, 7, RequestKind::Vote))),
        Some(Vote::Taken { remaining: 503 })
    );
    assert_eq!(
        verdict(&ask(&mut voter, 2503, 3, request(9, 7, RequestKind::PreVote))),
        Some(Vote::Taken { remaining: 1 })
    );
    assert_eq!(
        verdict(&ask(&mut voter, 2504, 3, request(9, 7, RequestKind::Vote))),
        Some(Vote::Granted)
    );
}

#[test]
fn a_late_release_ends_nothing_newer() {
    let mut voter = voter();
    ask(&mut voter, 2000, 2, request(5, 7, RequestKind::Vote));
    let release = |round| {
        let round = RoundId { boot: 1, counter: round };
        let released = vec![ReleasedAddress { address: address(), successor: None }];
        Input::Receive { from: name(2), message: Message::Release(Release { round, released }) }
    };
    voter.handle(at(2001), release(4));
    assert_eq!(voter.persisted().grants.len(), 1);
    voter.handle(at(2002), release(5));
    assert_eq!(voter.persisted().grants.len(), 0);
}

#[test]
fn a_lower_fence_an_unknown_plan_and_too_long_a_lease_are_refused() {
    let mut voter = voter();
    assert_eq!(
        verdict(&ask(&mut voter, 2000, 2, request(1, 6, RequestKind::Vote))),
        Some(Vote::Fenced)
    );
    let mut unknown = request(2, 7, RequestKind::Vote);
    unknown.asks[0].address = IpAddr::from([203, 0, 113, 99]);
    assert_eq!(verdict(&ask(&mut voter, 2000, 2, unknown)), Some(Vote::Unplanned));
    let mut long = request(3, 7, RequestKind::Vote);
    long.asks[0].lease = 1001;
    assert_eq!(verdict(&ask(&mut voter, 2000, 2, long)), Some(Vote::TooLong));
}

#[test]
fn a_higher_fence_is_kept() {
    let mut voter = voter();
    ask(&mut voter, 2000, 2, request(1, 8, RequestKind::Vote));
    assert_eq!(voter.persisted().fences[&address()].fence, 8);
}

#[test]
fn an_address_that_is_gone_does_not_come_back_with_an_old_plan() {
    let mut voter = voter();
    let mut view = other_owner();
    view.addresses.get_mut(&address()).unwrap().fence = 8;
    voter.handle(at(2000), Input::View(Box::new(view.clone())));
    view.addresses.clear();
    voter.handle(at(2000), Input::View(Box::new(view)));
    voter.handle(at(2000), Input::View(Box::new(other_owner())));
    assert_eq!(
        verdict(&ask(&mut voter, 2001, 2, request(1, 7, RequestKind::Vote))),
        Some(Vote::Unplanned)
    );
}

#[test]
fn an_older_set_is_refused_and_the_newer_one_sent() {
    let mut voter = voter();
    let mut view = other_owner();
    let newer = voter_set(2, &[1, 2, 3, 4]);
    view.cluster.as_mut().unwrap().set = Some(newer.clone());
    voter.handle(at(2000), Input::View(Box::new(view)));
    let answers = ask(&mut voter, 2001, 2, request(1, 7, RequestKind::Vote));
    let [Message::Refusal(refusal), Message::Set(part)] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(refusal.reason, RefusalReason::OlderSet);
    let mut asker = Machine::new(LeaseConfig::new(name(2), "other"), None, at(0), 1);
    asker.handle(at(0), Input::View(Box::new(other_owner())));
    let message = Message::Set(part.clone());
    let effects = asker.handle(at(1), Input::Receive { from: name(1), message });
    assert!(effects.contains(&Effect::Report(Report::NewSet(newer.clone()))));
    assert_eq!(asker.persisted().set, Some(newer));
}

#[test]
fn another_set_of_the_same_number_is_refused_and_reported() {
    let mut voter = voter();
    let mut foreign = request(1, 7, RequestKind::Vote);
    foreign.set = SetId::of("c", &voter_set(1, &[1, 2, 4]));
    let answers = ask(&mut voter, 2001, 2, foreign);
    assert!(
        matches!(&answers[..], [Message::Refusal(no)] if no.reason == RefusalReason::OtherSet),
        "{answers:?}"
    );
}

#[test]
fn a_set_is_acknowledged_when_older_grants_have_run_out_and_the_fences_are_read_again() {
    let mut voter = voter();
    ask(&mut voter, 2000, 2, request(1, 7, RequestKind::Vote));
    let mut view = other_owner();
    view.cluster.as_mut().unwrap().set = Some(voter_set(2, &[1, 2, 3, 4]));
    let acknowledged =
        |effects: &[Effect]| effects.contains(&Effect::Report(Report::AcknowledgedSet(2)));
    let effects = voter.handle(at(2010), Input::View(Box::new(view.clone())));
    assert!(effects.contains(&Effect::ReadConsistently));
    let read = |began| Input::ConsistentRead { began: at(began), view: Box::new(view.clone()) };
    voter.handle(at(2020), read(2009));
    assert!(
        !acknowledged(&voter.handle(at(2600), Input::Tick)),
        "it began before the set was seen"
    );
    let mut voter2 = voter.clone();
    assert!(acknowledged(&voter2.handle(at(2610), read(2600))));
    let mut again = request(2, 7, RequestKind::Renewal);
    again.set = SetId::of("c", &voter_set(2, &[1, 2, 3, 4]));
    assert_eq!(verdict(&ask(&mut voter, 2610, 2, again)), Some(Vote::Granted));
    assert!(acknowledged(&voter.handle(at(2620), read(2611))), "that grant is of the new set");
}

#[test]
fn another_cluster_begins_a_new_silence() {
    let mut voter = voter();
    let mut view = other_owner();
    view.cluster.as_mut().unwrap().id = "restored".into();
    voter.handle(at(3000), Input::View(Box::new(view)));
    assert!(!voter.persisted().may_grant);
    assert_eq!(voter.persisted().boot_grace_since, RawTime(3000 * MS));
}

#[test]
fn a_restart_goes_on_and_a_reboot_does_not() {
    let mut voter = voter();
    ask(&mut voter, 2000, 2, request(1, 7, RequestKind::Vote));
    let kept = voter.persisted().clone();
    let restarted =
        Machine::new(LeaseConfig::new(name(1), "boot"), Some(kept.clone()), at(2001), 1);
    assert_eq!(*restarted.persisted(), kept);
    let rebooted = Machine::new(LeaseConfig::new(name(1), "next"), Some(kept), at(5), 1);
    assert!(!rebooted.persisted().may_grant && rebooted.persisted().set.is_none());
}
