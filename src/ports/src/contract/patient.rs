//! The patience of the caller of a provider.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use egret_core::model::{Attachment, NodeName};

use crate::error::{ErrorClass, PortError};
use crate::provider::{Accepted, ByAddress, Observation, Provider};

/// A provider whose calls are made again for a while where that can heal them, as the controller does:
/// for the suite in bad weather.
#[derive(Debug)]
pub struct Patient<P>(pub P);

macro_rules! insist {
    ($attempt:expr) => {{
        let mut tries = 0;
        loop {
            let result = $attempt.await;
            tries += 1;
            match &result {
                Err(error) if again(error) && tries < 200 => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                _ => break result,
            }
        }
    }};
}

fn again(error: &PortError) -> bool {
    let throttled = matches!(error.class, ErrorClass::Throttled { .. });
    throttled || matches!(error.class, ErrorClass::Transient | ErrorClass::Conflict)
}

/// Fails as a whole where an address fails in a way that asking again can heal.
async fn of_each<T>(
    call: impl Future<Output = Result<ByAddress<T>, PortError>>,
) -> Result<ByAddress<T>, PortError> {
    let mut results = call.await?;
    let heals = |(address, result): (&IpAddr, &Result<T, PortError>)| {
        result.as_ref().is_err_and(again).then_some(*address)
    };
    match results.iter().find_map(heals).and_then(|address| results.remove(&address)) {
        Some(Err(error)) => Err(error),
        _ => Ok(results),
    }
}

impl<P: Provider> Provider for Patient<P> {
    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observation, PortError> {
        insist!(self.0.observe(addresses, nodes))
    }

    async fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<ByAddress<Attachment>, PortError> {
        insist!(of_each(self.0.prepare(node, addresses)))
    }

    async fn attach(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Accepted>, PortError> {
        insist!(of_each(self.0.attach(addresses, node)))
    }

    async fn await_attached(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Attachment>, PortError> {
        insist!(of_each(self.0.await_attached(addresses, node)))
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
        insist!(self.0.detach(address, node))
    }
}
