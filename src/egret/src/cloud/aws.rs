use std::sync::Arc;
use std::time::Duration;

use egret_controller::Cloud;
use egret_core::model::ProviderKind;
use egret_ports::provider::Inventory;
use egret_provider_aws::{Aws, Calls, Options};
use egret_runtime::prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::CloudArgs;

/// EC2, as the flags say.
#[derive(Clone, Debug)]
pub(crate) struct AwsCloud {
    options: Options,
    calls: Calls,
}

impl Cloud for AwsCloud {
    type Provider = Aws;

    fn kind(&self) -> ProviderKind {
        ProviderKind::Aws
    }

    async fn connect(&self, inventory: watch::Receiver<Arc<Inventory>>) -> Aws {
        Aws::new(self.options.clone(), inventory, self.calls.clone()).await
    }
}

impl CloudArgs {
    /// The cloud of this build; its calls are counted in `registry`.
    pub(crate) fn connect(&self, registry: &mut Registry) -> Option<Arc<AwsCloud>> {
        let calls = Calls::default();
        calls.register(registry);
        Some(Arc::new(AwsCloud { options: self.options(), calls }))
    }

    fn options(&self) -> Options {
        let default = Options::default();
        let attempt_timeout = Duration::from_millis(self.aws_call_timeout.0);
        Options {
            region: self.aws_region.clone(),
            endpoint: self.aws_endpoint.clone(),
            attempt_timeout,
            call_timeout: attempt_timeout * default.attempts,
            max_calls_per_second: self.aws_max_calls_per_second,
            interface_tags: self.aws_interface_tags.iter().cloned().collect(),
            managed_interfaces: self.aws_allow_managed_interfaces,
            ..default
        }
    }
}
