use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use egret_core::fabric::{Desk, Outcome, Task};
use egret_core::model::{Attachment, NodeName, Snapshot};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{Inventory, Provider};

/// A task that takes longer is given up and begun anew: providers end their own calls long before.
const LONGEST_TASK: Duration = Duration::from_secs(180);

/// Carries a task out.
pub(super) async fn make<P: Provider>(provider: &P, task: &Task) -> Result<Outcome, PortError> {
    let call = async {
        match task {
            Task::Scan { addresses, nodes } => {
                let seen = provider.observe(addresses, nodes).await?;
                Ok(Outcome::Seen { attached: seen.attachments, offers: seen.nodes })
            }
            Task::Discover { tags, .. } => Ok(Outcome::Found(provider.discover(tags).await?)),
            Task::Attach { address, node } => {
                Ok(Outcome::Attached(provider.attach(*address, node).await?))
            }
            Task::Detach { address, node } => match provider.detach(*address, node).await {
                // The cloud knows nothing of the node (any more): nothing of it is there.
                Err(error) if error.class != ErrorClass::NotFound => Err(error),
                _ => Ok(Outcome::Detached),
            },
            Task::Prepare { node, addresses } => {
                let prepared = provider.prepare(node, addresses).await?;
                let prepared = prepared.into_iter().map(|(address, result)| {
                    (address, result.map_err(|error| error.source.to_string()))
                });
                Ok(Outcome::Prepared(prepared.collect()))
            }
        }
    };
    match tokio::time::timeout(LONGEST_TASK, call).await {
        Ok(result) => result,
        Err(late) => Err(PortError::new(ErrorClass::Transient, task.subject(), late)),
    }
}

/// What the provider must know: the statuses' word, and what this term knows beyond it.
pub(super) fn inventory(desk: &Desk, snapshot: &Snapshot) -> Inventory {
    let wanted = desk.wanted();
    let mut addresses: BTreeMap<IpAddr, BTreeMap<NodeName, Attachment>> = BTreeMap::new();
    for address in &wanted.addresses {
        let known = addresses.entry(*address).or_default();
        let status = snapshot.addresses.get(address).map(|stored| &stored.value.status);
        let written = status.into_iter().flat_map(|s| s.prepared.iter().chain(&s.attachment));
        let fabric = desk.fabric();
        let prepared = fabric.prepared_for(*address);
        let own = prepared.iter().chain(fabric.attached.get(address));
        for at in written.chain(own) {
            known.insert(at.node.clone(), at.clone());
        }
    }
    let nodes = wanted.nodes.iter().filter(|(_, id)| !id.is_empty());
    Inventory { nodes: nodes.map(|(node, id)| (node.clone(), id.clone())).collect(), addresses }
}
