//! The Linux datapath: links, routes, rules, SNAT, BPF programs, announcements.
//!
//! State: what Egret owns in this node's kernel, named by [`constants::HostSettings`]; the kernel holds
//! it, this crate reads it back before it writes. The agent's main loop is the one writer. Always:
//! every `ensure` writes only differences, *already so* is success, and nothing that Egret does not
//! own is touched. All functions block (microseconds for netlink, milliseconds for nft) and act in
//! the network namespace of the calling thread. docs/datapath.md has the facts of the kernel that
//! this rests on.

pub mod announce;
pub mod bpf;
pub mod conntrack;
pub mod constants;
pub mod host;
pub mod interface;
pub mod link;
pub mod link_proof;
pub mod local_address;
pub mod neighbour;
pub mod nft;
pub mod packet_mark;
pub mod probe;
pub mod repair;
pub mod route;
pub mod rule;
pub mod snat_backend;
pub mod teardown;
pub mod tunnel_probe;

mod child;
mod former;
mod netlink;
mod nft_tool;

pub use constants::HostSettings;
