//! The cloud, as a controller connects to it.

use std::sync::Arc;

use egret_core::model::ProviderKind;
use egret_ports::provider::{BoxFuture, Cloud, DynProvider, Inventory};
use tokio::sync::watch;

use crate::{FakeCloud, FakeProvider};

/// A [`FakeCloud`] that serves the pools of one kind.
#[derive(Clone, Debug)]
pub struct FakeConnection {
    /// Whose pools.
    pub kind: ProviderKind,
    /// The cloud.
    pub cloud: FakeCloud,
}

impl Cloud for FakeConnection {
    fn kind(&self) -> ProviderKind {
        self.kind
    }

    fn connect(&self, _: watch::Receiver<Arc<Inventory>>) -> BoxFuture<'_, Arc<dyn DynProvider>> {
        let provider: Arc<dyn DynProvider> = Arc::new(FakeProvider::new(self.cloud.clone()));
        Box::pin(async move { provider })
    }
}
