use super::*;
use crate::model::{MovedOff, ObjectRef};
use crate::testing::{Fixture, ip, mk_claim, mk_pool};

const DIRECTORS: [&str; 4] = ["d1", "d2", "d3", "d4"];

/// One address, held by one of three gateways, with ports at four directors.
fn world() -> (Fixture, IpAddr) {
    let mut world = Fixture::empty();
    for number in 1..=3 {
        world.node(&format!("g{number}"), number, true, "a");
    }
    for (number, name) in DIRECTORS.iter().enumerate() {
        world.node(name, 10 + number, false, "a");
    }
    world.pool(mk_pool("partners", &[("192.0.2.100", "192.0.2.100")]));
    world.claim(mk_claim("ns/c", "partners"));
    world.settle();
    let address = ip("192.0.2.100");
    for name in DIRECTORS {
        world.status(name).block_needs.insert(address, 1);
    }
    world.settle();
    world.pass(300);
    world.settle();
    (world, address)
}

fn plan(world: &Fixture) -> AddressPlan {
    world.address("192.0.2.100").plan.clone()
}

fn owner(world: &Fixture) -> NodeName {
    plan(world).owner.unwrap()
}

fn asked(world: &Fixture) -> Option<Timestamp> {
    world.snapshot.egress_nodes[&owner(world)].value.spec.reach_question.map(|question| question.at)
}

fn complain(world: &mut Fixture, directors: &[&str]) {
    let holder = owner(world);
    for director in directors {
        world.status(director).unreached_holders.insert(holder.clone());
    }
}

/// The director answers what is asked now; where it reaches the holder not, it reaches every standby.
fn answer(world: &mut Fixture, director: &str, reach: Reach) {
    let plan = plan(world);
    let standbys = match reach {
        Reach::Unreached => plan.standbys.iter().cloned().collect(),
        _ => BTreeSet::new(),
    };
    let used = match reach {
        Reach::Idle => BTreeSet::new(),
        _ => [ip("192.0.2.100")].into(),
    };
    let answer = ReachAnswer { asked_at: asked(world).unwrap(), holder: reach, used, standbys };
    world.status(director).reach_answers.insert(plan.owner.unwrap(), answer);
}

/// Every node but the holder that has not answered says that it has no traffic; gateways have ports too.
fn rest_is_idle(world: &mut Fixture) {
    let (holder, asked) = (owner(world), asked(world));
    let others = world.snapshot.egress_nodes.keys().filter(|name| **name != holder);
    let others: Vec<String> = others.map(ToString::to_string).collect();
    for name in others {
        let answers = &world.status(&name).reach_answers;
        if answers.get(&holder).map(|answer| answer.asked_at) != asked {
            answer(world, &name, Reach::Idle);
        }
    }
}

/// What became of the address once these directors had complained, and all had answered.
fn moved(answers: [Reach; 4]) -> bool {
    let (mut world, _) = world();
    let before = owner(&world);
    let complaints = DIRECTORS.iter().zip(answers).filter(|(_, reach)| *reach == Reach::Unreached);
    let complaints: Vec<&str> = complaints.map(|(name, _)| *name).collect();
    complain(&mut world, &complaints);
    world.settle();
    for (name, reach) in DIRECTORS.iter().zip(answers) {
        answer(&mut world, name, reach);
    }
    rest_is_idle(&mut world);
    world.settle();
    owner(&world) != before
}

#[test]
fn two_and_more_than_half_of_those_with_traffic_move_an_address() {
    use Reach::{Idle, Reached, Unreached};
    assert!(moved([Unreached, Unreached, Idle, Idle]));
    assert!(moved([Unreached, Unreached, Reached, Idle]));
    assert!(moved([Unreached; 4]));
    assert!(!moved([Unreached, Unreached, Reached, Reached]), "half");
    assert!(!moved([Unreached, Reached, Reached, Reached]));
    assert!(!moved([Unreached, Idle, Idle, Idle]), "one, whatever the others do");
}

#[test]
fn a_move_names_its_cause_and_is_made_once_in_ten_minutes() {
    let (mut world, _) = world();
    let (first, standby) = (owner(&world), plan(&world).standbys[0].clone());
    complain(&mut world, &["d1", "d2", "d3"]);
    world.settle();
    assert_eq!(asked(&world), Some(world.now));
    for name in ["d1", "d2", "d3"] {
        answer(&mut world, name, Reach::Unreached);
    }
    rest_is_idle(&mut world);
    world.status("d4").reach_answers.clear();
    world.pass(29);
    assert!(world.step().is_empty(), "one has not answered");
    assert!(world.plan().wake_at.is_some_and(|at| at <= world.now + Millis::from_secs(1)));
    world.pass(1);
    let writes = world.step();
    let notes: Vec<_> = writes.iter().flat_map(|write| &write.notes).collect();
    assert!(notes.iter().any(|note| note.warning && note.message.contains("do not reach g")));
    assert_eq!(notes[0].about, ObjectRef::claim(&plan(&world).claim));
    assert_eq!(owner(&world), standby);
    let moved = plan(&world).moved_off.unwrap();
    assert_eq!((moved.node, moved.at), (first.clone(), world.now));
    assert!(plan(&world).standbys.contains(&first), "it is well, for all that is known");
    // The same happens where it went.
    for name in DIRECTORS {
        world.status(name).unreached_holders.clear();
    }
    world.settle();
    complain(&mut world, &DIRECTORS);
    for _ in 0..19 {
        world.settle();
        assert_eq!(asked(&world), None, "to no end");
        assert_eq!(owner(&world), standby, "at {:?}", world.now);
        world.pass(31);
    }
    assert!(world.plan().wake_at.is_some_and(|at| at <= moved.at + MOVE_AGAIN_AFTER));
    world.pass(31);
    world.settle();
    DIRECTORS.iter().for_each(|name| answer(&mut world, name, Reach::Unreached));
    rest_is_idle(&mut world);
    world.settle();
    assert_ne!(owner(&world), standby);
}

/// An agent of an older version, or one that the API server does not hear, may reach the holder.
#[test]
fn who_does_not_answer_counts_among_those_that_reach_it() {
    let (mut world, _) = world();
    let before = owner(&world);
    complain(&mut world, &["d1", "d2"]);
    world.settle();
    rest_is_idle(&mut world);
    for name in ["d1", "d2"] {
        answer(&mut world, name, Reach::Unreached);
    }
    for name in ["d3", "d4"] {
        world.status(name).reach_answers.clear();
    }
    world.pass(30);
    world.settle();
    assert_eq!(owner(&world), before, "two of four");
}

#[test]
fn directors_have_a_say_about_the_addresses_that_their_pods_use() {
    let (mut world, address) = world();
    let before = owner(&world);
    complain(&mut world, &["d1", "d2"]);
    world.settle();
    for name in DIRECTORS {
        answer(&mut world, name, if name < "d3" { Reach::Unreached } else { Reach::Reached });
    }
    rest_is_idle(&mut world);
    assert!(
        HolderReach::new(&world.snapshot, world.now).instead(address, &plan(&world)).is_empty()
    );
    for name in ["d3", "d4"] {
        let answers = &mut world.status(name).reach_answers;
        answers.get_mut(&before).unwrap().used = [ip("192.0.2.101")].into();
    }
    world.settle();
    assert_ne!(owner(&world), before, "these use another address of it");
}

/// What was moved off a gateway since its directors do not reach it is not brought back for evenness.
#[test]
fn no_pool_is_made_more_even_towards_a_gateway_that_is_not_reached() {
    let mut world = Fixture::empty();
    for number in 1..=2 {
        world.node(&format!("g{number}"), number, true, "a");
    }
    world.pool(mk_pool("partners", &[("192.0.2.100", "192.0.2.110")]));
    for claim in ["ns/a", "ns/b", "ns/c", "ns/d"] {
        world.claim(mk_claim(claim, "partners"));
    }
    world.settle();
    let addresses: Vec<String> = world.snapshot.addresses.keys().map(IpAddr::to_string).collect();
    let at = world.now;
    for address in &addresses {
        world.edit_plan(address, |plan| {
            plan.standbys = vec!["g1".into()];
            plan.owner = Some("g2".into());
            plan.moved_off = Some(MovedOff { node: "g1".into(), at });
        });
    }
    world.hold_all();
    let moved = |world: &Fixture| {
        let mut plans = world.snapshot.addresses.values().map(|stored| &stored.value.plan);
        plans.any(|plan| plan.owner == Some("g1".into()))
    };
    for _ in 0..6 {
        world.settle();
        assert!(!moved(&world));
        world.pass(3500);
    }
    world.status("g2").unreached_holders.insert("g1".into());
    world.pass(3600);
    world.settle();
    assert!(!moved(&world), "somebody does not reach it now");
    world.status("g2").unreached_holders.clear();
    world.settle();
    assert!(moved(&world), "it is well");
}

#[test]
fn a_standby_that_the_same_directors_do_not_reach_gets_nothing() {
    let (mut world, _) = world();
    let before = plan(&world);
    complain(&mut world, &["d1", "d2"]);
    world.settle();
    for name in ["d1", "d2", "d3"] {
        answer(&mut world, name, Reach::Unreached);
    }
    rest_is_idle(&mut world);
    let (holder, first, second) =
        (before.owner.clone().unwrap(), &before.standbys[0], &before.standbys[1]);
    for (director, reaches) in [("d1", vec![first]), ("d2", vec![second]), ("d3", vec![])] {
        let answers = &mut world.status(director).reach_answers;
        answers.get_mut(&holder).unwrap().standbys = reaches.into_iter().cloned().collect();
    }
    world.settle();
    assert_eq!(plan(&world), before, "no two reach the same");
    for director in ["d1", "d2"] {
        let answers = &mut world.status(director).reach_answers;
        answers.get_mut(&holder).unwrap().standbys.insert(second.clone());
    }
    world.settle();
    assert_eq!(owner(&world), *second, "two of three, also where it is not the first");
}

#[test]
fn what_is_paused_or_says_something_else_moves_nothing() {
    let (mut world, _) = world();
    let before = plan(&world);
    complain(&mut world, &DIRECTORS);
    world.settle();
    world.edit_pool("partners", |pool| pool.paused = true);
    DIRECTORS.iter().for_each(|name| answer(&mut world, name, Reach::Unreached));
    rest_is_idle(&mut world);
    world.settle();
    assert_eq!(owner(&world), *before.owner.as_ref().unwrap(), "paused");
    world.pass(601);
    world.settle();
    assert_eq!(asked(&world), None, "nobody is asked to no end");
    world.edit_pool("partners", |pool| pool.paused = false);
    world.settle();
    world.settle();
    assert_eq!(asked(&world), Some(world.now), "at once");
    let node = before.owner.clone().unwrap();
    assert_eq!(owner(&world), node, "by new answers alone");
    DIRECTORS.iter().for_each(|name| world.status(name).unreached_holders.clear());
    world.pass(600);
    world.settle();
    assert_eq!(asked(&world), None, "nobody complains");
    let standby = plan(&world).standbys[0].clone();
    world.status("d1").unreached_holders.insert(standby.clone());
    world.settle();
    let spec = &world.snapshot.egress_nodes[&standby].value.spec;
    assert_eq!(spec.reach_question, None, "it holds nothing");
}

#[test]
fn directors_are_asked_ever_later_while_two_complain_and_every_ten_minutes_for_one() {
    let (mut world, _) = world();
    complain(&mut world, &["d1"]);
    world.settle();
    let first = asked(&world);
    assert_eq!(first, Some(world.now));
    world.pass(599);
    world.settle();
    assert_eq!(asked(&world), first, "one alone has them asked no more often, whatever it answers");
    complain(&mut world, &["d2"]);
    world.settle();
    for pause in [120, 240, 480, 600, 600] {
        assert_eq!(asked(&world), Some(world.now));
        assert!(world.plan().wake_at.is_some());
        world.pass(pause - 1);
        world.settle();
        assert_ne!(asked(&world), Some(world.now), "after {pause} s");
        world.pass(1);
        world.settle();
    }
    DIRECTORS.iter().for_each(|name| world.status(name).unreached_holders.clear());
    world.pass(600);
    world.settle();
    assert_eq!(asked(&world), None);
    // A clock that went an hour wrong.
    let holder = owner(&world).to_string();
    complain(&mut world, &["d1"]);
    let at = world.now + Millis::from_secs(3600);
    world.spec(&holder).reach_question = Some(ReachQuestion { at, times: 1 });
    world.settle();
    assert_eq!(asked(&world), Some(world.now));
}
