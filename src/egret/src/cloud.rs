//! The clouds of this build.

use std::sync::Arc;

use egret_controller::CloudSet;
use egret_ports::error::PortError;
use egret_ports::provider::Cloud;
use egret_runtime::prometheus_client::registry::Registry;

mod args;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "gcp")]
mod gcp;

pub(crate) use args::CloudArgs;

/// A cloud as the flags say; what it counts is in the registry.
type Connect = fn(&CloudArgs, &mut Registry) -> Arc<dyn Cloud>;

/// How each cloud of this build is connected to: a line for each provider, and for
/// each mode of one.
const CONNECT: &[Connect] = &[
    #[cfg(feature = "aws")]
    aws::connect,
    #[cfg(feature = "gcp")]
    gcp::ha_policy,
    #[cfg(feature = "gcp")]
    gcp::target_instance,
    #[cfg(feature = "gcp")]
    gcp::alias_range,
];

/// The clouds of this build, as the flags say; what they count is in `registry`.
pub(crate) fn connect(args: &CloudArgs, registry: &mut Registry) -> Result<CloudSet, PortError> {
    CloudSet::new(CONNECT.iter().map(|connect| connect(args, registry)))
}
