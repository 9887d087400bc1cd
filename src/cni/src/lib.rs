//! The chained CNI plugin (CNI specification 1.1): on ADD it tells the agent of the node which
//! addresses the plugins before it gave to a pod, and waits until the kernel holds the pod's
//! steering config, so that the pod's first packet need not be dropped. Where nothing of Egret's is in the
//! kernel, as after a boot, it loads the guard first (`egret-guard`).
//!
//! State: none. Always: what the runtime gets back is the result of the plugins before, and it gets
//! it within twice [`PATIENCE`], whatever the agent does: no pod fails to start because of Egret, unless
//! `failClosed` asks for that and the guard cannot be loaded. Where the agent has not answered, its rules or
//! the guard drop the pod's packets that a claim might want.
#![forbid(unsafe_code)]

mod message;
mod plugin;

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

pub use message::{AgentAnswer, PodAdded};
pub use plugin::{CniError, Environment, answer, run};

/// The plugin's `type`, and so its file's name (CNI specification, section 2).
pub const TYPE: &str = "egret-cni";

/// Longest wait for the agent, and for the kernel.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Longest request, in bytes: a pod has a handful of addresses.
pub const LONGEST_REQUEST: u64 = 64 * 1024;

/// Whether a program that was called by this name (`argv[0]`) is to be the plugin.
#[must_use]
pub fn is_called(by: Option<&OsStr>) -> bool {
    by.and_then(|by| Path::new(by).file_name()).is_some_and(|name| name == TYPE)
}
