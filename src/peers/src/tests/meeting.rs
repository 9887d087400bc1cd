//! First contacts, restarts, changes of the peers' table.

use super::*;
use crate::{MAX_DATAGRAM, MAX_MESSAGE, OVERHEAD, PeerRefusal, SealError};

#[test]
fn a_first_message_costs_one_round_trip_and_is_acted_on_once() {
    let (mut a, mut b) = strangers();
    let first = a.seal("b", "renew");
    let Got::Reply(to, hello, counted) = b.open(&first) else { panic!("acted on a stranger") };
    assert_eq!((to.as_str(), counted), ("a", Some(Discard::NotMet)));
    assert!(hello.len() <= first.len() + 8, "a hello must not amplify: {}", hello.len());
    let again = a.open(&hello).reply();
    assert_eq!(b.open(&again), Got::message("a", "renew"));
    assert_eq!(b.open(&again), Got::Dropped(Discard::Replayed));
    assert_eq!(a.open(&hello), Got::Dropped(Discard::Replayed));
    let second = a.seal("b", "renew again");
    assert_eq!(b.open(&second), Got::message("a", "renew again"));
    let answer = b.seal("a", "granted");
    assert_eq!(a.open(&answer), Got::message("b", "granted"), "b has met a by a's message");
}

#[test]
fn every_message_of_a_first_burst_is_repeated_by_its_own_hello() {
    let (mut a, mut b) = strangers();
    let burst: Vec<_> = ["1", "2", "3", "4"].map(|text| a.seal("b", text)).into();
    let hellos: Vec<_> = burst.iter().map(|datagram| b.open(datagram).reply()).collect();
    for (hello, text) in hellos.iter().zip(["1", "2", "3", "4"]) {
        let again = a.open(hello).reply();
        assert_eq!(b.open(&again), Got::message("a", text));
    }
}

#[test]
fn a_refused_message_is_not_repeated_when_it_is_old() {
    let (mut a, mut b) = strangers();
    let first = a.seal("b", "old news");
    let hello = b.open(&first).reply();
    a.passes(Duration::from_millis(201));
    assert_eq!(a.open(&hello), Got::Nothing);
    let next = a.seal("b", "fresh");
    assert_eq!(b.open(&next), Got::message("a", "fresh"), "the hello was learnt all the same");
}

#[test]
fn after_a_restart_of_the_receiver_nothing_recorded_is_acted_on() {
    let (mut a, mut b) = friends();
    let seen = a.seal("b", "seen");
    let lost = a.seal("b", "lost on the way, kept by an attacker");
    b.open(&seen);
    b.restart();
    for recorded in [&seen, &lost, &lost] {
        let got = b.open(recorded);
        assert!(matches!(got, Got::Reply(_, _, Some(Discard::NotMet))), "{got:?}");
    }
    a.passes(Duration::from_secs(1));
    deliver(&mut a, &mut b, "renew");
    deliver(&mut b, &mut a, "granted");
    for recorded in [&seen, &lost] {
        let got = b.open(recorded);
        assert!(matches!(got, Got::Reply(..) | Got::Dropped(_)), "{got:?}");
    }
}

#[test]
fn after_a_restart_of_the_sender_its_old_datagrams_are_dropped() {
    let (mut a, mut b) = friends();
    let held_back = a.seal("b", "held back");
    let old_answer = b.seal("a", "to the old process");
    a.restart();
    assert!(matches!(a.open(&old_answer), Got::Reply(_, _, Some(Discard::NotMet))));
    deliver(&mut a, &mut b, "I am back");
    assert_eq!(b.open(&held_back), Got::Dropped(Discard::OldIncarnation));
    deliver(&mut b, &mut a, "welcome");
}

#[test]
fn both_may_restart_at_once_and_speak_first_at_once() {
    let (mut a, mut b) = friends();
    a.restart();
    b.restart();
    let (from_a, from_b) = (a.seal("b", "from a"), b.seal("a", "from b"));
    let (hello_b, hello_a) = (b.open(&from_a).reply(), a.open(&from_b).reply());
    let (again_a, again_b) = (a.open(&hello_b).reply(), b.open(&hello_a).reply());
    assert_eq!(b.open(&again_a), Got::message("a", "from a"));
    assert_eq!(a.open(&again_b), Got::message("b", "from b"));
}

#[test]
fn an_unchanged_peer_keeps_its_channel_and_a_readded_one_starts_anew() {
    let (mut a, mut b) = friends();
    b.know(&b.table.clone());
    let before = a.seal("b", "before");
    assert_eq!(b.open(&before), Got::message("a", "before"));
    let table = std::mem::take(&mut b.table);
    b.know(&[]);
    assert_eq!(b.open(&before), Got::Dropped(Discard::UnknownSender));
    b.know(&table);
    assert!(matches!(b.open(&before), Got::Reply(..)), "a replay across the change");
    deliver(&mut a, &mut b, "after");
}

#[test]
fn the_largest_message_of_the_lease_protocol_fits() {
    const { assert!(egret_core::lease::MAX_DATAGRAM <= MAX_MESSAGE) };
}

#[test]
fn what_cannot_be_sealed_says_why() {
    let (mut a, _) = strangers();
    let mut seal =
        |to: &str, size: usize| a.channels.seal(&to.into(), &vec![0; size], a.now).map(<[u8]>::len);
    assert_eq!(seal("b", MAX_MESSAGE), Ok(MAX_DATAGRAM));
    assert_eq!(seal("b", 0), Ok(OVERHEAD));
    assert_eq!(seal("b", MAX_MESSAGE + 1), Err(SealError::TooLong(MAX_MESSAGE + 1)));
    assert_eq!(seal("c", 1), Err(SealError::UnknownPeer("c".into())));
    assert_eq!(seal("a", 1), Err(SealError::UnknownPeer("a".into())));
}

#[test]
fn a_weak_key_is_refused_and_the_others_are_taken_up() {
    let (mut a, b) = strangers();
    let zero = Peer { public_key: egret_core::model::PublicKey([0; 32]), ..b.peer() };
    let table = [("a".into(), a.peer()), ("b".into(), b.peer()), ("c".into(), zero)].into();
    let refused = a.channels.set_peers(CLUSTER, &table);
    assert_eq!(refused, [PeerRefusal::WeakKey("c".into())]);
    assert_eq!(a.channels.peers().map(NodeName::as_str).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn datagrams_go_to_the_endpoint_that_answered_and_around_when_nobody_does() {
    let (mut a, mut b) = strangers();
    let (v4, v6) = (b.address, "2001:db8::2".parse::<IpAddr>().unwrap());
    a.know(&[("b".into(), Peer { endpoints: vec![v4, v6], ..b.peer() })]);
    let route = |a: &mut Node, v6_too: bool| {
        a.channels.route(&"b".into(), |at| v6_too || at.is_ipv4()).map(|(at, _)| at)
    };
    assert_eq!(route(&mut a, true), Some(v4), "the first is preferred");
    b.restart();
    let hello = b.open(&a.seal("b", "x")).reply();
    a.open_from(&hello, v6);
    assert_eq!(route(&mut a, true), Some(v6), "the one that answered is preferred");
    assert_eq!(route(&mut a, false), Some(v4), "without a socket of its family the other");
    let tried: std::collections::BTreeSet<_> = (0..12).map(|_| route(&mut a, true)).collect();
    assert_eq!(tried.len(), 2, "a silent peer is tried everywhere");
}
