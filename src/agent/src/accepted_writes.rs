//! Statuses that the store has taken and does not show as they were written: a definition that is
//! older than this agent prunes the fields that it does not know. The write is not missing then, and
//! would be found so in every turn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{NodeName, ResourceVersion, Snapshot};
use egret_ports::cluster_state::Write;

/// What was taken last of each object.
#[derive(Debug, Default)]
pub(crate) struct AcceptedWrites {
    by_object: BTreeMap<StatusOf, AcceptedWrite>,
}

/// The object whose status it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StatusOf {
    Node(NodeName),
    Address(IpAddr),
}

impl StatusOf {
    /// `None`: the write is of no status.
    pub(crate) fn write(write: &Write) -> Option<Self> {
        match write {
            Write::NodeStatus { node, .. } => Some(Self::Node(node.clone())),
            Write::AddressStatus { address, .. } => Some(Self::Address(*address)),
            _ => None,
        }
    }

    /// The version of the object; `None`: there is none.
    pub(crate) fn version(&self, snapshot: &Snapshot) -> Option<ResourceVersion> {
        match self {
            Self::Node(node) => snapshot.egress_nodes.get(node).map(|node| node.version.clone()),
            Self::Address(address) => {
                snapshot.addresses.get(address).map(|stored| stored.version.clone())
            }
        }
    }
}

#[derive(Debug)]
struct AcceptedWrite {
    write: Write,
    /// The version of the object when the write was first found missing after that.
    shown: Option<Option<ResourceVersion>>,
}

impl AcceptedWrites {
    /// The store has taken these.
    pub(crate) fn note(&mut self, writes: Vec<Write>) {
        let kept = writes.into_iter().filter_map(|write| Some((StatusOf::write(&write)?, write)));
        let kept = kept.map(|(of, write)| (of, AcceptedWrite { write, shown: None }));
        self.by_object.extend(kept);
    }

    /// Everything counts as missing again: the definition may be newer by now.
    pub(crate) fn forget(&mut self) {
        self.by_object.clear();
    }

    /// Which of this turn's writes, all of which differ from what the store shows, are to be made. Not where
    /// the store has taken just this, and nobody has changed the object since.
    pub(crate) fn missing(&mut self, mut writes: Vec<Write>, snapshot: &Snapshot) -> Vec<Write> {
        let differ: BTreeSet<StatusOf> = writes.iter().filter_map(StatusOf::write).collect();
        // The others were shown as they were written: should they differ again, somebody has changed them.
        self.by_object.retain(|of, _| differ.contains(of));
        writes.retain(|write| self.is_missing(write, snapshot));
        writes
    }

    fn is_missing(&mut self, write: &Write, snapshot: &Snapshot) -> bool {
        let Some(of) = StatusOf::write(write) else { return true };
        let version = of.version(snapshot);
        let Some(accepted) = self.by_object.get_mut(&of) else { return true };
        let shown = accepted.shown.get_or_insert_with(|| version.clone());
        version.is_none() || !is_same(&accepted.write, write) || *shown != version
    }
}

/// Whichever version they expect.
fn is_same(one: &Write, other: &Write) -> bool {
    match (one, other) {
        (Write::AddressStatus { status: one, .. }, Write::AddressStatus { status: other, .. }) => {
            one == other
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use egret_core::model::EgressNodeStatus;

    use super::*;
    use crate::testing::put_node;

    /// The store's object of `me` at this version, with all that an old definition knows of a status.
    fn snapshot(version: &str) -> Snapshot {
        let mut snapshot = Snapshot::default();
        put_node(&mut snapshot, "me", EgressNodeStatus::default());
        let me = snapshot.egress_nodes.get_mut(&"me".into()).unwrap();
        me.version = ResourceVersion(version.to_owned());
        snapshot
    }

    fn write(stopping: bool) -> Write {
        let status = EgressNodeStatus { stopping, ..EgressNodeStatus::default() };
        Write::NodeStatus { node: "me".into(), status }
    }

    #[test]
    fn what_a_definition_prunes_is_not_written_in_every_turn() {
        let mut accepted = AcceptedWrites::default();
        let mut turns = |versions: &[&str]| {
            let mut writes = 0;
            for version in versions {
                let made = accepted.missing(vec![write(true)], &snapshot(version));
                writes += made.len();
                accepted.note(made);
            }
            writes
        };
        assert_eq!(turns(&["1", "1", "1"]), 1);
        // The watch shows what the write has made, once; a write that changes nothing makes no version.
        assert_eq!(turns(&["2", "2", "2", "2"]), 1);
        assert_eq!(turns(&["3", "3"]), 1, "somebody else has written");
        let one = |write: Write| vec![write];
        assert_eq!(accepted.missing(one(write(false)), &snapshot("3")).len(), 1, "it has changed");
        accepted.forget();
        assert_eq!(accepted.missing(one(write(true)), &snapshot("3")).len(), 1);
    }

    #[test]
    fn what_was_shown_once_and_is_taken_away_is_written_again() {
        let mut accepted = AcceptedWrites::default();
        accepted.note(vec![write(true)]);
        assert_eq!(accepted.missing(Vec::new(), &snapshot("2")), [], "it is there");
        assert_eq!(accepted.missing(vec![write(true)], &snapshot("3")), [write(true)], "reverted");
        accepted.note(vec![write(true)]);
        let deleted = Snapshot::default();
        assert_eq!(accepted.missing(vec![write(true)], &deleted), [write(true)]);
        accepted.note(vec![write(true)]);
        assert_eq!(accepted.missing(vec![write(true)], &deleted), [write(true)], "still");
    }
}
