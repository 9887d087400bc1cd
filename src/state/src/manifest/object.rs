use egret_api as api;
use egret_core::model::{
    Claim, ClaimRef, Namespace, NamespaceName, Node, NodeName, Pod, Pool, PoolName, Service,
};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::fault::ManifestFault;
use super::fields::fields_at;
use super::locate::line_of;
use super::yaml;
use crate::convert::metadata::ObjectMeta;
use crate::convert::{
    Checked, FieldError, claim_from_api, cluster_claim_from_api, core_v1, is_name, nirmata,
    pool_from_api,
};

/// An object that a person wrote, checked.
#[derive(Clone, Debug, PartialEq)]
pub enum ManifestObject {
    /// An `EgressPool`, as written and as a value without the store's fields.
    Pool(Box<api::EgressPoolSpec>, Box<Pool>),
    /// A `StaticEgressIP`.
    Claim(Box<api::StaticEgressIPSpec>, Box<Claim>),
    /// A `ClusterStaticEgressIP`.
    ClusterClaim(Box<api::ClusterStaticEgressIPSpec>, Box<Claim>),
    /// A `v1` Node.
    Node(Node),
    /// A `v1` Namespace.
    Namespace(Namespace),
    /// A `v1` Pod that has a node and has not ended.
    Pod(Pod),
    /// A `v1` Service.
    Service(Service),
}

/// Names an object among all that people write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// An `EgressPool`.
    Pool(PoolName),
    /// A claim of either kind.
    Claim(ClaimRef),
    /// A `v1` Node.
    Node(NodeName),
    /// A `v1` Namespace.
    Namespace(NamespaceName),
    /// A `v1` Pod.
    Pod(NamespaceName, String),
    /// A `v1` Service.
    Service(NamespaceName, String),
}

impl ManifestObject {
    /// What tells the object from the others.
    pub fn key(&self) -> ObjectKey {
        match self {
            Self::Pool(_, pool) => ObjectKey::Pool(pool.name.clone()),
            Self::Claim(_, claim) | Self::ClusterClaim(_, claim) => {
                ObjectKey::Claim(claim.reference.clone())
            }
            Self::Node(node) => ObjectKey::Node(node.name.clone()),
            Self::Namespace(namespace) => ObjectKey::Namespace(namespace.name.clone()),
            Self::Pod(pod) => ObjectKey::Pod(pod.namespace.clone(), pod.name.clone()),
            Self::Service(service) => {
                ObjectKey::Service(service.namespace.clone(), service.name.clone())
            }
        }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pool(name) => write!(f, "EgressPool {name}"),
            Self::Claim(claim) if claim.namespace.is_some() => write!(f, "StaticEgressIP {claim}"),
            Self::Claim(claim) => write!(f, "ClusterStaticEgressIP {claim}"),
            Self::Node(name) => write!(f, "Node {name}"),
            Self::Namespace(name) => write!(f, "Namespace {name}"),
            Self::Pod(namespace, name) => write!(f, "Pod {namespace}/{name}"),
            Self::Service(namespace, name) => write!(f, "Service {namespace}/{name}"),
        }
    }
}

const OUR_KINDS: [&str; 6] = [
    "EgressPool",
    "StaticEgressIP",
    "ClusterStaticEgressIP",
    "EgressAddress",
    "EgressNode",
    "EgressCluster",
];

/// What kind of object a document holds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TypeMeta {
    api_version: Option<String>,
    kind: Option<String>,
}

/// What a document holds, and the faults that it is read with.
type ReadObjects = (Vec<ManifestObject>, Vec<ManifestFault>);

/// Parses one document: nothing for a kind that Egret does not read, and one claim for each rule of
/// the original project's kind.
pub fn parse(text: &str) -> ReadObjects {
    objects(text).unwrap_or_else(|faults| (Vec::new(), faults))
}

fn objects(text: &str) -> Result<ReadObjects, Vec<ManifestFault>> {
    let head: TypeMeta = yaml::read(text).map_err(|fault| vec![fault])?.value;
    let (Some(version), Some(kind)) = (head.api_version, head.kind) else {
        let message = "apiVersion and kind are missing: every document begins with them, \
                       such as apiVersion: egret.dev/v1alpha1 and kind: StaticEgressIP";
        return Err(vec![ManifestFault::new(first_line(text), message)]);
    };
    match (version.as_str(), kind.as_str()) {
        ("v1", "Node") => v1(text, |node| core_v1::node(node).map(ManifestObject::Node).map(Some)),
        ("v1", "Namespace") => {
            v1(text, |it| core_v1::namespace(it).map(ManifestObject::Namespace).map(Some))
        }
        ("v1", "Pod") => v1(text, |pod| core_v1::pod(pod).map(|pod| pod.map(ManifestObject::Pod))),
        ("v1", "Service") => {
            v1(text, |it| core_v1::service(it).map(ManifestObject::Service).map(Some))
        }
        ("v1", "List") => Err(vec![ManifestFault::new(
            line_of(text, "kind", None),
            "a List is not read: write its items as documents, separated by lines of ---",
        )]),
        (api::API_VERSION, kind) => ours(text, kind).map(|object| (vec![object], Vec::new())),
        (api::nirmata::API_VERSION, "StaticEgressIP") => {
            rules(text).map(|objects| (objects, Vec::new()))
        }
        // Passed over in silence, a person would wait for it for ever.
        (version, kind) if version.starts_with("egret.dev/") || OUR_KINDS.contains(&kind) => {
            Err(vec![ManifestFault::new(
                line_of(text, "apiVersion", None),
                format!(
                    "{version} {kind} is not known: write it as {kind} of apiVersion: {}",
                    api::API_VERSION
                ),
            )])
        }
        _ => Ok((Vec::new(), Vec::new())),
    }
}

/// The claims of an object of the original project's kind.
fn rules(text: &str) -> Result<Vec<ManifestObject>, Vec<ManifestFault>> {
    let (meta, spec) = strict::<api::nirmata::StaticEgressIPSpec>(text)?;
    let names = meta.checked_name().and_then(|name| Ok((meta.checked_namespace()?, name)));
    let (namespace, name) = names.map_err(|error| faults(text, &[error]))?;
    let claims = nirmata::claims_from_api(namespace, name, &spec).fresh();
    let claims = claims.map_err(|errors| faults(text, &errors))?;
    let names = claims.iter().map(|(_, claim)| claim.reference.name.as_str());
    let longest = names.max_by_key(|name| name.len()).unwrap_or_default();
    if !is_name(longest) {
        return Err(faults(text, &[too_long(name, longest)]));
    }
    let object = |(spec, claim)| ManifestObject::Claim(Box::new(spec), Box::new(claim));
    Ok(claims.into_iter().map(object).collect())
}

/// An object whose name is one, and whose claim's name is none.
fn too_long(name: &str, claim: &str) -> FieldError {
    let address = claim.strip_prefix(name).unwrap_or(claim);
    let most = 253_usize.saturating_sub(address.len());
    let message = format!(
        "is too long: its claim is named by it with {address} behind it, and a name has at most 253 \
         characters: use at most {most}"
    );
    FieldError::new("metadata.name", message)
}

fn first_line(text: &str) -> usize {
    let blank = |line: &&str| line.trim().is_empty() || line.starts_with("---");
    1 + text.lines().take_while(blank).count()
}

fn ours(text: &str, kind: &str) -> Result<ManifestObject, Vec<ManifestFault>> {
    match kind {
        "EgressPool" => {
            let (meta, spec) = strict::<api::EgressPoolSpec>(text)?;
            let pool = meta.no_namespace(kind).and_then(|()| meta.checked_name());
            let pool = pool
                .map_err(|error| vec![error])
                .and_then(|name| pool_from_api(name, &spec).fresh());
            let pool = pool.map_err(|errors| faults(text, &errors))?;
            Ok(ManifestObject::Pool(Box::new(spec), Box::new(pool)))
        }
        "StaticEgressIP" => {
            let (meta, spec) = strict::<api::StaticEgressIPSpec>(text)?;
            let names = meta.checked_name().and_then(|name| Ok((meta.checked_namespace()?, name)));
            let claim = names
                .map_err(|error| vec![error])
                .and_then(|(namespace, name)| claim_from_api(namespace, name, &spec).fresh());
            let claim = claim.map_err(|errors| faults(text, &errors))?;
            Ok(ManifestObject::Claim(Box::new(spec), Box::new(claim)))
        }
        "ClusterStaticEgressIP" => {
            let (meta, spec) = strict::<api::ClusterStaticEgressIPSpec>(text)?;
            let claim = meta.no_namespace(kind).and_then(|()| meta.checked_name());
            let claim = claim
                .map_err(|error| vec![error])
                .and_then(|name| cluster_claim_from_api(name, &spec).fresh());
            let claim = claim.map_err(|errors| faults(text, &errors))?;
            Ok(ManifestObject::ClusterClaim(Box::new(spec), Box::new(claim)))
        }
        "EgressAddress" | "EgressNode" | "EgressCluster" => Err(vec![ManifestFault::new(
            line_of(text, "kind", None),
            format!("{kind} objects are Egret's own: remove the document from your manifests"),
        )]),
        _ => Err(vec![ManifestFault::new(
            line_of(text, "kind", None),
            format!(
                "kind {kind} is not known in {}: write EgressPool, StaticEgressIP or \
                 ClusterStaticEgressIP",
                api::API_VERSION
            ),
        )]),
    }
}

/// An object of Kubernetes, which others have written: what of it can be read counts.
fn v1<S, T>(
    text: &str,
    convert: impl FnOnce(core_v1::CoreObject<S, T>) -> Checked<Option<ManifestObject>>,
) -> Result<ReadObjects, Vec<ManifestFault>>
where
    S: DeserializeOwned,
    T: DeserializeOwned,
{
    let manifest = yaml::read(text).map_err(|fault| vec![fault])?.value;
    let (object, errors) = convert(manifest).stored().map_err(|errors| faults(text, &errors))?;
    Ok((object.into_iter().collect(), faults(text, &errors)))
}

/// An object of Egret's own group.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<S> {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: ObjectMeta,
    spec: S,
    /// `kubectl get -o yaml` writes it; the store's own counts.
    #[serde(default, rename = "status")]
    _status: IgnoredAny,
}

fn strict<S: DeserializeOwned>(text: &str) -> Result<(ObjectMeta, S), Vec<ManifestFault>> {
    let json = yaml::json(text).map_err(|fault| vec![fault])?;
    let nothing = nothing_written("spec", &json["spec"]);
    if !nothing.is_empty() {
        return Err(faults(text, &nothing));
    }
    let read = yaml::read_strictly::<Manifest<S>>(text, json).map_err(|fault| vec![fault])?;
    let unknown: Vec<&String> =
        read.unknown.iter().filter(|path| !is_deliberately_ignored(path)).collect();
    if unknown.is_empty() {
        return Ok((read.value.metadata, read.value.spec));
    }
    Err(unknown.iter().map(|path| unknown_field::<S>(text, path)).collect())
}

/// Fields that stand there with nothing behind them, where that would select more than anybody meant:
/// all entries are commented out, or a template left a value empty.
fn nothing_written(path: &str, value: &Value) -> Vec<FieldError> {
    let Value::Object(fields) = value else {
        let entries = value.as_array().into_iter().flatten().enumerate();
        return entries
            .flat_map(|(i, entry)| nothing_written(&format!("{path}[{i}]"), entry))
            .collect();
    };
    let of = |(key, value): (&String, &Value)| {
        let place = format!("{path}.{key}");
        let sentence = match key.as_str() {
            _ if !value.is_null() => return nothing_written(&place, value),
            _ if path.ends_with(".matchLabels") => {
                "has no value: write one, or '' for an empty one"
            }
            "destinations" => {
                "list at least one range, or leave destinations out for everywhere outside the \
                 cluster"
            }
            // A pool has some of its own.
            "addresses" if fields.contains_key("poolRef") => {
                "list at least one address, or leave addresses out: the pool chooses"
            }
            "except" => "list at least one range, or leave except out for the whole of cidr",
            "matchLabels" => "write labels, or leave matchLabels out: {} selects everything",
            "matchExpressions" => {
                "write requirements, or leave matchExpressions out: {} selects everything"
            }
            _ => return Vec::new(),
        };
        vec![FieldError::new(place, sentence)]
    };
    fields.iter().flat_map(of).collect()
}

/// The fields of Kubernetes' `ObjectMeta`: any other is a typing mistake.
const METADATA_FIELDS: [&str; 15] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "generateName",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "selfLink",
];

/// Parts that are known and not read are reported as untaken as well.
fn is_deliberately_ignored(path: &str) -> bool {
    let mut parts = path.split('.');
    match (parts.next(), parts.next()) {
        (Some("apiVersion" | "kind" | "status"), _) => true,
        (Some("metadata"), Some(field)) => METADATA_FIELDS.contains(&field),
        _ => false,
    }
}

fn unknown_field<S: DeserializeOwned>(text: &str, path: &str) -> ManifestFault {
    let known = fields_beside::<S>(path);
    let (_, name) = path.rsplit_once('.').unwrap_or(("", path));
    let remedy = if known.is_empty() {
        "remove it".to_owned()
    } else {
        format!("write one of {}, or remove it", known.join(", "))
    };
    let line = line_of(text, path, None);
    ManifestFault::new(line, format!("{path}: there is no field {name}: {remedy}"))
}

/// The fields that there are where `path` ends.
fn fields_beside<S: DeserializeOwned>(path: &str) -> Vec<&'static str> {
    let (parent, _) = path.rsplit_once('.').unwrap_or_default();
    match parent.split_once('.').unwrap_or((parent, "")) {
        ("", _) => vec!["apiVersion", "kind", "metadata", "spec"],
        ("metadata", "") => vec!["name", "namespace", "labels", "annotations"],
        ("spec", below) => fields_at::<S>(below),
        _ => Vec::new(),
    }
}

fn faults(text: &str, errors: &[FieldError]) -> Vec<ManifestFault> {
    errors
        .iter()
        .map(|error| {
            // Messages about a value begin with it; that finds the line of a list's entry.
            let value = error.field.ends_with(']').then(|| {
                let message = error.message.strip_prefix("except ").unwrap_or(&error.message);
                message.split(' ').next().unwrap_or_default()
            });
            ManifestFault::new(line_of(text, &error.field, value), error.to_string())
        })
        .collect()
}
