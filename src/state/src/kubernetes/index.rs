//! Everything that was read, by object, and what each watch has shown of it.
//!
//! State: objects with the watches that show them; of each watch, up to which version all of its
//! changes are in. Written by the store's thread alone, under one lock.
//! Always: of two versions of an object the newer stays; an object goes when no watch shows it
//! any more, never because one that overlaps another has ended; what cannot be understood keeps
//! its last good value.

mod shown;
mod unreadable;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{
    ApiServerReading, EgressNode, InvalidObject, Snapshot, SnapshotScope, Uid,
};

use super::decode::{Decoded, DecodedItem};
use super::kind::{ObjectId, ResourceKind};
use crate::convert::nirmata::choose_pools;
use shown::insert;
use unreadable::{keep_pod_cidrs, note_unreadable, note_unreadable_rules};

/// A watch, as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchSource {
    pub kind: ResourceKind,
    pub selector: Selector,
}

/// Which objects of a kind a watch shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    All,
    /// The object of this name.
    Named(String),
    /// Objects that have this label.
    Labelled(&'static str),
    /// Pods of this node.
    OnNode(String),
    /// The object of this namespace and name.
    One {
        namespace: String,
        name: String,
    },
}

/// How far a source has come.
#[derive(Debug, Default)]
struct Progress {
    /// It has been listed.
    complete: bool,
    /// Every change up to this version is in the index.
    floor: Option<u64>,
    /// The API server does not know `floor` any more: its next list counts, whatever the versions.
    lost: bool,
    /// The API server does not allow it (403): what it would show is not known.
    not_allowed: bool,
}

#[derive(Debug)]
struct IndexEntry {
    uid: Uid,
    revision: Option<u64>,
    item: Option<DecodedItem>,
    fault: Option<String>,
    shown_by: BTreeSet<WatchSource>,
}

/// The index.
#[derive(Debug, Default)]
pub struct Index {
    objects: BTreeMap<ObjectId, IndexEntry>,
    sources: BTreeMap<WatchSource, Progress>,
    /// Grows with every change of what a snapshot shows.
    changes: u64,
}

impl Index {
    /// Grows with every change of what a snapshot shows.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether all of these have been listed.
    pub fn is_complete<'a>(&self, sources: impl IntoIterator<Item = &'a WatchSource>) -> bool {
        let listed = |source| self.sources.get(source).is_some_and(|progress| progress.complete);
        sources.into_iter().all(listed)
    }

    /// The version from which `source` goes on, where it has been listed.
    pub fn floor(&self, source: &WatchSource) -> Option<u64> {
        self.sources.get(source).filter(|progress| progress.complete)?.floor
    }

    /// An object was made or changed. What the index is past already changes nothing.
    pub fn apply(&mut self, source: &WatchSource, decoded: Decoded) {
        if self.is_past(source, decoded.revision) {
            return;
        }
        self.advance(source, decoded.revision);
        self.put(Some(source), decoded);
    }

    /// An object is gone, or no longer selected.
    pub fn delete(&mut self, source: &WatchSource, id: &ObjectId, revision: Option<u64>) {
        if self.is_past(source, revision) {
            return;
        }
        self.advance(source, revision);
        self.hide(source, id);
    }

    /// Nothing of `source` has changed up to `revision`.
    pub fn bookmark(&mut self, source: &WatchSource, revision: Option<u64>) {
        if !self.is_past(source, revision) {
            self.advance(source, revision);
        }
    }

    /// Everything that `source` shows at `revision`; what it showed before and is not here is
    /// gone. A list that is older than what its watch has shown since changes nothing.
    pub fn reset(&mut self, source: &WatchSource, live: Vec<Decoded>, revision: Option<u64>) {
        let progress = self.sources.entry(source.clone()).or_default();
        if progress.complete && not_after(revision, progress.floor) {
            return;
        }
        let lost = std::mem::take(&mut progress.lost);
        self.changes += u64::from(std::mem::take(&mut progress.not_allowed));
        progress.complete = true;
        progress.floor = revision;
        if lost {
            self.unorder(source);
        }
        let present: BTreeSet<ObjectId> = live.iter().map(|decoded| decoded.id.clone()).collect();
        for decoded in live {
            self.put(Some(source), decoded);
        }
        let of_kind = self.objects.iter().filter(|(id, _)| id.kind == source.kind);
        let absent = of_kind.filter(|(id, entry)| {
            // A process's own write may be newer than the list, and nobody's watch shows it yet.
            let own = entry.shown_by.is_empty() && not_after(entry.revision, revision);
            !present.contains(*id) && (own || entry.shown_by.contains(source))
        });
        let absent: Vec<ObjectId> = absent.map(|(id, _)| id.clone()).collect();
        for id in absent {
            self.hide(source, &id);
        }
    }

    /// Nothing of `source` can be read, and what it showed is not shown any more; whether for want of the
    /// right to.
    pub fn withhold(&mut self, source: &WatchSource, not_allowed: bool) {
        if not_allowed && self.sources.get(source).is_some_and(|progress| progress.not_allowed) {
            return;
        }
        self.reset(source, Vec::new(), None);
        if not_allowed {
            self.sources.entry(source.clone()).or_default().not_allowed = true;
            self.changes += 1;
        }
    }

    /// The API server has no history from where `source` stands: it must be listed anew.
    pub fn lose(&mut self, source: &WatchSource) {
        if let Some(progress) = self.sources.get_mut(source) {
            progress.floor = None;
            progress.lost = true;
        }
    }

    /// After a restored backup versions begin again below those that were seen.
    fn unorder(&mut self, source: &WatchSource) {
        for entry in self.objects.values_mut() {
            if entry.shown_by.contains(source) {
                entry.revision = None;
            }
        }
    }

    /// What the API server answered to a write of this process: shown at once, and not when the
    /// watch brings it. Where the watches are past it already, it is old.
    pub fn written(&mut self, decoded: Decoded) {
        let of_kind = self.sources.iter().filter(|(source, _)| source.kind == decoded.id.kind);
        let past = of_kind.filter(|(_, progress)| progress.complete).any(|(_, progress)| {
            decoded.revision.is_none() || not_after(decoded.revision, progress.floor)
        });
        if !past {
            self.put(None, decoded);
        }
    }

    /// Forgets a source and what no other shows.
    pub fn forget(&mut self, source: &WatchSource) {
        self.sources.remove(source);
        let shown = self.objects.iter().filter(|(_, entry)| entry.shown_by.contains(source));
        let shown: Vec<ObjectId> = shown.map(|(id, _)| id.clone()).collect();
        for id in shown {
            self.hide(source, &id);
        }
    }

    fn is_past(&self, source: &WatchSource, revision: Option<u64>) -> bool {
        let progress = self.sources.get(source);
        progress.is_some_and(|progress| not_after(revision, progress.floor))
    }

    fn advance(&mut self, source: &WatchSource, revision: Option<u64>) {
        if let Some(progress) = self.sources.get_mut(source) {
            progress.floor = revision.or(progress.floor);
        }
    }

    fn put(&mut self, source: Option<&WatchSource>, decoded: Decoded) {
        let Some(entry) = self.objects.get_mut(&decoded.id) else {
            let (item, fault) = match decoded.item {
                Ok(read) => (read.item, read.fault),
                Err(fault) => (None, Some(fault)),
            };
            self.changes += u64::from(item.is_some() || fault.is_some());
            let shown_by = source.cloned().into_iter().collect();
            let entry =
                IndexEntry { uid: decoded.uid, revision: decoded.revision, item, fault, shown_by };
            self.objects.insert(decoded.id, entry);
            return;
        };
        entry.shown_by.extend(source.cloned());
        // Two watches that overlap show one version twice.
        if entry.revision == decoded.revision || !not_after(decoded.revision, entry.revision) {
            // Another object of the same name: the last good value was not its. A claim or pool that
            // is made anew is the same.
            if entry.uid != decoded.uid && !decoded.id.kind.is_known_by_name() {
                self.changes += u64::from(entry.item.is_some());
                entry.item = None;
            }
            entry.uid = decoded.uid;
            entry.revision = decoded.revision;
            let (item, fault) = match decoded.item {
                Ok(mut read) => {
                    keep_pod_cidrs(&mut read.item, &entry.item);
                    (read.item, read.fault)
                }
                Err(fault) => (entry.item.clone(), Some(fault)),
            };
            if entry.item != item || entry.fault != fault {
                (entry.item, entry.fault) = (item, fault);
                self.changes += 1;
            }
        }
    }

    fn hide(&mut self, source: &WatchSource, id: &ObjectId) {
        let Some(entry) = self.objects.get_mut(id) else { return };
        entry.shown_by.remove(source);
        if entry.shown_by.is_empty() {
            self.changes += u64::from(entry.item.is_some() || entry.fault.is_some());
            self.objects.remove(id);
        }
    }

    /// `metadata.uid` of an object that is known.
    pub fn uid(&self, id: &ObjectId) -> Option<&Uid> {
        self.objects.get(id).map(|entry| &entry.uid)
    }

    /// Whether there is such an object, understood or not.
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.objects.contains_key(id)
    }

    /// The address by which other nodes reach this one; `None` where it is not known.
    pub fn address_of(&self, node: &str) -> Option<IpAddr> {
        let item = |kind| self.objects.get(&ObjectId::cluster(kind, node))?.item.as_ref();
        let reported = match item(ResourceKind::EgressNode) {
            Some(DecodedItem::EgressNode(stored)) => stored.value.status.endpoints.first().copied(),
            _ => None,
        };
        reported.or_else(|| match item(ResourceKind::Node) {
            Some(DecodedItem::Node(node)) => node.addresses.first().copied(),
            _ => None,
        })
    }

    /// The nodes without an agent, in order of name: it has never written an `EgressNode`, or the controller
    /// has written there that it is away.
    pub fn without_agent(&self) -> impl Iterator<Item = String> {
        let nodes = self.objects.keys().filter(|id| id.kind == ResourceKind::Node);
        nodes.map(|id| id.name.clone()).filter(|name| {
            let id = ObjectId::cluster(ResourceKind::EgressNode, name.as_str());
            match self.objects.get(&id).map(|entry| &entry.item) {
                None => true,
                Some(Some(DecodedItem::EgressNode(stored))) => {
                    stored.value.status.agent_absent().is_some()
                }
                Some(_) => false,
            }
        })
    }

    /// The greatest fence or epoch of a port block that any object names.
    pub fn greatest_number(&self) -> u64 {
        let items = self.objects.values().filter_map(|entry| entry.item.as_ref());
        let greatest = items.map(|item| match item {
            DecodedItem::Address(stored) => stored.value.plan.fence,
            DecodedItem::EgressNode(stored) => {
                let EgressNode { spec, status, .. } = &stored.value;
                let granted = spec.blocks.iter().flat_map(|block| [Some(block.epoch), block.ended]);
                let fences = status.acknowledged_fences.values().copied();
                let numbers = granted.flatten().chain(fences).chain([status.acknowledged_blocks]);
                numbers.max().unwrap_or(0)
            }
            _ => 0,
        });
        greatest.max().unwrap_or(0)
    }

    /// Whether others need to know this node; `false` where its `EgressNode` is not known.
    pub fn has_roles(&self, node: &str) -> bool {
        let id = ObjectId::cluster(ResourceKind::EgressNode, node);
        match self.objects.get(&id).and_then(|entry| entry.item.as_ref()) {
            Some(DecodedItem::EgressNode(stored)) => !stored.value.spec.roles.is_empty(),
            _ => false,
        }
    }

    /// Why the addresses of the API servers are not known, where no object says them.
    fn api_servers_unread(&self) -> ApiServerReading {
        let mut sources = self.sources.iter();
        match sources.find(|(source, _)| source.kind == ResourceKind::EndpointSlice) {
            None => ApiServerReading::NotAsked,
            Some((_, progress)) if progress.not_allowed => ApiServerReading::NotAllowed,
            Some(_) => ApiServerReading::Missing,
        }
    }

    /// The snapshot that all this makes.
    pub fn snapshot(&self, scope: SnapshotScope) -> Snapshot {
        let mut snapshot = Snapshot { scope, ..Snapshot::default() };
        snapshot.discovered.api_servers = self.api_servers_unread();
        for (id, entry) in &self.objects {
            if let Some(item) = &entry.item {
                insert(&mut snapshot, item);
            }
            if entry.fault.is_some() {
                note_unreadable(&mut snapshot, id, entry.item.is_some());
            }
            if let Some(message) = &entry.fault {
                let (place, message) = (id.to_string(), message.clone());
                snapshot.invalid_objects.push(InvalidObject { place, message });
            }
        }
        let unread =
            self.objects.iter().filter(|(_, entry)| entry.fault.is_some() && entry.item.is_none());
        note_unreadable_rules(&mut snapshot, unread.map(|(id, _)| id));
        choose_pools(&mut snapshot);
        snapshot.invalid_objects.sort();
        snapshot
    }
}

/// Whether `one` is known to be no newer than `other`.
fn not_after(one: Option<u64>, other: Option<u64>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one <= other)
}

#[cfg(test)]
mod tests;
