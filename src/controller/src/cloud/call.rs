use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use egret_core::cloud::{CloudTask, Reconciler, TaskOutcome};
use egret_core::model::{Attachment, NodeName, Snapshot};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{DynProvider, Inventory, attach_one};

/// A task that takes longer is given up and begun anew: providers end their own calls long before.
const LONGEST_TASK: Duration = Duration::from_secs(180);

/// Carries a task out.
pub(super) async fn make(
    provider: &dyn DynProvider,
    task: &CloudTask,
) -> Result<TaskOutcome, PortError> {
    let call = async {
        match task {
            CloudTask::Scan { addresses, nodes } => {
                let seen = provider.observe(addresses, nodes).await?;
                Ok(TaskOutcome::Seen { attached: seen.attachments, capacities: seen.nodes })
            }
            CloudTask::Discover { tags, .. } => {
                let addresses = provider.discover(tags).await?;
                let nothing = addresses.is_empty().then(|| provider.nothing_found(tags));
                Ok(TaskOutcome::Found { addresses, nothing })
            }
            CloudTask::Attach { address, node } => {
                Ok(TaskOutcome::Attached(attach_one(provider, *address, node).await?))
            }
            CloudTask::Detach { address, node } => match provider.detach(*address, node).await {
                // The cloud knows nothing of the node (any more): nothing of it is there.
                Err(error) if error.class != ErrorClass::NotFound => Err(error),
                _ => Ok(TaskOutcome::Detached),
            },
            CloudTask::Prepare { node, addresses } => {
                let prepared = provider.prepare(node, addresses).await?;
                let prepared = prepared.into_iter().map(|(address, result)| {
                    (address, result.map_err(|error| error.source.to_string()))
                });
                Ok(TaskOutcome::Prepared(prepared.collect()))
            }
        }
    };
    match tokio::time::timeout(LONGEST_TASK, call).await {
        Ok(result) => result,
        Err(late) => Err(PortError::new(ErrorClass::Transient, task.subject(), late)),
    }
}

/// What the provider must know: the statuses' word, and what this term knows beyond it.
pub(super) fn inventory(reconciler: &Reconciler, snapshot: &Snapshot) -> Inventory {
    let wanted = reconciler.desired();
    let mut addresses: BTreeMap<IpAddr, BTreeMap<NodeName, Attachment>> = BTreeMap::new();
    for address in &wanted.addresses {
        let known = addresses.entry(*address).or_default();
        let status = snapshot.addresses.get(address).map(|stored| &stored.value.status);
        let written = status.into_iter().flat_map(|s| s.prepared.iter().chain(&s.attachment));
        let cloud_state = reconciler.state();
        let prepared = cloud_state.prepared_for(*address);
        let own = prepared.iter().chain(cloud_state.attached.get(address));
        for at in written.chain(own) {
            known.insert(at.node.clone(), at.clone());
        }
    }
    let nodes = wanted.nodes.iter().filter(|(_, id)| !id.is_empty());
    Inventory { nodes: nodes.map(|(node, id)| (node.clone(), id.clone())).collect(), addresses }
}
