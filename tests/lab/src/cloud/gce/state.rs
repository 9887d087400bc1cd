use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::delivery::{MovableService, MovableServices};
use super::firewall::IngressRule;
use super::json::{list, text, texts};

/// A version of what Compute Engine says, as far as the network needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct VpcState {
    pub number: u64,
    /// Every instance's name with the ranges of its interface: its own address and its aliases.
    pub instances: BTreeMap<String, BTreeSet<String>>,
    /// The network tags of every instance.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    pub services: MovableServices,
    pub firewall: Vec<IngressRule>,
}

/// Reads `GET /egret/state` of the double.
pub(super) fn parse(state: &Value) -> Result<VpcState> {
    let mut parsed = VpcState {
        number: state["version"].as_u64().context("version")?,
        services: services(state)?,
        ..VpcState::default()
    };
    for instance in list(state, "instances")? {
        let name = text(instance, "name")?;
        let nic = instance["interfaces"].get(0).context("an interface")?;
        let aliases = list(nic, "aliases")?.iter().map(|alias| text(alias, "cidr"));
        let ranges = aliases.chain([text(nic, "ip")]).collect::<Result<_>>()?;
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
            service.addresses.insert(text(rule, "address")?.parse().context("a rule's address")?);
        }
    }
    Ok(services)
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
                {"ip": "10.0.0.101", "aliases": [{"cidr": "10.0.0.50/32", "range": null}]}]}],
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
        let ranges = ["10.0.0.101", "10.0.0.50/32"].map(str::to_owned);
        assert_eq!(parsed.instances["a"], ranges.into());
        assert!(parse(&json!({"version": 3})).is_err());
    }
}
