//! EC2, as the controller connects to it.

use std::sync::Arc;

use egret_core::model::ProviderKind;
use egret_ports::provider::{BoxFuture, Cloud, DynProvider, Inventory};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::{Aws, AwsOptions, CallMetrics};

/// The cloud of pools with `provider: AWS`.
#[derive(Clone, Debug)]
pub struct AwsCloud {
    options: AwsOptions,
    calls: CallMetrics,
}

impl AwsCloud {
    /// Its calls are counted in `registry`.
    #[must_use]
    pub fn new(options: AwsOptions, registry: &mut Registry) -> Self {
        let calls = CallMetrics::default();
        calls.register(registry);
        Self { options, calls }
    }
}

impl Cloud for AwsCloud {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Aws
    }

    fn connect(
        &self,
        inventory: watch::Receiver<Arc<Inventory>>,
    ) -> BoxFuture<'_, Arc<dyn DynProvider>> {
        Box::pin(async move {
            let aws = Aws::new(self.options.clone(), inventory, self.calls.clone()).await;
            let provider: Arc<dyn DynProvider> = Arc::new(aws);
            provider
        })
    }
}
