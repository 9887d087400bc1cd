//! Writes of the cluster object that the store has taken and does not show as they were written, or has no
//! place for: a definition that is older than this controller prunes the fields that it does not know. They
//! are not missing then, and would be planned in every turn.

use egret_core::model::{
    Cluster, ClusterStatus, Millis, ResourceVersion, Snapshot, Timestamp, Write,
};

/// The definition may be newer by then.
const FORGOTTEN_AFTER: Millis = Millis::from_secs(600);

/// What was written last, and the version of the object since then.
#[derive(Debug, Default)]
pub(crate) struct ClusterWrites {
    object: Option<(Cluster, ResourceVersion, Timestamp)>,
    status: Option<(ClusterStatus, ResourceVersion, Timestamp)>,
}

impl ClusterWrites {
    /// Whether the store has had just this write, and nobody has changed the object since.
    pub(crate) fn are_done(&self, write: &Write, snapshot: &Snapshot, now: Timestamp) -> bool {
        let Some(stored) = &snapshot.cluster else { return false };
        let lasts = |version: &ResourceVersion, at: &Timestamp| {
            *version == stored.version && now.since(*at) < FORGOTTEN_AFTER
        };
        match write {
            Write::Cluster { cluster, .. } => self
                .object
                .as_ref()
                .is_some_and(|(last, version, at)| last == cluster && lasts(version, at)),
            Write::ClusterStatus { status } => self
                .status
                .as_ref()
                .is_some_and(|(last, version, at)| last == status && lasts(version, at)),
            _ => false,
        }
    }

    /// The object has this version since the write.
    pub(crate) fn note(&mut self, write: &Write, version: &ResourceVersion, now: Timestamp) {
        match write {
            Write::Cluster { cluster, .. } => {
                self.object = Some((cluster.clone(), version.clone(), now));
            }
            Write::ClusterStatus { status } => {
                self.status = Some((status.clone(), version.clone(), now));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use egret_core::model::{ClusterRanges, Stored};

    use super::*;

    fn version(text: &str) -> ResourceVersion {
        ResourceVersion(text.to_owned())
    }

    fn cluster() -> Cluster {
        Cluster {
            id: "one".into(),
            set: None,
            t_max: Millis::from_secs(10),
            ranges: ClusterRanges::default(),
            uninstalling: false,
        }
    }

    #[test]
    fn what_a_definition_prunes_is_written_once_until_somebody_changes_the_object() {
        let (now, mut writes) = (Timestamp(1_000_000), ClusterWrites::default());
        let shown = |text: &str| Snapshot {
            cluster: Some(Stored { value: cluster(), version: version(text) }),
            ..Snapshot::default()
        };
        let full = Cluster { uninstalling: true, ..cluster() };
        let write = Write::Cluster { expect: Some(version("1")), cluster: full };
        let status = Write::ClusterStatus { status: ClusterStatus::default() };
        assert!(!writes.are_done(&write, &shown("1"), now));
        writes.note(&write, &version("1"), now);
        assert!(writes.are_done(&write, &shown("1"), now));
        assert!(!writes.are_done(&status, &shown("1"), now), "another write");
        assert!(!writes.are_done(&write, &shown("2"), now), "somebody has changed it");
        let other = Write::Cluster { expect: Some(version("1")), cluster: cluster() };
        assert!(!writes.are_done(&other, &shown("1"), now), "something else is wanted");
        assert!(!writes.are_done(&write, &shown("1"), now + FORGOTTEN_AFTER));
        writes.note(&status, &version("1"), now);
        assert!(writes.are_done(&status, &shown("1"), now));
    }
}
