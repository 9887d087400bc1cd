//! Arithmetic on ranges of addresses: subtraction, merging, and cover by prefixes.
//!
//! State: none. Always: no arithmetic overflows, not for `::/0`; specificity is compared by prefix
//! length, never by size (the size of `::/0` fits no integer).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use crate::model::{AddressRange, Family};

/// Addresses from `first` to `last`, both included, as numbers: `first <= last`, and for IPv4 both
/// below 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    family: Family,
    first: u128,
    last: u128,
}

impl Span {
    /// Every address of `family`.
    pub fn everything(family: Family) -> Self {
        Self { family, first: 0, last: highest(family) }
    }

    /// The addresses of a prefix, host bits ignored.
    pub fn of_net(net: IpNet) -> Self {
        Self {
            family: Family::of(net.network()),
            first: number(net.network()),
            // `broadcast` is the highest address of the prefix, for IPv6 too.
            last: number(net.broadcast()),
        }
    }

    /// The addresses of a range.
    pub fn of_range(range: AddressRange) -> Self {
        Self { family: range.family(), first: number(range.first()), last: number(range.last()) }
    }

    /// The family of both ends.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        address(self.family, self.first)
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        address(self.family, self.last)
    }

    /// Whether `address` lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family && (self.first..=self.last).contains(&number(address))
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.family == other.family && self.first <= other.last && other.first <= self.last
    }

    /// The fewest prefixes that together are exactly this span, ascending.
    pub fn cover(&self) -> Vec<IpNet> {
        match self.family {
            Family::IPv4 => {
                Ipv4Subnets::new(v4(self.first), v4(self.last), 0).map(IpNet::V4).collect()
            }
            Family::IPv6 => {
                Ipv6Subnets::new(v6(self.first), v6(self.last), 0).map(IpNet::V6).collect()
            }
        }
    }
}

/// The spans, sorted, overlapping and adjacent ones joined.
pub fn merge(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(before)
                if before.family == span.family && span.first <= before.last.saturating_add(1) =>
            {
                before.last = before.last.max(span.last);
            }
            _ => merged.push(span),
        }
    }
    merged
}

/// What of `spans` is in none of `minus`. Both may be unsorted and overlap; the result is sorted,
/// disjoint and joined.
pub fn subtract(spans: Vec<Span>, minus: Vec<Span>) -> Vec<Span> {
    let (spans, minus) = (merge(spans), merge(minus));
    let mut left = Vec::with_capacity(spans.len());
    let mut from = 0;
    for span in spans {
        // Both lists ascend, so what lies below this span lies below every later one.
        while minus.get(from).is_some_and(|m| (m.family, m.last) < (span.family, span.first)) {
            from += 1;
        }
        let mut rest = Some(span);
        for cut in minus[from..]
            .iter()
            .take_while(|cut| (cut.family, cut.first) <= (span.family, span.last))
        {
            let Some(present) = rest else { break };
            if cut.first > present.first {
                left.push(Span { last: cut.first - 1, ..present });
            }
            rest = cut
                .last
                .checked_add(1)
                .filter(|first| *first <= present.last)
                .map(|first| Span { first, ..present });
        }
        left.extend(rest);
    }
    left
}

/// `nets` without `minus`, as the fewest disjoint prefixes.
pub fn subtract_nets(
    nets: impl IntoIterator<Item = IpNet>,
    minus: impl IntoIterator<Item = IpNet>,
) -> Vec<IpNet> {
    let nets = nets.into_iter().map(Span::of_net).collect();
    let minus = minus.into_iter().map(Span::of_net).collect();
    subtract(nets, minus).iter().flat_map(Span::cover).collect()
}

/// Whether `inner` lies wholly in `outer`.
pub fn contains_net(outer: IpNet, inner: IpNet) -> bool {
    let (outer, inner) = (Span::of_net(outer), Span::of_net(inner));
    outer.family == inner.family && outer.first <= inner.first && inner.last <= outer.last
}

/// The address after `address` in its family; `None` after the highest.
pub fn next(address_: IpAddr) -> Option<IpAddr> {
    let family = Family::of(address_);
    let next = number(address_).checked_add(1)?;
    (next <= highest(family)).then(|| address(family, next))
}

/// The prefix of one address.
pub fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

fn highest(family: Family) -> u128 {
    if family == Family::IPv4 { u128::from(u32::MAX) } else { u128::MAX }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::IPv4 => IpAddr::V4(v4(number)),
        Family::IPv6 => IpAddr::V6(v6(number)),
    }
}

fn v4(number: u128) -> Ipv4Addr {
    // A span of IPv4 never leaves 32 bits.
    Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX))
}

fn v6(number: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits(number)
}

#[cfg(test)]
mod tests;
