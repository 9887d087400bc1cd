//! The VPC's router: what EC2 does with packets, as EC2's double says things are.
//!
//! State: the rule set of the router's namespace, written by one thread alone, which follows
//! `GET /egret/state`. Always: every version is one transaction of nftables, so a packet meets one
//! version whole; nothing is remembered of connections, so a mapping that ended is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use egret_netns::NetworkNamespace;
use serde_json::{Value, json};

use super::double::DoubleApi;
use super::ruleset::{RuleSet, fill};
use super::zone::{Outside, VPC, Zone};
use crate::address::mac_text;
use crate::clock::WallTime;
use crate::wire::Mac;

/// The next hop of every subnet: no node, so that a frame which the rules let pass by mistake
/// reaches nobody.
const NOBODY: &str = "02:e6:00:00:02:00";

/// A node's uplink, known by the primary address of its network interface.
#[derive(Clone, Debug)]
pub(super) struct RouterPort {
    pub name: String,
    pub mac: Mac,
    pub zone: Zone,
}

pub(super) type RouterPorts = BTreeMap<Ipv4Addr, RouterPort>;

/// A network interface as EC2 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouterInterface {
    pub primary: Ipv4Addr,
    /// Every private address, the primary one too, and the Elastic IP on it.
    pub private: BTreeMap<Ipv4Addr, Option<Ipv4Addr>>,
}

/// A version of EC2's state, and when the router had it.
#[derive(Clone, Debug, Default)]
pub(super) struct StateVersion {
    pub number: u64,
    pub interfaces: Vec<RouterInterface>,
    pub at: WallTime,
}

/// The router's namespace before it has a version: everybody asks it for every address of a subnet
/// (a VPC has no ARP between nodes), and it delivers nothing to anybody.
pub(crate) fn prepare_router(router: &NetworkNamespace, outside: Outside) {
    let mut lines = String::new();
    let mut tables = String::from(TABLE);
    for zone in Zone::ALL {
        let (device, host) = (zone.device(), zone.host(1));
        for (key, value) in [("rp_filter", "0"), ("proxy_arp", "1"), ("proxy_arp_pvlan", "1")] {
            router.sysctl(&format!("net/ipv4/conf/{device}/{key}"), value);
        }
        router.sysctl(&format!("net/ipv4/neigh/{device}/proxy_delay"), "0");
        let _ = write!(
            lines,
            "addr add {host}/32 dev {device}\n\
             neigh add 169.254.0.1 lladdr {NOBODY} dev {device} nud permanent\n\
             route add {} via 169.254.0.1 dev {device} onlink\n",
            zone.cidr()
        );
        let _ = write!(
            tables,
            "table netdev vpc-{device} {{
  map delivery {{ type ipv4_addr : ether_addr; }}
  chain leave {{ type filter hook egress device \"{device}\" priority 0; policy accept;
    ether daddr != {NOBODY} accept
    ether daddr set ip daddr map @delivery accept
    counter name undelivered drop
  }}
  counter undelivered {{ }}
}}\n"
        );
    }
    // A redirect would tell nodes of one subnet to talk past the router. The kernel sends one where
    // either the device or `all` says so.
    for scope in ["all", "lan0", "lan1", "lan2"] {
        router.sysctl(&format!("net/ipv4/conf/{scope}/send_redirects"), "0");
    }
    router.batch(&lines);
    // An Internet gateway passes only what has a public address.
    let (inward, outward) = match outside {
        Outside::Internet => ("drop", "add @unmapped { ether saddr . ip saddr counter } drop"),
        Outside::Vpn => ("accept", "accept"),
    };
    let tables = tables.replace("IN", inward).replace("OUT", outward).replace("VPC", VPC);
    router.nft(&tables);
}

/// Source check and Elastic IPs, both where a packet enters: a packet that met one version's check
/// must not meet the next one's mapping.
const TABLE: &str = "\
table ip vpc {
  map inbound { type ipv4_addr : ipv4_addr; }
  map outbound { type ipv4_addr : ipv4_addr; }
  set elastic { type ipv4_addr; }
  set own { type ether_addr . ipv4_addr; }
  set foreign { type ether_addr . ipv4_addr; size 4096; flags dynamic; counter; }
  set unmapped { type ether_addr . ipv4_addr; size 4096; flags dynamic; counter; }
  counter unassociated { }
  chain enter { type filter hook prerouting priority raw; policy accept;
    iifname \"out0\" ip daddr set ip daddr map @inbound accept
    iifname \"out0\" ip daddr @elastic counter name unassociated drop
    iifname \"out0\" IN
    ether saddr . ip saddr != @own add @foreign { ether saddr . ip saddr counter } drop
    ip daddr VPC accept
    ip saddr set ip saddr map @outbound accept
    OUT
  }
}
";

/// The transaction that makes the router's rules this version.
pub(super) fn render(
    version: &StateVersion,
    elastic: &BTreeSet<Ipv4Addr>,
    ports: &RouterPorts,
) -> String {
    let (mut inbound, mut outbound, mut own) = (Vec::new(), Vec::new(), Vec::new());
    let mut delivery = BTreeMap::from(Zone::ALL.map(|zone| (zone, Vec::new())));
    for interface in &version.interfaces {
        let Some(port) = ports.get(&interface.primary) else { continue };
        let mac = mac_text(port.mac);
        for (private, public) in &interface.private {
            own.push(format!("{mac} . {private}"));
            delivery.entry(port.zone).or_default().push(format!("{private} : {mac}"));
            if let Some(public) = public {
                inbound.push(format!("{public} : {private}"));
                outbound.push(format!("{private} : {public}"));
            }
        }
    }
    let elastic: Vec<String> = elastic.iter().map(Ipv4Addr::to_string).collect();
    let mut text = fill("map ip vpc inbound", &inbound);
    text += &fill("map ip vpc outbound", &outbound);
    text += &fill("set ip vpc own", &own);
    text += &fill("set ip vpc elastic", &elastic);
    for (zone, elements) in delivery {
        text += &fill(&format!("map netdev vpc-{} delivery", zone.device()), &elements);
    }
    text
}

/// Follows EC2's state and keeps the router's rules.
#[derive(Debug)]
pub(super) struct Router {
    present: Arc<Mutex<StateVersion>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    rules: RuleSet,
}

impl Router {
    /// Starts with the present version in force.
    pub(super) fn start(
        api: &DoubleApi,
        router: &NetworkNamespace,
        ports: RouterPorts,
    ) -> Result<Self> {
        let rules = RuleSet { net: router.path() };
        let mut follower = Follower { api: api.clone(), rules: rules.clone(), ports };
        let present = Arc::new(Mutex::new(follower.follow(None)?));
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, ended) = (present.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let seen = kept.lock().unwrap_or_else(PoisonError::into_inner).number;
                match follower.follow(Some(seen)) {
                    Ok(next) if next.number == seen => {}
                    Ok(next) => *kept.lock().unwrap_or_else(PoisonError::into_inner) = next,
                    Err(_) if ended.load(Ordering::Relaxed) => return,
                    Err(error) => panic!("the VPC's router: {error:#}"),
                }
            }
        });
        Ok(Self { present, stop, thread: Some(thread), rules })
    }

    pub(super) fn present(&self) -> StateVersion {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// To be called before the double ends: then its end is no error.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What was counted in a set: packets by hardware address and source.
    pub(super) fn counted(&self, set: &str) -> Result<BTreeMap<(String, Ipv4Addr), u64>> {
        self.rules.counted(set)
    }

    /// How many packets were dropped for want of an interface that has the destination, and for
    /// want of a private address that has the Elastic IP.
    pub(super) fn lost(&self) -> Result<(u64, u64)> {
        let mut undelivered = 0;
        for zone in Zone::ALL {
            undelivered +=
                self.rules.counter(&format!("netdev vpc-{} undelivered", zone.device()))?;
        }
        Ok((undelivered, self.rules.counter("ip vpc unassociated")?))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Follower {
    api: DoubleApi,
    rules: RuleSet,
    ports: RouterPorts,
}

impl Follower {
    /// Waits for another version than `seen`, for a second at most, and puts it in force.
    fn follow(&mut self, seen: Option<u64>) -> Result<StateVersion> {
        let wait = seen.map_or(String::new(), |seen| format!("?after={seen}&timeout=1"));
        let state = self.api.ask("GET", &format!("/egret/state{wait}"), &json!({}))?;
        let mut version = parse(&state).context("/egret/state")?;
        let addresses = state["eips"].as_array().into_iter().flatten();
        let elastic = addresses.filter_map(|eip| address(&eip["public_ip"])).collect();
        if seen != Some(version.number) {
            self.rules.apply(&render(&version, &elastic, &self.ports))?;
        }
        version.at = WallTime::now();
        Ok(version)
    }
}

fn parse(state: &Value) -> Option<StateVersion> {
    let mut interfaces = Vec::new();
    for eni in state["enis"].as_array()? {
        let private = eni["private"].as_array()?;
        let primary = private.iter().find(|one| one["primary"] == true)?;
        let all = private.iter().map(|one| Some((address(&one["ip"])?, address(&one["public"]))));
        interfaces.push(RouterInterface {
            primary: address(&primary["ip"])?,
            private: all.collect::<Option<_>>()?,
        });
    }
    Some(StateVersion { number: state["version"].as_u64()?, interfaces, at: WallTime::default() })
}

fn address(value: &Value) -> Option<Ipv4Addr> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_one_transaction_of_what_ec2_says() {
        let state = json!({"version": 7, "enis": [{"private": [
            {"ip": "10.0.1.101", "primary": true, "public": null},
            {"ip": "10.0.1.50", "primary": false, "public": "203.0.113.17"},
        ]}, {"private": [{"ip": "10.0.1.9", "primary": true, "public": null}]}]});
        let version = parse(&state).unwrap();
        let port = RouterPort { name: "gateway-1".into(), mac: [2, 0, 0, 0, 0, 1], zone: Zone::A };
        let ports = RouterPorts::from([(Ipv4Addr::new(10, 0, 1, 101), port)]);
        let elastic = BTreeSet::from([Ipv4Addr::new(203, 0, 113, 17)]);
        assert_eq!(
            render(&version, &elastic, &ports),
            "flush map ip vpc inbound
add element ip vpc inbound { 203.0.113.17 : 10.0.1.50 }
flush map ip vpc outbound
add element ip vpc outbound { 10.0.1.50 : 203.0.113.17 }
flush set ip vpc own
add element ip vpc own { 02:00:00:00:00:01 . 10.0.1.50, 02:00:00:00:00:01 . 10.0.1.101 }
flush set ip vpc elastic
add element ip vpc elastic { 203.0.113.17 }
flush map netdev vpc-lan0 delivery
add element netdev vpc-lan0 delivery { 10.0.1.50 : 02:00:00:00:00:01, 10.0.1.101 : 02:00:00:00:00:01 }
flush map netdev vpc-lan1 delivery
flush map netdev vpc-lan2 delivery
"
        );
    }
}
