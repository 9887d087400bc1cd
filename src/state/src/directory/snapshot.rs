//! The snapshot that a set of files makes.

use std::collections::BTreeSet;

use egret_core::model::{Broken, NamespaceName, Snapshot};

use super::files::Files;
use super::own::Own;
use super::records::{self, Present};
use crate::convert::nirmata::choose_pools;
use crate::manifest::{self, Object, ObjectKey};

/// Everything that the files hold. Pools and claims come from their records: what has no record
/// has no uid and no generation.
pub fn assemble(files: &Files) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let present = records::present(files);
    for file in files.own.values() {
        match &file.object {
            Some(Own::Address(stored)) => {
                snapshot.addresses.insert(stored.value.address, (**stored).clone());
            }
            Some(Own::Node(stored)) => {
                snapshot.egress_nodes.insert(stored.value.name.clone(), (**stored).clone());
            }
            Some(Own::Cluster(stored)) => snapshot.cluster = Some((**stored).clone()),
            Some(Own::Record(record)) => {
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
    for (_, _, object) in present.objects.values() {
        workload(&mut snapshot, object);
    }
    namespaces(&mut snapshot);
    snapshot.broken = broken(files, &present);
    choose_pools(&mut snapshot);
    snapshot
}

/// Adds pools and claims that have no record yet, without uid: for readers that may not write.
pub fn with_unrecorded(mut snapshot: Snapshot, files: &Files) -> Snapshot {
    use egret_core::model::Stored;
    for (_, _, object) in records::present(files).objects.values() {
        match object {
            Object::Pool(_, pool) => {
                snapshot.pools.entry(pool.name.clone()).or_insert_with(|| Stored {
                    version: Default::default(),
                    value: ((**pool).clone(), Default::default()),
                });
            }
            Object::Claim(_, claim) | Object::ClusterClaim(_, claim) => {
                snapshot.claims.entry(claim.reference.clone()).or_insert_with(|| Stored {
                    version: Default::default(),
                    value: ((**claim).clone(), Default::default()),
                });
            }
            _ => {}
        }
    }
    namespaces(&mut snapshot);
    choose_pools(&mut snapshot);
    snapshot
}

fn workload(snapshot: &mut Snapshot, object: &Object) {
    match object {
        Object::Node(node) => {
            snapshot.nodes.insert(node.name.clone(), node.clone());
        }
        Object::Namespace(namespace) => {
            snapshot.namespaces.insert(namespace.name.clone(), namespace.clone());
        }
        Object::Pod(pod) => {
            snapshot.pods.insert((pod.namespace.clone(), pod.name.clone()), pod.clone());
        }
        Object::Service(service) => {
            let key = (service.namespace.clone(), service.name.clone());
            snapshot.services.insert(key, service.clone());
        }
        Object::Pool(..) | Object::Claim(..) | Object::ClusterClaim(..) => {}
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
        snapshot.namespaces.entry(name.clone()).or_insert_with(|| {
            manifest::labelled_namespace(name.as_str().to_owned(), Default::default())
        });
    }
}

fn broken(files: &Files, present: &Present<'_>) -> Vec<Broken> {
    let mut broken = files.unreadable.clone();
    for (path, file) in &files.manifests {
        broken.extend(file.faults.iter().map(|fault| fault.broken(path)));
    }
    for (path, file) in &files.own {
        if let Some(message) = &file.fault {
            broken.push(Broken { place: path.clone(), message: message.clone() });
        }
    }
    for (place, key, first) in &present.duplicates {
        let message = format!("{key} is in {first} already, which counts: remove one of them");
        broken.push(Broken { place: place.clone(), message });
    }
    for key in present.objects.keys() {
        let ObjectKey::Pod(namespace, name) = key else { continue };
        if let Some((path, line, Object::Pod(pod))) = present.objects.get(key)
            && pod.host_network
            && pod.sources.iter().any(|source| source.prefix_len() != source.max_prefix_len())
        {
            let message = format!(
                "Pod {namespace}/{name} is on the host's network and has ranges of workloads \
                 ({}): remove one of the two",
                manifest::CIDR_ANNOTATION
            );
            broken.push(Broken { place: format!("{path}:{line}"), message });
        }
    }
    broken.sort();
    broken.dedup();
    broken
}
