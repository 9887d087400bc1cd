use std::sync::Arc;
use std::time::Duration;

use egret_ports::provider::Cloud;
use egret_provider_aws::{AwsCloud, AwsOptions};
use egret_runtime::prometheus_client::registry::Registry;

use super::args::CloudArgs;

/// EC2, as the flags say.
pub(super) fn connect(args: &CloudArgs, registry: &mut Registry) -> Arc<dyn Cloud> {
    Arc::new(AwsCloud::new(options(args), registry))
}

fn options(args: &CloudArgs) -> AwsOptions {
    let default = AwsOptions::default();
    let attempt_timeout = Duration::from_millis(args.aws_call_timeout.0);
    AwsOptions {
        region: args.aws_region.clone(),
        endpoint: args.aws_endpoint.clone(),
        attempt_timeout,
        call_timeout: attempt_timeout * default.attempts,
        max_calls_per_second: args.aws_max_calls_per_second,
        interface_tags: args.aws_interface_tags.iter().cloned().collect(),
        managed_interfaces: args.aws_allow_managed_interfaces,
        ..default
    }
}
