use std::sync::Arc;
use std::time::Duration;

use egret_ports::provider::Cloud;
use egret_provider_gcp::{GcpCloud, GcpOptions};
use egret_runtime::prometheus_client::registry::Registry;

use super::args::CloudArgs;

/// Pools of mode `HAPolicy`.
pub(super) fn ha_policy(args: &CloudArgs, _: &mut Registry) -> Arc<dyn Cloud> {
    Arc::new(GcpCloud::ha_policy(options(args)))
}

/// Pools of mode `TargetInstance`.
pub(super) fn target_instance(args: &CloudArgs, _: &mut Registry) -> Arc<dyn Cloud> {
    Arc::new(GcpCloud::target_instance(options(args)))
}

/// Pools of mode `AliasRange`.
pub(super) fn alias_range(args: &CloudArgs, _: &mut Registry) -> Arc<dyn Cloud> {
    Arc::new(GcpCloud::alias_range(options(args)))
}

/// Compute Engine, as the flags say.
fn options(args: &CloudArgs) -> GcpOptions {
    GcpOptions {
        endpoint: args.gcp_endpoint.clone(),
        call_timeout: Duration::from_millis(args.gcp_call_timeout.0),
        ..GcpOptions::default()
    }
}
