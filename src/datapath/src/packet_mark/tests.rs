use proptest::prelude::*;

use super::*;

const CT_BIT: u32 = 0x1000;

fn matches(want: u32, mask: u32) -> MarkMatch {
    MarkMatch { want, mask, inverted: false, before: false, who: format!("{want:#x}/{mask:#x}") }
}

fn first(want: u32, mask: u32) -> MarkMatch {
    MarkMatch { before: true, ..matches(want, mask) }
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

/// Masks of few bits, of many, and of all.
fn any_match() -> impl Strategy<Value = MarkMatch> {
    let mask = prop_oneof![
        (0..32_u32).prop_map(|bit| 1 << bit),
        (0..25_u32, 1..0x100_u32).prop_map(|(shift, bits)| bits << shift),
        any::<u32>(),
        Just(u32::MAX),
    ];
    let want = prop_oneof![Just(0), Just(DEFAULT), Just(u32::MAX), any::<u32>()];
    (mask, want, any::<bool>(), any::<bool>()).prop_map(|(mask, want, inverted, before)| {
        MarkMatch { inverted, before, ..matches(want & mask, mask) }
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
            for one in &foreign {
                let spared = !one.hits(mark)
                    || (!one.before && (one.hits(0) || one.mask == u32::MAX));
                prop_assert!(spared, "{mark:#x} is hit by {one:?}");
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
        let there = (1..0x100).any(|mark| !all.iter().any(|one| one.diverts(mark)));
        prop_assert_eq!(choose(None, CT_BIT, &all).is_ok(), there);
    }
}
