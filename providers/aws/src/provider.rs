//! The provider.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use aws_config::{BehaviorVersion, ConfigLoader};
use egret_core::model::{Attachment, Labels, NodeName};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Accepted, ByAddress, Inventory, NodeCapacity, Observation, Provider};
use tokio::sync::watch;

use crate::call_driver::{CallContext, CallDriver, Until};
use crate::ec2::Ec2;
use crate::journal::Journal;
use crate::metrics::CallMetrics;
use crate::options::AwsOptions;
use crate::place::{PlacementInputs, Unplaceable};
use crate::plan;
use crate::snapshot::{CallEffect, Ec2Snapshot};

/// The provider of pools with `provider: AWS`. One for all of them: a node's interface is shared.
#[derive(Debug)]
pub struct Aws {
    driver: CallDriver,
}

impl Aws {
    /// Credentials come by the SDK's default chain: environment, profile, IRSA, Pod Identity,
    /// instance role. Nothing is called yet.
    pub async fn new(
        options: AwsOptions,
        inventory: watch::Receiver<Arc<Inventory>>,
        calls: CallMetrics,
    ) -> Self {
        let loader = aws_config::defaults(BehaviorVersion::latest());
        Self::with(options, inventory, calls, loader).await
    }

    pub(crate) async fn with(
        options: AwsOptions,
        inventory: watch::Receiver<Arc<Inventory>>,
        calls: CallMetrics,
        loader: ConfigLoader,
    ) -> Self {
        let ec2 = Ec2::connect(&options, calls, loader).await;
        Self { driver: CallDriver::new(options, inventory, ec2) }
    }

    /// The Elastic IPs of the account and region that have all of these tags: the addresses of a
    /// pool that names them so.
    ///
    /// # Errors
    /// As `ports::Provider`; `Invalid` without a tag.
    pub async fn elastic_ips(
        &self,
        tags: &BTreeMap<String, String>,
    ) -> Result<BTreeSet<IpAddr>, PortError> {
        let operation = "find Elastic IPs by tag";
        if tags.is_empty() {
            let all = "without a tag that would be all of the account's: name one";
            return Err(PortError::new(ErrorClass::Invalid, operation, all));
        }
        let found = self.driver.ec2.tagged(tags).await;
        let found = found.map_err(|failure| PortError::new(failure.class, operation, failure))?;
        Ok(found.into_iter().map(IpAddr::V4).collect())
    }

    /// `address` on its way to `node`; with whether that was observed.
    async fn follow(
        &self,
        address: IpAddr,
        node: &NodeName,
        until: Until,
    ) -> Result<(Attachment, bool), PortError> {
        self.driver.ask([address]);
        let operation = format!("attach {address} to {node}");
        let aim = CallContext { operation: &operation, node, until };
        let decide = |scene: &PlacementInputs<'_>| {
            plan::attach(scene, address, node).map(|at| scene.with_link(address, at))
        };
        // An Elastic IP that has followed its private address was told by a read alone.
        let seen = |_: &Attachment, read: &Ec2Snapshot, journal: &mut Journal| {
            let IpAddr::V4(public) = address else { return };
            let Some(elastic) = read.elastic.get(&public) else { return };
            if let Some(association) = elastic.association.clone() {
                journal.claim(public, node, association.private);
                journal.note(CallEffect::Associated { public, association });
            }
        };
        self.driver.drive(aim, decide, seen).await
    }

    fn capacity(
        scene: &PlacementInputs<'_>,
        node: &NodeName,
        asked: &BTreeSet<IpAddr>,
    ) -> Option<NodeCapacity> {
        let targets = match scene.targets(node) {
            Ok(found) => found,
            Err(refusal) if refusal.class == ErrorClass::NotFound => return None,
            Err(refusal) => {
                return Some(NodeCapacity {
                    refused: Some(refusal.message),
                    ..NodeCapacity::default()
                });
            }
        };
        // Each interface has addresses of its own: what they can take adds up.
        let total = |v4| targets.iter().map(|(id, _)| scene.room(id, v4)).sum();
        let room = |v4: bool| -> Option<u32> {
            let any = asked.iter().any(|address| address.is_ipv4() == v4);
            any.then(|| total(v4))
        };
        let free = [room(true), room(false)].into_iter().flatten().min();
        let free = free.unwrap_or_else(|| total(true));
        let why = |address| match scene.fitting(address, &targets) {
            Err(why) => Some(why.message),
            Ok(fitting) => plan::crowded(scene, address, &fitting, free).map(|why| why.message),
        };
        // Within a subnet one call moves an address, and its Elastic IP follows.
        let subnets = targets.iter().map(|(_, interface)| interface.subnet.clone()).collect();
        Some(NodeCapacity { subnets, ..NodeCapacity::of(free, asked, why) })
    }
}

impl Provider for Aws {
    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observation, PortError> {
        self.driver.ask(addresses.iter().copied());
        let observed = self.driver.observe(|scene| {
            let attached = addresses
                .iter()
                .filter_map(|address| Some((*address, scene.attachment(*address)?)))
                .map(|(address, attachment)| (address, scene.with_link(address, attachment)));
            let offers = nodes
                .iter()
                .filter_map(|node| Some((node.clone(), Self::capacity(scene, node, addresses)?)));
            Observation { attachments: attached.collect(), nodes: offers.collect() }
        });
        observed
            .await
            .map_err(|failure| PortError::new(failure.class, "observe addresses", failure))
    }

    async fn discover(&self, tags: &Labels) -> Result<BTreeSet<IpAddr>, PortError> {
        self.elastic_ips(tags).await
    }

    fn nothing_found(&self, tags: &Labels) -> String {
        nothing_tagged(tags)
    }

    async fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<ByAddress<Attachment>, PortError> {
        self.driver.ask(addresses.iter().copied());
        let operation = format!("make {node} ready");
        let aim = CallContext { operation: &operation, node, until: Until::Observed };
        let decide = |scene: &PlacementInputs<'_>| {
            let with_link = |(address, at): (IpAddr, Result<Attachment, Unplaceable>)| {
                (address, at.map(|at| scene.with_link(address, at)))
            };
            plan::prepare(scene, node, addresses)
                .map(|ready: plan::Ready| ready.into_iter().map(with_link).collect())
        };
        let claims = |ready: &plan::Ready, read: &Ec2Snapshot, journal: &mut Journal| {
            for (address, attachment) in ready {
                let Ok(attachment) = attachment else { continue };
                let id = attachment.interface.as_ref();
                let here = id.and_then(|id| read.interfaces.get(id));
                if let (IpAddr::V4(public), Some(IpAddr::V4(wire))) = (address, attachment.wire)
                    && here.is_some_and(|interface| interface.v4.contains_key(&wire))
                {
                    journal.claim(*public, node, wire);
                }
            }
        };
        let (ready, _) = self.driver.drive(aim, decide, claims).await?;
        let operation = |address: &IpAddr| format!("make {node} ready for {address}");
        let ready = ready.into_iter().map(|(address, ready)| {
            let failed = |refusal: Unplaceable| {
                PortError::new(refusal.class, operation(&address), refusal.message)
            };
            (address, ready.map_err(failed))
        });
        Ok(ready.collect())
    }

    async fn attach(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Accepted>, PortError> {
        let mut accepted = ByAddress::new();
        for address in addresses {
            let result = self.follow(*address, node, Until::Accepted).await;
            let result = result.map(|(attachment, observed)| Accepted { attachment, observed });
            accepted.insert(*address, result);
        }
        Ok(accepted)
    }

    async fn await_attached(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Attachment>, PortError> {
        let mut attached = ByAddress::new();
        for address in addresses {
            let result = self.follow(*address, node, Until::Observed).await;
            attached.insert(*address, result.map(|(attachment, _)| attachment));
        }
        Ok(attached)
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
        self.driver.ask([address]);
        let operation = format!("detach {address} from {node}");
        let aim = CallContext { operation: &operation, node, until: Until::Observed };
        let decide = |scene: &PlacementInputs<'_>| plan::detach(scene, address, node);
        self.driver.drive(aim, decide, |(), _, _| {}).await.map(|_| ())
    }
}

fn nothing_tagged(tags: &Labels) -> String {
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!(
        "spec.aws.elasticIPTags: no Elastic IP of this account and region has {}; allocate one and \
         tag it",
        tags.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message of a pool's condition.
    #[test]
    fn that_nothing_is_tagged_names_the_field_and_the_tags() {
        let tags = [("a", "b"), ("c", "d")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(
            nothing_tagged(&tags.into()),
            "spec.aws.elasticIPTags: no Elastic IP of this account and region has a=b and c=d; \
             allocate one and tag it"
        );
    }
}
