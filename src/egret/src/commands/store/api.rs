use anyhow::Context as _;
use egret_state::kubernetes::{Connection, KubernetesOptions, KubernetesState, WatchScope};

use crate::args::KubernetesArgs;

/// The Kubernetes API.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// How to reach it.
    connection: Connection,
    /// Where Egret is installed.
    system_namespace: String,
}

impl KubernetesArgs {
    pub(super) fn api(&self) -> Api {
        let connection =
            Connection { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        Api { connection, system_namespace: self.system_namespace.clone() }
    }
}

impl Api {
    /// A state over the API.
    pub(crate) fn open(&self, scope: WatchScope) -> anyhow::Result<KubernetesState> {
        let options = KubernetesOptions {
            system_namespace: self.system_namespace.clone(),
            ..KubernetesOptions::new(self.connection.clone(), scope)
        };
        KubernetesState::open(options).context("cannot reach the Kubernetes API")
    }
}
