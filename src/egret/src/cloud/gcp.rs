use std::sync::Arc;
use std::time::Duration;

use egret_ports::provider::Cloud;
use egret_provider_gcp::{GcpCloud, GcpOptions};
use egret_runtime::prometheus_client::registry::Registry;

use super::args::CloudArgs;

/// Compute Engine, as the flags say.
pub(super) fn connect(args: &CloudArgs, _: &mut Registry) -> Arc<dyn Cloud> {
    Arc::new(GcpCloud::new(GcpOptions {
        endpoint: args.gcp_endpoint.clone(),
        call_timeout: Duration::from_millis(args.gcp_call_timeout.0),
        ..GcpOptions::default()
    }))
}
