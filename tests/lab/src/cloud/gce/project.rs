//! The project that the laboratory's VPC begins with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::delivery::{Contest, OVERRIDES};
use super::instance::{VpcHost, VpcInstance};
use super::json::{list, text};
use super::zone::{self, GceZone, REGION, SUBNETWORK};
use crate::address::{POD_RANGES, parse_mac, pod_cidrs};
use crate::cloud::double::DoubleApi;
use crate::role::LabNodeRole;

const PROJECT: &str = "egret";
/// What links begin with, whatever the endpoint.
const ORIGIN: &str = "https://www.googleapis.com";
/// The secondary range of the subnetwork that pods have.
const PODS: &str = "pods";
/// The method that changes the aliases of an instance's interface, under the instance.
const UPDATE_NIC: &str = "updateNetworkInterface?networkInterface=nic0";
/// Where egress addresses are from: external ones, and those of alias ranges.
const EGRESS: [&str; 2] = ["203.0.113.0/24", "10.0.0.64/28"];
/// The network tag of gateways.
const TAG: &str = "egret-gateway";
/// The label of the pool whose addresses the project has from the beginning.
pub const POOL_LABEL: (&str, &str) = ("egret-pool", "public");

/// What a laboratory's VPC consists of.
#[derive(Clone, Debug)]
pub struct GceRegion {
    /// The zones of the gateways in turn.
    pub gateways: Vec<GceZone>,
    /// The zones of the directors in turn.
    pub directors: Vec<GceZone>,
    /// How many static external addresses of the pool there are.
    pub external: u8,
    /// Who wins where two nodes announce within 3 s.
    pub contest: Contest,
    /// How long an announcement counts.
    pub overrides: Duration,
    /// Whether everybody may send to gateways; else only answers reach them from outside.
    pub open: bool,
}

impl Default for GceRegion {
    /// Two gateways in one zone and one in the other, a director in each, two addresses, open.
    fn default() -> Self {
        Self {
            gateways: vec![GceZone::A, GceZone::A, GceZone::B],
            directors: GceZone::BOTH.to_vec(),
            external: 2,
            contest: Contest::default(),
            overrides: OVERRIDES,
            open: true,
        }
    }
}

impl GceRegion {
    /// The zone of the `number`-th (from 0) gateway or director.
    #[must_use]
    pub fn zone(&self, role: LabNodeRole, number: usize) -> GceZone {
        let zones = match role {
            LabNodeRole::Gateway => &self.gateways,
            LabNodeRole::Director => &self.directors,
        };
        zones.iter().cycle().nth(number).copied().unwrap_or(GceZone::A)
    }
}

/// Where an instance is, under the project.
pub(super) fn instance_path(zone: GceZone, name: &str) -> String {
    format!("zones/{}/instances/{name}", zone.name())
}

/// Asks Compute Engine's API, and waits for the end of the operation where it begins one. `path`
/// follows that of the project.
pub(super) fn call(api: &DoubleApi, verb: &str, path: &str, body: &Value) -> Result<Value> {
    let path = format!("/compute/v1/projects/{PROJECT}/{path}");
    let mut answer = api.ask(verb, &path, body)?;
    while answer["kind"] == "compute#operation" {
        ensure!(answer["error"].is_null(), "{verb} {path}: {}", answer["error"]);
        if answer["status"] == "DONE" {
            break;
        }
        let link = text(&answer, "selfLink")?;
        let operation = link.strip_prefix(ORIGIN).context("a link to an operation")?;
        answer = api.ask("POST", &format!("{operation}/wait"), &json!({}))?;
    }
    Ok(answer)
}

/// Makes the instances, the addresses and the firewall's rules.
pub(super) fn build(
    api: &DoubleApi,
    region: &GceRegion,
    hosts: &[VpcHost],
) -> Result<(BTreeMap<String, VpcInstance>, Vec<IpAddr>)> {
    let nodes: Vec<Value> = hosts.iter().map(node).collect();
    let address = |number: u8| json!({"name": format!("egress-{}", number + 1), "labels": {POOL_LABEL.0: POOL_LABEL.1}});
    let made = api.ask(
        "POST",
        "/egret/build",
        &json!({
            "project": PROJECT,
            "region": REGION,
            "zones": GceZone::BOTH.map(GceZone::name),
            "subnetworks": [{
                "name": "nodes", "cidr": SUBNETWORK, "secondary": {PODS: POD_RANGES[0]},
            }],
            "nodes": nodes,
            "external": (0..region.external).map(address).collect::<Vec<_>>(),
        }),
    )?;
    open_inside(api)?;
    if region.open {
        open(api)?;
    }
    let mut instances = BTreeMap::new();
    for (host, node) in hosts.iter().zip(list(&made, "nodes")?) {
        let mac = parse_mac(&text(node, "mac")?).context("a hardware address")?;
        let (provider_id, pods) = (text(node, "provider_id")?, give_pods(api, host)?);
        let instance = VpcInstance { provider_id, mac, zone: host.zone, pods };
        instances.insert(host.name.clone(), instance);
    }
    // From here on calls are Egret's, and a scenario's own.
    api.ask("POST", "/egret/calls/reset", &json!({}))?;
    let addresses = list(&made, "external")?.iter();
    let addresses = addresses.map(|one| Ok(text(one, "address")?.parse()?));
    Ok((instances, addresses.collect::<Result<_>>()?))
}

fn node(host: &VpcHost) -> Value {
    let tags: &[&str] = if host.gateway { &[TAG] } else { &[] };
    let ip = zone::node(host.number).to_string();
    json!({"name": host.name, "zone": host.zone.name(), "ip": ip, "tags": tags, "pods": ""})
}

/// Gives an instance its pods' range as its first alias, as GKE's nodes have it; returns the range.
fn give_pods(api: &DoubleApi, host: &VpcHost) -> Result<String> {
    let path = instance_path(host.zone, &host.name);
    let instance = call(api, "GET", &path, &Value::Null)?;
    let [range, _] = pod_cidrs(host.number);
    let change = json!({
        "fingerprint": instance["networkInterfaces"][0]["fingerprint"],
        "aliasIpRanges": [{"ipCidrRange": range, "subnetworkRangeName": PODS}],
    });
    call(api, "PATCH", &format!("{path}/{UPDATE_NIC}"), &change)?;
    Ok(range)
}

/// Lets everybody send to the egress addresses on gateways: what `terraform/gcp` makes.
pub(super) fn open(api: &DoubleApi) -> Result<()> {
    let allowed = ["tcp", "udp", "icmp"].map(|protocol| json!({"IPProtocol": protocol}));
    firewall(
        api,
        &json!({
            "name": "egress",
            "sourceRanges": ["0.0.0.0/0"],
            "destinationRanges": EGRESS,
            "allowed": allowed,
            "targetTags": [TAG],
        }),
    )
}

/// Lets nodes and pods reach each other.
fn open_inside(api: &DoubleApi) -> Result<()> {
    firewall(
        api,
        &json!({
            "name": "internal",
            "sourceRanges": [SUBNETWORK, POD_RANGES[0]],
            "allowed": [{"IPProtocol": "all"}],
        }),
    )
}

fn firewall(api: &DoubleApi, rule: &Value) -> Result<()> {
    let mut rule = rule.clone();
    rule["network"] = json!("global/networks/net");
    call(api, "POST", "global/firewalls", &rule).map(drop)
}
