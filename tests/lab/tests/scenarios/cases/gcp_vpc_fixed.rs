//! The laboratory's VPC delivers rules of target instances and alias ranges as Google's network does, whoever
//! announces. Egret does not run here.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use egret_lab::cloud::gce::LabVpc;
use egret_lab::{Lab, wait_until};
use serde_json::{Value, json};

use crate::datagrams::{exchange, seen, socket};

const LIMIT: Duration = Duration::from_secs(5);
const OUT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
const ALIAS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);
const RULES: &str = "regions/europe-west3/forwardingRules";

/// The packets of a rule arrive untranslated at the instance of its target, which alone may send with its
/// address; a new target has it all.
pub fn targets(lab: &Lab) -> Result<()> {
    let vpc = lab.vpc()?;
    let Some(IpAddr::V4(address)) = vpc.addresses().last() else { bail!("an IPv4 address") };
    for name in ["gateway-1", "gateway-2"] {
        let zone = format!("zones/{}", vpc.instance(name)?.zone.name());
        let instance = format!("{zone}/instances/{name}");
        let body = json!({"name": name, "instance": instance, "natPolicy": "NO_NAT"});
        vpc.by_hand("POST", &format!("{zone}/targetInstances"), &body)?;
        lab.node(name)?.shell(&format!("ip addr add {address}/32 dev eth0"))?;
    }
    let target = |name: &str| -> Result<String> {
        let zone = vpc.instance(name)?.zone.name();
        Ok(format!("projects/egret/zones/{zone}/targetInstances/{name}"))
    };
    let rule = json!({
        "name": "targeted", "IPProtocol": "L3_DEFAULT", "allPorts": true,
        "loadBalancingScheme": "EXTERNAL", "IPAddress": address, "target": target("gateway-1")?,
    });
    vpc.by_hand("POST", RULES, &rule)?;
    is_at(lab, *address, "gateway-1", "gateway-2")?;
    let body = json!({"target": target("gateway-2")?});
    vpc.by_hand("POST", &format!("{RULES}/targeted/setTarget"), &body)?;
    is_at(lab, *address, "gateway-2", "gateway-1")?;
    vpc.by_hand("DELETE", &format!("{RULES}/targeted"), &Value::Null)?;
    let gone = || vpc.delivered_to((*address).into()).is_none().then_some(());
    wait_until("the end of the rule", LIMIT, gone)
}

/// An alias is reached from outside and from the whole VPC, at the instance that has it, which alone may
/// send with it. The pods' range that an instance has beside it is delivered too.
pub fn aliases(lab: &Lab) -> Result<()> {
    let vpc = lab.vpc()?;
    let own = [vpc.pods("gateway-2")?.to_owned(), vpc.pods("gateway-3")?.to_owned()];
    ensure!(vpc.aliases("gateway-3")? == own[1..], "{:?}", vpc.aliases("gateway-3")?);
    for name in ["gateway-2", "gateway-3"] {
        lab.node(name)?.shell(&format!("ip addr add {ALIAS}/32 dev eth0"))?;
    }
    let alias = format!("{ALIAS}/32");
    set_aliases(vpc, "gateway-3", &[&own[1], &alias])?;
    is_at(lab, ALIAS, "gateway-3", "gateway-2")?;
    set_aliases(vpc, "gateway-3", &[&own[1]])?;
    set_aliases(vpc, "gateway-2", &[&own[0], &alias])?;
    is_at(lab, ALIAS, "gateway-2", "gateway-3")?;
    from_within(lab, "gateway-2", ALIAS)?;
    set_aliases(vpc, "gateway-2", &own[..1])?;
    let pod = Ipv4Addr::new(10, 244, 2, 10);
    lab.node("gateway-2")?.shell(&format!("ip addr add {pod}/32 dev lo"))?;
    let one = lab.node("gateway-1")?;
    // The router may be taking in the change of the ranges.
    let reached = || one.shell(&format!("ping -c 1 -W 1 {pod}")).ok();
    wait_until("a pod's address in the VPC", LIMIT, reached).map(drop)
}

/// All aliases of an instance's interface, by the fingerprint that it has now.
fn set_aliases(vpc: &LabVpc, name: &str, ranges: &[impl AsRef<str>]) -> Result<()> {
    let path = format!("zones/{}/instances/{name}", vpc.instance(name)?.zone.name());
    let instance = vpc.by_hand("GET", &path, &Value::Null)?;
    let range = |range: &str| match range.ends_with("/32") {
        true => json!({"ipCidrRange": range}),
        false => json!({"ipCidrRange": range, "subnetworkRangeName": "pods"}),
    };
    let ranges: Vec<Value> = ranges.iter().map(|one| range(one.as_ref())).collect();
    let body = json!({
        "fingerprint": instance["networkInterfaces"][0]["fingerprint"], "aliasIpRanges": ranges,
    });
    let path = format!("{path}/updateNetworkInterface?networkInterface=nic0");
    vpc.by_hand("PATCH", &path, &body).map(drop)
}

/// The outside hears `address` from `node` and is heard there; what `other` sends with it is dropped.
fn is_at(lab: &Lab, address: Ipv4Addr, node: &str, other: &str) -> Result<()> {
    let vpc = lab.vpc()?;
    let there = || (vpc.delivered_to(address.into()).as_deref() == Some(node)).then_some(());
    wait_until(&format!("{address} at {node}"), LIMIT, there)?;
    let source = seen(lab.node(node)?.net()?, (&lab.out, OUT), address)?;
    ensure!(source == Some(address.into()), "{node} is seen as {source:?}");
    let dropped = || -> Result<u64> {
        Ok(vpc.foreign()?.get(&(other.to_owned(), address)).copied().unwrap_or(0))
    };
    let before = dropped()?;
    let source = seen(lab.node(other)?.net()?, (&lab.out, OUT), address)?;
    ensure!(source.is_none(), "{other} sends as {source:?}");
    ensure!(dropped()? == before + 1, "{:?}", vpc.foreign()?);
    Ok(())
}

/// Another instance hears `address` from `node`, and is heard there.
fn from_within(lab: &Lab, node: &str, address: Ipv4Addr) -> Result<()> {
    let one = lab.node("gateway-1")?;
    let IpAddr::V4(own) = one.internal_addresses()[0] else { bail!("no IPv4 address") };
    let listening = socket(one.net()?, own, 5006)?;
    let net = lab.node(node)?.net()?;
    let reached = || exchange(&socket(net, address, 0).ok()?, &listening).ok().flatten();
    let source = wait_until(&format!("{node} in the VPC"), LIMIT, reached)
        .with_context(|| format!("{address} of {node} and {own}"))?;
    ensure!(source == IpAddr::from(address), "{node} is seen as {source}");
    Ok(())
}
