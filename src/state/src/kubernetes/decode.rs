//! One object from the API server's JSON: checked once, and only what is used of it is kept.

use std::collections::BTreeSet;

use egret_api as api;
use egret_core::model::{
    Claim, ClaimStatus, Cluster, EgressAddress, EgressNode, Namespace, Node, NodeName, Pod,
    PodRangeSource, Pool, PoolStatus, Service, Stored, Timestamp, Uid, Version,
};
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::foreign;
use super::kind::{Id, Kind};
use crate::convert::{self, FieldError, nirmata};

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Pool(Box<Stored<(Pool, PoolStatus)>>),
    Claim(Box<Stored<(Claim, ClaimStatus)>>),
    Address(Box<Stored<EgressAddress>>),
    EgressNode(Box<Stored<EgressNode>>),
    Cluster(Box<Stored<Cluster>>),
    Node(Box<Node>),
    Namespace(Namespace),
    Service(Box<Service>),
    Pod(Box<Pod>),
    ServiceRanges(BTreeSet<IpNet>),
    PodRanges(PodRangeSource, BTreeSet<IpNet>),
    Rules(Vec<Stored<(Claim, ClaimStatus)>>),
}

/// An object as the API server showed it at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub id: Id,
    pub uid: Uid,
    /// The version as a number: `None` where it is none and so cannot be ordered.
    pub revision: Option<u64>,
    /// `None`: nothing of it is used, as of a pod that has ended. The sentence says what is wrong
    /// and what to do.
    pub item: Result<Option<Item>, String>,
}

/// What every object has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Head {
    pub name: String,
    pub namespace: Option<String>,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct WithHead {
    metadata: Head,
}

#[derive(Deserialize)]
struct Object<S, T> {
    spec: Option<S>,
    status: Option<T>,
}

impl Head {
    fn created(&self) -> Timestamp {
        let text = self.creation_timestamp.as_deref().unwrap_or_default();
        convert::timestamp_from_text(text).unwrap_or_default()
    }

    pub fn version(&self) -> Version {
        Version(self.resource_version.clone())
    }

    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    fn stored<T>(&self, value: T) -> Box<Stored<T>> {
        Box::new(Stored { version: self.version(), value })
    }
}

/// A version as a number (they are comparable: etcd's revisions, by guarantee since 1.35).
pub fn revision(version: &str) -> Option<u64> {
    version.parse().ok()
}

/// Reads an object of `kind`.
///
/// # Errors
/// Where it has not even a name.
pub fn decode(kind: Kind, text: &str) -> Result<Seen, serde_json::Error> {
    let head = serde_json::from_str::<WithHead>(text)?.metadata;
    let item = item(kind, text, &head);
    Ok(Seen {
        revision: revision(&head.resource_version),
        uid: Uid::new(head.uid),
        id: Id { kind, namespace: head.namespace, name: head.name },
        item,
    })
}

fn item(kind: Kind, text: &str, head: &Head) -> Result<Option<Item>, String> {
    match kind {
        Kind::Pool => pool(text, head).map(Some),
        Kind::Claim => {
            let object: Object<api::StaticEgressIPSpec, api::ClaimStatus> = read(text)?;
            let namespace = head.namespace.as_deref().unwrap_or_default();
            let claim = convert::claim_from_api(namespace, &head.name, &spec(object.spec)?);
            claim_item(head, claim, object.status).map(Some)
        }
        Kind::ClusterClaim => {
            let object: Object<api::ClusterStaticEgressIPSpec, api::ClaimStatus> = read(text)?;
            let claim = convert::cluster_claim_from_api(&head.name, &spec(object.spec)?);
            claim_item(head, claim, object.status).map(Some)
        }
        Kind::Address => address(text, head).map(Some),
        Kind::EgressNode => node(text, head).map(Some),
        Kind::Cluster => cluster(text, head).map(Some),
        Kind::Node => foreign::node(text).map(|node| Some(Item::Node(Box::new(node)))),
        Kind::Namespace => foreign::namespace(text).map(|found| Some(Item::Namespace(found))),
        Kind::Service => foreign::service(text).map(|found| Some(Item::Service(Box::new(found)))),
        Kind::Pod => Ok(foreign::pod(text)?.map(|pod| Item::Pod(Box::new(pod)))),
        Kind::ServiceCidr => {
            foreign::service_cidr(text).map(|ranges| Some(Item::ServiceRanges(ranges)))
        }
        Kind::CalicoCrd | Kind::CalicoApi => foreign::calico(text)
            .map(|ranges| Some(Item::PodRanges(PodRangeSource::CalicoIPPools, ranges))),
        Kind::CiliumNode => foreign::cilium(text)
            .map(|ranges| Some(Item::PodRanges(PodRangeSource::CiliumNodes, ranges))),
        Kind::Nirmata => rules(text, head).map(|claims| Some(Item::Rules(claims))),
        // Read where they are needed, never watched.
        Kind::ConfigMap | Kind::Deployment | Kind::Event | Kind::Lease => Ok(None),
    }
}

fn pool(text: &str, head: &Head) -> Result<Item, String> {
    let object: Object<api::EgressPoolSpec, api::EgressPoolStatus> = read(text)?;
    let mut pool = convert::pool_from_api(&head.name, &spec(object.spec)?).map_err(sentence)?;
    pool.uid = Uid::new(&head.uid);
    pool.generation = head.generation;
    pool.created = head.created();
    // A status that cannot be read is written anew; the pool is a person's and counts.
    let status = convert::pool_status_from_api(&object.status.unwrap_or_default());
    let status = status.unwrap_or_default();
    convert::add_found(&mut pool, &status);
    Ok(Item::Pool(head.stored((pool, status))))
}

fn claim_item(
    head: &Head,
    claim: Result<Claim, Vec<FieldError>>,
    status: Option<api::ClaimStatus>,
) -> Result<Item, String> {
    let mut claim = claim.map_err(sentence)?;
    claim.uid = Uid::new(&head.uid);
    claim.generation = head.generation;
    claim.created = head.created();
    let status = convert::claim_status_from_api(&status.unwrap_or_default());
    Ok(Item::Claim(head.stored((claim, status.unwrap_or_default()))))
}

/// The claims that an object of the original project makes. Each has a uid of its own.
fn rules(text: &str, head: &Head) -> Result<Vec<Stored<(Claim, ClaimStatus)>>, String> {
    let object: Object<api::nirmata::StaticEgressIPSpec, api::nirmata::StaticEgressIPStatus> =
        read(text)?;
    let namespace = head.namespace.as_deref().unwrap_or_default();
    let claims = nirmata::claims_from_api(namespace, &head.name, &spec(object.spec)?);
    let status = object.status.unwrap_or_default();
    let stored = claims.map_err(sentence)?.into_iter().map(|mut claim| {
        let name = claim.reference.name.clone();
        let index = nirmata::rule_of(&name).map_or(0, |(_, index)| index);
        claim.uid = Uid::new(format!("{}-{index}", head.uid));
        claim.generation = head.generation;
        claim.created = head.created();
        let status = nirmata::claim_status(&status, &name).unwrap_or_default();
        Stored { version: head.version(), value: (claim, status) }
    });
    Ok(stored.collect())
}

fn address(text: &str, head: &Head) -> Result<Item, String> {
    let object: Object<api::EgressAddressSpec, api::EgressAddressStatus> = read(text)?;
    let status = object.status.unwrap_or_default();
    let address = convert::address_from_api(&spec(object.spec)?, &status);
    let mut address = address.map_err(sentence)?;
    let name = convert::object_name(address.address);
    if name != head.name {
        return Err(format!(
            "metadata.name: an EgressAddress is named by its address: {} is {name}; delete this \
             object",
            address.address
        ));
    }
    address.deleting = head.is_deleting();
    Ok(Item::Address(head.stored(address)))
}

fn node(text: &str, head: &Head) -> Result<Item, String> {
    let object: Object<api::EgressNodeSpec, api::EgressNodeStatus> = read(text)?;
    let spec = convert::node_spec_from_api(&object.spec.unwrap_or_default()).map_err(sentence)?;
    let status = convert::node_status_from_api(&object.status.unwrap_or_default());
    let status = status.map_err(sentence)?;
    let name = NodeName::new(&head.name);
    let node = EgressNode { name, spec, status, deleting: head.is_deleting() };
    Ok(Item::EgressNode(head.stored(node)))
}

fn cluster(text: &str, head: &Head) -> Result<Item, String> {
    if head.name != CLUSTER {
        return Err(format!(
            "metadata.name: there is one EgressCluster, and it is named {CLUSTER}: delete this \
             object"
        ));
    }
    let object: Object<api::EgressClusterSpec, serde::de::IgnoredAny> = read(text)?;
    let cluster = convert::cluster_from_api(&spec(object.spec)?).map_err(sentence)?;
    Ok(Item::Cluster(head.stored(cluster)))
}

/// The name of the one `EgressCluster`.
pub const CLUSTER: &str = "cluster";

/// Parses what the schema of a CRD may have let through all the same.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        format!("{path}: {}: correct the object", error.into_inner())
    })
}

/// The spec, which every object of the kind must have.
pub fn spec<S>(spec: Option<S>) -> Result<S, String> {
    spec.ok_or_else(|| "spec: is missing: write it".to_owned())
}

pub fn sentence(errors: Vec<FieldError>) -> String {
    let errors: Vec<String> = errors.iter().map(FieldError::to_string).collect();
    errors.join("; ")
}
