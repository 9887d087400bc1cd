//! Compute Engine, as the controller connects to it.

use std::sync::Arc;

use egret_core::model::ProviderKind;
use egret_ports::provider::{BoxFuture, Cloud, DynProvider, Inventory};
use tokio::sync::watch;

use crate::alias_range::AliasRanges;
use crate::ha_policy::HaPolicy;
use crate::mode::DeliveryMode;
use crate::target_instance::TargetInstances;
use crate::{Gcp, GcpOptions};

/// The cloud of pools with `provider: GCP` and one mode.
#[derive(Clone, Debug)]
pub struct GcpCloud {
    mode: &'static dyn DeliveryMode,
    options: GcpOptions,
}

impl GcpCloud {
    /// Pools of mode `HAPolicy`. Nothing is called before there is one.
    #[must_use]
    pub fn ha_policy(options: GcpOptions) -> Self {
        Self { mode: &HaPolicy, options }
    }

    /// Pools of mode `TargetInstance`. Nothing is called before there is one.
    #[must_use]
    pub fn target_instance(options: GcpOptions) -> Self {
        Self { mode: &TargetInstances, options }
    }

    /// Pools of mode `AliasRange`. Nothing is called before there is one.
    #[must_use]
    pub fn alias_range(options: GcpOptions) -> Self {
        Self { mode: &AliasRanges, options }
    }
}

impl Cloud for GcpCloud {
    fn kind(&self) -> ProviderKind {
        self.mode.kind()
    }

    fn connect(
        &self,
        inventory: watch::Receiver<Arc<Inventory>>,
    ) -> BoxFuture<'_, Arc<dyn DynProvider>> {
        Box::pin(async move {
            let gcp = Gcp::new(self.mode, self.options.clone(), inventory);
            let provider: Arc<dyn DynProvider> = Arc::new(gcp);
            provider
        })
    }
}
