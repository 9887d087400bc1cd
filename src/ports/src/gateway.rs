//! The maps that the BPF programs of a node read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use egret_core::lease::{AddressState, BootTime};
use egret_core::model::PortRange;

use crate::error::PortError;

/// One egress address on one node: a director's and a gateway's view in one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressEntry {
    /// This node's part.
    pub state: AddressState,
    /// Underlay address of the holder that directors steer to and gateways relay to; this node's
    /// own where it holds. `None`: nobody; dropped and counted.
    pub holder: Option<IpAddr>,
    /// Past it the programs answer nothing, forward nothing to the world and let no announcement
    /// out. `None` where the fabric is the fence (clouds): not armed.
    pub valid_until: Option<BootTime>,
    /// What the packet carries on the uplink, where it is not the address itself.
    pub wire: Option<IpAddr>,
    /// The uplink that it is held on; `None` on a node that cannot hold it.
    pub uplink: Option<UplinkLink>,
    /// What of the address this host itself has.
    pub host: HostPart,
}

/// What of an egress address is the host's own, since it has it on an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostPart {
    /// Nothing: it is not there.
    #[default]
    Nothing,
    /// Packets that arrive for no port block. A gateway answers ARP and NDP for the address.
    Packets,
    /// All that arrives, and ARP and NDP: no gateway answers for the address.
    All,
}

/// A link to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UplinkLink {
    /// The interface's index.
    pub index: u32,
    /// Its MAC address, which ARP and NDP answers carry.
    pub mac: [u8; 6],
    /// The next hop where the routing tables may lead elsewhere than by this link.
    pub next_hop: Option<IpAddr>,
    /// Destinations that share so many leading bits with the address on the wire are neighbours, which need
    /// no next hop; 0 for none.
    pub on_link_bits: u8,
}

/// Written by the lease thread alone.
///
/// Guarantees: an address is replaced as a whole (one map write; one more for its wire address
/// where that changes), so that no packet meets half of an entry; room in the kernel is set aside
/// beforehand; blocks on nothing but the kernel; idempotent.
pub trait AddressMap {
    /// Writes one entry.
    fn put(&mut self, address: IpAddr, entry: &AddressEntry) -> Result<(), PortError>;

    /// Removes one entry; absent is success.
    fn remove(&mut self, address: IpAddr) -> Result<(), PortError>;

    /// Makes these the addresses of the node's own uplinks, which are no egress addresses: what a pod sends
    /// to one through this gateway is dropped by a name of its own, since nobody out there answers for it.
    /// Those that have an entry, also as a wire address, keep it.
    fn set_host(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), PortError>;

    /// What the kernel holds of egress addresses: for adoption after a restart.
    fn entries(&mut self) -> Result<BTreeMap<IpAddr, AddressEntry>, PortError>;
}

/// Written by the agent's feed of plans alone.
///
/// Guarantees: idempotent; only differences are written, additions before removals. On an error
/// what was written stays, and the next call writes the rest.
pub trait GatewayMaps {
    /// The port blocks of all directors that this node serves, its own among them: a director
    /// takes frames from the tunnel only for blocks that are its own here. Ports are a power of
    /// two from 128 on, aligned to their size, and no two blocks overlap: else
    /// `ErrorClass::Invalid`, and nothing is written.
    fn set_blocks(
        &mut self,
        blocks: &BTreeMap<(IpAddr, PortRange), Director>,
    ) -> Result<(), PortError>;

    /// Underlay addresses of the gateways, from which relayed frames are taken.
    fn set_gateways(&mut self, gateways: &BTreeSet<IpAddr>) -> Result<(), PortError>;

    /// Packets counted by reason, over all processors, since the maps were made.
    fn counters(&mut self) -> Result<BTreeMap<&'static str, u64>, PortError>;
}

/// Who a port block is leased to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Director {
    /// Its underlay addresses, one per family at most: frames of this block are taken from these
    /// and sent to the first of the gateway's own underlay family.
    pub endpoints: Vec<IpAddr>,
}
