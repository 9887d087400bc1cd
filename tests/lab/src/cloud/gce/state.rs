use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::delivery::{FixedAddresses, MovableService, MovableServices};
use super::firewall::IngressRule;
use super::json::{list, text, texts};

/// A version of what Compute Engine says, as far as the network needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct VpcState {
    pub number: u64,
    /// Every instance's name with the ranges of its interface: its own address, and its aliases of more
    /// than one address, such as its pods' range.
    pub instances: BTreeMap<String, BTreeSet<String>>,
    /// The network tags of every instance.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    pub services: MovableServices,
    /// The rules of target instances, and the aliases of one address.
    pub fixed: FixedAddresses,
    pub firewall: Vec<IngressRule>,
}

/// Reads `GET /egret/state` of the double.
pub(super) fn parse(state: &Value) -> Result<VpcState> {
    let mut parsed = VpcState {
        number: state["version"].as_u64().context("version")?,
        services: services(state)?,
        fixed: targeted(state)?,
        ..VpcState::default()
    };
    for instance in list(state, "instances")? {
        let name = text(instance, "name")?;
        let nic = instance["interfaces"].get(0).context("an interface")?;
        let mut ranges = BTreeSet::from([text(nic, "ip")?]);
        for alias in list(nic, "aliases")? {
            let range = text(alias, "cidr")?;
            match range.strip_suffix("/32") {
                Some(one) => {
                    let address = one.parse().with_context(|| format!("the alias {range}"))?;
                    parsed.fixed.insert(address, name.clone());
                }
                None => {
                    ranges.insert(range);
                }
            }
        }
        parsed.instances.insert(name.clone(), ranges);
        parsed.tags.insert(name, texts(&instance["tags"]));
    }
    for rule in list(state, "firewalls")? {
        parsed.firewall.extend(IngressRule::parse(rule)?);
    }
    Ok(parsed)
}

/// Those with `fastIPMove`; others deliver in another way, which this network does not know.
fn services(state: &Value) -> Result<MovableServices> {
    let mut services = MovableServices::new();
    for service in list(state, "backend_services")? {
        if service["fast_ip_move"] != "GARP_RA" {
            continue;
        }
        let path = text(service, "path")?;
        let endpoints = list(service, "endpoints")?;
        let leader = &service["leader"];
        let attached = leader["attached"].as_bool().unwrap_or(false);
        let movable = MovableService {
            addresses: BTreeSet::new(),
            endpoints: endpoints.iter().filter_map(|one| name(&one["instance"])).collect(),
            leader: name(&leader["instance"]).filter(|_| attached),
        };
        services.insert(path, movable);
    }
    for rule in list(state, "forwarding_rules")? {
        if let Some(service) = services.get_mut(rule["target"].as_str().unwrap_or_default()) {
            service.addresses.insert(address(rule)?);
        }
    }
    Ok(services)
}

/// The addresses of the rules of target instances. One whose instance was deleted is nowhere.
fn targeted(state: &Value) -> Result<FixedAddresses> {
    let mut found = FixedAddresses::new();
    for rule in list(state, "forwarding_rules")? {
        if rule["kind"] != "target_instance" {
            continue;
        }
        let of = text(rule, "name")?;
        ensure!(rule["protocol"] == "L3_DEFAULT", "rule {of}: only L3_DEFAULT is known here");
        if let Some(instance) = name(&rule["instance"]) {
            found.insert(address(rule)?, instance);
        }
    }
    Ok(found)
}

fn address(rule: &Value) -> Result<IpAddr> {
    text(rule, "address")?.parse().context("a rule's address")
}

/// The last part of a path.
fn name(path: &Value) -> Option<String> {
    Some(path.as_str()?.rsplit('/').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_has_its_rules_addresses_and_a_leader_that_is_an_endpoint() {
        let at = |name: &str| json!({"instance": format!("projects/p/zones/z/instances/{name}")});
        let leader = |name: &str, attached: bool| {
            let mut leader = at(name);
            leader["attached"] = attached.into();
            leader
        };
        let service = |path: &str, leader: Value, fast: &str| {
            json!({
                "path": path, "fast_ip_move": fast, "endpoints": [at("a"), at("b")], "leader": leader,
            })
        };
        let state = json!({
            "version": 3,
            "instances": [{"name": "a", "tags": ["gateway"], "interfaces": [
                {"ip": "10.0.0.101", "aliases": []}]}],
            "backend_services": [
                service("s1", leader("a", true), "GARP_RA"),
                service("s2", leader("a", false), "GARP_RA"),
                service("s3", leader("a", true), "DISABLED"),
            ],
            "forwarding_rules": [
                {"target": "s1", "address": "203.0.113.17"}, {"target": "s3", "address": "203.0.113.18"},
            ],
            "firewalls": [],
        });
        let parsed = parse(&state).unwrap();
        assert_eq!(parsed.services.keys().collect::<Vec<_>>(), ["s1", "s2"]);
        let (one, two) = (&parsed.services["s1"], &parsed.services["s2"]);
        assert_eq!(one.addresses, [[203, 0, 113, 17].into()].into());
        assert_eq!((one.leader.as_deref(), two.leader.as_deref()), (Some("a"), None));
        assert_eq!(one.endpoints, ["a", "b"].map(str::to_owned).into());
        assert_eq!(parsed.fixed, FixedAddresses::new());
        assert!(parse(&json!({"version": 3})).is_err());
    }

    /// A node with its pods' range and an alias of one address, and a rule of a target instance.
    fn fixed(instance: &Value, protocol: &str) -> Value {
        json!({
            "version": 3,
            "instances": [{"name": "a", "tags": [], "interfaces": [{"ip": "10.0.0.101", "aliases": [
                {"cidr": "10.244.1.0/24", "range": "pods"}, {"cidr": "10.0.0.50/32", "range": null},
            ]}]}],
            "backend_services": [],
            "forwarding_rules": [{
                "name": "rule", "kind": "target_instance", "target": "t", "instance": instance,
                "address": "203.0.113.17", "protocol": protocol,
            }],
            "firewalls": [],
        })
    }

    #[test]
    fn a_single_alias_and_a_target_instances_rule_are_fixed_and_a_pods_range_is_not() {
        let path = json!("projects/p/zones/z/instances/b");
        let parsed = parse(&fixed(&path, "L3_DEFAULT")).unwrap();
        let ranges = ["10.0.0.101", "10.244.1.0/24"].map(str::to_owned);
        assert_eq!(parsed.instances["a"], ranges.into());
        let all: Vec<_> =
            parsed.fixed.iter().map(|(at, who)| (at.to_string(), who.as_str())).collect();
        assert_eq!(all, [("10.0.0.50".into(), "a"), ("203.0.113.17".into(), "b")]);
    }

    #[test]
    fn a_rule_whose_instance_is_gone_is_nowhere_and_one_of_a_protocol_is_refused() {
        let gone = parse(&fixed(&Value::Null, "L3_DEFAULT")).unwrap();
        assert!(!gone.fixed.contains_key(&IpAddr::from([203, 0, 113, 17])));
        assert!(parse(&fixed(&Value::Null, "TCP")).is_err());
    }
}
