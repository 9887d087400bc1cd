//! Statuses that the store has taken and does not show as they were written: a definition that is
//! older than this agent prunes the fields that it does not know. The write is not missing then, and
//! would be found so in every turn.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::model::{NodeName, ResourceVersion, Snapshot};
use egret_ports::cluster_state::Write;

/// What was taken last of each object.
#[derive(Debug, Default)]
pub(crate) struct AcceptedWrites {
    by_object: BTreeMap<StatusOf, AcceptedWrite>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StatusOf {
    Node(NodeName),
    Address(IpAddr),
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
        let kept = writes.into_iter().filter_map(|write| Some((status_of(&write)?, write)));
        let kept = kept.map(|(of, write)| (of, AcceptedWrite { write, shown: None }));
        self.by_object.extend(kept);
    }

    /// Everything counts as missing again: the definition may be newer by now.
    pub(crate) fn forget(&mut self) {
        self.by_object.clear();
    }

    /// Whether a status that differs from what the store shows is to be written. Not where the store has
    /// taken just this, and nobody has changed the object since.
    pub(crate) fn is_missing(&mut self, write: &Write, snapshot: &Snapshot) -> bool {
        let Some(of) = status_of(write) else { return true };
        let version = match &of {
            StatusOf::Node(node) => snapshot.egress_nodes.get(node).map(|node| &node.version),
            StatusOf::Address(address) => {
                snapshot.addresses.get(address).map(|stored| &stored.version)
            }
        };
        let Some(accepted) = self.by_object.get_mut(&of) else { return true };
        let shown = accepted.shown.get_or_insert_with(|| version.cloned());
        !is_same(&accepted.write, write) || shown.as_ref() != version
    }
}

fn status_of(write: &Write) -> Option<StatusOf> {
    match write {
        Write::NodeStatus { node, .. } => Some(StatusOf::Node(node.clone())),
        Write::AddressStatus { address, .. } => Some(StatusOf::Address(*address)),
        _ => None,
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
    use egret_core::model::{EgressNode, EgressNodeSpec, EgressNodeStatus, Stored};

    use super::*;

    /// The store's object of `me` at this version, with all that an old definition knows of a status.
    fn snapshot(version: &str) -> Snapshot {
        let (spec, status) = (EgressNodeSpec::default(), EgressNodeStatus::default());
        let value = EgressNode { name: "me".into(), spec, status, deleting: false };
        let version = ResourceVersion(version.to_owned());
        let mut snapshot = Snapshot::default();
        snapshot.egress_nodes.insert("me".into(), Stored { version, value });
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
                if accepted.is_missing(&write(true), &snapshot(version)) {
                    writes += 1;
                    accepted.note(vec![write(true)]);
                }
            }
            writes
        };
        assert_eq!(turns(&["1", "1", "1"]), 1);
        // The watch shows what the write has made, once; a write that changes nothing makes no version.
        assert_eq!(turns(&["2", "2", "2", "2"]), 1);
        assert_eq!(turns(&["3", "3"]), 1, "somebody else has written");
        assert!(accepted.is_missing(&write(false), &snapshot("3")), "it has changed");
        accepted.forget();
        assert!(accepted.is_missing(&write(true), &snapshot("3")));
    }
}
