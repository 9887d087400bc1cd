use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use egret_core::cloud::{CloudTask, Reconciler, TaskOutcome};
use egret_core::model::{Attachment, NodeName, Snapshot};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::provider::{ByAddress, DynProvider, Inventory};

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
                let accepted = provider.attach(&[*address].into(), node).await?;
                let accepted = word_on(*address, accepted, task)?;
                Ok(match accepted.observed {
                    true => TaskOutcome::Attached(accepted.attachment),
                    false => TaskOutcome::Accepted(accepted.attachment),
                })
            }
            CloudTask::Observe { address, node } => {
                let seen = provider.await_attached(&[*address].into(), node).await?;
                Ok(TaskOutcome::Attached(word_on(*address, seen, task)?))
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

/// What a provider has to say of the one address that it was asked about.
fn word_on<T>(address: IpAddr, mut said: ByAddress<T>, task: &CloudTask) -> Result<T, PortError> {
    said.remove(&address).unwrap_or_else(|| {
        let nothing = "the provider says nothing of it";
        Err(PortError::new(ErrorClass::Transient, task.subject(), nothing))
    })
}

/// What the provider must know: the statuses' word, and what this term knows beyond it.
pub(super) fn inventory(reconciler: &Reconciler, snapshot: &Snapshot) -> Inventory {
    let wanted = reconciler.desired();
    let mut addresses: BTreeMap<IpAddr, BTreeMap<NodeName, Attachment>> = BTreeMap::new();
    for address in &wanted.addresses {
        let known = addresses.entry(*address).or_default();
        let status = snapshot.addresses.get(address).map(|stored| &stored.value.status);
        let written = status.into_iter();
        let written =
            written.flat_map(|s| s.prepared.iter().chain(&s.accepted).chain(&s.attachment));
        let cloud_state = reconciler.state();
        let prepared = cloud_state.prepared_for(*address);
        let accepted = cloud_state.accepted.get(address);
        let own = prepared.iter().chain(accepted).chain(cloud_state.attached.get(address));
        for at in written.chain(own) {
            known.insert(at.node.clone(), at.clone());
        }
    }
    let nodes = wanted.nodes.iter().filter(|(_, id)| !id.is_empty());
    Inventory { nodes: nodes.map(|(node, id)| (node.clone(), id.clone())).collect(), addresses }
}
