use std::collections::BTreeSet;

use egret_ports::steering::Collision;

use crate::packet_mark::MarkMatch;

/// What [`super::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFindings {
    /// Others that use what Egret takes.
    pub collisions: BTreeSet<Collision>,
    /// Who overwrites whole marks of connections, and our bit with them, where our connections may pass.
    pub overwrites: BTreeSet<String>,
    /// What nftables and iptables match packets' marks with, or give to them, each once, as far as it can be read: sets by
    /// name, BPF and XFRM cannot.
    pub marks: Vec<MarkMatch>,
}
