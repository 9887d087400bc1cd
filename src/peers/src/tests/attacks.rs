//! What an attacker on the way, a stranger or another node can do: nothing but be counted.

use proptest::prelude::*;

use super::*;
use crate::MAX_DATAGRAM;

#[test]
fn a_replay_is_dropped_and_reordering_inside_the_window_is_not() {
    let (mut a, mut b) = friends();
    let datagrams: Vec<_> = (0..100).map(|number| a.seal("b", &number.to_string())).collect();
    for (number, datagram) in datagrams.iter().enumerate().rev() {
        assert_eq!(b.open(datagram), Got::message("a", &number.to_string()));
    }
    assert!(datagrams.iter().all(|again| b.open(again) == Got::Dropped(Discard::Replayed)));
    let late = a.seal("b", "late");
    for _ in 0..1_024 {
        let next = a.seal("b", "x");
        b.open(&next);
    }
    assert_eq!(b.open(&late), Got::Dropped(Discard::TooOld));
}

#[test]
fn another_key_under_a_known_name_is_no_peer() {
    let (_, mut b) = friends();
    let mut thief = Node::new("a", 66);
    thief.know(&[("b".into(), b.peer())]);
    let datagram = thief.seal("b", "I am a");
    assert_eq!(b.open(&datagram), Got::Dropped(Discard::UnknownSender));
}

#[test]
fn a_peer_that_claims_another_peers_id_is_forged() {
    let (mut a, mut b) = friends();
    let mut c = Node::new("c", 3);
    c.know(&[("b".into(), b.peer())]);
    let table = [("a".into(), a.peer()), ("c".into(), c.peer())];
    b.know(&table);
    let genuine = a.seal("b", "x");
    let mut datagram = c.seal("b", "I am a");
    datagram[2..18].copy_from_slice(&genuine[2..18]);
    assert_eq!(b.open(&datagram), Got::Dropped(Discard::Forged));
    deliver(&mut c, &mut b, "I am c");
}

#[test]
fn a_copied_public_key_displaces_nobody() {
    let (mut a, mut b) = friends();
    let table = [("a".into(), a.peer()), ("c".into(), a.peer())];
    b.know(&table);
    let datagram = a.seal("b", "still a");
    assert_eq!(b.open(&datagram), Got::message("a", "still a"));
}

#[test]
fn a_datagram_is_for_one_receiver_and_one_direction() {
    let (mut a, mut b) = friends();
    let mut c = Node::new("c", 3);
    c.know(&[("a".into(), a.peer())]);
    let for_b = a.seal("b", "for b");
    assert_eq!(c.open(&for_b), Got::Dropped(Discard::Forged));
    let mut reflected = a.seal("b", "mirror");
    let genuine = b.seal("a", "x");
    reflected[2..18].copy_from_slice(&genuine[2..18]);
    assert_eq!(a.open(&reflected), Got::Dropped(Discard::Forged));
}

#[test]
fn another_cluster_or_name_cannot_open_it() {
    let (mut a, mut b) = friends();
    let datagram = a.seal("b", "x");
    let table = b.table.iter().cloned().collect();
    b.channels.set_peers("cluster-2", &table);
    assert_eq!(b.open(&datagram), Got::Dropped(Discard::UnknownSender));

    let mut in_other = a.seal("b", "x");
    a.channels.set_peers("cluster-2", &a.table.iter().cloned().collect());
    let of_other = a.seal("b", "x");
    in_other[2..18].copy_from_slice(&of_other[2..18]);
    assert_eq!(b.open(&in_other), Got::Dropped(Discard::Forged));
}

#[test]
fn hellos_are_limited_per_peer_and_over_time() {
    let (mut a, mut b) = friends();
    let recorded = a.seal("b", "x");
    b.restart();
    let hellos =
        |b: &mut Node| (0..100).filter(|_| matches!(b.open(&recorded), Got::Reply(..))).count();
    assert_eq!(hellos(&mut b), 8);
    assert_eq!(b.open(&recorded), Got::Dropped(Discard::HelloLimit));
    b.passes(Duration::from_millis(100));
    let after = (0..100).filter(|_| matches!(b.open(&recorded), Got::Reply(..))).count();
    assert_eq!(after, 2);
    b.passes(Duration::from_secs(3_600));
    let after = (0..100).filter(|_| matches!(b.open(&recorded), Got::Reply(..))).count();
    assert_eq!(after, 8);
}

#[test]
fn a_hello_is_never_answered_with_a_hello() {
    let (mut a, mut b) = strangers();
    let hello = b.open(&a.seal("b", "x")).reply();
    a.restart();
    assert_eq!(a.open(&hello), Got::Dropped(Discard::StaleHello));
}

#[test]
fn no_nonce_is_used_twice_across_restarts_and_changes_of_the_table() {
    let (mut a, b) = strangers();
    let mut nonces = std::collections::BTreeSet::new();
    for round in 0..30 {
        match round % 3 {
            0 => a.restart(),
            1 => {
                let table = a.table.clone();
                a.know(&[]);
                a.know(&table);
            }
            _ => a.know(&[("b".into(), b.peer())]),
        }
        for _ in 0..10 {
            let datagram = a.seal("b", "x");
            assert!(nonces.insert(datagram[18..42].to_vec()), "round {round}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_came_back_opens_unchanged(text in "\\PC{0,280}") {
        let (mut a, mut b) = friends();
        deliver(&mut a, &mut b, &text);
        deliver(&mut b, &mut a, &text);
    }

    #[test]
    fn a_changed_bit_never_opens(place in 0usize..80, bit in 0u8..8) {
        let (mut a, mut b) = friends();
        let mut datagram = a.seal("b", "a message");
        let place = place % datagram.len();
        datagram[place] ^= 1 << bit;
        let got = b.open(&datagram);
        prop_assert!(matches!(got, Got::Dropped(_)), "byte {place}: {got:?}");
        datagram[place] ^= 1 << bit;
        prop_assert_eq!(b.open(&datagram), Got::message("a", "a message"));
    }

    #[test]
    fn a_shorter_or_longer_datagram_never_opens(cut in 0usize..84, more in 1usize..1_400) {
        let (mut a, mut b) = friends();
        let datagram = a.seal("b", "a message!");
        let cut_off = b.open(&datagram[..cut.min(datagram.len() - 1)]);
        prop_assert!(matches!(cut_off, Got::Dropped(_)));
        let mut longer = datagram.clone();
        longer.resize(datagram.len() + more, 0);
        let expected =
            if longer.len() > MAX_DATAGRAM { Discard::TooLong } else { Discard::Forged };
        prop_assert_eq!(b.open(&longer), Got::Dropped(expected));
    }

    #[test]
    fn noise_never_opens(
        noise in prop::collection::vec(any::<u8>(), 0..1_400),
        with_header in any::<bool>(),
    ) {
        let (mut a, mut b) = friends();
        let mut noise = noise;
        if with_header {
            for (to, from) in noise.iter_mut().zip(&a.seal("b", "x")[..58]) {
                *to = *from;
            }
        }
        prop_assert!(matches!(b.open(&noise), Got::Dropped(_)));
    }
}
