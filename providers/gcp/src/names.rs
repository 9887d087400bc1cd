//! Names of resources: what Egret calls its own, and how Google's are compared.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

/// How the names of Egret's own resources begin.
pub(crate) const OURS: &str = "egret-";

/// A resource by its path, such as `projects/p/regions/r/addresses/a`. The host and version before it
/// differ between answers, and mean nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ResourcePath(String);

impl ResourcePath {
    /// Of a URL, or of a path as it is.
    pub fn new(url: &str) -> Self {
        Self(url.find("projects/").map_or(url, |at| &url[at..]).to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// What stands behind `projects`, `regions` or `zones`.
    pub fn part(&self, collection: &str) -> Option<&str> {
        let mut parts = self.0.split('/');
        parts.find(|part| *part == collection)?;
        parts.next().filter(|part| !part.is_empty())
    }

    /// The path of a regional resource of the same project and region.
    pub fn beside(&self, collection: &str, name: &str) -> Self {
        let part = |collection| self.part(collection).unwrap_or_default().to_owned();
        let scope = RegionScope { project: part("projects"), region: part("regions") };
        scope.path(collection, name)
    }

    /// The URL that bodies of requests name a resource by.
    pub fn url(&self) -> String {
        format!("https://www.googleapis.com/compute/v1/{}", self.0)
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A project and one of its regions: where addresses, rules and services live.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RegionScope {
    pub project: String,
    pub region: String,
}

impl RegionScope {
    /// The path of a regional resource.
    pub fn path(&self, collection: &str, name: &str) -> ResourcePath {
        let Self { project, region } = self;
        ResourcePath(format!("projects/{project}/regions/{region}/{collection}/{name}"))
    }

    /// The path of a resource of one of its zones.
    pub fn zonal(&self, zone: &str, collection: &str, name: &str) -> ResourcePath {
        ResourcePath(format!("projects/{}/zones/{zone}/{collection}/{name}", self.project))
    }
}

/// The instance of a Node, from `spec.providerID`: `gce://PROJECT/ZONE/NAME`.
pub(crate) fn instance_of_provider_id(id: &str) -> Option<ResourcePath> {
    let mut parts = id.strip_prefix("gce://")?.split('/');
    let [project, zone, name] = [parts.next()?, parts.next()?, parts.next()?];
    let whole = parts.next().is_none() && [project, zone, name].iter().all(|part| !part.is_empty());
    whole.then(|| ResourcePath(format!("projects/{project}/zones/{zone}/instances/{name}")))
}

/// Where an instance is: its zone's region is the zone without its last part.
pub(crate) fn scope_of(instance: &ResourcePath) -> Option<RegionScope> {
    let (region, _) = instance.part("zones")?.rsplit_once('-')?;
    Some(RegionScope { project: instance.part("projects")?.to_owned(), region: region.to_owned() })
}

/// What an egress address's service and rule are called. The network is in it, since two networks of
/// a project may have the same internal address. At most 63 characters, as RFC 1035 has them.
pub(crate) fn of_address(address: IpAddr, network: &ResourcePath) -> String {
    let digits = match address {
        IpAddr::V4(v4) => v4.octets().map(|octet| octet.to_string()).join("-"),
        IpAddr::V6(v6) => format!("{:032x}", v6.to_bits()),
    };
    format!("{OURS}{digits}-{}", short(network))
}

/// What the group of a subnetwork's gateways is called, in each zone.
pub(crate) fn of_group(subnetwork: &ResourcePath) -> String {
    format!("{OURS}{}", short(subnetwork))
}

/// What the target instance of an instance is called, in its zone.
pub(crate) fn of_target(id: u64) -> String {
    format!("{OURS}{id}")
}

/// The description of an instance's target.
pub(crate) fn description_of_target(instance: &ResourcePath) -> String {
    format!("{GATEWAY}{}", instance.name())
}

/// How descriptions of target instances begin.
pub(crate) const GATEWAY: &str = "egret.dev: gateway ";

/// The description of an egress address's service and rule: with the name, how Egret knows its own.
pub(crate) fn description_of_address(address: IpAddr) -> String {
    format!("{ADDRESS}{address}")
}

/// The address of a description that [`description_of_address`] made.
pub(crate) fn described_address(description: &str) -> Option<IpAddr> {
    description.strip_prefix(ADDRESS)?.parse().ok()
}

const ADDRESS: &str = "egret.dev: egress address ";

/// The description of a group.
pub(crate) fn description_of_group(subnetwork: &ResourcePath) -> String {
    format!("egret.dev: gateways in {}", subnetwork.name())
}

fn short(path: &ResourcePath) -> String {
    let digest = Sha256::digest(path.0.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_the_same_whatever_its_host_and_version() {
        let path = "projects/p/zones/europe-west3-a/instances/n1";
        for url in [
            path.to_owned(),
            format!("https://www.googleapis.com/compute/v1/{path}"),
            format!("https://compute.googleapis.com/compute/beta/{path}"),
        ] {
            assert_eq!(ResourcePath::new(&url).as_str(), path, "{url}");
        }
        let path = ResourcePath::new(path);
        assert_eq!((path.name(), path.part("projects")), ("n1", Some("p")));
        assert_eq!((path.part("zones"), path.part("regions")), (Some("europe-west3-a"), None));
        let scope = scope_of(&path).unwrap();
        assert_eq!((&*scope.project, &*scope.region), ("p", "europe-west3"));
        assert_eq!(
            path.url(),
            "https://www.googleapis.com/compute/v1/projects/p/zones/europe-west3-a/instances/n1"
        );
    }

    #[test]
    fn only_a_whole_provider_id_names_an_instance() {
        let path = instance_of_provider_id("gce://p/europe-west3-a/n1").unwrap();
        assert_eq!(path.as_str(), "projects/p/zones/europe-west3-a/instances/n1");
        for id in ["", "aws:///eu-central-1a/i-0a", "gce://p/z", "gce://p//n", "gce://p/z/n/more"] {
            assert_eq!(instance_of_provider_id(id), None, "{id}");
        }
    }

    #[test]
    fn names_are_labels_of_rfc_1035_and_tell_networks_apart() {
        let [one, other] = ["one", "other"]
            .map(|name| ResourcePath::new(&format!("projects/p/global/networks/{name}")));
        let v4 = "203.0.113.255".parse().unwrap();
        let v6 = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        for address in [v4, v6] {
            let name = of_address(address, &one);
            assert!(name.len() <= 63 && name.starts_with("egret-"), "{name}");
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(allowed), "{name}");
            assert_ne!(name, of_address(address, &other));
        }
        assert_eq!(of_address(v4, &one), "egret-203-0-113-255-0568aa3f");
    }
}
