//! The network's rules in the words of nftables.
//!
//! Where a packet goes is decided once, where it enters the router: its mark is the number of the
//! instance. So a packet meets one version of the delivery whole. Every instance has a conntrack zone
//! of its own, as its firewall knows no other's connections.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_netns::NetworkNamespace;

use super::delivery::VpcDelivery;
use super::firewall;
use super::state::VpcState;
use super::zone::{GATEWAY, SUBNETWORK};
use crate::address::{POD_RANGES, mac_text};
use crate::cloud::ruleset::fill;
use crate::wire::Mac;

/// The next hop of all that the network delivers: no node, so that a frame which the rules let pass by
/// mistake reaches nobody.
const NOBODY: &str = "02:e6:00:00:02:00";

/// The addresses that a forwarding rule of the laboratory may have, beside those of the subnetwork.
const PUBLIC: &str = "203.0.113.0/24";

/// An instance's uplink.
#[derive(Clone, Debug)]
pub(super) struct VpcPort {
    /// Its packets' mark and its conntrack zone; never 0.
    pub number: u32,
    pub mac: Mac,
}

/// By the instance's name.
pub(super) type VpcPorts = BTreeMap<String, VpcPort>;

/// What comes from an instance has a source of its own; what goes to one is in its firewall's zone;
/// what leaves the network is in its sender's zone, so that answers are known.
const TABLE: &str = "\
table ip vpc {
  map delivery { type ipv4_addr : mark; flags interval; }
  set own { type ether_addr . ipv4_addr; flags interval; }
  set foreign { type ether_addr . ipv4_addr; size 4096; flags dynamic; counter; }
  counter undelivered { }
  counter refused { }
  chain enter { type filter hook prerouting priority raw; policy accept;
    iifname \"lan0\" ether saddr . ip saddr != @own add @foreign { ether saddr . ip saddr counter } drop
    ip daddr GATEWAY accept
    meta mark set ip daddr map @delivery
    meta mark != 0 ct zone set meta mark map { TO } accept
    ip daddr { SUBNETWORK, PODS, PUBLIC } counter name undelivered drop
    iifname \"lan0\" ct zone set ether saddr map { FROM }
  }
  chain self { type filter hook output priority raw; policy accept;
    meta mark set ip daddr map @delivery
  }
  chain check { type filter hook forward priority filter; policy accept;
    meta mark 0 accept
    ct state established,related accept
    jump ingress
    goto refuse
  }
  chain refuse { counter name refused drop
  }
  chain ingress { }
}
table netdev vpc-lan0 {
  chain leave { type filter hook egress device \"lan0\" priority 0; policy accept;
    ether daddr != NOBODY accept
    ether daddr set meta mark map { PORTS } accept
    drop
  }
}
";

/// The router's namespace before it has a version: it answers every question for an address, and
/// delivers nothing to anybody.
pub(super) fn prepare(router: &NetworkNamespace, ports: &VpcPorts) {
    for (key, value) in [("rp_filter", "0"), ("proxy_arp", "1"), ("proxy_arp_pvlan", "1")] {
        router.sysctl(&format!("net/ipv4/conf/lan0/{key}"), value);
    }
    router.sysctl("net/ipv4/neigh/lan0/proxy_delay", "0");
    // A redirect would tell nodes to talk past the router.
    for scope in ["all", "lan0"] {
        router.sysctl(&format!("net/ipv4/conf/{scope}/send_redirects"), "0");
    }
    let pods = POD_RANGES[0];
    router.batch(&format!(
        "addr add {GATEWAY}/32 dev lan0\n\
         neigh add 169.254.0.1 lladdr {NOBODY} dev lan0 nud permanent\n\
         route add {SUBNETWORK} via 169.254.0.1 dev lan0 onlink\n\
         route add {pods} via 169.254.0.1 dev lan0 onlink\n\
         route add {PUBLIC} via 169.254.0.1 dev lan0 onlink\n"
    ));
    let list =
        |line: &dyn Fn(&VpcPort) -> String| ports.values().map(line).collect::<Vec<_>>().join(", ");
    let table = TABLE
        .replace("GATEWAY", &GATEWAY.to_string())
        .replace("SUBNETWORK", SUBNETWORK)
        .replace("PODS", pods)
        .replace("PUBLIC", PUBLIC)
        .replace("NOBODY", NOBODY)
        .replace("TO", &list(&|port| format!("{0} : {0}", port.number)))
        .replace("FROM", &list(&|port| format!("{} : {}", mac_text(port.mac), port.number)))
        .replace("PORTS", &list(&|port| format!("{} : {}", port.number, mac_text(port.mac))));
    router.nft(&table);
    // An instance that gets an address in the midst of a connection has seen one half of it at most.
    router.sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", "1");
}

/// The transaction that puts a version in force, with where addresses are delivered to.
pub(super) fn render(
    state: &VpcState,
    (delivery, targets): (&VpcDelivery, &BTreeMap<IpAddr, Option<String>>),
    ports: &VpcPorts,
) -> String {
    let (mut delivered, mut own) = (Vec::new(), Vec::new());
    for (name, ranges) in &state.instances {
        let Some(port) = ports.get(name) else { continue };
        for range in ranges {
            delivered.push(format!("{range} : {}", port.number));
            own.push(format!("{} . {range}", mac_text(port.mac)));
        }
    }
    for (address, target) in targets.iter().filter(|(address, _)| address.is_ipv4()) {
        if let Some(port) = target.as_ref().and_then(|name| ports.get(name)) {
            delivered.push(format!("{address} : {}", port.number));
        }
        for port in delivery.senders(*address).filter_map(|name| ports.get(name)) {
            own.push(format!("{} . {address}", mac_text(port.mac)));
        }
    }
    let tags = ports
        .iter()
        .map(|(name, port)| (port.number, state.tags.get(name).cloned().unwrap_or_default()));
    let mut text = fill("map ip vpc delivery", &delivered);
    text += &fill("set ip vpc own", &own);
    text += "flush chain ip vpc ingress\n";
    for line in firewall::render(&state.firewall, &tags.collect()) {
        text += &format!("add rule ip vpc ingress {line}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cloud::gce::delivery::{Contest, FixedAddresses, OVERRIDES};

    #[test]
    fn a_fixed_address_and_a_pods_range_go_to_their_instance_which_alone_may_send_with_them() {
        let port = |number: u8| VpcPort { number: number.into(), mac: [2, 0, 0, 0, 0, number] };
        let ports = VpcPorts::from([("a".to_owned(), port(1)), ("b".to_owned(), port(2))]);
        let ranges = |all: [&str; 2]| BTreeSet::from(all.map(str::to_owned));
        let state = VpcState {
            instances: BTreeMap::from([
                ("a".to_owned(), ranges(["10.0.0.101", "10.244.1.0/24"])),
                ("b".to_owned(), ranges(["10.0.0.102", "10.244.2.0/24"])),
            ]),
            ..VpcState::default()
        };
        let fixed = [([10, 0, 0, 50], "a"), ([203, 0, 113, 17], "b"), ([203, 0, 113, 18], "gone")];
        let fixed = fixed.map(|(address, at)| (IpAddr::from(address), at.to_owned()));
        let mut delivery = VpcDelivery::new(Contest::Newer, OVERRIDES);
        delivery.fix(FixedAddresses::from(fixed));
        let targets = delivery.targets(crate::WallTime(0));
        assert_eq!(
            render(&state, (&delivery, &targets), &ports),
            "flush map ip vpc delivery
add element ip vpc delivery { 10.0.0.101 : 1, 10.244.1.0/24 : 1, 10.0.0.102 : 2, 10.244.2.0/24 : 2, \
             10.0.0.50 : 1, 203.0.113.17 : 2 }
flush set ip vpc own
add element ip vpc own { 02:00:00:00:00:01 . 10.0.0.101, 02:00:00:00:00:01 . 10.244.1.0/24, \
             02:00:00:00:00:02 . 10.0.0.102, 02:00:00:00:00:02 . 10.244.2.0/24, \
             02:00:00:00:00:01 . 10.0.0.50, 02:00:00:00:00:02 . 203.0.113.17 }
flush chain ip vpc ingress
"
        );
    }
}
