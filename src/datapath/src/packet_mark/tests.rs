use proptest::prelude::*;

use super::clauses::single_bits;
use super::*;

const CT_BIT: u32 = 0x1000;

fn matches(want: u32, mask: u32) -> MarkMatch {
    MarkMatch {
        want,
        mask,
        inverted: false,
        effect: MatchEffect::Other,
        who: format!("{want:#x}/{mask:#x}"),
    }
}

fn first(want: u32, mask: u32) -> MarkMatch {
    MarkMatch { effect: MatchEffect::RoutedBefore, ..matches(want, mask) }
}

fn refused(one: MarkMatch) -> MarkMatch {
    MarkMatch { effect: MatchEffect::Refused, ..one }
}

fn demanded(bits: u32) -> MarkMatch {
    MarkMatch { effect: MatchEffect::Demanded, ..not(matches(bits, bits)) }
}

fn spared(mark: u32) -> MarkMatch {
    MarkMatch { effect: MatchEffect::Spared, ..matches(mark, u32::MAX) }
}

fn not(one: MarkMatch) -> MarkMatch {
    MarkMatch { inverted: true, ..one }
}

/// What is matched on hosts where kube-proxy, portmap, the VPC CNI, Cilium, Calico, Tailscale or
/// wg-quick runs.
fn usual() -> Vec<MarkMatch> {
    vec![
        matches(0x4000, 0x4000),
        not(matches(0x4000, 0x4000)),
        matches(0x8000, 0x8000),
        matches(0x2000, 0x2000),
        matches(0x80, 0x80),
        first(0x200, 0xf00),
        matches(0xe00, 0xf00),
        matches(0, 0x20000),
        not(matches(0, 0xff00_0000)),
        matches(0x10000, 0x10000),
        matches(0x40000, 0xff0000),
        not(matches(0xca6c, u32::MAX)),
        not(matches(0, u32::MAX)),
        first(0, 0),
    ]
}

#[test]
fn the_default_is_free_among_the_usual() {
    assert_eq!(choose(None, CT_BIT, &usual()), Ok(DEFAULT));
    assert_eq!(DEFAULT & WELL_KNOWN, 0);
}

#[test]
fn a_conflict_moves_it_and_its_end_does_not_move_it_back() {
    let mut foreign = usual();
    foreign.push(matches(DEFAULT, 0xff));
    let moved = choose(Some(DEFAULT), CT_BIT, &foreign).unwrap();
    assert_ne!(moved, DEFAULT);
    assert_eq!(moved & WELL_KNOWN, 0, "{moved:#x} has a bit that others are known to match");
    assert_eq!(choose(Some(moved), CT_BIT, &usual()), Ok(moved));
    assert_eq!(choose(Some(0x1040), CT_BIT, &usual()), Ok(DEFAULT), "has the connection's bit");
    assert_eq!(choose(Some(0x2), 0x4, &usual()), Ok(0x2));
}

#[test]
fn bits_that_others_are_known_to_match_are_taken_where_no_other_is_left() {
    let foreign: Vec<_> = single_bits(!WELL_KNOWN & !CT_BIT).map(|(m, w)| matches(w, m)).collect();
    let moved = choose(None, CT_BIT, &foreign).unwrap();
    assert!(moved & CT_BIT == 0 && moved & WELL_KNOWN != 0, "{moved:#x}");
}

#[test]
fn that_there_is_none_is_said_with_who_and_what_to_do() {
    let every: Vec<_> = single_bits(u32::MAX).map(|(mask, want)| matches(want, mask)).collect();
    let none = choose(None, CT_BIT, &every).unwrap_err();
    assert_eq!(none.who, ["0x10/0x10", "0x4/0x4", "0x40/0x40"].map(str::to_owned).into());
    assert!(none.to_string().contains("--rule-priority"), "{none}");
    // A rule before ours that takes what has not its own mark.
    let wireguard = [not(first(0xca6c, u32::MAX))];
    assert!(choose(None, CT_BIT, &wireguard).is_err());
    assert!(choose(None, CT_BIT, &[first(0, 0xff), not(first(0, 0xff))]).is_err());
    assert!(choose(None, CT_BIT, &[first(0, 0xff)]).is_ok());
}

/// Calico's programs mark what they have seen, and FORWARD drops the rest.
#[test]
fn bits_that_others_require_are_in_the_mark() {
    let seen = 0x100_0000;
    let mut foreign = usual();
    foreign.extend([
        demanded(seen),
        matches(seen, seen),
        matches(seen | 0x10_0000, seen | 0x10_0000),
        not(matches(0, seen)),
        MarkMatch { effect: MatchEffect::Spared, ..matches(seen, seen) },
    ]);
    let mark = choose(Some(DEFAULT), CT_BIT, &foreign).unwrap();
    assert_eq!(mark, DEFAULT | seen);
    assert_eq!(choose(Some(mark), CT_BIT, &foreign), Ok(mark));
    // What they demand is refused by somebody else, or is the connection's bit, or two demand different bits.
    foreign.push(refused(matches(seen, seen)));
    assert!(choose(None, CT_BIT, &foreign).is_err());
    assert!(choose(None, CT_BIT, &[demanded(CT_BIT)]).is_err());
    let differ = |want: u32| MarkMatch { want, mask: 0x30, ..demanded(0x30) };
    assert!(choose(None, CT_BIT, &[differ(0x10), differ(0x20)]).is_err());
    // A kill switch spares one whole mark, which is another's.
    assert_eq!(choose(None, CT_BIT, &[refused(not(matches(0xca6c, u32::MAX)))]), Ok(DEFAULT));
    // And a rule of WireGuard before ours, one bit: but not where that says "accept".
    let before = not(first(0x20_0000, 0x20_0000));
    let mark = choose(None, CT_BIT, std::slice::from_ref(&before)).unwrap();
    assert_eq!(mark, DEFAULT | 0x20_0000);
    let accepts = MarkMatch { effect: MatchEffect::Spared, ..matches(0x20_0000, 0x20_0000) };
    let none = choose(None, CT_BIT, &[before, accepts]).unwrap_err();
    assert_eq!(none.instead, DEFAULT);
}

/// To who refuses what has not a bit the mark looks like none: it is refused like what no policy has allowed.
#[test]
fn no_bit_that_says_allowed_is_in_the_mark() {
    let allowed = 0x10000;
    for policy in [refused(not(matches(allowed, allowed))), refused(matches(0, allowed))] {
        assert_eq!(choose(None, CT_BIT, std::slice::from_ref(&policy)), Ok(DEFAULT));
        let was = choose(Some(DEFAULT | allowed), CT_BIT, std::slice::from_ref(&policy));
        assert_eq!(was, Ok(DEFAULT));
        // Also where no mark is free, for another reason.
        let every: Vec<_> =
            single_bits(u32::MAX).map(|(m, w)| first(w, m)).chain([policy]).collect();
        let none = choose(Some(DEFAULT | allowed), CT_BIT, &every).unwrap_err();
        assert_eq!(none.instead & allowed, 0, "{none:?}");
        let none = choose(Some(0x35), CT_BIT, &every).unwrap_err();
        assert_eq!(none.instead, 0x35, "what harms nobody stays");
    }
}

#[test]
fn cilium_leads_to_its_proxy_by_a_rule_before_ours() {
    assert!(leads_to_proxy(&[matches(1, 1), first(0x200, 0xf00)]));
    assert!(!leads_to_proxy(&[
        matches(0x200, 0xf00),
        not(first(0x200, 0xf00)),
        first(0x200, 0x200)
    ]));
}

/// The remedy of a node that loses packets does not make it choose another mark.
#[test]
fn who_spares_the_mark_does_not_move_it() {
    assert_eq!(choose(Some(DEFAULT), CT_BIT, &[spared(DEFAULT)]), Ok(DEFAULT));
    assert_eq!(choose(None, CT_BIT, &[spared(DEFAULT)]), Ok(DEFAULT));
    assert_eq!(choose(Some(0x35), CT_BIT, &[spared(0x35), first(DEFAULT, 0xff)]), Ok(0x35));
    assert_ne!(choose(Some(DEFAULT), CT_BIT, &[refused(spared(DEFAULT))]), Ok(DEFAULT));
}

#[test]
fn a_new_mark_is_unusual() {
    let mut foreign = usual();
    let mut current = DEFAULT;
    for _ in 0..100 {
        foreign.push(matches(current, u32::MAX));
        current = choose(Some(current), CT_BIT, &foreign).unwrap();
        assert!(current > SMALL && current & CILIUM == 0, "{current:#x}");
    }
    let first = choose(None, CT_BIT, &[matches(DEFAULT, u32::MAX)]).unwrap();
    assert!(first % 2 == 1 && first.count_ones() >= 3, "{first:#x}");
}

#[test]
fn what_several_match_alike_counts_once() {
    let one = MarkMatch { who: "a".to_owned(), ..matches(7, 7) };
    let other = MarkMatch { who: "b".to_owned(), ..one.clone() };
    let before = first(7, 7);
    assert_eq!(deduplicated(vec![other, before.clone(), one.clone()]), [before, one]);
}

/// Masks of few bits, of many, and of all.
fn any_match() -> impl Strategy<Value = MarkMatch> {
    let mask = prop_oneof![
        (0..32_u32).prop_map(|bit| 1 << bit),
        (0..25_u32, 1..0x100_u32).prop_map(|(shift, bits)| bits << shift),
        any::<u32>(),
        Just(u32::MAX),
    ];
    let want = prop_oneof![Just(0), Just(DEFAULT), Just(u32::MAX), any::<u32>()];
    let effect = prop_oneof![
        Just(MatchEffect::RoutedBefore),
        Just(MatchEffect::Refused),
        Just(MatchEffect::Demanded),
        Just(MatchEffect::Spared),
        Just(MatchEffect::Other),
    ];
    (mask, want, any::<bool>(), effect).prop_map(|(mask, want, inverted, effect)| MarkMatch {
        inverted,
        effect,
        ..matches(want & mask, mask)
    })
}

proptest! {
    #[test]
    fn no_match_of_others_hits_the_mark(
        foreign in prop::collection::vec(any_match(), 0..40),
        current in prop::option::of(any::<u32>()),
        bit in 0..32_u32,
    ) {
        let ct_bit = 1 << bit;
        if let Ok(mark) = choose(current, ct_bit, &foreign) {
            prop_assert!(mark != 0 && mark & ct_bit == 0);
            let demands: Vec<_> = foreign.iter().filter_map(MarkMatch::required).collect();
            for (bits, value) in &demands {
                prop_assert_eq!(mark & bits, *value, "not what is required");
            }
            for one in foreign.iter().filter(|one| one.diverts(mark)) {
                let harmless = match one.effect {
                    MatchEffect::Other => !demands.is_empty(),
                    MatchEffect::Spared => {
                        foreign.iter().any(|one| one.effect == MatchEffect::Demanded)
                    }
                    _ => false,
                };
                prop_assert!(harmless, "{mark:#x} is hit by {one:?}");
            }
            prop_assert_eq!(choose(Some(mark), ct_bit, &foreign), Ok(mark), "not stable");
        }
    }

    /// Within eight bits, the others being matched one by one, what can be found is found.
    #[test]
    fn what_there_is_is_found(
        foreign in prop::collection::vec((1..0x100_u32, 0..0x100_u32), 0..40),
    ) {
        let mut all: Vec<_> = single_bits(!0xff).map(|(mask, want)| matches(want, mask)).collect();
        all.extend(foreign.iter().map(|(mask, want)| first(want & mask, *mask)));
        let there = (SMALL + 1..0x100).any(|mark| !all.iter().any(|one| one.diverts(mark)));
        prop_assert_eq!(choose(None, CT_BIT, &all).is_ok(), there);
    }
}
