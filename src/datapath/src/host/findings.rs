use std::collections::BTreeSet;

use egret_ports::steering::Collision;

use crate::packet_mark::MarkMatch;

/// What [`super::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFindings {
    /// Others that use what Egret takes.
    pub collisions: BTreeSet<Collision>,
    /// What nftables and iptables match packets' marks with, as far as it can be read: sets by name, BPF
    /// and XFRM cannot.
    pub marks: Vec<MarkMatch>,
}
