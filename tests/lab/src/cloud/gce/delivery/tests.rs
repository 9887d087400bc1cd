use super::*;

const SECOND: Duration = Duration::from_secs(1);
const START: WallTime = WallTime(1_000_000_000);

fn bank() -> IpAddr {
    IpAddr::from([203, 0, 113, 17])
}

fn service(addresses: &[IpAddr], endpoints: &[&str], leader: Option<&str>) -> MovableService {
    MovableService {
        addresses: addresses.iter().copied().collect(),
        endpoints: endpoints.iter().map(|name| (*name).to_owned()).collect(),
        leader: leader.map(str::to_owned),
    }
}

fn of(services: Vec<(&str, MovableService)>) -> MovableServices {
    services.into_iter().map(|(name, service)| (name.to_owned(), service)).collect()
}

/// `a` leads, `b` is an endpoint too.
fn delivery(contest: Contest) -> VpcDelivery {
    let mut delivery = VpcDelivery::new(contest, OVERRIDES);
    delivery.update(of(vec![("bank", service(&[bank()], &["a", "b"], Some("a")))]));
    delivery
}

fn at(seconds: f64) -> WallTime {
    START + Duration::from_secs_f64(seconds)
}

#[test]
fn without_an_announcement_the_leader_has_it_and_else_nobody() {
    let mut delivery = delivery(Contest::Newer);
    assert_eq!(delivery.target(bank(), START), Some("a"));
    delivery.update(of(vec![("bank", service(&[bank()], &["a", "b"], None))]));
    assert_eq!(delivery.target(bank(), START), None);
    assert_eq!(delivery.target(IpAddr::from([203, 0, 113, 18]), START), None);
}

#[test]
fn an_announcement_counts_for_20_minutes_from_the_last_one() {
    let mut delivery = delivery(Contest::Newer);
    assert!(delivery.announce(bank(), "b", at(0.0)));
    assert!(delivery.announce(bank(), "b", at(10.0)));
    assert_eq!(delivery.target(bank(), at(1209.9)), Some("b"), "whatever the leader is");
    assert_eq!(delivery.target(bank(), at(1210.0)), Some("a"));
}

#[test]
fn the_leader_that_is_changed_meanwhile_waits() {
    let mut delivery = delivery(Contest::Newer);
    assert!(delivery.announce(bank(), "a", at(0.0)));
    delivery.update(of(vec![("bank", service(&[bank()], &["a", "b"], Some("b")))]));
    assert_eq!(delivery.target(bank(), at(1199.0)), Some("a"));
    assert_eq!(delivery.target(bank(), at(1200.0)), Some("b"));
}

#[test]
fn only_endpoints_are_followed() {
    let mut delivery = delivery(Contest::Newer);
    assert!(!delivery.announce(bank(), "c", at(0.0)));
    assert!(!delivery.announce(IpAddr::from([203, 0, 113, 18]), "b", at(0.0)));
    assert_eq!(delivery.target(bank(), at(1.0)), Some("a"));
    assert!(delivery.announce(bank(), "b", at(1.0)));
    delivery.update(of(vec![("bank", service(&[bank()], &["a"], Some("a")))]));
    assert_eq!(delivery.target(bank(), at(2.0)), Some("a"), "it is an endpoint no more");
    delivery.update(of(vec![("bank", service(&[bank()], &["a", "b"], Some("a")))]));
    assert_eq!(delivery.target(bank(), at(3.0)), Some("a"), "what it said before is forgotten");
}

#[test]
fn within_3_s_either_of_two_may_win() {
    let mut newer = delivery(Contest::Newer);
    assert!(newer.announce(bank(), "a", at(0.0)) && newer.announce(bank(), "b", at(0.5)));
    assert_eq!(newer.target(bank(), at(0.5)), Some("b"));

    let mut older = delivery(Contest::Older);
    assert!(older.announce(bank(), "a", at(0.0)));
    for (after, followed) in [(0.5, false), (1.5, false), (2.9, false), (3.5, true)] {
        assert_eq!(older.announce(bank(), "b", at(after)), followed, "{after} s");
    }
    assert_eq!(older.target(bank(), at(3.5)), Some("b"));
}

#[test]
fn all_addresses_of_a_service_move_together_and_no_other() {
    let other = IpAddr::from([203, 0, 113, 18]);
    let inner = IpAddr::from([10, 0, 0, 50]);
    let mut delivery = VpcDelivery::new(Contest::Newer, OVERRIDES);
    delivery.update(of(vec![
        ("bank", service(&[bank(), other], &["a", "b"], Some("a"))),
        ("inner", service(&[inner], &["a", "b"], Some("a"))),
    ]));
    assert!(delivery.announce(bank(), "b", START));
    let targets = delivery.targets(START + SECOND);
    let seen: Vec<_> = targets.values().map(Option::as_deref).collect();
    assert_eq!(seen, [Some("a"), Some("b"), Some("b")], "{targets:?}");
}

#[test]
fn every_endpoint_may_send_and_nobody_else() {
    let delivery = delivery(Contest::Newer);
    assert_eq!(delivery.senders(bank()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(delivery.senders(IpAddr::from([203, 0, 113, 18])).count(), 0);
}

#[test]
fn a_fixed_address_is_at_its_instance_whoever_announces() {
    let (rule, alias) = (IpAddr::from([203, 0, 113, 18]), IpAddr::from([10, 0, 0, 50]));
    let mut delivery = delivery(Contest::Newer);
    let fixed =
        |rule_at: &str| FixedAddresses::from([(rule, rule_at.to_owned()), (alias, "b".to_owned())]);
    delivery.fix(fixed("a"));
    assert!(!delivery.announce(rule, "b", START));
    assert_eq!(delivery.target(rule, START), Some("a"));
    assert_eq!(delivery.target(alias, START), Some("b"));
    assert_eq!(delivery.targets(START).len(), 3, "the service's address is there too");
    assert_eq!(delivery.senders(rule).collect::<Vec<_>>(), ["a"]);
    assert_eq!(delivery.senders(alias).collect::<Vec<_>>(), ["b"]);

    delivery.fix(fixed("c"));
    assert_eq!(delivery.target(rule, START), Some("c"), "at once");
    assert_eq!(delivery.senders(rule).collect::<Vec<_>>(), ["c"]);
    delivery.fix(FixedAddresses::new());
    assert_eq!(delivery.target(rule, START), None);
    assert_eq!(delivery.senders(alias).count(), 0);
}

#[test]
fn a_service_has_its_address_even_where_that_is_fixed_too() {
    let mut delivery = delivery(Contest::Newer);
    delivery.fix(FixedAddresses::from([(bank(), "c".to_owned())]));
    assert_eq!(delivery.target(bank(), START), Some("a"));
    assert_eq!(delivery.senders(bank()).collect::<Vec<_>>(), ["a", "b"]);
}
