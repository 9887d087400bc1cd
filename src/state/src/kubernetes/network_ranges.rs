//! The ranges of services and pods that the cluster and its network plug-in have as objects, and the addresses of
//! the API servers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::json::read;
use crate::convert::lenient_cidr;

#[derive(Deserialize)]
struct Object<S> {
    spec: Option<S>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceCidrSpec {
    cidrs: Vec<String>,
}

/// `spec.cidrs` of a `networking.k8s.io/v1` ServiceCIDR.
pub fn service_cidr(text: &str) -> Result<BTreeSet<IpNet>, String> {
    let object: Object<ServiceCidrSpec> = read(text)?;
    ranges("spec.cidrs", &object.spec.unwrap_or_default().cidrs)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IpPoolSpec {
    cidr: Option<String>,
    disabled: bool,
}

/// `spec.cidr` of Calico's IPPool. A disabled pool gives out no address any more, but pods may
/// still have addresses of it, so that it counts where it is listed at all would be safe; Calico's
/// users disable the default pool before they make their own, and its range may be anybody's then.
pub fn calico(text: &str) -> Result<BTreeSet<IpNet>, String> {
    let object: Object<IpPoolSpec> = read(text)?;
    let spec = object.spec.unwrap_or_default();
    let cidr: Vec<String> = spec.cidr.into_iter().filter(|_| !spec.disabled).collect();
    ranges("spec.cidr", &cidr)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CiliumSpec {
    ipam: CiliumIpam,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CiliumIpam {
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
    pools: CiliumPools,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CiliumPools {
    allocated: Vec<CiliumAllocation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CiliumAllocation {
    cidrs: Vec<String>,
}

/// `spec.ipam.podCIDRs` of Cilium's CiliumNode, and with the IPAM mode multi-pool
/// `spec.ipam.pools.allocated[].cidrs`.
pub fn cilium(text: &str) -> Result<BTreeSet<IpNet>, String> {
    let object: Object<CiliumSpec> = read(text)?;
    let ipam = object.spec.unwrap_or_default().ipam;
    let mut found = ranges("spec.ipam.podCIDRs", &ipam.pod_cidrs)?;
    for (index, pool) in ipam.pools.allocated.iter().enumerate() {
        found.extend(ranges(&format!("spec.ipam.pools.allocated[{index}].cidrs"), &pool.cidrs)?);
    }
    Ok(found)
}

/// Half of what the cluster object has room for: those that went lately are named too.
const MOST_API_SERVERS: usize = 2048;

#[derive(Default, Deserialize)]
#[serde(default)]
struct EndpointSlice {
    // `null` where there is none.
    endpoints: Option<Vec<SliceEndpoint>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SliceEndpoint {
    addresses: Vec<String>,
}

/// `endpoints[].addresses` of a `discovery.k8s.io/v1` EndpointSlice, ready or not; no more than the cluster
/// object takes. A name (of type FQDN) is no address.
pub fn endpoints(text: &str) -> Result<BTreeSet<IpAddr>, String> {
    let slice: EndpointSlice = read(text)?;
    let endpoints = slice.endpoints.unwrap_or_default();
    let all = endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    let addresses = all.filter_map(|text| text.parse().ok());
    Ok(addresses.map(|address: IpAddr| address.to_canonical()).take(MOST_API_SERVERS).collect())
}

fn ranges(field: &str, texts: &[String]) -> Result<BTreeSet<IpNet>, String> {
    texts
        .iter()
        .map(|text| lenient_cidr(text).map(|cidr| cidr.net()))
        .collect::<Result<_, _>>()
        .map_err(|message| format!("{field}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_endpoints_are_read_ready_or_not() {
        let slice = r#"{"addressType": "IPv4", "endpoints": [
            {"addresses": ["198.51.100.44"], "conditions": {"ready": true}},
            {"addresses": ["198.51.100.45", "api.example"], "conditions": {"ready": false}}
        ]}"#;
        let read = endpoints(slice).unwrap();
        let read: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(read, ["198.51.100.44", "198.51.100.45"]);
        assert!(endpoints(r#"{"endpoints": null}"#).unwrap().is_empty());
        assert!(endpoints("{}").unwrap().is_empty());
    }
}
