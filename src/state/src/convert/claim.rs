use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_api as api;
use egret_core::model::{
    Claim, ClaimRef, ClaimStatus, Destination, Family, LabelSelector, NamespaceName, NodeName,
    PodSelection, PoolName, SelectedPods, Timestamp, Uid, WhenUnavailable,
};
use ipnet::IpNet;

use super::common::{conditions_from_api, conditions_to_api, family, selector, selector_to_api};
use super::{Faults, FieldError, parse_address, parse_cidr};

/// The fields that both kinds of claims share, borrowed from either.
#[derive(Clone, Copy, Debug)]
pub struct ClaimSpec<'a> {
    /// `spec.poolRef`.
    pub pool_ref: &'a api::ObjectRef,
    /// `spec.addresses`.
    pub addresses: Option<&'a Vec<String>>,
    /// `spec.count`.
    pub count: Option<u32>,
    /// `spec.families`.
    pub families: Option<&'a Vec<api::Family>>,
    /// `spec.podSelector`.
    pub pod_selector: Option<&'a api::LabelSelector>,
    /// `spec.serviceName`.
    pub service_name: Option<&'a String>,
    /// `spec.destinations`.
    pub destinations: Option<&'a Vec<api::Destination>>,
    /// `spec.whenUnavailable`.
    pub when_unavailable: api::WhenUnavailable,
}

macro_rules! shared {
    ($spec:expr) => {
        ClaimSpec {
            pool_ref: &$spec.pool_ref,
            addresses: $spec.addresses.as_ref(),
            count: $spec.count,
            families: $spec.families.as_ref(),
            pod_selector: $spec.pod_selector.as_ref(),
            service_name: $spec.service_name.as_ref(),
            destinations: $spec.destinations.as_ref(),
            when_unavailable: $spec.when_unavailable,
        }
    };
}

/// A claim from a `StaticEgressIP`. `uid`, `generation` and `created` are left empty: they are the
/// store's.
///
/// # Errors
/// Every fault of the object.
pub fn claim_from_api(
    namespace: &str,
    name: &str,
    spec: &api::StaticEgressIPSpec,
) -> Result<Claim, Vec<FieldError>> {
    let reference =
        ClaimRef { namespace: Some(NamespaceName::new(namespace)), name: name.to_owned() };
    let mut faults = Faults::default();
    named_pool(&mut faults, &spec.pool_ref);
    claim(faults, reference, None, shared!(spec))
}

/// Like [`claim_from_api`], of a claim whose pool is found by its address.
pub(super) fn rule_claim(
    namespace: &str,
    name: &str,
    spec: &api::StaticEgressIPSpec,
) -> Result<Claim, Vec<FieldError>> {
    let reference =
        ClaimRef { namespace: Some(NamespaceName::new(namespace)), name: name.to_owned() };
    claim(Faults::default(), reference, None, shared!(spec))
}

fn named_pool(faults: &mut Faults, pool: &api::ObjectRef) {
    if pool.name.is_empty() {
        faults.add("spec.poolRef.name", "name the EgressPool that the addresses come from");
    }
}

/// A claim from a `ClusterStaticEgressIP`, like [`claim_from_api`].
///
/// # Errors
/// Every fault of the object.
pub fn cluster_claim_from_api(
    name: &str,
    spec: &api::ClusterStaticEgressIPSpec,
) -> Result<Claim, Vec<FieldError>> {
    let mut faults = Faults::default();
    let namespaces = selector(&mut faults, "spec.namespaceSelector", &spec.namespace_selector);
    named_pool(&mut faults, &spec.pool_ref);
    let reference = ClaimRef { namespace: None, name: name.to_owned() };
    claim(faults, reference, Some(namespaces), shared!(spec))
}

fn claim(
    mut faults: Faults,
    reference: ClaimRef,
    namespaces: Option<LabelSelector>,
    spec: ClaimSpec<'_>,
) -> Result<Claim, Vec<FieldError>> {
    let families = families(&mut faults, spec.families);
    let (addresses, count) = addresses(&mut faults, spec, families.as_ref());
    let pods = pods(&mut faults, spec);
    let destinations = spec.destinations.map(|listed| destinations(&mut faults, listed));
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
        when_unavailable: match spec.when_unavailable {
            api::WhenUnavailable::Drop => WhenUnavailable::Drop,
            api::WhenUnavailable::Node => WhenUnavailable::Node,
        },
    });
    faults.finish(claim)
}

fn families(faults: &mut Faults, listed: Option<&Vec<api::Family>>) -> Option<BTreeSet<Family>> {
    let listed = listed?;
    let mut families = BTreeSet::new();
    if listed.is_empty() {
        faults.add(
            "spec.families",
            "list IPv4, IPv6 or both, or leave families out for what the pool has",
        );
    }
    for (index, entry) in listed.iter().enumerate() {
        let entry = family(*entry);
        if !families.insert(entry) {
            faults.add(format!("spec.families[{index}]"), format!("{entry} is listed twice"));
        }
    }
    Some(families)
}

fn addresses(
    faults: &mut Faults,
    spec: ClaimSpec<'_>,
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
    let Some(texts) = spec.addresses else { return (Vec::new(), spec.count.unwrap_or(1)) };
    if texts.is_empty() {
        faults.add(FIELD, "list at least one address, or leave addresses out: the pool chooses");
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{FIELD}[{index}]");
        let Some(address) = faults.take(&field, parse_address(text)) else { continue };
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

fn pods(faults: &mut Faults, spec: ClaimSpec<'_>) -> Option<PodSelection> {
    match (spec.pod_selector, spec.service_name) {
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
            Some(PodSelection::Labels(selector(faults, "spec.podSelector", labels)))
        }
        (None, Some(service)) => {
            if service.is_empty() {
                faults.add("spec.serviceName", "name the Service whose pods are meant");
            }
            Some(PodSelection::Service(service.clone()))
        }
    }
}

fn destinations(faults: &mut Faults, listed: &[api::Destination]) -> Vec<Destination> {
    if listed.is_empty() {
        faults.add(
            "spec.destinations",
            "list at least one range, or leave destinations out for everywhere outside the cluster",
        );
    }
    let mut values: Vec<Destination> = Vec::new();
    for (index, destination) in listed.iter().enumerate() {
        let place = format!("spec.destinations[{index}]");
        let cidr = faults.take(&format!("{place}.cidr"), parse_cidr(&destination.cidr));
        let excepts = faults.list(&format!("{place}.except"), &destination.except, |text| {
            let except = parse_cidr(text)?.net();
            match cidr {
                Some(cidr) => inside(except, text, cidr.net(), &destination.cidr),
                None => Ok(except),
            }
        });
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
        selected: status.selected.iter().map(selected_to_api).collect(),
        addresses,
        gateways,
        conditions: conditions_to_api(&status.conditions),
    }
}

/// A claim's status from text.
///
/// # Errors
/// Every fault of it.
pub fn claim_status_from_api(status: &api::ClaimStatus) -> Result<ClaimStatus, Vec<FieldError>> {
    let mut faults = Faults::default();
    let value = ClaimStatus {
        observed_generation: status.observed_generation,
        addresses: faults.list("status.addresses", &status.addresses, parse_address),
        gateways: status.gateways.iter().map(NodeName::new).collect(),
        selected: selected_from_api(&mut faults, &status.selected),
        conditions: conditions_from_api(&mut faults, &status.conditions),
    };
    faults.finish(Some(value))
}

fn selected_to_api(selected: &SelectedPods) -> api::SelectedPods {
    api::SelectedPods {
        namespaces: selected.namespaces.iter().map(NamespaceName::to_string).collect(),
        pod_selector: selector_to_api(&selected.pods),
    }
}

fn selected_from_api(faults: &mut Faults, selected: &[api::SelectedPods]) -> Vec<SelectedPods> {
    let parse = |(index, selected): (usize, &api::SelectedPods)| SelectedPods {
        namespaces: selected.namespaces.iter().map(NamespaceName::new).collect(),
        pods: selector(
            faults,
            &format!("status.selected[{index}].podSelector"),
            &selected.pod_selector,
        ),
    };
    selected.iter().enumerate().map(parse).collect()
}
