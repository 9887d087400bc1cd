use std::collections::BTreeMap;

use egret_core::node_config::{Flow, FlowAction, SteeringConfig};

use super::*;
use crate::nft::observe::{ObservedTable, read};

fn entry(mtu: u32) -> TunnelEntry {
    TunnelEntry { mark: 0x54, mtu, has_proxy: false }
}

fn flow(source: &str, destination: &str, action: FlowAction) -> Flow {
    let net = |text: &str| text.parse().unwrap();
    Flow { source: net(source), destination: net(destination), action }
}

fn steer(address: &str) -> FlowAction {
    FlowAction::Steer { address: address.parse().unwrap() }
}

fn ports(list: &[(u16, u16)]) -> BTreeSet<PortRange> {
    list.iter().map(|(first, last)| PortRange::new(*first, *last).unwrap()).collect()
}

fn config() -> SteeringConfig {
    SteeringConfig {
        never_steered: ["10.0.0.0/8", "10.244.0.0/16", "11.0.0.0/8", "fd00:244::/48", "fe80::/10"]
            .map(|net| net.parse().unwrap())
            .into(),
        peers: ["192.0.2.11", "192.0.2.12", "2001:db8:2::11"].map(|ip| ip.parse().unwrap()).into(),
        flows: vec![
            flow("10.244.1.2/32", "0.0.0.0/0", steer("203.0.113.17")),
            flow("10.244.1.3/32", "198.51.100.0/24", steer("203.0.113.18")),
            flow("10.244.1.4/32", "198.51.100.0/24", steer("203.0.113.19")),
            flow("10.244.2.0/24", "198.51.100.7/32", FlowAction::DropNoAddress),
            flow("fd00:244::2/128", "::/0", FlowAction::DropFamilyWithoutAddress),
            flow("fd00:244::3/128", "2001:db8:100::/48", steer("2001:db8:113::17")),
        ],
        blocks: BTreeMap::from([
            ("203.0.113.17".parse().unwrap(), ports(&[(1024, 1151), (1152, 1279)])),
            ("203.0.113.18".parse().unwrap(), ports(&[(1024, 1151), (4096, 4351)])),
            ("2001:db8:113::17".parse().unwrap(), ports(&[(64_512, 65_535)])),
        ]),
        ..SteeringConfig::default()
    }
}

#[test]
fn golden_table() {
    let table = table(&HostSettings::default(), entry(1450), &config()).unwrap();
    insta::assert_snapshot!(table.render());
}

#[test]
fn golden_empty_table_with_other_settings() {
    let settings = HostSettings {
        device: "eg1".to_owned(),
        mark: 0x10_0000,
        tunnel_port: 6480,
        peers_port: 6481,
        nft_table: "egress".to_owned(),
        ..HostSettings::default()
    };
    let table = table(&settings, entry(1430), &SteeringConfig::default()).unwrap();
    insta::assert_snapshot!(table.render());
}

#[test]
fn the_order_of_flows_does_not_matter() {
    let mut other = config();
    other.flows.reverse();
    let settings = HostSettings::default();
    assert_eq!(table(&settings, entry(1450), &config()), table(&settings, entry(1450), &other));
}

#[test]
fn mixed_families_are_refused_by_name() {
    let mut wrong = config();
    wrong.flows.push(flow("10.244.1.9/32", "192.0.2.0/24", steer("2001:db8:113::17")));
    let error = table(&HostSettings::default(), entry(1450), &wrong).unwrap_err();
    assert!(error.to_string().contains("10.244.1.9/32 to 192.0.2.0/24"), "{error}");
}

#[test]
fn adjacent_blocks_are_one_range_and_others_are_drawn_by_size() {
    assert_eq!(
        joined(&ports(&[(1024, 1151), (1152, 1279), (2048, 2175)])),
        [PortRange::new(1024, 1279).unwrap(), PortRange::new(2048, 2175).unwrap(),]
    );
    let mut chains = BTreeMap::new();
    snat("203.0.113.17".parse().unwrap(), &ports(&[(1024, 1151), (4096, 4351)]), &mut chains);
    let draw = &chains["snat-203.0.113.17"].rules[0].text;
    assert!(draw.starts_with("numgen random mod 3 vmap { 0 : goto snat-203.0.113.17-1024, 1 :"));
}

#[test]
fn comments_fit_and_tell_choices_of_blocks_apart() {
    let comment = |shift: u16| {
        let list: Vec<(u16, u16)> =
            (0..60).map(|n| (1024 + n * 512 + shift, 1024 + n * 512 + shift + 127)).collect();
        let mut chains = BTreeMap::new();
        snat("203.0.113.17".parse().unwrap(), &ports(&list), &mut chains);
        chains["snat-203.0.113.17"].rules[0].comment.clone()
    };
    assert!(comment(0).len() <= 128, "{}", comment(0));
    assert_ne!(comment(0), comment(128));
    let settings = HostSettings::default();
    for chain in rules::chains(&settings, entry(1450)).values() {
        assert!(chain.rules.iter().all(|rule| rule.comment.len() <= 128));
    }
}

#[test]
fn no_two_rules_of_a_chain_are_known_by_one_comment() {
    let table = table(&HostSettings::default(), entry(1450), &config()).unwrap();
    for (name, chain) in &table.chains {
        let comments: BTreeSet<&str> = chain.rules.iter().map(|r| r.comment.as_str()).collect();
        assert_eq!(comments.len(), chain.rules.len(), "{name}");
    }
}

#[test]
fn a_listing_with_foreign_elements_differs() {
    let table = table(&HostSettings::default(), entry(1450), &config()).unwrap();
    let listing = serde_json::json!({ "nftables": [
        { "set": { "family": "inet", "name": "never4", "table": "egret", "elem": ["eth0"] } }
    ] });
    assert_eq!(read(&listing, &table), None);
    let listing = serde_json::json!({ "nftables": [
        { "set": { "family": "inet", "name": "never4", "table": "egret", "elem": [
            { "prefix": { "addr": "10.0.0.0", "len": 8 } },
            { "range": ["11.0.0.0", "11.255.255.255"] }
        ] } }
    ] });
    let reading = read(&listing, &table).unwrap();
    assert_eq!(reading.observed.sets["never4"], ObservedTable::of(&table).sets["never4"]);
}
