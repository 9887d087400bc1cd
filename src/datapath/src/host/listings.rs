//! What whole hosts list, and which mark is chosen there.

use super::firewall::{Firewall, judge};
use super::{iptables, nftables};
use crate::constants::HostSettings;
use crate::packet_mark::{self, MarkMatch, MatchEffect};

const KUBE_ROUTER: &str = include_str!("listings/kube-router.iptables");
const KUBE_ROUTER_NFT: &str = include_str!("listings/kube-router.nft.json");
const WEAVE: &str = include_str!("listings/weave.iptables");
const CALICO_EBPF: &str = include_str!("listings/calico-ebpf.iptables");
const CALICO_EBPF_NFT: &str = include_str!("listings/calico-ebpf.nft.json");

fn by_iptables(listing: &str) -> Firewall {
    iptables::read("iptables", listing)
}

fn by_nft(listing: &str) -> Firewall {
    nftables::read(&serde_json::from_str(listing).unwrap(), &HostSettings::default())
}

fn marks(firewalls: &[Firewall]) -> Vec<MarkMatch> {
    let found = judge(firewalls, &HostSettings::default());
    assert!(found.collisions.is_empty() && found.overwrites.is_empty(), "{found:?}");
    found.marks
}

fn chosen(firewalls: &[Firewall], current: Option<u32>) -> u32 {
    packet_mark::choose(current, HostSettings::default().mark, &marks(firewalls)).unwrap()
}

/// kube-router, and k3s with it, refuse what no policy has marked: that is theirs to say.
#[test]
fn no_policy_of_kube_router_is_overruled() {
    let hosts = [
        vec![by_iptables(KUBE_ROUTER)],
        vec![by_nft(KUBE_ROUTER_NFT)],
        vec![by_nft(KUBE_ROUTER_NFT), by_iptables(KUBE_ROUTER)],
    ];
    for host in hosts {
        let marks = marks(&host);
        assert!(marks.iter().all(|one| one.effect != MatchEffect::Demanded), "{marks:?}");
        assert_eq!(chosen(&host, None), packet_mark::DEFAULT);
        // What an agent before this one took for a demand, and what says "accept".
        assert_eq!(chosen(&host, Some(0x10054)) & 0x30000, 0);
        assert_eq!(chosen(&host, Some(0x20054)) & 0x30000, 0);
    }
}

/// Nor one of Weave's, also where no policy allows anything, and nothing sets the bit.
#[test]
fn no_policy_of_weave_is_overruled() {
    let allows_nothing: String = WEAVE
        .lines()
        .filter(|line| !line.contains("--set-xmark"))
        .flat_map(|line| [line, "\n"])
        .collect();
    for listing in [WEAVE, &allows_nothing] {
        let host = [by_iptables(listing)];
        assert_eq!(chosen(&host, None), packet_mark::DEFAULT);
        assert_eq!(chosen(&host, Some(0x40054)) & 0x40000, 0);
    }
}

/// Calico's programs mark what they have seen of a pod, and its rules drop the rest.
#[test]
fn what_calicos_programs_set_is_set() {
    let host = [by_iptables(CALICO_EBPF)];
    assert_eq!(chosen(&host, None), packet_mark::DEFAULT | 0x100_0000);
    // Each tool shows the rules in its own words.
    let both = [by_nft(CALICO_EBPF_NFT), by_iptables(CALICO_EBPF)];
    assert_eq!(chosen(&both, None), packet_mark::DEFAULT | 0x100_0000);
}

/// Another's rule for the same bit says whatever its owner means by it.
#[test]
fn a_bit_of_calicos_is_demanded_by_nobody_else() {
    let others = CALICO_EBPF.replace("cali", "corp");
    assert_eq!(chosen(&[by_iptables(&others)], None), packet_mark::DEFAULT);
}

/// The same bit, where a rule sets it that packets meet behind our chain: somebody else's, who decides by it. The rule may
/// be in another listing than the one that refuses.
#[test]
fn a_bit_that_rules_set_behind_ours_is_demanded_by_nobody() {
    let allow = |chain: &str, target: &str| {
        by_iptables(&format!("*mangle\n:{chain} ACCEPT [0:0]\n-A {chain} -j {target}\n"))
    };
    let set = "MARK --set-xmark 0x1000000/0x1000000";
    for (chain, target, bits) in [
        ("FORWARD", set, 0),
        ("UNCALLED", set, 0),
        ("FORWARD", "MARK --set-xmark 0x1000054/0xffffffff", 0),
        ("FORWARD", "CONNMARK --restore-mark", 0),
        // Before our chain and on what is the node's own they are Calico's too.
        ("PREROUTING", set, 0x100_0000),
        ("OUTPUT", set, 0x100_0000),
        ("PREROUTING", "CONNMARK --restore-mark", 0x100_0000),
        ("FORWARD", "CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80", 0x100_0000),
    ] {
        let host = [by_iptables(CALICO_EBPF), allow(chain, target)];
        assert_eq!(chosen(&host, None) & 0x100_0000, bits, "{chain} {target}");
        assert_eq!(chosen(&host, Some(0x100_0054)) & 0x100_0000, bits, "{chain} {target}");
    }
}

/// nft does not show what a target of xtables sets: without iptables' tools it may be any bit.
#[test]
fn what_is_not_shown_may_set_any_bit() {
    let listing = r#"{ "nftables": [
        { "chain": { "family": "ip", "table": "calico", "name": "FORWARD", "hook": "forward", "prio": 0 } },
        { "rule": { "family": "ip", "table": "calico", "chain": "FORWARD", "expr": [
            { "match": { "op": "!=", "left": { "&": [{ "meta": { "key": "mark" } }, 16777216] }, "right": 16777216 } },
            { "drop": null } ] } },
        { "rule": { "family": "ip", "table": "calico", "chain": "FORWARD", "expr": [
            { "xt": { "type": "target", "name": "MARK" } } ] } } ] }"#;
    assert_eq!(chosen(&[by_nft(listing)], None), packet_mark::DEFAULT);
    let other = by_iptables("*filter\n:FORWARD ACCEPT [0:0]\n");
    assert_eq!(chosen(&[by_nft(listing), other], None), packet_mark::DEFAULT | 0x100_0000);
}
