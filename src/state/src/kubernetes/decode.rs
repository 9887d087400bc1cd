//! One object from the API server's JSON: checked once, and only what is used of it is kept.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_api as api;
use egret_core::model::{
    AddressSpec, AddressStatus, Claim, ClaimStatus, Cluster, ClusterStatus, EgressAddress,
    EgressNode, EgressNodeSpec, EgressNodeStatus, Namespace, Node, NodeName, Pod, PodRangeSource,
    Pool, PoolStatus, ResourceVersion, Service, Stored, Text as _, Timestamp, Uid,
};
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::json::{read, read_status, status_or_new};
use super::kind::{ObjectId, ResourceKind};
use super::network_ranges;
use crate::convert::core_v1::{self, CoreObject};
use crate::convert::{self, Checked, StoredMetadata, nirmata, sentence};

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum DecodedItem {
    Pool(Box<Stored<(Pool, PoolStatus)>>),
    Claim(Box<Stored<(Claim, ClaimStatus)>>),
    Address(Box<Stored<EgressAddress>>),
    EgressNode(Box<Stored<EgressNode>>),
    Cluster(Box<Stored<Cluster>>, ClusterStatus),
    Node(Box<Node>),
    Namespace(Namespace),
    Service(Box<Service>),
    Pod(Box<Pod>),
    ServiceRanges(BTreeSet<IpNet>),
    PodRanges(PodRangeSource, BTreeSet<IpNet>),
    /// Ranges of the pods of one node.
    CiliumNode(NodeName, BTreeSet<IpNet>),
    ApiServers(BTreeSet<IpAddr>),
    Rules(Vec<Stored<(Claim, ClaimStatus)>>),
}

/// An object as the API server showed it at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub id: ObjectId,
    pub uid: Uid,
    /// The version as a number: `None` where it is none and so cannot be ordered.
    pub revision: Option<u64>,
    /// The sentence says what is wrong and what to do.
    pub item: Result<ReadItem, String>,
}

/// What could be read of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadItem {
    /// `None`: nothing of it is used, as of a pod that has ended.
    pub item: Option<DecodedItem>,
    /// What of it could not be read, or is not as a new object must be.
    pub fault: Option<String>,
}

impl ReadItem {
    /// All of it.
    fn whole(item: DecodedItem) -> Self {
        Self { item: Some(item), fault: None }
    }
}

/// What every object has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectHead {
    name: String,
    namespace: Option<String>,
    uid: String,
    pub resource_version: String,
    generation: i64,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct WithHead {
    metadata: ObjectHead,
}

#[derive(Deserialize)]
struct Object<S, T> {
    spec: Option<S>,
    status: Option<T>,
}

/// An object whose spec is a person's.
type PersonsObject<S> = Object<S, Value>;

/// What is known of an object before its kind is looked at.
struct Undecoded<'a> {
    id: ObjectId,
    metadata: StoredMetadata,
    deleting: bool,
    text: &'a str,
}

/// A version as a number (they are comparable: etcd's revisions, by guarantee since 1.35).
pub fn revision(version: &str) -> Option<u64> {
    version.parse().ok()
}

/// Reads an object of `kind`.
///
/// # Errors
/// Where it has not even a name.
pub fn decode(kind: ResourceKind, text: &str) -> Result<Decoded, serde_json::Error> {
    let head = serde_json::from_str::<WithHead>(text)?.metadata;
    let revision = revision(&head.resource_version);
    let created = head.creation_timestamp.as_deref().unwrap_or_default();
    let object = Undecoded {
        id: ObjectId { kind, namespace: head.namespace, name: head.name },
        metadata: StoredMetadata {
            version: ResourceVersion(head.resource_version),
            uid: Uid::new(head.uid),
            generation: head.generation,
            created: Timestamp::from_text(created).unwrap_or_default(),
        },
        deleting: head.deletion_timestamp.is_some(),
        text,
    };
    let item = object.item();
    Ok(Decoded { revision, uid: object.metadata.uid, id: object.id, item })
}

impl Undecoded<'_> {
    fn item(&self) -> Result<ReadItem, String> {
        let item = match self.id.kind {
            ResourceKind::Pool => return self.pool(),
            ResourceKind::Claim => return self.claim(),
            ResourceKind::ClusterClaim => return self.cluster_claim(),
            ResourceKind::Nirmata => return self.rules(),
            ResourceKind::Address => self.address()?,
            ResourceKind::EgressNode => self.egress_node()?,
            ResourceKind::Cluster => self.cluster()?,
            ResourceKind::Node => {
                return self.core(core_v1::node, |node| Some(DecodedItem::Node(Box::new(node))));
            }
            ResourceKind::Namespace => {
                return self.core(core_v1::namespace, |it| Some(DecodedItem::Namespace(it)));
            }
            ResourceKind::Service => {
                return self.core(core_v1::service, |it| Some(DecodedItem::Service(Box::new(it))));
            }
            ResourceKind::Pod => return self.pod(),
            ResourceKind::ServiceCidr => {
                DecodedItem::ServiceRanges(network_ranges::service_cidr(self.text)?)
            }
            ResourceKind::EndpointSlice => {
                DecodedItem::ApiServers(network_ranges::endpoints(self.text)?)
            }
            ResourceKind::CalicoCrd | ResourceKind::CalicoApi => {
                let ranges = network_ranges::calico(self.text)?;
                DecodedItem::PodRanges(PodRangeSource::CalicoIPPools, ranges)
            }
            ResourceKind::CiliumNode => {
                let ranges = network_ranges::cilium(self.text)?;
                DecodedItem::CiliumNode(NodeName::new(&self.id.name), ranges)
            }
            // Read where they are needed, never watched.
            ResourceKind::ConfigMap
            | ResourceKind::DaemonSet
            | ResourceKind::Deployment
            | ResourceKind::Event
            | ResourceKind::Job
            | ResourceKind::Lease => return Ok(ReadItem { item: None, fault: None }),
        };
        Ok(ReadItem::whole(item))
    }

    fn core<S, T, V>(
        &self,
        check: impl FnOnce(CoreObject<S, T>) -> Checked<V>,
        item: impl FnOnce(V) -> Option<DecodedItem>,
    ) -> Result<ReadItem, String>
    where
        S: DeserializeOwned,
        T: DeserializeOwned,
    {
        taken(check(read(self.text)?), item)
    }

    /// `None` for a pod without node, and for one that has ended: its addresses may be another's.
    fn pod(&self) -> Result<ReadItem, String> {
        let check = |mut pod: CoreObject<_, _>| {
            // Ranges by annotation are for machines without Kubernetes: here anybody who may make
            // a pod could take other pods' traffic with one.
            pod.metadata.annotations = None;
            core_v1::pod(pod)
        };
        self.core(check, |pod| pod.map(|pod| DecodedItem::Pod(Box::new(pod))))
    }

    fn namespace(&self) -> &str {
        self.id.namespace.as_deref().unwrap_or_default()
    }

    fn pool(&self) -> Result<ReadItem, String> {
        let object: PersonsObject<api::EgressPoolSpec> = read(self.text)?;
        let status = read_status(&self.id, object.status);
        taken(convert::pool_from_api(&self.id.name, &spec(object.spec)?), |pool| {
            Some(DecodedItem::Pool(Box::new(self.metadata.pool(pool, status))))
        })
    }

    fn claim(&self) -> Result<ReadItem, String> {
        let object: PersonsObject<api::StaticEgressIPSpec> = read(self.text)?;
        let spec = spec(object.spec)?;
        self.claim_item(
            convert::claim_from_api(self.namespace(), &self.id.name, &spec),
            object.status,
        )
    }

    fn cluster_claim(&self) -> Result<ReadItem, String> {
        let object: PersonsObject<api::ClusterStaticEgressIPSpec> = read(self.text)?;
        let spec = spec(object.spec)?;
        self.claim_item(convert::cluster_claim_from_api(&self.id.name, &spec), object.status)
    }

    fn claim_item(&self, claim: Checked<Claim>, status: Option<Value>) -> Result<ReadItem, String> {
        let status = convert::claim_status_from_api(&read_status(&self.id, status));
        let status = status_or_new(&self.id, status.map_err(sentence));
        taken(claim, |claim| Some(DecodedItem::Claim(Box::new(self.metadata.claim(claim, status)))))
    }

    /// The claims that an object of the original project makes. Each has a uid of its own.
    fn rules(&self) -> Result<ReadItem, String> {
        let object: PersonsObject<api::nirmata::StaticEgressIPSpec> = read(self.text)?;
        let spec = spec(object.spec)?;
        let claims = nirmata::claims_from_api(self.namespace(), &self.id.name, &spec);
        let statuses = read_status(&self.id, object.status);
        let stored = |(_, claim): (_, Claim)| {
            let name = &claim.reference.name;
            let rule = nirmata::rule_of(name);
            let address = rule.map(|(_, address)| convert::object_name(address));
            let uid = format!("{}-{}", self.metadata.uid.as_str(), address.unwrap_or_default());
            let uid = Uid::new(uid);
            let status = nirmata::claim_status(&statuses, name).map_err(sentence);
            let status = status_or_new(&self.id, status);
            StoredMetadata { uid, ..self.metadata.clone() }.claim(claim, status)
        };
        taken(claims, |claims| Some(DecodedItem::Rules(claims.into_iter().map(stored).collect())))
    }

    fn address(&self) -> Result<DecodedItem, String> {
        let object: Object<AddressSpec, AddressStatus> = read(self.text)?;
        let (address, plan) = spec(object.spec)?.into_plan();
        let name = convert::object_name(address);
        if name != self.id.name {
            return Err(format!(
                "metadata.name: an EgressAddress is named by its address: {address} is {name}; \
                 delete this object"
            ));
        }
        let status = object.status.unwrap_or_default();
        let address = EgressAddress { address, plan, status, deleting: self.deleting };
        Ok(DecodedItem::Address(Box::new(self.metadata.stored(address))))
    }

    fn egress_node(&self) -> Result<DecodedItem, String> {
        let object: Object<EgressNodeSpec, EgressNodeStatus> = read(self.text)?;
        let node = EgressNode {
            name: NodeName::new(&self.id.name),
            spec: object.spec.unwrap_or_default(),
            status: object.status.unwrap_or_default(),
            deleting: self.deleting,
        };
        Ok(DecodedItem::EgressNode(Box::new(self.metadata.stored(node))))
    }

    fn cluster(&self) -> Result<DecodedItem, String> {
        if self.id.name != CLUSTER {
            return Err(format!(
                "metadata.name: there is one EgressCluster, and it is named {CLUSTER}: delete \
                 this object"
            ));
        }
        let object: Object<Cluster, Value> = read(self.text)?;
        let status = read_status(&self.id, object.status);
        Ok(DecodedItem::Cluster(Box::new(self.metadata.stored(spec(object.spec)?)), status))
    }
}

/// What is kept of a checked object, with the faults that it is read with.
fn taken<T>(
    checked: Checked<T>,
    item: impl FnOnce(T) -> Option<DecodedItem>,
) -> Result<ReadItem, String> {
    let (value, faults) = checked.stored().map_err(sentence)?;
    let fault = (!faults.is_empty()).then(|| sentence(faults));
    Ok(ReadItem { item: item(value), fault })
}

/// The name of the one `EgressCluster`.
pub const CLUSTER: &str = "cluster";

/// The spec, which every object of the kind must have.
fn spec<S>(spec: Option<S>) -> Result<S, String> {
    spec.ok_or_else(|| "spec: is missing: write it".to_owned())
}
