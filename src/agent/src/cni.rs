//! The agent's side of the chained CNI plugin (`egret-cni`), which tells a pod's addresses before
//! its containers start; the API shows them up to a second later.
//!
//! State: addresses that the API does not show yet ([`pod_cache`]) and plugins that wait for their
//! answer ([`pod_arrivals`]), both the main loop's alone; the
//! plugin's file and its entry in the host's CNI configuration ([`install`]). Always: an address
//! belongs to whom the CNI gave it last; the plugin's file is there while a configuration names it.

mod conflist;
mod install;
mod installed_plugin;
mod listener;
mod pod_arrivals;
mod pod_cache;

pub(crate) use install::is_named;
pub use install::{PluginInstallError, remove};

pub(crate) use installed_plugin::InstalledPlugin;
pub(crate) use listener::{PodArrival, listen};
pub(crate) use pod_arrivals::{AddedPod, PodArrivals};
