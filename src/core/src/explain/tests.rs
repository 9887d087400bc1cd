use super::*;
use crate::model::{Condition, ConditionType, Destination, Timestamp, WhenUnavailable};
use crate::testing::*;

fn quiet() -> Fixture {
    let mut world = Fixture::small();
    let mut narrow = mk_claim("payments/bank", "partners");
    narrow.destinations = Some(vec![Destination { cidr: net("198.51.100.0/24"), except: vec![] }]);
    let mut wide = mk_claim("payments/all", "partners");
    wide.pods = narrow.pods.clone();
    world.claim(narrow);
    world.claim(wide);
    world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
    world.settle();
    world
}

fn ask(world: &Fixture, pod: &str, to: &str) -> Option<Explanation> {
    explain(&world.snapshot, (&"payments".into(), pod), ip(to))
}

#[test]
fn says_who_wins_and_how_it_leaves() {
    let mut world = quiet();
    let answer = ask(&world, "p", "198.51.100.20").unwrap();
    assert_eq!(answer.outcome, ConnectionOutcome::Steered);
    assert_eq!(answer.claim, Some(mk_ref("payments/bank")));
    assert_eq!(answer.matched, Some(net("198.51.100.0/24")));
    assert_eq!(answer.others, [mk_ref("payments/all")]);
    assert_eq!(answer.node.as_str(), "d1");
    assert_eq!(answer.blocks.len(), 1);
    let stored = world.address(&answer.address.unwrap().to_string());
    assert_eq!(answer.holding, stored.status.holding);
    assert_eq!(answer.standbys, stored.plan.standbys);
    let answer = ask(&world, "p", "8.8.8.8").unwrap();
    assert_eq!(answer.claim, Some(mk_ref("payments/all")));
    assert_eq!((answer.matched, answer.others), (None, vec![]));
    assert_eq!(ask(&world, "p", "10.244.1.1").unwrap().outcome, ConnectionOutcome::NeverSteered);
    assert_eq!(ask(&world, "p", "2001:db8::1").unwrap().outcome, ConnectionOutcome::NotSelected);
    assert_eq!(ask(&world, "nobody", "8.8.8.8"), None);
    let mut host = mk_pod("payments/host", "bank", "d1", &["192.0.2.4/32"]);
    host.host_network = true;
    world.pod(host);
    assert_eq!(ask(&world, "host", "8.8.8.8").unwrap().outcome, ConnectionOutcome::HostNetwork);
}

#[test]
fn what_the_pods_node_cannot_do_is_said() {
    let mut world = quiet();
    let said = |world: &Fixture| ask(world, "p", "198.51.100.20").unwrap().node_trouble;
    assert_eq!(said(&world), None);
    let mut say = |ready| {
        let why = "no answer through the tunnel from g1";
        let condition =
            Condition::new(ConditionType::Ready, ready, "TunnelUnanswered", why, Timestamp(1));
        let node = world.snapshot.egress_nodes.get_mut(&"d1".into()).unwrap();
        node.value.status.conditions = vec![condition];
        said(&world)
    };
    assert_eq!(say(false).as_deref(), Some("no answer through the tunnel from g1"));
    assert_eq!(say(true), None);
}

/// The kernel has one of two pods with an address: explain names it for the other.
#[test]
fn the_loser_of_an_address_is_told_who_has_it() {
    let mut world = quiet();
    let mut old = mk_pod("payments/old", "bank", "d1", &["10.244.4.7/32"]);
    old.terminating = true;
    world.pod(old);
    let answer = ask(&world, "old", "198.51.100.20").unwrap();
    assert_eq!(answer.outcome, ConnectionOutcome::AddressOfOther);
    assert_eq!(answer.address_owner.unwrap().name, "p");
    let answer = ask(&world, "p", "198.51.100.20").unwrap();
    assert_eq!((answer.outcome, answer.address_owner), (ConnectionOutcome::Steered, None));
    // Another node's pods have addresses of their own.
    world.pod(mk_pod("payments/elsewhere", "bank", "d2", &["10.244.4.7/32"]));
    assert_eq!(ask(&world, "p", "198.51.100.20").unwrap().address_owner, None);
}

/// The agent has heard the CNI; over an API server no other pod than the one in question is read.
#[test]
fn the_agents_word_goes_before_the_order_of_the_api() {
    let mut world = quiet();
    let old = mk_pod("payments/old", "bank", "d1", &["10.244.4.7/32"]);
    world.pod(crate::model::Pod { terminating: true, ..old });
    let tell = |world: &mut Fixture, owner: &str| {
        let shared = [(net("10.244.4.7/32"), owner.to_owned())].into();
        let node = world.snapshot.egress_nodes.get_mut(&"d1".into()).unwrap();
        node.value.status.shared_pod_addresses = shared;
    };
    let owner = |world: &Fixture, pod: &str| {
        let answer = ask(world, pod, "198.51.100.20").unwrap();
        let other = answer.outcome == ConnectionOutcome::AddressOfOther;
        assert_eq!(other, answer.address_owner.is_some());
        answer.address_owner.map(|owner| owner.name)
    };
    tell(&mut world, "payments/old");
    assert_eq!((owner(&world, "old"), owner(&world, "p")), (None, Some("old".to_owned())));
    // As `egret explain` reads an API server.
    let key = |name: &str| ("payments".into(), name.to_owned());
    let old = world.snapshot.pods.remove(&key("old")).unwrap();
    assert_eq!(owner(&world, "p"), Some("old".to_owned()));
    tell(&mut world, "payments/p");
    assert_eq!(owner(&world, "p"), None);
    // A word that is older than what is read.
    world.pod(crate::model::Pod { sources: [net("10.244.4.9/32")].into(), ..old });
    tell(&mut world, "payments/old");
    assert_eq!(owner(&world, "p"), None);
}

/// The world with a claim that says what is done while nobody holds its address.
fn lonely(when_unavailable: WhenUnavailable) -> (Fixture, IpAddr) {
    let mut world = Fixture::small();
    let claim = mk_claim("payments/bank", "partners");
    world.claim(crate::model::Claim { when_unavailable, ..claim });
    world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
    world.settle();
    let address = *world.snapshot.addresses.keys().next().unwrap();
    (world, address)
}

/// Each answer names one outcome: what leaves is not dropped, and what only an agent knows is not said.
#[test]
fn without_a_holder_there_is_one_outcome() {
    for (when_unavailable, expected) in [
        (WhenUnavailable::Drop, ConnectionOutcome::DropNoHolder),
        (WhenUnavailable::Node, ConnectionOutcome::NotKnown),
    ] {
        let (mut world, address) = lonely(when_unavailable);
        let held = ask(&world, "p", "8.8.8.8").unwrap();
        assert_eq!((held.outcome, held.why), (ConnectionOutcome::Steered, None));
        assert_eq!(held.takeover_after, Some(crate::model::Millis(508)));
        let status = &mut world.snapshot.addresses.get_mut(&address).unwrap().value.status;
        let holding = status.holding.take();
        let answer = ask(&world, "p", "8.8.8.8").unwrap();
        assert_eq!(answer.outcome, expected);
        assert_eq!(answer.why.is_some(), expected == ConnectionOutcome::NotKnown);
        let status = &mut world.snapshot.addresses.get_mut(&address).unwrap().value.status;
        status.holding = holding;
        world.snapshot.egress_nodes.get_mut(&"d1".into()).unwrap().value.spec.blocks.clear();
        let expected = match when_unavailable {
            WhenUnavailable::Drop => ConnectionOutcome::DropNoBlock,
            WhenUnavailable::Node => ConnectionOutcome::NotKnown,
        };
        assert_eq!(ask(&world, "p", "8.8.8.8").unwrap().outcome, expected);
    }
}

#[test]
fn what_the_address_says_against_it_is_repeated() {
    let (mut world, address) = lonely(WhenUnavailable::Drop);
    let status = &mut world.snapshot.addresses.get_mut(&address).unwrap().value.status;
    let kind = crate::model::ConditionType::Ready;
    crate::model::Condition::new(kind, false, "Conflict", "02:00 has it too", Timestamp(1))
        .put_into(&mut status.conditions);
    let holder = status.holding.clone().unwrap().node;
    let answer = ask(&world, "p", "8.8.8.8").unwrap();
    assert_eq!(answer.outcome, ConnectionOutcome::NotKnown);
    assert_eq!(answer.why.as_deref(), Some("02:00 has it too"));
    world.snapshot.nodes.remove(&holder);
    let answer = ask(&world, "p", "8.8.8.8").unwrap();
    assert_eq!(answer.outcome, ConnectionOutcome::NotKnown);
    assert!(answer.why.unwrap().contains("is absent"));
    assert!(!answer.standbys.contains(&holder));
}

#[test]
fn nobody_takes_over_without_a_majority() {
    let (mut world, address) = lonely(WhenUnavailable::Drop);
    let holder = world.address(&address.to_string()).status.holding.clone().unwrap().node;
    let outcome = what_if(&world.snapshot, &holder).remove(0);
    assert!(outcome.to.is_some() && outcome.held && !outcome.cloud_moves);
    assert_eq!(outcome.takeover_after, Some(crate::model::Millis(508)));
    let set = world.snapshot.cluster.as_mut().unwrap().value.set.as_mut().unwrap();
    set.members.retain(|voter| voter.node == holder);
    let outcome = what_if(&world.snapshot, &holder).remove(0);
    assert_eq!((outcome.to, outcome.takeover_after), (None, None));
    assert!(outcome.why.starts_with("no majority"), "{}", outcome.why);
}

#[test]
fn what_if_names_who_takes_over_and_why_nobody_does() {
    let mut world = quiet();
    for gateway in ["g1", "g2", "g3"] {
        for outcome in what_if(&world.snapshot, &gateway.into()) {
            let plan = &world.address(&outcome.address.to_string()).plan;
            assert_eq!(outcome.to.as_ref(), plan.standbys.first());
            assert_eq!(outcome.why, "");
        }
    }
    assert_eq!(what_if(&world.snapshot, &"d1".into()), vec![]);
    for gateway in ["g2", "g3"] {
        world.snapshot.nodes.get_mut(&gateway.into()).unwrap().labels.clear();
    }
    world.settle();
    let outcomes = what_if(&world.snapshot, &"g1".into());
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[0].to, None);
    assert_eq!(outcomes[0].why, "g1 is the only gateway that may carry it");
}
