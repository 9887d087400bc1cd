use UplinkReach::{Lost, Steady, Unsteady};

use super::*;
use crate::testing::uplink;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn question(last: u8) -> LinkQuestion {
    let address = |last| IpAddr::from([203, 0, 113, last]);
    LinkQuestion { link: 3, mac: [2, 0, 0, 0, 0, 3], own: address(11), neighbour: address(last) }
}

/// What the way is taken for after each round of answers, half a second apart: of the routers 1 and 2.
fn reaches(rounds: &[[Option<bool>; 2]]) -> Vec<UplinkReach> {
    let (mut watch, begun) = (RouterWatch::default(), Instant::now());
    let mut reaches = Vec::new();
    for (index, round) in rounds.iter().enumerate() {
        let now = begun + Duration::from_millis(500) * u32::try_from(index).unwrap();
        let asked = |(answered, last): (&Option<bool>, u8)| Some((question(last), (*answered)?));
        let answers: RouterAnswers = round.iter().zip([1, 2]).filter_map(asked).collect();
        watch.due(answers.iter().map(|(question, _)| question.clone()).collect(), now);
        watch.note(&answers, now);
        reaches.push(watch.ways(3, now).get(&Family::IPv4).map_or(Steady, |(reach, _)| *reach));
    }
    reaches
}

#[test]
fn a_router_that_falls_silent_is_in_doubt_first_and_lost_then() {
    let (yes, no) = ([Some(true), None], [Some(false), None]);
    let said = reaches(&[yes, no, no, no, no, no, no, no, yes]);
    let doubt = [Unsteady; 5];
    assert_eq!(said[..2], [Steady, Steady], "one answer may be lost");
    assert_eq!(said[2..7], doubt);
    assert_eq!(said[7..], [Lost, Unsteady], "it has not answered for long");
    assert_eq!(reaches(&[yes, no, no, yes]), [Steady, Steady, Unsteady, Steady], "it was not lost");
}

#[test]
fn one_that_comes_back_is_steady_after_a_minute() {
    let (mut watch, begun) = (RouterWatch::default(), Instant::now());
    watch.note(&[(question(1), true)], begun);
    for _ in 0..SILENT_AFTER {
        watch.note(&[(question(1), false)], begun);
    }
    watch.note(&[(question(1), true)], begun);
    let reach = |watch: &RouterWatch, second| {
        watch.ways(3, begun + Duration::from_secs(second))[&Family::IPv4].0
    };
    assert_eq!([reach(&watch, 59), reach(&watch, 60)], [Unsteady, Steady]);
}

#[test]
fn who_never_answered_says_nothing_and_one_of_two_is_enough() {
    let never = [Some(false), None];
    assert_eq!(reaches(&[never; 9]), [Steady; 9]);
    let (both, one, none) =
        ([Some(true), Some(true)], [Some(false), Some(true)], [Some(false), Some(false)]);
    assert_eq!(reaches(&[both, one, one, one, one, one, one, one, one]), [Steady; 9]);
    assert_eq!(reaches(&[both, none, none, none, none, none, none, none]).last(), Some(&Lost));
}

/// What the next process takes the way for when it begins, and after an answer of the router's.
fn recalled(watch: &RouterWatch, now: Instant) -> [UplinkReach; 2] {
    let kept = serde_json::to_string(&watch.kept(now)).unwrap();
    let mut next = RouterWatch::default();
    next.recall(serde_json::from_str(&kept).unwrap(), now);
    let reach = |next: &RouterWatch| next.ways(3, now)[&Family::IPv4].0;
    let first = reach(&next);
    // Nothing is lost because the next process asks, and hears nothing either.
    next.due(vec![question(1)], now).unwrap();
    next.note(&[(question(1), false)], now);
    assert_eq!(reach(&next), first);
    next.note(&[(question(1), true)], now);
    [first, reach(&next)]
}

#[test]
fn a_restart_of_the_agent_forgets_no_silent_router() {
    let (mut watch, begun) = (RouterWatch::default(), Instant::now());
    watch.note(&[(question(1), true)], begun);
    assert_eq!(recalled(&watch, begun), [Steady, Steady]);
    for _ in 0..DOUBTFUL_AFTER {
        watch.note(&[(question(1), false)], begun);
    }
    assert_eq!(recalled(&watch, begun), [Unsteady, Steady], "it was not lost");
    for _ in DOUBTFUL_AFTER..SILENT_AFTER {
        watch.note(&[(question(1), false)], begun);
    }
    assert_eq!(recalled(&watch, begun), [Lost, Unsteady]);
    watch.note(&[(question(1), true)], begun);
    assert_eq!(recalled(&watch, begun), [Unsteady, Unsteady]);
    let steady = begun + STEADY_AFTER;
    watch.note(&[(question(1), true)], steady);
    assert_eq!(recalled(&watch, steady), [Steady, Steady]);
}

#[test]
fn one_that_fell_silent_while_no_agent_asked_is_one_that_answered_before() {
    let (mut watch, begun) = (RouterWatch::default(), Instant::now());
    watch.note(&[(question(1), true)], begun);
    let mut next = RouterWatch::default();
    assert!(next.is_empty());
    next.recall(watch.kept(begun), begun);
    assert!(!next.is_empty());
    for _ in 0..SILENT_AFTER {
        next.note(&[(question(1), false)], begun);
    }
    assert_eq!(next.ways(3, begun)[&Family::IPv4].0, Lost);
}

#[test]
fn another_router_in_the_place_of_a_silent_one_has_to_prove_itself() {
    let (one, silent, other) = ([Some(true), None], [Some(false), None], [None, Some(false)]);
    let mut rounds = vec![one];
    rounds.extend([silent; 7]);
    rounds.extend([other, [None, Some(true)]]);
    assert_eq!(reaches(&rounds)[7..], [Lost, Unsteady, Unsteady]);
}

#[test]
fn routers_are_asked_at_every_tick_and_at_once_when_in_doubt() {
    let (mut watch, begun) = (RouterWatch::default(), Instant::now());
    let at = |ms| begun + Duration::from_millis(ms);
    assert!(watch.due(Vec::new(), at(0)).is_none());
    assert!(watch.due(vec![question(1)], at(0)).is_some());
    assert!(watch.due(vec![question(1)], at(5_000)).is_none(), "an answer is awaited");
    watch.note(&[(question(1), true)], at(10));
    assert!(watch.due(vec![question(1)], at(899)).is_none());
    assert!(watch.due(vec![question(1)], at(900)).is_some());
    watch.note(&[(question(1), false)], at(1_500));
    assert!(watch.due(vec![question(1)], at(1_500)).is_some());
    assert!(watch.due(Vec::new(), at(1_600)).is_none());
    assert!(watch.ways(3, at(1_600)).is_empty(), "nobody asks for it any more");
}

#[test]
fn the_routers_of_a_family_are_asked_for_from_an_address_on_the_link() {
    let mut link = uplink(3, &["203.0.113.11/24", "2001:db8::11/64"]);
    let (v4, v6) = (ip("203.0.113.17"), ip("2001:db8::17"));
    let asked = |link: &HostUplink, addresses: &[IpAddr]| -> Vec<(IpAddr, IpAddr)> {
        questions(link, addresses).iter().map(|its| (its.own, its.neighbour)).collect()
    };
    assert_eq!(asked(&link, &[v4, v6]), [], "no router is known");
    link.defaults = vec![
        (Family::IPv4, Some(ip("203.0.113.1"))),
        (Family::IPv4, Some(ip("203.0.113.2"))),
        (Family::IPv6, Some(ip("fe80::1"))),
    ];
    let own = ip("203.0.113.11");
    let both = [(own, ip("203.0.113.1")), (own, ip("203.0.113.2"))];
    assert_eq!(asked(&link, &[v4]), both);
    assert_eq!(asked(&link, &[v6]), [(ip("2001:db8::11"), ip("fe80::1"))]);
    assert_eq!(asked(&link, &[ip("198.51.100.1")]), [], "not carried here");
    link.next_hops.insert(Family::IPv4, NextHop::Given(ip("203.0.113.3")));
    assert_eq!(asked(&link, &[v4]), [(own, ip("203.0.113.3"))]);
    link.lasting.clear();
    assert_eq!(asked(&link, &[v4, v6]), []);
}
