//! An nft table as data, and its text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egret_core::model::{AddressRange, Family};

/// A table of family inet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NftTable {
    pub(crate) name: String,
    /// Name → what it counts.
    pub(crate) counters: BTreeMap<&'static str, &'static str>,
    pub(crate) sets: BTreeMap<&'static str, Set>,
    pub(crate) chains: BTreeMap<String, Chain>,
}

/// A set, or a map to verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) family: Family,
    pub(crate) shape: KeyShape,
    pub(crate) comment: &'static str,
    pub(crate) elements: Elements,
}

/// What a set's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyShape {
    /// Single addresses.
    Addresses,
    /// Ranges of addresses, merged: an interval set refuses what overlaps.
    Ranges,
    /// Source . destination, both ranges.
    Pairs,
    /// Source . destination, both ranges, to a verdict.
    Verdicts,
}

/// Keys with their verdicts (`None` in a set that is no map).
pub(crate) type Elements = BTreeMap<ElementKey, Option<Verdict>>;

/// One or two ranges of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ElementKey(pub(crate) AddressRange, pub(crate) Option<AddressRange>);

/// Where an element leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Jump(String),
    Goto(String),
}

/// A chain; with a hook, a base chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<NftRule>,
}

/// Where a base chain hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) kind: String,
    pub(crate) hook: String,
    pub(crate) priority: i64,
}

/// A rule. Its comment is what it is known by when it is read back, so that two rules of different
/// content in one chain have different comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NftRule {
    pub(crate) text: String,
    pub(crate) comment: String,
}

impl NftRule {
    pub(crate) fn new(text: impl Into<String>, comment: impl Into<String>) -> Self {
        Self { text: text.into(), comment: comment.into() }
    }
}

impl NftTable {
    /// The whole table as one transaction that replaces what there is of it.
    pub(crate) fn render(&self) -> String {
        let name = &self.name;
        let mut out = format!("add table inet {name}\ndelete table inet {name}\n");
        let _ = writeln!(out, "table inet {name} {{");
        let _ = writeln!(out, "\tcomment \"Egret's; written by egret agent\"");
        for (counter, comment) in &self.counters {
            let _ = writeln!(out, "\tcounter {counter} {{\n\t\tcomment \"{comment}\"\n\t}}");
        }
        for (set, definition) in &self.sets {
            definition.render(set, &mut out);
        }
        for (chain, definition) in &self.chains {
            let _ = writeln!(out, "\tchain {chain} {{");
            if let Some(Hook { kind, hook, priority }) = &definition.hook {
                let hook = format!("type {kind} hook {hook} priority {priority}; policy accept;");
                let _ = writeln!(out, "\t\t{hook}");
            }
            for rule in &definition.rules {
                let _ = writeln!(out, "\t\t{} comment \"{}\"", rule.text, rule.comment);
            }
            out.push_str("\t}\n");
        }
        out.push_str("}\n");
        out
    }
}

impl Set {
    fn render(&self, name: &str, out: &mut String) {
        let address = match self.family {
            Family::IPv4 => "ipv4_addr",
            Family::IPv6 => "ipv6_addr",
        };
        let (keyword, kind) = match self.shape {
            KeyShape::Addresses | KeyShape::Ranges => ("set", address.to_owned()),
            KeyShape::Pairs => ("set", format!("{address} . {address}")),
            KeyShape::Verdicts => ("map", format!("{address} . {address} : verdict")),
        };
        let _ = writeln!(out, "\t{keyword} {name} {{\n\t\ttype {kind}");
        if self.shape != KeyShape::Addresses {
            out.push_str("\t\tflags interval\n");
        }
        let _ = writeln!(out, "\t\tcomment \"{}\"", self.comment);
        if !self.elements.is_empty() {
            let elements: Vec<String> = self.elements.iter().map(element).collect();
            let _ = writeln!(out, "\t\telements = {{ {} }}", elements.join(",\n\t\t\t"));
        }
        out.push_str("\t}\n");
    }
}

/// An element as nft writes it.
pub(crate) fn element((key, verdict): (&ElementKey, &Option<Verdict>)) -> String {
    let key = key_text(key);
    match verdict {
        None => key,
        Some(Verdict::Jump(chain)) => format!("{key} : jump {chain}"),
        Some(Verdict::Goto(chain)) => format!("{key} : goto {chain}"),
    }
}

/// A key as nft writes it.
pub(crate) fn key_text(key: &ElementKey) -> String {
    match key {
        ElementKey(one, None) => range_text(one),
        ElementKey(one, Some(two)) => format!("{} . {}", range_text(one), range_text(two)),
    }
}

fn range_text(range: &AddressRange) -> String {
    let (first, last) = (range.first(), range.last());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// Ranges in order, those that overlap or touch merged into one.
pub(crate) fn merged(mut ranges: Vec<AddressRange>) -> Vec<AddressRange> {
    ranges.sort();
    let mut merged: Vec<AddressRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        if let Some(previous) = merged.last_mut()
            && previous.family() == range.family()
            && (range.first() <= previous.last() || after(previous.last()) == Some(range.first()))
        {
            let last = previous.last().max(range.last());
            if let Some(both) = AddressRange::new(previous.first(), last) {
                *previous = both;
            }
        } else {
            merged.push(range);
        }
    }
    merged
}

/// The next address; `None` after the last one of its family.
pub(crate) fn after(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits().checked_add(1)?).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits().checked_add(1)?).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> AddressRange {
        AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    }

    #[test]
    fn what_touches_or_overlaps_is_merged() {
        let ranges = vec![
            range("10.0.1.0", "10.0.1.255"),
            range("10.0.0.0", "10.0.0.255"),
            range("10.0.0.7", "10.0.0.9"),
            range("10.0.3.0", "10.0.3.0"),
            range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            range("fd00::", "fd00::1"),
        ];
        assert_eq!(
            merged(ranges),
            [
                range("10.0.0.0", "10.0.1.255"),
                range("10.0.3.0", "10.0.3.0"),
                range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ]
        );
    }
}
