//! The BPF programs of a node, their maps and their pins.
//!
//! State: maps and attachments pinned under `<pin_dir>/v<LAYOUT>/`, which belong to the kernel as
//! long as they are pinned. The lease thread writes the addresses ([`AddressTable`]), the main loop
//! the rest ([`GatewayTables`], [`UplinkGuard`], [`Loaded`]); the programs write the counters and what they remember
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
mod node_links;
mod pins;
mod reasons;
mod uplink_guard;

pub use address_table::AddressTable;
pub use attach::AttachMode;
pub(crate) use attach::FILTER_PRIORITY;
pub(crate) use codec::key as address_key;
pub use counters::counters;
pub(crate) use counters::{neighbour_frames, probe_answers};
pub use error::BpfError;
pub use gateway_tables::GatewayTables;
pub use loader::{LoadConfig, Loaded, load, teardown};
pub use node_links::NodeLinks;
pub use pins::LAYOUT;
pub use reasons::DropReason;
pub use uplink_guard::UplinkGuard;

/// The lease thread and the main loop each take their part with them.
const _: () = {
    const fn goes_to_a_thread<T: Send + 'static>() {}
    goes_to_a_thread::<AddressTable>();
    goes_to_a_thread::<GatewayTables>();
    goes_to_a_thread::<UplinkGuard>();
    goes_to_a_thread::<Loaded>();
};

/// Every counter of the programs, with what it means and what to do.
pub fn reasons() -> &'static [DropReason] {
    reasons::REASONS
}
