//! The links of a node, by what programs run on them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::attach::ProgramPlace;

/// The links and addresses that the programs work on; they change while the agent runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLinks {
    /// Name of the tunnel device.
    pub tunnel: String,
    /// Names of the uplinks: Ethernet devices. Empty on a node that is no gateway.
    pub uplinks: BTreeSet<String>,
    /// Names of the other links to the outside, which carry nothing: no pod's packet that a claim selects leaves there
    /// past netfilter. `None` while they are not known: what is attached to some stays.
    pub guarded: Option<BTreeSet<String>>,
    /// Own underlay addresses, one per family at most.
    pub endpoints: Vec<IpAddr>,
    /// MTU between the nodes, in bytes: what of it is left for a packet inside the tunnel is what
    /// senders outside are told.
    pub underlay_mtu: u32,
}

impl NodeLinks {
    /// Guarded, and nothing else.
    pub(crate) fn guarded_alone(&self) -> BTreeSet<String> {
        self.guarded
            .iter()
            .flatten()
            .filter(|name| !self.uplinks.contains(*name))
            .cloned()
            .collect()
    }

    pub(crate) fn of(&self, place: ProgramPlace) -> BTreeSet<String> {
        match place {
            ProgramPlace::Tunnel => BTreeSet::from([self.tunnel.clone()]),
            ProgramPlace::Uplinks => self.uplinks.clone(),
            ProgramPlace::Guarded => self.guarded_alone(),
        }
    }
}
