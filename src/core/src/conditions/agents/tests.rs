use crate::model::{Condition, ConditionType};
use crate::testing::{Fixture, mk_claim, mk_pod, mk_ref};

fn world() -> Fixture {
    let mut world = Fixture::small();
    world.claim(mk_claim("ns/c0", "partners"));
    world.settle();
    world
}

fn condition(conditions: &[Condition], kind: ConditionType) -> Option<(bool, String, String)> {
    let found = conditions.iter().find(|known| known.kind == kind)?;
    Some((found.status, found.reason.clone(), found.message.clone()))
}

#[test]
fn a_node_whose_agent_is_away_says_so_until_it_is_heard_again() {
    let mut world = world();
    let said = |world: &Fixture, node: &str| {
        let status = &world.snapshot.egress_nodes[&node.into()].value.status;
        condition(&status.conditions, ConditionType::AgentAbsent).map(|(_, reason, _)| reason)
    };
    assert_eq!(said(&world, "g2"), None);
    world.absent(&["g2"]);
    world.step();
    assert_eq!(said(&world, "g2").as_deref(), Some("AgentNotHeard"));
    assert_eq!(said(&world, "g1"), None);
    world.pass(60);
    assert_eq!(world.step(), vec![], "it is said once");
    world.absent(&[]);
    world.step();
    assert_eq!(said(&world, "g2"), None);
}

#[test]
fn a_claim_says_that_pods_are_where_nothing_steers_them_while_they_are() {
    let mut world = world();
    let programmed = |world: &Fixture| {
        let status = &world.snapshot.claims[&mk_ref("ns/c0")].value.1;
        condition(&status.conditions, ConditionType::Programmed).unwrap()
    };
    world.node("w9", 9, false, "z1");
    world.snapshot.egress_nodes.remove(&"w9".into()).unwrap();
    world.pod(mk_pod("ns/p0", "other", "w9", &["10.244.9.7/32"]));
    world.settle();
    assert_eq!(programmed(&world).1, "Programmed", "no pod of the claim");
    world.pod(mk_pod("ns/p1", "c0", "w9", &["10.244.9.8/32"]));
    world.settle();
    let (status, reason, message) = programmed(&world);
    assert_eq!((status, reason.as_str()), (false, "NoAgent"));
    assert!(
        message.starts_with("no agent runs on w9, where 1 of its pods are, ns/p1"),
        "{message}"
    );
    world.node("w9", 9, false, "z1");
    world.settle();
    assert_eq!(programmed(&world).1, "Programmed");
    // An agent that is away was there: its kernel steers on. After minutes the node would be dead, and
    // the pod gone.
    world.absent(&["w9"]);
    world.settle();
    assert_eq!(programmed(&world).1, "Programmed");
    world.pass(300);
    world.settle();
    assert_eq!(programmed(&world).1, "NoAgent");
    world.absent(&[]);
    world.step();
    assert_eq!(programmed(&world).1, "Programmed", "at once, and not in the plan after the next");
}

#[test]
fn a_pool_without_a_living_gateway_is_not_ready_until_one_is_back() {
    let mut world = world();
    let ready = |world: &Fixture| {
        let status = &world.snapshot.pools[&"partners".into()].value.1;
        condition(&status.conditions, ConditionType::Ready).unwrap()
    };
    world.spec("g1").drain = true;
    world.status("g2").public_key = None;
    world.settle();
    assert!(ready(&world).0, "one is left");
    world.snapshot.nodes.get_mut(&"g3".into()).unwrap().cordoned = true;
    world.settle();
    assert!(ready(&world).0, "a cordoned one carries what nobody else can");
    world.absent(&["g3"]);
    world.step();
    let (status, reason, message) = ready(&world);
    assert_eq!((status, reason.as_str()), (false, "NoLivingGateway"));
    assert!(message.contains("g2: without an agent; g3: absent; g1: drained"), "{message}");
    world.absent(&[]);
    world.step();
    assert!(ready(&world).0);
}
