//! The provider: reads, writes the difference, reads again until it sees it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use egret_core::model::{Attachment, NodeName};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Accepted, ByAddress, Observation, Provider};

use crate::cloud::FakeCloud;

/// Reads after a write before the change counts as not seen.
const READS: usize = 16;
/// Time between them.
const PAUSE: Duration = Duration::from_millis(20);

/// A provider of a [`FakeCloud`]. It needs no lock: nothing that its calls share is out of the
/// caller's sight, and each call of the cloud is one change.
#[derive(Debug)]
pub struct FakeProvider {
    cloud: FakeCloud,
    /// Addresses that a write was begun for and whose effect was not seen: what a lagging read
    /// says of them proves nothing, so they are written again even where it looks right.
    unsettled: Mutex<BTreeSet<IpAddr>>,
}

impl FakeProvider {
    /// A provider of `cloud`; several of one cloud are several processes.
    #[must_use]
    pub fn new(cloud: FakeCloud) -> Self {
        Self { cloud, unsettled: Mutex::default() }
    }

    async fn read(&self, address: IpAddr) -> Result<Option<Attachment>, PortError> {
        let observed = self.cloud.describe(&[address].into(), &BTreeSet::new()).await;
        observed.map(|mut observed| observed.attachments.remove(&address))
    }

    async fn order(&self, address: IpAddr, node: &NodeName) -> Result<Accepted, PortError> {
        if !self.is_unsettled(address)
            && let Some(attachment) = self.read(address).await?.filter(|seen| seen.node == *node)
        {
            return Ok(Accepted { attachment, observed: true });
        }
        self.begin(address);
        let attachment = self.cloud.assign(address, node).await?;
        Ok(Accepted { attachment, observed: false })
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

impl Provider for FakeProvider {
    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observation, PortError> {
        self.cloud.describe(addresses, nodes).await
    }

    async fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<ByAddress<Attachment>, PortError> {
        let mut prepared = ByAddress::new();
        for address in addresses {
            prepared.insert(*address, self.cloud.ready(*address, node).await);
        }
        Ok(prepared)
    }

    async fn attach(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Accepted>, PortError> {
        let mut accepted = ByAddress::new();
        for address in addresses {
            accepted.insert(*address, self.order(*address, node).await);
        }
        Ok(accepted)
    }

    async fn await_attached(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Attachment>, PortError> {
        let here = |seen: Option<&Attachment>| seen.is_some_and(|seen| seen.node == *node);
        let mut attached = ByAddress::new();
        for address in addresses {
            let operation = format!("see {address} at {node}");
            let seen = self.settle(*address, &operation, here).await.and_then(|seen| {
                seen.ok_or_else(|| PortError::new(ErrorClass::Transient, operation, "not seen"))
            });
            attached.insert(*address, seen);
        }
        Ok(attached)
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
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
mod tests;
#[cfg(test)]
mod wrong_providers;
