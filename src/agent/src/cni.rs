//! The agent's side of the chained CNI plugin (`egret-cni`), which tells a pod's addresses before
//! its containers start; the API shows them up to a second later.
//!
//! State: addresses that the API does not show yet ([`early`]), kept by the main loop alone; the
//! plugin's file and its entry in the host's CNI configuration ([`install`]). Always: an address
//! belongs to whom the CNI gave it last; the plugin's file is there while a configuration names it.

mod conflist;
mod early;
mod install;
mod listener;

pub use install::{CniError, remove};

pub(crate) use early::{Early, PodKey};
pub(crate) use install::{Installation, Places};
pub(crate) use listener::{Arrival, listen};
