//! The least transaction from what the kernel has to what it must have.

use std::fmt::Write as _;

use super::observe::{ObservedChain, ObservedTable};
use super::ruleset::is_snat;
use super::table::{Chain, Elements, NftTable, element, key_text};

/// What has to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delta {
    /// Nothing.
    Nothing,
    /// Elements and SNAT chains: the fixed chains are right.
    Parts(String),
    /// The whole table, in one transaction.
    Whole(String),
}

/// Compares.
pub(crate) fn delta(observed: &ObservedTable, table: &NftTable) -> Delta {
    let wanted = ObservedTable::of(table);
    if *observed == wanted {
        return Delta::Nothing;
    }
    let fixed_differs = || {
        let fixed = |(name, _): &(&String, &ObservedChain)| !is_snat(name);
        !observed.chains.iter().filter(fixed).eq(wanted.chains.iter().filter(fixed))
            || observed.counters != wanted.counters
            || !observed.sets.keys().eq(wanted.sets.keys())
    };
    if fixed_differs() {
        return Delta::Whole(table.render());
    }
    Delta::Parts(parts(observed, &wanted, table))
}

/// Order matters to the kernel: a chain is there before an element leads to it, and gone after
/// the last one that did.
fn parts(observed: &ObservedTable, wanted: &ObservedTable, table: &NftTable) -> String {
    let mut out = String::new();
    let name = &table.name;
    let differing: Vec<(&String, &Chain)> = table
        .chains
        .iter()
        .filter(|(chain, _)| observed.chains.get(*chain) != wanted.chains.get(*chain))
        .collect();
    for (chain, _) in &differing {
        let _ = writeln!(out, "add chain inet {name} {chain}");
    }
    for (chain, definition) in &differing {
        let _ = writeln!(out, "flush chain inet {name} {chain}");
        for rule in &definition.rules {
            let (text, comment) = (&rule.text, &rule.comment);
            let _ = writeln!(out, "add rule inet {name} {chain} {text} comment \"{comment}\"");
        }
    }
    for (set, now) in &observed.sets {
        if let Some(then) = wanted.sets.get(set) {
            elements(&mut out, name, set, now, then);
        }
    }
    let gone: Vec<&String> =
        observed.chains.keys().filter(|chain| !wanted.chains.contains_key(*chain)).collect();
    // A drawing chain leads to the chains of its blocks: all are emptied before one is deleted.
    for chain in &gone {
        let _ = writeln!(out, "flush chain inet {name} {chain}");
    }
    for chain in &gone {
        let _ = writeln!(out, "delete chain inet {name} {chain}");
    }
    out
}

fn elements(out: &mut String, table: &str, set: &str, now: &Elements, then: &Elements) {
    let removed: Vec<String> =
        now.iter().filter(|(key, v)| then.get(key) != Some(v)).map(|(k, _)| key_text(k)).collect();
    let added: Vec<String> =
        then.iter().filter(|(key, v)| now.get(key) != Some(v)).map(element).collect();
    for (verb, list) in [("delete", removed), ("add", added)] {
        if !list.is_empty() {
            let _ = writeln!(out, "{verb} element inet {table} {set} {{ {} }}", list.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use egret_core::model::PortRange;
    use egret_core::node_config::{Flow, FlowAction, SteeringConfig};

    use super::super::rules::TunnelEntry;
    use super::super::ruleset::table;
    use super::*;
    use crate::constants::HostSettings;

    fn entry(mtu: u32) -> TunnelEntry {
        TunnelEntry { mark: 0x54, mtu, has_proxy: false }
    }

    fn config(blocks: &[(u16, u16)]) -> SteeringConfig {
        let address: IpAddr = "203.0.113.17".parse().unwrap();
        let blocks: BTreeSet<PortRange> =
            blocks.iter().map(|(a, b)| PortRange::new(*a, *b).unwrap()).collect();
        SteeringConfig {
            flows: vec![Flow {
                source: "10.244.1.2/32".parse().unwrap(),
                destination: "198.51.100.0/24".parse().unwrap(),
                action: FlowAction::Steer { address },
            }],
            blocks: [(address, blocks)].into(),
            ..SteeringConfig::default()
        }
    }

    fn script(from: &[(u16, u16)], to: &[(u16, u16)]) -> Delta {
        let settings = HostSettings::default();
        let observed = table(&settings, entry(1450), &config(from)).unwrap();
        let wanted = table(&settings, entry(1450), &config(to)).unwrap();
        delta(&ObservedTable::of(&observed), &wanted)
    }

    #[test]
    fn nothing_to_write_where_nothing_differs() {
        assert_eq!(script(&[(1024, 1151)], &[(1024, 1151)]), Delta::Nothing);
    }

    #[test]
    fn a_block_more_changes_chains_only() {
        let Delta::Parts(script) = script(&[(1024, 1151)], &[(1024, 1151), (4096, 4223)]) else {
            panic!("not the whole table");
        };
        assert!(!script.contains("element"), "{script}");
        assert!(script.contains("add chain inet egret snat-203.0.113.17-4096"), "{script}");
    }

    #[test]
    fn the_first_block_moves_the_flow_and_makes_its_chain_before() {
        let Delta::Parts(script) = script(&[], &[(1024, 1151)]) else { panic!() };
        let position = |text: &str| script.find(text).unwrap_or_else(|| panic!("{text}: {script}"));
        assert!(position("add chain") < position("add element inet egret policy4"));
        assert!(script.contains("delete element inet egret refused4"));
    }

    #[test]
    fn the_last_block_gone_removes_the_chain_after_its_element() {
        let Delta::Parts(script) = script(&[(1024, 1151)], &[]) else { panic!() };
        let position = |text: &str| script.find(text).unwrap_or_else(|| panic!("{text}: {script}"));
        assert!(position("delete element inet egret policy4") < position("delete chain"));
    }

    #[test]
    fn another_layout_replaces_the_table() {
        let observed = table(&HostSettings::default(), entry(1450), &config(&[])).unwrap();
        let wanted = table(&HostSettings::default(), entry(1430), &config(&[])).unwrap();
        assert!(matches!(delta(&ObservedTable::of(&observed), &wanted), Delta::Whole(_)));
        assert!(matches!(delta(&ObservedTable::default(), &wanted), Delta::Whole(_)));
    }
}
