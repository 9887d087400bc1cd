//! A Google VPC around the laboratory's nodes: Compute Engine's double as its API, and a router that
//! treats packets as Google's network does.
//!
//! ```text
//!  gateway-1, gateway-2, director-1 (europe-west3-a) ─┐
//!                                                     br0, 10.0.0.0/24 ── router ── out
//!  gateway-3, director-2 (europe-west3-b) ────────────┘
//! ```
//!
//! Every node is an instance with one network interface that has a /32 and its pods' range as an alias, and
//! reaches all by the router, 10.0.0.1, which answers every ARP request. The router follows announcements,
//! rules of target instances and aliases (`delivery`), drops what has a source that is not the instance's,
//! and is the firewall of every instance: stateful, and it knows only what that instance has seen. Private
//! addresses leave and are reached as they are: the outside is a peer network as well, as over a VPN.
//!
//! What it leaves out: IPv6, egress rules of the firewall, and connections of its own between instances,
//! which rules must allow in both directions.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result};
use egret_netns::NetworkNamespace;
use serde_json::{Value, json};

mod delivery;
mod firewall;
mod instance;
mod json;
mod project;
mod router;
mod rules;
mod state;
mod zone;

pub use delivery::Contest;
pub use instance::{VpcHost, VpcInstance};
pub use project::{GceRegion, POOL_LABEL};
pub use router::HeardAnnouncement;
pub use zone::GceZone;
pub(crate) use zone::node;

use super::calls::{self, RecordedCall};
use super::double::{DoubleProcess, GCE};
use crate::address::mac_text;
use crate::clock::WallTime;
use crate::network::LabNetwork;
use delivery::VpcDelivery;
use router::VpcRouter;
use rules::{VpcPort, VpcPorts};

/// A VPC that is up. Dropping it ends the double and the router's threads.
#[derive(Debug)]
pub struct LabVpc {
    // In this order: the router must not take the end of the double for a fault.
    router: VpcRouter,
    double: DoubleProcess,
    instances: BTreeMap<String, VpcInstance>,
    addresses: Vec<IpAddr>,
}

impl LabVpc {
    /// Starts Compute Engine's double in a network namespace, where it listens on every address, makes
    /// every host an instance, and has the router of [`LabNetwork::plug_google`] follow it. The hosts
    /// are to be plugged in afterwards, with the hardware addresses of their interfaces.
    ///
    /// # Errors
    /// Where the double is not installed or refuses something.
    pub fn start(
        region: &GceRegion,
        (api, network): (&NetworkNamespace, &LabNetwork),
        hosts: &[VpcHost],
        log: &Path,
    ) -> Result<Self> {
        let double = DoubleProcess::start(&GCE, api, log)?;
        let (instances, addresses) = project::build(double.api(), region, hosts)?;
        let port = |(number, (name, instance)): (u32, (&String, &VpcInstance))| {
            (name.clone(), VpcPort { number, mac: instance.mac })
        };
        let ports: VpcPorts = (1..).zip(&instances).map(port).collect();
        let delivery = VpcDelivery::new(region.contest, region.overrides);
        let router = VpcRouter::start(double.api(), &network.router, (ports, delivery))?;
        Ok(Self { router, double, instances, addresses })
    }

    /// `HOST:PORT` of Compute Engine's API and of the metadata server, from their own machine.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.double.api().port())
    }

    /// The static external addresses of the pool.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// A node as Compute Engine knows it.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn instance(&self, node: &str) -> Result<&VpcInstance> {
        self.instances.get(node).with_context(|| format!("no instance for {node}"))
    }

    /// The node that the router delivers an address to.
    #[must_use]
    pub fn delivered_to(&self, address: IpAddr) -> Option<String> {
        self.router.network().delivered.get(&address)?.clone()
    }

    /// Whether the router lets one node alone send with an address.
    #[must_use]
    pub fn fences(&self, address: IpAddr) -> bool {
        self.router.network().delivery.is_fixed(address)
    }

    /// The node that the service of an address names as its leader.
    #[must_use]
    pub fn leader(&self, address: IpAddr) -> Option<String> {
        let network = self.router.network();
        network.delivery.service_of(address).and_then(|(_, service)| service.leader.clone())
    }

    /// The nodes that are endpoints of the service of an address.
    #[must_use]
    pub fn endpoints(&self, address: IpAddr) -> Vec<String> {
        let network = self.router.network();
        network.delivery.senders(address).map(str::to_owned).collect()
    }

    /// Decides who wins where two nodes announce within 3 s.
    pub fn let_win(&self, contest: Contest) {
        self.router.network().delivery.contest = contest;
    }

    /// Every announcement since `since`.
    #[must_use]
    pub fn announcements(&self, since: WallTime) -> Vec<HeardAnnouncement> {
        let network = self.router.network();
        network.heard.iter().filter(|heard| heard.at >= since).cloned().collect()
    }

    /// The alias ranges of a node's interface, in order, as Compute Engine has them now.
    ///
    /// # Errors
    /// Where there is no such node, or the double does not answer.
    pub fn aliases(&self, node: &str) -> Result<Vec<String>> {
        let path = project::instance_path(self.instance(node)?.zone, node);
        let instance = project::call(self.double.api(), "GET", &path, &Value::Null)?;
        let nic = &instance["networkInterfaces"][0];
        let aliases = nic["aliasIpRanges"].as_array().into_iter().flatten();
        aliases.map(|alias| json::text(alias, "ipCidrRange")).collect()
    }

    /// The pods' range of a node, which is its first alias range from the beginning.
    ///
    /// # Errors
    /// Where there is no such node.
    pub fn pods(&self, node: &str) -> Result<&str> {
        Ok(&self.instance(node)?.pods)
    }

    /// The names of the target instances of both zones.
    ///
    /// # Errors
    /// Where the double does not answer.
    pub fn target_instances(&self) -> Result<Vec<String>> {
        let path = "aggregated/targetInstances";
        let answer = project::call(self.double.api(), "GET", path, &Value::Null)?;
        let scopes = answer["items"].as_object().into_iter().flat_map(|scopes| scopes.values());
        let all =
            scopes.flat_map(|scope| scope["targetInstances"].as_array().into_iter().flatten());
        all.map(|one| json::text(one, "name")).collect()
    }

    /// The names of the project's resources of a kind: `forwarding_rules`, `backend_services`, …
    ///
    /// # Errors
    /// Where the double does not answer.
    pub fn names(&self, kind: &str) -> Result<Vec<String>> {
        let state = self.double.api().ask("GET", "/egret/state", &json!({}))?;
        json::list(&state, kind)?.iter().map(|one| json::text(one, "name")).collect()
    }

    /// The calls since `since` that change something, in order.
    ///
    /// # Errors
    /// Where the double does not answer.
    pub fn changes(&self, since: WallTime) -> Result<Vec<RecordedCall>> {
        let calls = calls::since(self.double.api(), since)?;
        Ok(calls.into_iter().filter(RecordedCall::changes).collect())
    }

    /// Asks the double for a fault: `throttle`, `fail`, `delay`, …
    ///
    /// # Errors
    /// Where it refuses the fields.
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

    /// Adds a firewall rule that lets everybody send to gateways.
    ///
    /// # Errors
    /// Where Compute Engine refuses it.
    pub fn open_firewall(&self) -> Result<()> {
        project::open(self.double.api())
    }

    /// Asks Compute Engine's API by hand: `path` follows `/compute/v1/projects/PROJECT/`, and an
    /// operation that begins is waited for.
    ///
    /// # Errors
    /// Where it refuses.
    pub fn by_hand(&self, verb: &str, path: &str, body: &Value) -> Result<Value> {
        project::call(self.double.api(), verb, path, body)
    }

    /// Packets that the router dropped since their instance does not have that source, by node and
    /// source, from the beginning.
    ///
    /// # Errors
    /// Where nft fails.
    pub fn foreign(&self) -> Result<BTreeMap<(String, Ipv4Addr), u64>> {
        let name = |mac: &str| {
            let mut all = self.instances.iter();
            all.find(|(_, instance)| mac_text(instance.mac) == mac).map(|(name, _)| name.clone())
        };
        // Of nobody's are the multicasts of the switch itself.
        let counted = self.router.rules().counted("foreign")?.into_iter();
        Ok(counted.filter_map(|((mac, from), n)| Some(((name(&mac)?, from), n))).collect())
    }

    /// Packets that firewalls refused, from the beginning.
    ///
    /// # Errors
    /// Where nft fails.
    pub fn refused(&self) -> Result<u64> {
        self.router.rules().counter("ip vpc refused")
    }

    /// Packets for an address that no instance has, the same.
    ///
    /// # Errors
    /// Where nft fails.
    pub fn undelivered(&self) -> Result<u64> {
        self.router.rules().counter("ip vpc undelivered")
    }
}

/// Lines of `ip -batch` that give node `number` its address and its way out: a /32, and a route to the
/// gateway on the link.
pub(crate) fn addressing(number: u8) -> String {
    let (own, gateway) = (node(number), zone::GATEWAY);
    format!(
        "addr add {own}/32 dev eth0\nlink set eth0 up\nroute add {gateway} dev eth0 scope link\n\
         route add default via {gateway}\n"
    )
}

impl Drop for LabVpc {
    fn drop(&mut self) {
        self.router.stop();
        self.double.end();
    }
}
