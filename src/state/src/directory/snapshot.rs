//! The snapshot that a set of files makes.

use std::collections::BTreeSet;

use egret_core::model::{ClaimRef, InvalidObject, NamespaceName, Snapshot};

use super::files::FileIndex;
use super::own_object::{CLAIMS, CLUSTER_CLAIMS, OwnObject};
use super::records::{self, PresentObjects};
use crate::convert::CIDR_ANNOTATION;
use crate::convert::core_v1::labelled_namespace;
use crate::convert::nirmata::{self, choose_pools};
use crate::manifest::{ManifestObject, ObjectKey};

/// Everything that the files hold. Pools and claims come from their records: what has no record
/// has no uid and no generation.
pub fn assemble(files: &FileIndex) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let present = records::present(files);
    for file in files.own.values() {
        match &file.object {
            Some(OwnObject::Address(stored)) => {
                snapshot.addresses.insert(stored.value.address, (**stored).clone());
            }
            Some(OwnObject::Node(stored)) => {
                snapshot.egress_nodes.insert(stored.value.name.clone(), (**stored).clone());
            }
            Some(OwnObject::Cluster(stored)) => snapshot.cluster = Some((**stored).clone()),
            Some(OwnObject::Record(record)) => {
                if let Some(pool) = record.pool() {
                    snapshot.pools.insert(pool.value.0.name.clone(), pool);
                }
                if let Some(claim) = record.claim() {
                    snapshot.claims.insert(claim.value.0.reference.clone(), claim);
                }
            }
            None => {}
        }
    }
    let damaged = files.own.iter().filter(|(_, file)| file.object.is_none());
    snapshot.unreadable_claims.extend(damaged.filter_map(|(path, _)| claim_of(path)));
    for (_, _, object) in present.objects.values() {
        workload(&mut snapshot, object);
    }
    namespaces(&mut snapshot);
    snapshot.invalid_objects = invalid_objects(files, &present);
    choose_pools(&mut snapshot);
    snapshot
}

/// Adds pools and claims that have no record yet, without uid: for readers that may not write.
pub fn with_unrecorded(mut snapshot: Snapshot, files: &FileIndex) -> Snapshot {
    use egret_core::model::Stored;
    for (_, _, object) in records::present(files).objects.values() {
        match object {
            ManifestObject::Pool(_, pool) => {
                snapshot.pools.entry(pool.name.clone()).or_insert_with(|| Stored {
                    version: Default::default(),
                    value: ((**pool).clone(), Default::default()),
                });
            }
            ManifestObject::Claim(_, claim) | ManifestObject::ClusterClaim(_, claim) => {
                let former = snapshot.claims.iter().find(|(name, stored)| {
                    nirmata::is_former_name(name, &claim.reference)
                        && stored.value.0.addresses == claim.addresses
                });
                let former = former.map(|(name, _)| name.clone());
                let former = former.and_then(|name| snapshot.claims.remove(&name));
                let mut stored = former.unwrap_or_else(|| Stored {
                    version: Default::default(),
                    value: ((**claim).clone(), Default::default()),
                });
                stored.value.0.reference = claim.reference.clone();
                snapshot.claims.entry(claim.reference.clone()).or_insert(stored);
            }
            _ => {}
        }
    }
    namespaces(&mut snapshot);
    choose_pools(&mut snapshot);
    snapshot
}

/// The claim whose record has this file.
fn claim_of(file: &str) -> Option<ClaimRef> {
    let name = |rest: &str| rest.strip_prefix('/')?.strip_suffix(".yaml").map(str::to_owned);
    if let Some(rest) = file.strip_prefix(CLUSTER_CLAIMS) {
        return Some(ClaimRef { namespace: None, name: name(rest)? });
    }
    let inside = name(file.strip_prefix(CLAIMS)?)?;
    let (namespace, name) = inside.split_once('/')?;
    Some(ClaimRef { namespace: Some(NamespaceName::new(namespace)), name: name.to_owned() })
}

fn workload(snapshot: &mut Snapshot, object: &ManifestObject) {
    match object {
        ManifestObject::Node(node) => {
            snapshot.nodes.insert(node.name.clone(), node.clone());
        }
        ManifestObject::Namespace(namespace) => {
            snapshot.namespaces.insert(namespace.name.clone(), namespace.clone());
        }
        ManifestObject::Pod(pod) => {
            snapshot.pods.insert((pod.namespace.clone(), pod.name.clone()), pod.clone());
        }
        ManifestObject::Service(service) => {
            let key = (service.namespace.clone(), service.name.clone());
            snapshot.services.insert(key, service.clone());
        }
        ManifestObject::Pool(..) | ManifestObject::Claim(..) | ManifestObject::ClusterClaim(..) => {
        }
    }
}

/// A namespace that objects are in exists, with a manifest of its own or without: an API server
/// would not have taken the objects otherwise.
fn namespaces(snapshot: &mut Snapshot) {
    let mut named: BTreeSet<NamespaceName> = BTreeSet::new();
    named.extend(snapshot.claims.keys().filter_map(|claim| claim.namespace.clone()));
    named.extend(snapshot.pods.keys().map(|(namespace, _)| namespace.clone()));
    named.extend(snapshot.services.keys().map(|(namespace, _)| namespace.clone()));
    for name in named {
        snapshot
            .namespaces
            .entry(name.clone())
            .or_insert_with(|| labelled_namespace(name.as_str().to_owned(), Default::default()));
    }
}

fn invalid_objects(files: &FileIndex, present: &PresentObjects<'_>) -> Vec<InvalidObject> {
    let mut broken = files.unreadable.clone();
    for (path, file) in &files.manifests {
        broken.extend(file.faults.iter().map(|fault| fault.invalid_object(path)));
    }
    for (path, file) in &files.own {
        if let Some(message) = &file.fault {
            broken.push(InvalidObject { place: path.clone(), message: message.clone() });
        }
    }
    for (place, key, first) in &present.duplicates {
        let message = format!("{key} is in {first} already, which counts: remove one of them");
        broken.push(InvalidObject { place: place.clone(), message });
    }
    broken.extend(records::unrecordable(present));
    for key in present.objects.keys() {
        let ObjectKey::Pod(namespace, name) = key else { continue };
        if let Some((path, line, ManifestObject::Pod(pod))) = present.objects.get(key)
            && pod.host_network
            && pod.sources.iter().any(|source| source.prefix_len() != source.max_prefix_len())
        {
            let message = format!(
                "Pod {namespace}/{name} is on the host's network and has ranges of workloads \
                 ({}): remove one of the two",
                CIDR_ANNOTATION
            );
            broken.push(InvalidObject { place: format!("{path}:{line}"), message });
        }
    }
    broken.sort();
    broken.dedup();
    broken
}
