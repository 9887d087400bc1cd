//! The objects that Egret writes: one file each, the same YAML that `kubectl get -o yaml` shows.

use std::borrow::Cow;
use std::net::IpAddr;

use egret_api as api;
use egret_core::model::{
    AddressSpec, AddressStatus, Claim, ClaimRef, ClaimStatus, Cluster, EgressAddress, EgressNode,
    EgressNodeSpec, EgressNodeStatus, NodeName, Pool, PoolName, PoolStatus, ResourceVersion,
    Stored, Text as _, Timestamp, Uid,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::store::Access;
use crate::convert::{self, Checked, FieldError, StoredMetadata, is_name, nirmata};
use crate::error::StoreError;
use crate::manifest::{ManifestObject, ObjectKey, yaml};

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
pub enum OwnObject {
    /// An `EgressAddress`.
    Address(Box<Stored<EgressAddress>>),
    /// An `EgressNode`.
    Node(Box<Stored<EgressNode>>),
    /// The `EgressCluster`.
    Cluster(Box<Stored<Cluster>>),
    /// What is kept of a person's pool or claim.
    Record(Box<SpecRecord>),
}

/// What is kept of a person's pool or claim: the spec as it was last understood, what tells it
/// from a later object of the same name, and Egret's status. The person's file is never written.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecRecord {
    /// What no manifest says of it.
    pub metadata: StoredMetadata,
    /// The manifest that it was read from, relative to the directory.
    pub manifest: String,
    /// The object.
    pub object: ManifestObject,
    /// Its status.
    pub status: SpecRecordStatus,
}

/// The status of a [`SpecRecord`].
#[derive(Clone, Debug, PartialEq)]
pub enum SpecRecordStatus {
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
    /// The specs of a claim's further parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    further: Vec<api::StaticEgressIPSpec>,
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

impl SpecRecord {
    /// The pool with the store's fields in it.
    pub fn pool(&self) -> Option<Stored<(Pool, PoolStatus)>> {
        let (ManifestObject::Pool(_, pool), SpecRecordStatus::Pool(status)) =
            (&self.object, &self.status)
        else {
            return None;
        };
        Some(self.metadata.pool((**pool).clone(), status.clone()))
    }

    /// The claim with the store's fields in it.
    pub fn claim(&self) -> Option<Stored<(Claim, ClaimStatus)>> {
        let (
            ManifestObject::Claim(_, claim) | ManifestObject::ClusterClaim(_, claim),
            SpecRecordStatus::Claim(status),
        ) = (&self.object, &self.status)
        else {
            return None;
        };
        Some(self.metadata.claim((**claim).clone(), status.clone()))
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
    checked(node.as_str()).map(|name| format!("{NODES}/{}.yaml", stem(name)))
}

/// The file of the cluster object.
pub fn cluster_file() -> String {
    format!("{CLUSTERS}/cluster.yaml")
}

/// The file of a pool's record.
pub fn pool_file(pool: &PoolName) -> Result<String, StoreError> {
    checked(pool.as_str()).map(|name| format!("{POOLS}/{}.yaml", stem(name)))
}

/// The file of a claim's record.
pub fn claim_file(claim: &ClaimRef) -> Result<String, StoreError> {
    let name = stem(checked(&claim.name)?);
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

/// A name as a file's: a name has up to 253 bytes, a file's 255 with `.yaml`, and 9 more while it is written. The
/// end of a longer one is its FNV-1a hash, behind a character that no name has.
fn stem(name: &str) -> Cow<'_, str> {
    const LONGEST: usize = 245;
    const KEPT: usize = 224;
    match name.get(..KEPT) {
        Some(begin) if name.len() > LONGEST => {
            let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
            Cow::Owned(format!("{begin}_{hash:016x}"))
        }
        _ => Cow::Borrowed(name),
    }
}

/// A version that no object has had: versions are only compared for equality, and 64 random bits
/// need no counter that every write would have to wait for.
pub fn new_version() -> ResourceVersion {
    ResourceVersion(format!("{:016x}", rand::random::<u64>()))
}

/// Reads an object; `None` where its file is not there.
///
/// # Errors
/// Where the file cannot be read or understood: nothing is written over it then.
pub fn load(access: &Access, file: &str) -> Result<Option<OwnObject>, StoreError> {
    let Some(bytes) = access.read_if_there(file).map_err(StoreError::io(file))? else {
        return Ok(None);
    };
    parse(file, &bytes)
        .map(Some)
        .map_err(|message| StoreError::Invalid(format!("{file}: {message}")))
}

/// Writes an object.
pub fn save(access: &Access, file: &str, own: &OwnObject) -> Result<(), StoreError> {
    let text = to_text(own).map_err(|error| StoreError::Invalid(format!("{file}: {error}")))?;
    access.replace(file, text.as_bytes()).map_err(StoreError::io(file))
}

/// An object from its file's bytes.
pub fn parse(file: &str, bytes: &[u8]) -> Result<OwnObject, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let folder = FOLDERS
        .iter()
        .find(|folder| file.strip_prefix(**folder).is_some_and(|rest| rest.starts_with('/')));
    match folder.copied() {
        Some(ADDRESSES) => {
            let file: File<AddressSpec, AddressStatus> = read(text)?;
            let (address, plan) = file.spec.into_plan();
            let status = file.status.unwrap_or_default();
            let value = EgressAddress { address, plan, status, deleting: false };
            Ok(OwnObject::Address(Box::new(stored(&file.metadata, value))))
        }
        Some(NODES) => {
            let file: File<EgressNodeSpec, EgressNodeStatus> = read(text)?;
            let name = NodeName::new(&file.metadata.name);
            let status = file.status.unwrap_or_default();
            let value = EgressNode { name, spec: file.spec, status, deleting: false };
            Ok(OwnObject::Node(Box::new(stored(&file.metadata, value))))
        }
        Some(CLUSTERS) => {
            let file: File<Cluster, ()> = read(text)?;
            Ok(OwnObject::Cluster(Box::new(stored(&file.metadata, file.spec))))
        }
        Some(POOLS) => {
            let file: File<api::EgressPoolSpec, PoolStatus> = read(text)?;
            let pool = kept(convert::pool_from_api(&file.metadata.name, &file.spec))?;
            let status = SpecRecordStatus::Pool(file.status.unwrap_or_default());
            record(file.metadata, ManifestObject::Pool(Box::new(file.spec), Box::new(pool)), status)
        }
        Some(CLAIMS) => {
            let file: File<api::StaticEgressIPSpec, api::ClaimStatus> = read(text)?;
            let namespace = file.metadata.namespace.as_deref().unwrap_or_default();
            let name = &file.metadata.name;
            let is_rule =
                nirmata::rule_of(name).is_some() || nirmata::numbered_rule_of(name).is_some();
            let claim = match is_rule {
                true => nirmata::rule_claim(namespace, name, &file.spec),
                false => convert::claim_from_api(namespace, name, &file.spec),
            };
            let mut claim = kept(claim)?;
            for spec in &file.further {
                claim.further.push(kept(nirmata::part_from_api(name, spec))?);
            }
            let status = claim_status(file.status)?;
            record(
                file.metadata,
                ManifestObject::Claim(Box::new(file.spec), Box::new(claim)),
                status,
            )
        }
        Some(CLUSTER_CLAIMS) => {
            let file: File<api::ClusterStaticEgressIPSpec, api::ClaimStatus> = read(text)?;
            let claim = kept(convert::cluster_claim_from_api(&file.metadata.name, &file.spec))?;
            let status = claim_status(file.status)?;
            let object = ManifestObject::ClusterClaim(Box::new(file.spec), Box::new(claim));
            record(file.metadata, object, status)
        }
        _ => Err("it is in no folder of objects: remove it".to_owned()),
    }
}

/// What an older version has recorded stays readable; the faults are the manifest's to report.
fn kept<T>(checked: Checked<T>) -> Result<T, String> {
    checked.stored().map(|(value, _)| value).map_err(sentence)
}

fn claim_status(status: Option<api::ClaimStatus>) -> Result<SpecRecordStatus, String> {
    let status = convert::claim_status_from_api(&status.unwrap_or_default()).map_err(sentence)?;
    Ok(SpecRecordStatus::Claim(status))
}

/// Reads an object; a fault names its field.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    yaml::read(text).map(|read| read.value).map_err(|fault| {
        format!("{}; this file is Egret's own: restore or remove it", fault.message)
    })
}

fn sentence(errors: Vec<FieldError>) -> String {
    format!("{}; this file is Egret's own: restore or remove it", convert::sentence(errors))
}

fn stored<T>(metadata: &Metadata, value: T) -> Stored<T> {
    Stored { version: ResourceVersion(metadata.resource_version.clone()), value }
}

fn record(
    metadata: Metadata,
    object: ManifestObject,
    status: SpecRecordStatus,
) -> Result<OwnObject, String> {
    let created = metadata.creation_timestamp.as_deref().unwrap_or_default();
    let annotations = metadata.annotations.unwrap_or_default();
    Ok(OwnObject::Record(Box::new(SpecRecord {
        metadata: StoredMetadata {
            version: ResourceVersion(metadata.resource_version),
            uid: Uid::new(metadata.uid.unwrap_or_default()),
            generation: metadata.generation.unwrap_or(1),
            created: Timestamp::from_text(created)?,
        },
        manifest: annotations.get(MANIFEST_ANNOTATION).cloned().unwrap_or_default(),
        object,
        status,
    })))
}

fn to_text(own: &OwnObject) -> Result<String, serde_saphyr::SerializeError> {
    match own {
        OwnObject::Address(stored) => {
            let EgressAddress { address, plan, status, .. } = &stored.value;
            let name = convert::object_name(*address);
            let spec = AddressSpec::new(*address, plan.clone());
            write("EgressAddress", metadata(name, &stored.version), spec, Some(status))
        }
        OwnObject::Node(stored) => {
            let metadata = metadata(stored.value.name.to_string(), &stored.version);
            write("EgressNode", metadata, &stored.value.spec, Some(&stored.value.status))
        }
        OwnObject::Cluster(stored) => {
            let metadata = metadata("cluster".to_owned(), &stored.version);
            write::<_, ()>("EgressCluster", metadata, &stored.value, None)
        }
        OwnObject::Record(record) => record_to_text(record),
    }
}

fn record_to_text(record: &SpecRecord) -> Result<String, serde_saphyr::SerializeError> {
    let stored = &record.metadata;
    let annotation = (MANIFEST_ANNOTATION.to_owned(), record.manifest.clone());
    let named = |name: &str, namespace: Option<String>| Metadata {
        namespace,
        uid: Some(stored.uid.as_str().to_owned()),
        generation: Some(stored.generation),
        creation_timestamp: Some(stored.created.to_text()),
        annotations: Some([annotation.clone()].into()),
        ..metadata(name.to_owned(), &stored.version)
    };
    let claim_status = match &record.status {
        SpecRecordStatus::Claim(status) => Some(convert::claim_status_to_api(status)),
        SpecRecordStatus::Pool(_) => None,
    };
    match &record.object {
        ManifestObject::Pool(spec, pool) => {
            let status = match &record.status {
                SpecRecordStatus::Pool(status) => Some(status),
                SpecRecordStatus::Claim(_) => None,
            };
            write("EgressPool", named(pool.name.as_str(), None), spec, status)
        }
        ManifestObject::Claim(spec, claim) => {
            let namespace = claim.reference.namespace.as_ref().map(ToString::to_string);
            let metadata = named(&claim.reference.name, namespace);
            let file = file("StaticEgressIP", metadata, spec, claim_status);
            let further = claim.further.iter().map(nirmata::part_to_api).collect();
            serde_saphyr::to_string(&File { further, ..file })
        }
        ManifestObject::ClusterClaim(spec, claim) => {
            write("ClusterStaticEgressIP", named(&claim.reference.name, None), spec, claim_status)
        }
        ManifestObject::Node(_)
        | ManifestObject::Namespace(_)
        | ManifestObject::Pod(_)
        | ManifestObject::Service(_) => Ok(String::new()),
    }
}

fn metadata(name: String, version: &ResourceVersion) -> Metadata {
    Metadata { name, resource_version: version.0.clone(), ..Metadata::default() }
}

fn write<S: Serialize, T: Serialize>(
    kind: &str,
    metadata: Metadata,
    spec: S,
    status: Option<T>,
) -> Result<String, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(&file(kind, metadata, spec, status))
}

fn file<S, T>(kind: &str, metadata: Metadata, spec: S, status: Option<T>) -> File<S, T> {
    let api_version = api::API_VERSION.to_owned();
    File { api_version, kind: kind.to_owned(), metadata, spec, status, further: Vec::new() }
}
