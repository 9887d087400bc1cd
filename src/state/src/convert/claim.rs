use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_api as api;
use egret_core::model::{
    Claim, ClaimRef, ClaimStatus, Destination, Family, LabelSelector, NamespaceName, NodeName,
    PodSelection, PoolName, Timestamp, Uid,
};
use ipnet::IpNet;

use super::selector::check_selector;
use super::{Checked, FieldError, FieldErrors, parse_address, parse_cidr};

/// A claim from a `StaticEgressIP`. `uid`, `generation` and `created` are left empty: they are the
/// store's.
pub fn claim_from_api(
    namespace: &str,
    name: &str,
    spec: &api::StaticEgressIPSpec,
) -> Checked<Claim> {
    let reference =
        ClaimRef { namespace: Some(NamespaceName::new(namespace)), name: name.to_owned() };
    let mut faults = FieldErrors::default();
    named_pool(&mut faults, &spec.pool_ref);
    claim(faults, reference, None, spec)
}

/// Like [`claim_from_api`], of a claim whose pool is found by its address.
pub(crate) fn rule_claim(
    namespace: &str,
    name: &str,
    spec: &api::StaticEgressIPSpec,
) -> Checked<Claim> {
    let reference =
        ClaimRef { namespace: Some(NamespaceName::new(namespace)), name: name.to_owned() };
    claim(FieldErrors::default(), reference, None, spec)
}

fn named_pool(faults: &mut FieldErrors, pool: &api::LocalObjectReference) {
    if pool.name.is_empty() {
        faults.add("spec.poolRef.name", "name the EgressPool that the addresses come from");
    }
}

/// A claim from a `ClusterStaticEgressIP`, like [`claim_from_api`].
pub fn cluster_claim_from_api(name: &str, spec: &api::ClusterStaticEgressIPSpec) -> Checked<Claim> {
    let mut faults = FieldErrors::default();
    check_selector(&mut faults, "spec.namespaceSelector", &spec.namespace_selector);
    named_pool(&mut faults, &spec.pool_ref);
    let reference = ClaimRef { namespace: None, name: name.to_owned() };
    let namespaces = Some(spec.namespace_selector.clone());
    claim(faults, reference, namespaces, &spec.clone().into())
}

fn claim(
    mut faults: FieldErrors,
    reference: ClaimRef,
    namespaces: Option<LabelSelector>,
    spec: &api::StaticEgressIPSpec,
) -> Checked<Claim> {
    let families = families(&mut faults, spec.families.as_ref());
    let (addresses, count) = addresses(&mut faults, spec, families.as_ref());
    let pods = pods(&mut faults, spec);
    let destinations = spec.destinations.as_ref();
    let destinations = destinations.map(|listed| self::destinations(&mut faults, listed));
    let claim = pods.map(|pods| Claim {
        reference,
        uid: Uid::new(""),
        generation: 0,
        created: Timestamp(0),
        pool: PoolName::new(&spec.pool_ref.name),
        addresses,
        count,
        families,
        pods,
        namespaces,
        destinations,
        when_unavailable: spec.when_unavailable,
        further: Vec::new(),
    });
    faults.finish(claim)
}

fn families(faults: &mut FieldErrors, listed: Option<&Vec<Family>>) -> Option<BTreeSet<Family>> {
    let listed = listed?;
    let mut families = BTreeSet::new();
    if listed.is_empty() {
        faults.add(
            "spec.families",
            "list IPv4, IPv6 or both, or leave families out for what the pool has",
        );
    }
    for (index, entry) in listed.iter().enumerate() {
        if !families.insert(*entry) {
            faults.add(format!("spec.families[{index}]"), format!("{entry} is listed twice"));
        }
    }
    Some(families)
}

fn addresses(
    faults: &mut FieldErrors,
    spec: &api::StaticEgressIPSpec,
    families: Option<&BTreeSet<Family>>,
) -> (Vec<IpAddr>, u32) {
    const FIELD: &str = "spec.addresses";
    if spec.count == Some(0) {
        faults.add("spec.count", "0 asks for no address: write at least 1");
    }
    if let Some(count) = spec.count.filter(|count| *count > api::MAX_COUNT) {
        let message = format!("{count} is more than {}, the most of one claim", api::MAX_COUNT);
        faults.add("spec.count", message);
    }
    if spec.addresses.is_some() && spec.count.is_some() {
        faults.add("spec", "ask for addresses by addresses or by count, not both");
    }
    let Some(texts) = &spec.addresses else { return (Vec::new(), spec.count.unwrap_or(1)) };
    if texts.is_empty() {
        faults.add(FIELD, "list at least one address, or leave addresses out: the pool chooses");
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{FIELD}[{index}]");
        let Some(address) = faults.parse(&field, text, parse_address) else { continue };
        if addresses.contains(&address) {
            faults.add(&field, format!("{text} is listed twice: write each address once"));
        }
        let family = Family::of(address);
        if families.is_some_and(|families| !families.is_empty() && !families.contains(&family)) {
            faults.add(
                &field,
                format!(
                    "{text} is {family}, which spec.families does not list: add {family} there \
                     or remove the address"
                ),
            );
        }
        addresses.push(address);
    }
    (addresses, 1)
}

fn pods(faults: &mut FieldErrors, spec: &api::StaticEgressIPSpec) -> Option<PodSelection> {
    match (&spec.pod_selector, &spec.service_name) {
        (Some(_), Some(_)) => {
            faults.add("spec", "select pods by podSelector or by serviceName, not both");
            None
        }
        (None, None) => {
            faults.add(
                "spec",
                "select pods by podSelector or by serviceName; podSelector: {} selects all pods",
            );
            None
        }
        (Some(labels), None) => {
            check_selector(faults, "spec.podSelector", labels);
            Some(PodSelection::Labels(labels.clone()))
        }
        (None, Some(service)) => {
            if service.is_empty() {
                faults.add("spec.serviceName", "name the Service whose pods are meant");
            }
            Some(PodSelection::Service(service.clone()))
        }
    }
}

fn destinations(faults: &mut FieldErrors, listed: &[api::Destination]) -> Vec<Destination> {
    if listed.is_empty() {
        faults.add(
            "spec.destinations",
            "list at least one range, or leave destinations out for everywhere outside the cluster",
        );
    }
    let mut values: Vec<Destination> = Vec::new();
    for (index, destination) in listed.iter().enumerate() {
        let place = format!("spec.destinations[{index}]");
        let cidr = faults.parse(&format!("{place}.cidr"), &destination.cidr, parse_cidr);
        let mut excepts = Vec::new();
        for (index, text) in destination.except.iter().enumerate() {
            let field = format!("{place}.except[{index}]");
            let except = faults.parse(&field, text, parse_cidr);
            let except = except.zip(cidr).and_then(|(except, cidr)| {
                faults.take(&field, inside(except.net(), text, cidr.net(), &destination.cidr))
            });
            excepts.extend(except);
        }
        let Some(cidr) = cidr else { continue };
        if values.iter().any(|earlier| earlier.cidr == cidr.net()) {
            faults.add(
                format!("{place}.cidr"),
                format!(
                    "{} is the range of another entry: write it once, with all its exceptions",
                    destination.cidr
                ),
            );
        }
        values.push(Destination { cidr: cidr.net(), except: excepts });
    }
    values
}

fn inside(except: IpNet, text: &str, cidr: IpNet, cidr_text: &str) -> Result<IpNet, String> {
    if !cidr.contains(&except) {
        Err(format!("except {text} is not inside cidr {cidr_text}"))
    } else if except == cidr {
        Err(format!("except {text} is all of cidr {cidr_text}: remove the destination instead"))
    } else {
        Ok(except)
    }
}

/// A claim's status as text.
pub fn claim_status_to_api(status: &ClaimStatus) -> api::ClaimStatus {
    let addresses: Vec<String> = status.addresses.iter().map(IpAddr::to_string).collect();
    let gateways: Vec<String> = status.gateways.iter().map(NodeName::to_string).collect();
    api::ClaimStatus {
        observed_generation: status.observed_generation,
        summary: api::ClaimSummary { addresses: addresses.join(","), gateways: gateways.join(",") },
        selected: status.selected.clone(),
        addresses,
        gateways,
        conditions: status.conditions.clone(),
    }
}

/// A claim's status from text.
///
/// # Errors
/// Every fault of it.
pub fn claim_status_from_api(status: &api::ClaimStatus) -> Result<ClaimStatus, Vec<FieldError>> {
    let mut faults = FieldErrors::default();
    for (index, selected) in status.selected.iter().enumerate() {
        check_selector(
            &mut faults,
            &format!("status.selected[{index}].podSelector"),
            &selected.pods,
        );
    }
    // One that cannot be read keeps none of the others from being bound again after a removal.
    let addresses = status.addresses.iter().filter_map(|text| parse_address(text).ok());
    let value = ClaimStatus {
        observed_generation: status.observed_generation,
        addresses: addresses.collect(),
        gateways: status.gateways.iter().map(NodeName::new).collect(),
        selected: status.selected.clone(),
        conditions: status.conditions.clone(),
    };
    // Egret wrote it: what it says of an older version's selector holds.
    faults.finish(Some(value)).stored().map(|(status, _)| status)
}
