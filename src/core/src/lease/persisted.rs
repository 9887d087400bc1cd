use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{BootTime, RawTime, RoundId};
use crate::model::{NodeName, VoterSet};

/// What an agent keeps across a restart of its process, and loses by a reboot (docs/leases.md,
/// rule 12).
///
/// Written whole: it is small (about 60 bytes an address), and a half of it is worse than none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PersistedLease {
    /// The boot that it was kept in: in another boot it counts as absent.
    pub boot_id: String,
    /// The cluster whose state it is; `None` before the first view.
    pub cluster: Option<String>,
    /// When the silence began.
    pub boot_grace_since: RawTime,
    /// T_max in milliseconds; 0 before the first view.
    pub t_max: u64,
    /// The silence is over and a consistent read, begun after it, has been taken in.
    pub may_grant: bool,
    /// The newest set seen.
    pub set: Option<VoterSet>,
    /// The newest set that this voter has acknowledged; 0: none.
    pub acknowledged_set: u64,
    /// The newest set that was seen before a consistent read of the fences began.
    pub fences_read_for: u64,
    /// What this voter has granted.
    pub grants: BTreeMap<IpAddr, VoterGrant>,
    /// The greatest fence known of every address.
    pub fences: BTreeMap<IpAddr, KnownFence>,
    /// The greatest epoch counter known of every address.
    pub epochs: BTreeMap<IpAddr, u64>,
    /// To whom this node has told how long its lease still runs, and when
    /// that ends: until then the other may forward, so a release must name it or wait.
    pub promised: BTreeMap<IpAddr, (NodeName, BootTime)>,
    /// What this node held, with the epoch's counter: a new process asks for it at once.
    pub held: BTreeMap<IpAddr, u64>,
    /// Of what it held, when the kernel entry ends or ended: from the kernel at the start of a process,
    /// and kept nowhere else.
    #[serde(skip)]
    pub held_until: BTreeMap<IpAddr, BootTime>,
}

/// A voter's yes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VoterGrant {
    /// To whom. After a release that named a successor: the successor.
    pub node: NodeName,
    /// The newest round granted; for a successor the first that it may release.
    pub round: RoundId,
    /// The end.
    pub until: RawTime,
    /// The fence of the newest request granted.
    pub fence: u64,
    /// The end of what was granted with a lower fence.
    pub lower_fence_until: RawTime,
    /// The set of the newest request granted.
    pub set: u64,
    /// The end of what was granted under an older set.
    pub older_set_until: RawTime,
}

/// What a voter knows of an address's fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KnownFence {
    /// The greatest read or asked with.
    pub fence: u64,
    /// The plan is gone from the store. The number stays, so that a store that lags behind cannot
    /// bring the old plan back.
    pub gone: bool,
}
