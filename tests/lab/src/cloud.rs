//! A cloud around the laboratory's nodes: EC2's double as its API, and a router that treats packets
//! as EC2 does.
//!
//! ```text
//!  gateway-1, gateway-2, director-1 ── br0, 10.0.1.0/24, eu-central-1a ──┐
//!                                                                        router ── out
//!  gateway-3, director-2 ───────────── br1, 10.0.2.0/24, eu-central-1b ──┘
//! ```
//!
//! Every node is an instance with one network interface, or with a second one that addresses are for
//! ([`Region::seconds`]). The router answers every question for an
//! address of a subnet, so that all packets pass it; it drops what does not come from an address of
//! its interface, delivers by what EC2 says and never by ARP, and maps Elastic IPs without state.
//! What has none is not let out, unless the outside is reached by a VPN. IPv4 only.
//!
//! State: the double's account; see `router` for the rules.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result};
use egret_netns::NetworkNamespace;
use serde_json::{Value, json};

mod calls;
pub mod checks;
mod double;
pub mod gce;
mod router;
mod ruleset;
mod site;
mod zone;

pub use calls::RecordedCall;
pub(crate) use router::prepare_router;
pub use site::Site;
pub use zone::{Outside, VPC, Zone};

use crate::address::{mac_text, parse_mac};
use crate::clock::WallTime;
use crate::network::LabNetwork;
use crate::role::LabNodeRole;
use crate::wire::Mac;
use double::{DoubleProcess, EC2};
use router::{Router, RouterPort, RouterPorts, StateVersion};

/// The tag of the pool whose Elastic IPs the account has from the beginning.
pub const POOL_TAG: (&str, &str) = ("egret.dev/pool", "public");

/// What a laboratory's cloud consists of.
#[derive(Clone, Debug)]
pub struct Region {
    /// The zones of the gateways in turn.
    pub gateways: Vec<Zone>,
    /// The zones of the directors in turn.
    pub directors: Vec<Zone>,
    /// The subnets of the gateways' second interfaces, which alone are tagged then; none has one past
    /// the end.
    pub seconds: Vec<Zone>,
    /// How many Elastic IPs of the pool [`POOL_TAG`] there are.
    pub elastic: u8,
    /// How the outside is reached.
    pub outside: Outside,
}

impl Default for Region {
    /// Two gateways in one zone and one in the other, a director in each, two Elastic IPs, the
    /// Internet outside.
    fn default() -> Self {
        Self {
            gateways: vec![Zone::A, Zone::A, Zone::B],
            directors: vec![Zone::A, Zone::B],
            seconds: Vec::new(),
            elastic: 2,
            outside: Outside::Internet,
        }
    }
}

impl Region {
    /// The zone of the `number`-th (from 0) gateway or director.
    #[must_use]
    pub fn zone(&self, role: LabNodeRole, number: usize) -> Zone {
        let zones = match role {
            LabNodeRole::Gateway => &self.gateways,
            LabNodeRole::Director => &self.directors,
        };
        zones.iter().cycle().nth(number).copied().unwrap_or(Zone::A)
    }
}

/// A machine that is to be an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Such as `gateway-1`.
    pub name: String,
    /// Decides its address in the zone's subnet: see [`Zone::node`].
    pub number: u8,
    /// Where it is.
    pub zone: Zone,
    /// Whether its network interface has the tag `egret.dev/gateway=true`.
    pub gateway: bool,
}

/// A node as EC2 knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabInstance {
    /// `i-…`.
    pub instance: String,
    /// `eni-…`.
    pub interface: String,
    /// The hardware address of the interface.
    pub mac: Mac,
    /// Where it is.
    pub zone: Zone,
    /// Its other network interface: the hardware address, and the subnet.
    pub second: Option<(Mac, Zone)>,
}

impl LabInstance {
    /// `spec.providerID` of its Node.
    #[must_use]
    pub fn provider_id(&self) -> String {
        format!("aws:///{}/{}", self.zone.name(), self.instance)
    }
}

/// A cloud that is up. Dropping it ends the double and the router's thread.
#[derive(Debug)]
pub struct LabCloud {
    // In this order: the router must not take the end of the double for a fault.
    router: Router,
    double: DoubleProcess,
    instances: BTreeMap<String, LabInstance>,
    ports: RouterPorts,
    elastic: Vec<IpAddr>,
}

impl LabCloud {
    /// Starts EC2's double in a network namespace, where it listens on every address, makes every
    /// host an instance, and has the router of [`LabNetwork::plug_vpc`] follow it. The hosts are
    /// to be plugged in afterwards, with the hardware addresses of their interfaces.
    ///
    /// # Errors
    /// Where the double is not installed or refuses something.
    pub fn start(
        region: &Region,
        (api, network): (&NetworkNamespace, &LabNetwork),
        hosts: &[Host],
        log: &Path,
    ) -> Result<Self> {
        let double = DoubleProcess::start(&EC2, api, log)?;
        let mut seconds = region.seconds.iter().copied();
        let second = |host: &Host| if host.gateway { seconds.next() } else { None };
        let seconds: Vec<Option<Zone>> = hosts.iter().map(second).collect();
        let hosts: Vec<(Host, Option<Zone>)> = hosts.iter().cloned().zip(seconds).collect();
        let wanted: Vec<_> = hosts
            .iter()
            .map(|(host, second)| {
                let (zone, primary) = (host.zone, host.zone.node(host.number));
                let second = second.map(|at| json!([at.cidr(), at.second(host.number)]));
                json!({
                    "name": host.name, "zone": zone.name(), "cidr": zone.cidr(), "address": primary,
                    "gateway": host.gateway, "second": second,
                })
            })
            .collect();
        let (wanted, elastic) = (Value::from(wanted).to_string(), region.elastic.to_string());
        let made = double.api().by_hand(&["build", &wanted, &elastic])?;
        let (mut instances, mut ports) = (BTreeMap::new(), RouterPorts::new());
        for (Host { name, number, zone, .. }, second) in hosts {
            let ids = &made["nodes"][&name];
            let id = |kind: &str| ids[kind].as_str().map(str::to_owned).context("an id");
            let (instance, interface) = (id("instance")?, id("interface")?);
            let mac = parse_mac(&id("mac")?).context("a hardware address")?;
            if let IpAddr::V4(primary) = zone.node(number) {
                ports.insert(primary, RouterPort { name: name.clone(), mac, zone });
            }
            let second = match second {
                None => None,
                Some(at) => {
                    let mac = parse_mac(&id("second")?).context("a hardware address")?;
                    let port = RouterPort { name: name.clone(), mac, zone: at };
                    ports.insert(at.second(number), port);
                    Some((mac, at))
                }
            };
            instances.insert(name, LabInstance { instance, interface, mac, zone, second });
        }
        let elastic = made["elastic"].as_array().into_iter().flatten();
        let elastic = elastic.filter_map(|address| address.as_str()?.parse().ok()).collect();
        let router = Router::start(double.api(), &network.router, ports.clone())?;
        Ok(Self { router, double, instances, ports, elastic })
    }

    /// Where EC2's API is, from its own machine.
    #[must_use]
    pub fn url(&self) -> String {
        self.double.api().url()
    }

    /// Where it is for others, by an address of its machine.
    #[must_use]
    pub fn url_at(&self, address: IpAddr) -> String {
        format!("http://{address}:{}", self.double.api().port())
    }

    /// The Elastic IPs of the pool.
    #[must_use]
    pub fn elastic(&self) -> &[IpAddr] {
        &self.elastic
    }

    /// A node as EC2 knows it.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn instance(&self, node: &str) -> Result<&LabInstance> {
        self.instances.get(node).with_context(|| format!("no instance for {node}"))
    }

    /// Where the router delivers an Elastic IP or a private address to: the node, and the private
    /// address that the packet has there.
    #[must_use]
    pub fn delivery(&self, address: IpAddr) -> Option<(String, Ipv4Addr)> {
        let StateVersion { interfaces, .. } = self.router.present();
        interfaces.iter().find_map(|interface| {
            let port = self.ports.get(&interface.primary)?;
            let mut private = interface.private.iter();
            let (wire, _) = private.find(|(private, public)| {
                address == **private || public.is_some_and(|public| address == public)
            })?;
            Some((port.name.clone(), *wire))
        })
    }

    /// The node that an address is attached to, as the router has it.
    #[must_use]
    pub fn attached_to(&self, address: IpAddr) -> Option<String> {
        self.delivery(address).map(|(node, _)| node)
    }

    /// The secondary addresses of a node's interface.
    #[must_use]
    pub fn secondaries(&self, node: &str) -> Vec<Ipv4Addr> {
        let StateVersion { interfaces, .. } = self.router.present();
        let named = |primary| self.ports.get(primary).is_some_and(|port| port.name == node);
        let of = interfaces.iter().filter(|interface| named(&interface.primary));
        let private = of.flat_map(|of| of.private.keys().map(|a| (*a, of.primary)));
        private
            .filter(|(address, primary)| address != primary)
            .map(|(address, _)| address)
            .collect()
    }

    /// The number of EC2's state that the router follows, and since when.
    #[must_use]
    pub fn version(&self) -> (u64, WallTime) {
        let present = self.router.present();
        (present.number, present.at)
    }

    /// The calls of EC2's API since `since`, in order.
    ///
    /// # Errors
    /// Where the double does not answer.
    pub fn calls(&self, since: WallTime) -> Result<Vec<RecordedCall>> {
        calls::since(self.double.api(), since)
    }

    /// Those that change something.
    ///
    /// # Errors
    /// Where the double does not answer.
    pub fn changes(&self, since: WallTime) -> Result<Vec<RecordedCall>> {
        Ok(self.calls(since)?.into_iter().filter(RecordedCall::changes).collect())
    }

    /// Asks EC2's double for a fault: `throttle`, `fail`, `lag`, `delay`, `policy`, … with the
    /// fields that its README lists.
    ///
    /// # Errors
    /// Where it refuses them.
    pub fn inject_fault(&self, what: &str, fields: &Value) -> Result<()> {
        self.double.api().ask("POST", &format!("/egret/{what}"), fields).map(drop)
    }

    /// Ends all faults.
    ///
    /// # Errors
    /// Where the double does not answer.
    pub fn clear(&self) -> Result<()> {
        self.inject_fault("clear", &json!({}))
    }

    /// Does something at EC2 by hand, as a person would: see `account.py`.
    ///
    /// # Errors
    /// Where EC2 refuses it.
    pub fn by_hand(&self, arguments: &[&str]) -> Result<()> {
        self.double.api().by_hand(arguments).map(drop)
    }

    /// Packets that the router dropped since their interface does not have that source, by node
    /// and source, from the beginning.
    ///
    /// # Errors
    /// Where nft fails.
    pub fn foreign(&self) -> Result<BTreeMap<(String, Ipv4Addr), u64>> {
        self.counted("foreign")
    }

    /// Those that a node sent by its first interface, by source.
    ///
    /// # Errors
    /// Where nft fails, or there is no such node.
    pub fn foreign_by_first(&self, node: &str) -> Result<BTreeMap<Ipv4Addr, u64>> {
        let first = mac_text(self.instance(node)?.mac);
        let counted = self.router.counted("foreign")?.into_iter();
        let of = |((mac, source), count)| (mac == first).then_some((source, count));
        Ok(counted.filter_map(of).collect())
    }

    /// Packets that the Internet gateway did not let out since their source has no Elastic IP, the
    /// same.
    ///
    /// # Errors
    /// Where nft fails.
    pub fn unmapped(&self) -> Result<BTreeMap<(String, Ipv4Addr), u64>> {
        self.counted("unmapped")
    }

    fn counted(&self, set: &str) -> Result<BTreeMap<(String, Ipv4Addr), u64>> {
        let name = |mac: &str| {
            let mut ports = self.ports.values();
            ports.find(|port| mac_text(port.mac) == mac).map(|port| port.name.clone())
        };
        // Of nobody's are the multicasts of the switches themselves.
        let counted = self.router.counted(set)?.into_iter();
        Ok(counted.filter_map(|((mac, from), n)| Some(((name(&mac)?, from), n))).collect())
    }

    /// Packets that the router dropped since no interface has their destination, and those to an
    /// Elastic IP that is associated with nothing, from the beginning.
    ///
    /// # Errors
    /// Where nft fails.
    pub fn lost(&self) -> Result<(u64, u64)> {
        self.router.lost()
    }
}

/// Plugs a node in: whatever it sends reaches the router alone, as a VPC has no switch.
pub fn plug_in(network: &LabNetwork, zone: Zone, node: (&str, Mac), net: &NetworkNamespace) {
    network.plug_isolated(zone.bridge(), node, net);
}

/// The same for its second interface, which stays down.
pub(crate) fn plug_second(
    network: &LabNetwork,
    (mac, zone): (Mac, Zone),
    node: &str,
    net: &NetworkNamespace,
) {
    network.plug_second(zone.bridge(), (node, mac), net);
}

/// Lines of `ip -batch` that give node `number` its primary address and its way out.
#[must_use]
pub fn addressing(zone: Zone, number: u8) -> String {
    let (own, router) = (zone.node(number), zone.host(1));
    format!("addr add {own}/24 dev eth0\nlink set eth0 up\nroute add default via {router}\n")
}

impl Drop for LabCloud {
    fn drop(&mut self) {
        self.router.stop();
        self.double.end();
    }
}
