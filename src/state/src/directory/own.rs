//! The objects that Egret writes: one file each, the same YAML that `kubectl get -o yaml` shows.

use std::net::IpAddr;

use egret_api as api;
use egret_core::model::{
    Claim, ClaimRef, ClaimStatus, Cluster, EgressAddress, EgressNode, NodeName, Pool, PoolName,
    PoolStatus, Stored, Timestamp, Uid, Version,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::store::Access;
use crate::convert::{self, FieldError, timestamp_from_text, timestamp_to_text};
use crate::manifest::{Object, ObjectKey, is_name};

/// Where Egret writes, below the store's directory. Manifests of people are not looked for there.
pub const OWN_FOLDER: &str = "egret.dev";
pub const ADDRESSES: &str = "egret.dev/egressaddresses";
pub const NODES: &str = "egret.dev/egressnodes";
pub const CLUSTERS: &str = "egret.dev/egressclusters";
pub const POOLS: &str = "egret.dev/egresspools";
pub const CLAIMS: &str = "egret.dev/staticegressips";
pub const CLUSTER_CLAIMS: &str = "egret.dev/clusterstaticegressips";
/// The folders of objects, which are watched.
pub const FOLDERS: [&str; 6] = [ADDRESSES, NODES, CLUSTERS, POOLS, CLAIMS, CLUSTER_CLAIMS];
/// The annotation that says which manifest of a person an object was read from.
const MANIFEST_ANNOTATION: &str = "egret.dev/manifest";

/// An object that Egret wrote.
#[derive(Clone, Debug, PartialEq)]
pub enum Own {
    /// An `EgressAddress`.
    Address(Box<Stored<EgressAddress>>),
    /// An `EgressNode`.
    Node(Box<Stored<EgressNode>>),
    /// The `EgressCluster`.
    Cluster(Box<Stored<Cluster>>),
    /// What is kept of a person's pool or claim.
    Record(Box<Record>),
}

/// What is kept of a person's pool or claim: the spec as it was last understood, what tells it
/// from a later object of the same name, and Egret's status. The person's file is never written.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The version of status and spec together.
    pub version: Version,
    /// `metadata.uid`, drawn when the object was first seen.
    pub uid: Uid,
    /// Grows with every change of the spec.
    pub generation: i64,
    /// When the object was first seen.
    pub created: Timestamp,
    /// The manifest that it was read from, relative to the directory.
    pub manifest: String,
    /// The object.
    pub object: Object,
    /// Its status.
    pub status: RecordStatus,
}

/// The status of a [`Record`].
#[derive(Clone, Debug, PartialEq)]
pub enum RecordStatus {
    /// Of a pool.
    Pool(PoolStatus),
    /// Of a claim.
    Claim(ClaimStatus),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<S, T> {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: S,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    status: Option<T>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    creation_timestamp: Option<String>,
    #[serde(default)]
    resource_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Record {
    /// The pool with the store's fields in it.
    pub fn pool(&self) -> Option<Stored<(Pool, PoolStatus)>> {
        let (Object::Pool(_, pool), RecordStatus::Pool(status)) = (&self.object, &self.status)
        else {
            return None;
        };
        let mut pool = (**pool).clone();
        pool.uid = self.uid.clone();
        pool.generation = self.generation;
        pool.created = self.created;
        convert::add_found(&mut pool, status);
        Some(Stored { version: self.version.clone(), value: (pool, status.clone()) })
    }

    /// The claim with the store's fields in it.
    pub fn claim(&self) -> Option<Stored<(Claim, ClaimStatus)>> {
        let (Object::Claim(_, claim) | Object::ClusterClaim(_, claim), RecordStatus::Claim(status)) =
            (&self.object, &self.status)
        else {
            return None;
        };
        let mut claim = (**claim).clone();
        claim.uid = self.uid.clone();
        claim.generation = self.generation;
        claim.created = self.created;
        Some(Stored { version: self.version.clone(), value: (claim, status.clone()) })
    }
}

/// The file of an address.
pub fn address_file(address: IpAddr) -> String {
    format!("{ADDRESSES}/{}.yaml", convert::object_name(address))
}

/// The file of a node.
///
/// # Errors
/// Where the name is none that a Node can have: it would name a file elsewhere.
pub fn node_file(node: &NodeName) -> Result<String, StoreError> {
    checked(node.as_str()).map(|name| format!("{NODES}/{name}.yaml"))
}

/// The file of the cluster object.
pub fn cluster_file() -> String {
    format!("{CLUSTERS}/cluster.yaml")
}

/// The file of a pool's record.
pub fn pool_file(pool: &PoolName) -> Result<String, StoreError> {
    checked(pool.as_str()).map(|name| format!("{POOLS}/{name}.yaml"))
}

/// The file of a claim's record.
pub fn claim_file(claim: &ClaimRef) -> Result<String, StoreError> {
    let name = checked(&claim.name)?;
    match &claim.namespace {
        Some(namespace) => Ok(format!("{CLAIMS}/{}/{name}.yaml", checked(namespace.as_str())?)),
        None => Ok(format!("{CLUSTER_CLAIMS}/{name}.yaml")),
    }
}

/// The file of a record; `None` for kinds that have none.
pub fn record_file(key: &ObjectKey) -> Result<Option<String>, StoreError> {
    match key {
        ObjectKey::Pool(pool) => pool_file(pool).map(Some),
        ObjectKey::Claim(claim) => claim_file(claim).map(Some),
        _ => Ok(None),
    }
}

fn checked(name: &str) -> Result<&str, StoreError> {
    if is_name(name) {
        Ok(name)
    } else {
        Err(StoreError::Invalid(format!("{name:?} is not a name that an object can have")))
    }
}

/// A version that no object has had: versions are only compared for equality, and 64 random bits
/// need no counter that every write would have to wait for.
pub fn new_version() -> Version {
    Version(format!("{:016x}", rand::random::<u64>()))
}

/// Reads an object; `None` where its file is not there.
///
/// # Errors
/// Where the file cannot be read or understood: nothing is written over it then.
pub fn load(access: &Access, file: &str) -> Result<Option<Own>, StoreError> {
    let Some(bytes) = access.read_if_there(file).map_err(StoreError::io(file))? else {
        return Ok(None);
    };
    parse(file, &bytes)
        .map(Some)
        .map_err(|message| StoreError::Invalid(format!("{file}: {message}")))
}

/// Writes an object.
pub fn save(access: &Access, file: &str, own: &Own) -> Result<(), StoreError> {
    let text = to_text(own).map_err(|error| StoreError::Invalid(format!("{file}: {error}")))?;
    access.replace(file, text.as_bytes()).map_err(StoreError::io(file))
}

/// An object from its file's bytes.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Own, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let folder = FOLDERS
        .iter()
        .find(|folder| file.strip_prefix(**folder).is_some_and(|rest| rest.starts_with('/')));
    match folder.copied() {
        Some(ADDRESSES) => {
            let file: File<api::EgressAddressSpec, api::EgressAddressStatus> = read(text)?;
            let value = convert::address_from_api(&file.spec, &file.status.unwrap_or_default());
            Ok(Own::Address(Box::new(stored(&file.metadata, value)?)))
        }
        Some(NODES) => {
            let file: File<api::EgressNodeSpec, api::EgressNodeStatus> = read(text)?;
            let spec = convert::node_spec_from_api(&file.spec).map_err(sentence)?;
            let status = convert::node_status_from_api(&file.status.unwrap_or_default());
            let name = NodeName::new(&file.metadata.name);
            let value = status.map(|status| EgressNode { name, spec, status, deleting: false });
            Ok(Own::Node(Box::new(stored(&file.metadata, value)?)))
        }
        Some(CLUSTERS) => {
            let file: File<api::EgressClusterSpec, ()> = read(text)?;
            let value = convert::cluster_from_api(&file.spec);
            Ok(Own::Cluster(Box::new(stored(&file.metadata, value)?)))
        }
        Some(POOLS) => {
            let file: File<api::EgressPoolSpec, api::EgressPoolStatus> = read(text)?;
            let pool = convert::pool_from_api(&file.metadata.name, &file.spec).map_err(sentence)?;
            let status = convert::pool_status_from_api(&file.status.unwrap_or_default());
            let status = RecordStatus::Pool(status.map_err(sentence)?);
            record(file.metadata, Object::Pool(Box::new(file.spec), Box::new(pool)), status)
        }
        Some(CLAIMS) => {
            let file: File<api::StaticEgressIPSpec, api::ClaimStatus> = read(text)?;
            let namespace = file.metadata.namespace.as_deref().unwrap_or_default();
            let name = &file.metadata.name;
            let claim = match convert::nirmata::rule_of(name) {
                Some(_) => convert::nirmata::claim_from_spec(namespace, name, &file.spec),
                None => convert::claim_from_api(namespace, name, &file.spec),
            };
            let claim = claim.map_err(sentence)?;
            let status = claim_status(file.status)?;
            record(file.metadata, Object::Claim(Box::new(file.spec), Box::new(claim)), status)
        }
        Some(CLUSTER_CLAIMS) => {
            let file: File<api::ClusterStaticEgressIPSpec, api::ClaimStatus> = read(text)?;
            let claim = convert::cluster_claim_from_api(&file.metadata.name, &file.spec);
            let claim = claim.map_err(sentence)?;
            let status = claim_status(file.status)?;
            let object = Object::ClusterClaim(Box::new(file.spec), Box::new(claim));
            record(file.metadata, object, status)
        }
        _ => Err("it is in no folder of objects: remove it".to_owned()),
    }
}

fn claim_status(status: Option<api::ClaimStatus>) -> Result<RecordStatus, String> {
    let status = convert::claim_status_from_api(&status.unwrap_or_default()).map_err(sentence)?;
    Ok(RecordStatus::Claim(status))
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        format!("line {line} cannot be read, and this file is Egret's own: restore or remove it")
    })
}

fn sentence(errors: Vec<FieldError>) -> String {
    let errors: Vec<String> = errors.iter().map(FieldError::to_string).collect();
    format!("{}; this file is Egret's own: restore or remove it", errors.join("; "))
}

fn stored<T>(metadata: &Metadata, value: Result<T, Vec<FieldError>>) -> Result<Stored<T>, String> {
    let version = Version(metadata.resource_version.clone());
    value.map(|value| Stored { version, value }).map_err(sentence)
}

fn record(metadata: Metadata, object: Object, status: RecordStatus) -> Result<Own, String> {
    let created = metadata.creation_timestamp.as_deref().unwrap_or_default();
    let annotations = metadata.annotations.unwrap_or_default();
    Ok(Own::Record(Box::new(Record {
        version: Version(metadata.resource_version),
        uid: Uid::new(metadata.uid.unwrap_or_default()),
        generation: metadata.generation.unwrap_or(1),
        created: timestamp_from_text(created)?,
        manifest: annotations.get(MANIFEST_ANNOTATION).cloned().unwrap_or_default(),
        object,
        status,
    })))
}

fn to_text(own: &Own) -> Result<String, serde_saphyr::SerializeError> {
    match own {
        Own::Address(stored) => {
            let (spec, status) = convert::address_to_api(&stored.value);
            let name = convert::object_name(stored.value.address);
            write("EgressAddress", metadata(name, &stored.version), spec, Some(status))
        }
        Own::Node(stored) => {
            let metadata = metadata(stored.value.name.to_string(), &stored.version);
            let spec = convert::node_spec_to_api(&stored.value.spec);
            let status = convert::node_status_to_api(&stored.value.status);
            write("EgressNode", metadata, spec, Some(status))
        }
        Own::Cluster(stored) => {
            let metadata = metadata("cluster".to_owned(), &stored.version);
            let spec = convert::cluster_to_api(&stored.value);
            write::<_, ()>("EgressCluster", metadata, spec, None)
        }
        Own::Record(record) => record_to_text(record),
    }
}

fn record_to_text(record: &Record) -> Result<String, serde_saphyr::SerializeError> {
    let annotation = (MANIFEST_ANNOTATION.to_owned(), record.manifest.clone());
    let named = |name: &str, namespace: Option<String>| Metadata {
        namespace,
        uid: Some(record.uid.as_str().to_owned()),
        generation: Some(record.generation),
        creation_timestamp: Some(timestamp_to_text(record.created)),
        annotations: Some([annotation.clone()].into()),
        ..metadata(name.to_owned(), &record.version)
    };
    let claim_status = match &record.status {
        RecordStatus::Claim(status) => Some(convert::claim_status_to_api(status)),
        RecordStatus::Pool(_) => None,
    };
    match &record.object {
        Object::Pool(spec, pool) => {
            let status = match &record.status {
                RecordStatus::Pool(status) => Some(convert::pool_status_to_api(status)),
                RecordStatus::Claim(_) => None,
            };
            write("EgressPool", named(pool.name.as_str(), None), spec, status)
        }
        Object::Claim(spec, claim) => {
            let namespace = claim.reference.namespace.as_ref().map(ToString::to_string);
            write("StaticEgressIP", named(&claim.reference.name, namespace), spec, claim_status)
        }
        Object::ClusterClaim(spec, claim) => {
            write("ClusterStaticEgressIP", named(&claim.reference.name, None), spec, claim_status)
        }
        Object::Node(_) | Object::Namespace(_) | Object::Pod(_) | Object::Service(_) => {
            Ok(String::new())
        }
    }
}

fn metadata(name: String, version: &Version) -> Metadata {
    Metadata { name, resource_version: version.0.clone(), ..Metadata::default() }
}

fn write<S: Serialize, T: Serialize>(
    kind: &str,
    metadata: Metadata,
    spec: S,
    status: Option<T>,
) -> Result<String, serde_saphyr::SerializeError> {
    let api_version = api::API_VERSION.to_owned();
    let file = File { api_version, kind: kind.to_owned(), metadata, spec, status };
    serde_saphyr::to_string(&file)
}
