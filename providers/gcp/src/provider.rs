//! The provider.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use egret_core::model::{Attachment, Labels, NodeName, ProviderKind};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Accepted, ByAddress, Inventory, Observation, Provider};
use google_cloud_auth::credentials::{Builder, Credentials};
use tokio::sync::{OnceCell, watch};
use tracing::debug;

use crate::compute::{Compute, install_tls};
use crate::driver::GceDriver;
use crate::inputs::GceInputs;
use crate::mode::DeliveryMode;
use crate::options::GcpOptions;
use crate::refusal::GceRefusal;
use crate::snapshot::StaticAddress;
use crate::step::GceStep;

/// The provider of addresses of Google Cloud, for pools of one mode.
#[derive(Debug)]
pub struct Gcp {
    mode: &'static dyn DeliveryMode,
    options: GcpOptions,
    inventory: watch::Receiver<Arc<Inventory>>,
    /// Made by the first call that can: a file of credentials may come later.
    driver: OnceCell<GceDriver>,
}

impl Gcp {
    /// Calls nothing yet. Credentials are Google's default ones: the file that
    /// `GOOGLE_APPLICATION_CREDENTIALS` names (an external account or a key), else the metadata
    /// server's, which are the node's.
    #[must_use]
    pub(crate) fn new(
        mode: &'static dyn DeliveryMode,
        options: GcpOptions,
        inventory: watch::Receiver<Arc<Inventory>>,
    ) -> Self {
        Self { mode, options, inventory, driver: OnceCell::new() }
    }

    #[cfg(test)]
    pub(crate) async fn with_credentials(self, credentials: Credentials) -> Self {
        self.driver.get_or_try_init(|| self.connect(credentials)).await.expect("it connects");
        self
    }

    async fn connect(&self, credentials: Credentials) -> Result<GceDriver, PortError> {
        let compute = Compute::connect(self.options.clone(), credentials).await?;
        Ok(GceDriver::new(compute, self.mode, self.inventory.clone(), self.options.settle))
    }

    /// Takes away something that a deleted machine has left. Where that fails, nothing depends on it.
    async fn sweep(&self, driver: &GceDriver) {
        if let Err(failure) = driver.step(|inputs| self.mode.sweep(inputs)).await {
            debug!(%failure, "tried again when a gateway is made ready");
        }
    }

    async fn driver(&self) -> Result<&GceDriver, PortError> {
        let found = || async {
            install_tls();
            let credentials = Builder::default().with_scopes([SCOPE]).build();
            let remedy = |error| {
                PortError::new(
                    ErrorClass::Denied,
                    "find credentials of Google Cloud (check the file that \
                     GOOGLE_APPLICATION_CREDENTIALS names)",
                    error,
                )
            };
            self.connect(credentials.map_err(remedy)?).await
        };
        self.driver.get_or_try_init(found).await
    }
}

/// Of tokens: <https://developers.google.com/identity/protocols/oauth2/scopes#compute>.
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/compute";

impl Provider for Gcp {
    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observation, PortError> {
        let look = |inputs: &GceInputs<'_>| {
            let attached = addresses
                .iter()
                .filter_map(|address| Some((*address, self.mode.attachment(inputs, *address)?)));
            let capacities = nodes.iter().filter_map(|node| {
                Some((node.clone(), self.mode.capacity(inputs, node, addresses)?))
            });
            Observation { attachments: attached.collect(), nodes: capacities.collect() }
        };
        let observed = self.driver().await?.observe(look).await;
        observed.map_err(|failure| PortError::new(failure.class, "observe addresses", failure))
    }

    async fn discover(&self, labels: &Labels) -> Result<BTreeSet<IpAddr>, PortError> {
        const OPERATION: &str = "find static addresses by label";
        if labels.is_empty() {
            let all = "without a label that would be all of the project's: name one";
            return Err(PortError::new(ErrorClass::Invalid, OPERATION, all));
        }
        let look = |inputs: &GceInputs<'_>| {
            let labelled = |(address, all): (&IpAddr, &Vec<StaticAddress>)| {
                let has = |one: &StaticAddress| {
                    self.mode.finds(one)
                        && labels.iter().all(|(key, value)| one.labels.get(key) == Some(value))
                };
                all.iter().any(has).then_some(*address)
            };
            inputs.view.addresses.iter().filter_map(labelled).collect()
        };
        let found = self.driver().await?.observe(look).await;
        found.map_err(|failure| PortError::new(failure.class, OPERATION, failure))
    }

    fn nothing_found(&self, labels: &Labels) -> String {
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let kind = match self.mode.kind() {
            ProviderKind::GcpTargetInstance => "static external address",
            ProviderKind::GcpAliasRange => "static internal address",
            _ => "static address",
        };
        format!(
            "spec.gcp.addressLabels: no {kind} of the gateways' projects and regions has {}; reserve \
             one and label it",
            labels.join(" and ")
        )
    }

    async fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<ByAddress<Attachment>, PortError> {
        let operation = format!("make {node} ready");
        let driver = self.driver().await?;
        let decide = |inputs: &GceInputs<'_>| {
            let left_behind = matches!(self.mode.sweep(inputs), GceStep::Call(_));
            self.mode.prepare(inputs, node, addresses).map(|ready| (ready, left_behind))
        };
        let (ready, left_behind) = driver.drive(&operation, decide).await?;
        if left_behind {
            self.sweep(driver).await;
        }
        let with_operation = |(address, ready): (IpAddr, Result<Attachment, GceRefusal>)| {
            let operation = format!("make {node} ready for {address}");
            let failed =
                |refusal: GceRefusal| PortError::new(refusal.class, operation, refusal.message);
            (address, ready.map_err(failed))
        };
        Ok(ready.into_iter().map(with_operation).collect())
    }

    async fn attach(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Accepted>, PortError> {
        let mut accepted = ByAddress::new();
        for (address, attached) in self.await_attached(addresses, node).await? {
            let observed = true;
            let result = attached.map(|attachment| Accepted { attachment, observed });
            accepted.insert(address, result);
        }
        Ok(accepted)
    }

    async fn await_attached(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Attachment>, PortError> {
        let driver = self.driver().await?;
        let mut attached = ByAddress::new();
        for address in addresses {
            let operation = format!("attach {address} to {node}");
            let decide = |inputs: &GceInputs<'_>| self.mode.attach(inputs, *address, node);
            attached.insert(*address, driver.drive(&operation, decide).await);
        }
        Ok(attached)
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
        let operation = format!("detach {address} from {node}");
        let decide = |inputs: &GceInputs<'_>| self.mode.detach(inputs, address, node);
        self.driver().await?.drive(&operation, decide).await
    }
}
