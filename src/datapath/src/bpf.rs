//! The BPF programs of a node, their maps and their pins.
//!
//! State: maps and attachments pinned under `<pin_dir>/v<LAYOUT>/`, which belong to the kernel as
//! long as they are pinned. The lease thread writes the addresses ([`AddressTable`]), the main loop
//! the rest ([`GatewayTables`], [`Loaded`]); the programs write the counters and what they remember
//! of fragments. Always: every packet finds programs and maps of one layout that agree; a dead or
//! restarted agent changes nothing; what an address may do ends with its deadline whoever lives.
//! All functions act in the network namespace of the calling thread.

mod address_table;
mod attach;
mod block_plan;
mod codec;
mod counters;
mod error;
mod gateway_tables;
mod loader;
mod pins;
mod reasons;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use address_table::AddressTable;
pub use attach::AttachMode;
pub use error::BpfError;
pub use gateway_tables::GatewayTables;
pub use loader::{Loaded, load, teardown};
pub use reasons::Reason;

/// Version of the maps' layout. The feature `layout-next` makes the next one of the same content:
/// a build with which an upgrade across layouts can be tried.
pub const LAYOUT: u32 = if cfg!(feature = "layout-next") { 2 } else { 1 };

/// What [`load`] needs.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Egret's own directory on a BPF file system, such as `/sys/fs/bpf/egret`.
    pub pin_dir: PathBuf,
    /// [`LAYOUT`]; another one only in tests of an upgrade.
    pub layout: u32,
    /// How programs are attached.
    pub attach: AttachMode,
    /// VNI of the tunnel; the relay's is the next.
    pub vni: u32,
    /// The node's links.
    pub links: NodeLinks,
}

/// The links and addresses that the programs work on; they change while the agent runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLinks {
    /// Name of the tunnel device.
    pub tunnel: String,
    /// Names of the uplinks: Ethernet devices. Empty on a node that is no gateway.
    pub uplinks: BTreeSet<String>,
    /// Own underlay addresses, one per family at most.
    pub endpoints: Vec<IpAddr>,
    /// MTU between the nodes, in bytes: what of it is left for a packet inside the tunnel is what
    /// senders outside are told.
    pub underlay_mtu: u32,
}

/// The lease thread and the main loop each take their part with them.
const _: () = {
    const fn goes_to_a_thread<T: Send + 'static>() {}
    goes_to_a_thread::<AddressTable>();
    goes_to_a_thread::<GatewayTables>();
    goes_to_a_thread::<Loaded>();
};

/// Every counter of the programs, with what it means and what to do.
pub fn reasons() -> &'static [Reason] {
    reasons::REASONS
}

/// Packets by reason of a node whose programs are loaded: for `egret explain --live`.
///
/// # Errors
/// Where nothing is pinned under `pin_dir` for this layout, or the kernel refuses.
pub fn counters(pin_dir: &Path) -> Result<BTreeMap<&'static str, u64>, BpfError> {
    counters::read(&pins::layout_directory(pin_dir, LAYOUT))
}
