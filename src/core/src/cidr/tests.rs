use ipnet::{Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| net(text)).collect()
}

#[test]
fn everything_is_one_prefix_and_can_be_cut() {
    assert_eq!(Span::everything(Family::IPv6).cover(), nets(&["::/0"]));
    assert_eq!(Span::everything(Family::IPv4).cover(), nets(&["0.0.0.0/0"]));
    assert_eq!(subtract_nets(nets(&["::/0"]), nets(&["::/0"])), vec![]);
    assert_eq!(subtract_nets(nets(&["::/0"]), nets(&["8000::/1"])), nets(&["::/1"]));
    // The highest and the lowest address: no overflow at either end.
    assert_eq!(subtract_nets(nets(&["::/0"]), nets(&["::/128"])).len(), 128);
    let highest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128";
    assert_eq!(subtract_nets(nets(&["::/0"]), nets(&[highest])).len(), 128);
    assert_eq!(subtract_nets(nets(&["0.0.0.0/0"]), nets(&["255.255.255.255/32"])).len(), 32);
}

#[test]
fn overlapping_exceptions_are_cut_once() {
    let left = subtract_nets(
        nets(&["198.51.100.0/24"]),
        nets(&["198.51.100.0/25", "198.51.100.64/26", "198.51.100.128/26", "10.0.0.0/8"]),
    );
    assert_eq!(left, nets(&["198.51.100.192/26"]));
    let left = subtract_nets(nets(&["2001:db8::/64"]), nets(&["2001:db8::/65", "2001:db8::1/128"]));
    assert_eq!(left, nets(&["2001:db8:0:0:8000::/65"]));
}

#[test]
fn ranges_are_covered_exactly() {
    let range = AddressRange::new("203.0.113.40".parse().unwrap(), "203.0.113.47".parse().unwrap());
    assert_eq!(Span::of_range(range.unwrap()).cover(), nets(&["203.0.113.40/29"]));
    let range =
        AddressRange::new("203.0.113.1".parse().unwrap(), "203.0.113.4".parse().unwrap()).unwrap();
    assert_eq!(
        Span::of_range(range).cover(),
        nets(&["203.0.113.1/32", "203.0.113.2/31", "203.0.113.4/32"])
    );
}

#[test]
fn families_do_not_mix() {
    assert!(!Span::of_net(net("::/0")).overlaps(&Span::of_net(net("0.0.0.0/0"))));
    assert_eq!(subtract_nets(nets(&["10.0.0.0/8"]), nets(&["::/0"])), nets(&["10.0.0.0/8"]));
    assert!(contains_net(net("::/0"), net("2001:db8::/32")));
    assert!(!contains_net(net("::/0"), net("10.0.0.0/8")));
    assert_eq!(next("255.255.255.255".parse().unwrap()), None);
}

/// Small prefixes near both ends of the family, where the arithmetic can go wrong.
fn any_net() -> impl Strategy<Value = IpNet> {
    (any::<bool>(), any::<bool>(), 0u32..64, 0u8..=10).prop_map(|(six, high, low, shorter)| {
        let low = if high { !u128::from(low) } else { u128::from(low) };
        if six {
            Ipv6Net::new(Ipv6Addr::from_bits(low), 128 - shorter).unwrap().trunc().into()
        } else {
            let bits = u32::try_from(low & u128::from(u32::MAX)).unwrap();
            Ipv4Net::new(Ipv4Addr::from_bits(bits), 32 - shorter).unwrap().trunc().into()
        }
    })
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    any_net().prop_map(|net| net.network())
}

proptest! {
    #[test]
    fn subtraction_is_pointwise(
        nets in prop::collection::vec(any_net(), 0..6),
        minus in prop::collection::vec(any_net(), 0..6),
        probes in prop::collection::vec(any_address(), 1..20),
    ) {
        let left = subtract_nets(nets.clone(), minus.clone());
        for probe in probes {
            let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&probe));
            prop_assert_eq!(within(&left), within(&nets) && !within(&minus));
            prop_assert!(left.iter().filter(|net| net.contains(&probe)).count() <= 1);
        }
    }

    #[test]
    fn cover_is_exact_and_of_the_largest_prefixes(
        six in any::<bool>(), a in number_of_any_size(), b in number_of_any_size(),
    ) {
        let family = if six { Family::IPv6 } else { Family::IPv4 };
        let (a, b) = (a & highest(family), b & highest(family));
        let span = Span { family, first: a.min(b), last: a.max(b) };
        let cover: Vec<Span> = span.cover().into_iter().map(Span::of_net).collect();
        prop_assert_eq!(cover[0].first, span.first);
        prop_assert_eq!(cover[cover.len() - 1].last, span.last);
        for pair in cover.windows(2) {
            prop_assert_eq!(pair[0].last + 1, pair[1].first);
        }
        for net in span.cover() {
            let larger = net.supernet().map(Span::of_net);
            prop_assert!(larger.is_none_or(|l| l.first < span.first || span.last < l.last), "{}", net);
        }
    }
}

/// As often a small one, one near the end of its family, and one with a run of equal bits.
fn number_of_any_size() -> impl Strategy<Value = u128> {
    (any::<u128>(), 0u32..128, any::<bool>())
        .prop_map(|(bits, shift, not)| if not { !(bits >> shift) } else { bits >> shift })
}

/// Every span among the lowest and the highest 32 addresses of each family has the cover that the
/// definition gives: the prefixes inside it whose next larger one is not inside it.
#[test]
fn cover_is_as_defined_for_every_small_span() {
    for family in [Family::IPv4, Family::IPv6] {
        let top = highest(family);
        for offset in [0, top - 31] {
            let prefixes: Vec<(Span, Span)> = (0..=5)
                .flat_map(|bits| (0..32u128).step_by(1 << bits).map(move |at| (at, bits)))
                .map(|(at, bits)| {
                    let length = if family == Family::IPv4 { 32 - bits } else { 128 - bits };
                    let net = IpNet::new(address(family, offset + at), length).unwrap();
                    (Span::of_net(net), Span::of_net(net.supernet().unwrap()))
                })
                .collect();
            for first in offset..=offset + 31 {
                for last in first..=offset + 31 {
                    let span = Span { family, first, last };
                    let inside = |of: &Span| first <= of.first && of.last <= last;
                    let mut defined: Vec<Span> = prefixes
                        .iter()
                        .filter(|(net, larger)| inside(net) && !inside(larger))
                        .map(|(net, _)| *net)
                        .collect();
                    defined.sort_unstable();
                    let cover: Vec<Span> = span.cover().into_iter().map(Span::of_net).collect();
                    assert_eq!(cover, defined, "{span:?}");
                }
            }
        }
    }
}
