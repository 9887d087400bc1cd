//! The provider: reads, writes the difference, reads again until it sees it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Capabilities, Observed, Prepared, Provider};

use crate::cloud::Cloud;

/// Reads after a write before the change counts as not seen.
const READS: usize = 16;
/// Time between them.
const PAUSE: Duration = Duration::from_millis(20);

/// A provider of a [`Cloud`]. Writes are serialised, as a real one serialises them per NIC.
#[derive(Debug)]
pub struct Fake {
    cloud: Cloud,
    writing: tokio::sync::Mutex<()>,
    /// Addresses that a write was begun for and whose effect was not seen: what a lagging read
    /// says of them proves nothing, so they are written again even where it looks right.
    unsettled: Mutex<BTreeSet<IpAddr>>,
}

impl Fake {
    /// A provider of `cloud`; several of one cloud are several processes.
    #[must_use]
    pub fn new(cloud: Cloud) -> Self {
        Self { cloud, writing: tokio::sync::Mutex::default(), unsettled: Mutex::default() }
    }

    async fn read(&self, address: IpAddr) -> Result<Option<Attachment>, PortError> {
        let observed = self.cloud.describe(&[address].into(), &BTreeSet::new()).await;
        observed.map(|mut observed| observed.attachments.remove(&address))
    }

    fn begin(&self, address: IpAddr) {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
    }

    fn is_unsettled(&self, address: IpAddr) -> bool {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }

    /// Reads until what is seen is `wanted`.
    async fn settle(
        &self,
        address: IpAddr,
        operation: &str,
        wanted: impl Fn(Option<&Attachment>) -> bool,
    ) -> Result<Option<Attachment>, PortError> {
        for _ in 0..READS {
            let seen = self.read(address).await?;
            if wanted(seen.as_ref()) {
                self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
                return Ok(seen);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(PortError::new(ErrorClass::Transient, operation, "the change is not seen yet"))
    }
}

impl Provider for Fake {
    fn capabilities(&self) -> Capabilities {
        Capabilities { fabric_is_fence: true, announces: false }
    }

    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observed, PortError> {
        self.cloud.describe(addresses, nodes).await
    }

    async fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<Prepared, PortError> {
        let mut prepared = Prepared::new();
        for address in addresses {
            prepared.insert(*address, self.cloud.ready(*address, node).await);
        }
        Ok(prepared)
    }

    async fn attach(&self, address: IpAddr, node: &NodeName) -> Result<Attachment, PortError> {
        let _one_at_a_time = self.writing.lock().await;
        let here = |seen: Option<&Attachment>| seen.is_some_and(|seen| seen.node == *node);
        if !self.is_unsettled(address)
            && let Some(seen) = self.read(address).await?.filter(|seen| here(Some(seen)))
        {
            return Ok(seen);
        }
        self.begin(address);
        self.cloud.assign(address, node).await?;
        let operation = format!("see {address} at {node}");
        let seen = self.settle(address, &operation, here).await?;
        seen.ok_or_else(|| PortError::new(ErrorClass::Transient, operation, "not seen"))
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
        let _one_at_a_time = self.writing.lock().await;
        let elsewhere = |seen: Option<&Attachment>| seen.is_none_or(|seen| seen.node != *node);
        if !self.is_unsettled(address) && elsewhere(self.read(address).await?.as_ref()) {
            return Ok(());
        }
        self.begin(address);
        match self.cloud.unassign(address, node).await {
            Ok(()) => {}
            Err(error) if error.class == ErrorClass::NotFound => {}
            Err(error) => return Err(error),
        }
        let operation = format!("see {address} gone from {node}");
        self.settle(address, &operation, elsewhere).await.map(drop)
    }
}

#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod tests;
