//! Compute Engine, as the controller connects to it.

use std::sync::Arc;

use egret_core::model::ProviderKind;
use egret_ports::provider::{BoxFuture, Cloud, DynProvider, Inventory};
use tokio::sync::watch;

use crate::{Gcp, GcpOptions};

/// The cloud of pools with `provider: GCP`.
#[derive(Clone, Debug)]
pub struct GcpCloud {
    options: GcpOptions,
}

impl GcpCloud {
    /// Nothing is called before there is a pool.
    #[must_use]
    pub fn new(options: GcpOptions) -> Self {
        Self { options }
    }
}

impl Cloud for GcpCloud {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Gcp
    }

    fn connect(
        &self,
        inventory: watch::Receiver<Arc<Inventory>>,
    ) -> BoxFuture<'_, Arc<dyn DynProvider>> {
        Box::pin(async move {
            let provider: Arc<dyn DynProvider> =
                Arc::new(Gcp::new(self.options.clone(), inventory));
            provider
        })
    }
}
