//! Pods whose addresses the chained CNI plugin tells before the API shows them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use egret_core::model::{NamespaceName, NodeName, Snapshot};
use ipnet::IpNet;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::listener::PodArrival;
use super::pod_cache::{PodCache, PodKey};

/// What the CNI has said, and the plugins that wait until the kernel holds it.
#[derive(Debug, Default)]
pub(crate) struct PodArrivals {
    cache: PodCache,
    waiting: Vec<WaitingPlugin>,
}

/// A plugin that waits for the steering config of its pod.
#[derive(Debug)]
struct WaitingPlugin {
    key: PodKey,
    addresses: BTreeSet<IpNet>,
    programmed: oneshot::Sender<()>,
}

impl PodArrivals {
    /// Takes note of the pods that have just got their addresses, all that wait at once.
    pub(crate) fn take(
        &mut self,
        first: PodArrival,
        more: &mut Receiver<PodArrival>,
        watched: Option<&Snapshot>,
    ) {
        let mut next = Some(first);
        while let Some(PodArrival { added, programmed }) = next {
            let key = (NamespaceName::new(added.namespace.clone()), added.name.clone());
            let addresses = added.ips.iter().copied().map(IpNet::from).collect();
            self.cache.add(added, watched, Instant::now());
            self.waiting.push(WaitingPlugin { key, addresses, programmed });
            next = more.try_recv().ok();
        }
    }

    /// The watched snapshot with the addresses that it lacks.
    pub(crate) fn merge(&mut self, watched: &Arc<Snapshot>, me: &NodeName) -> Arc<Snapshot> {
        self.cache.merge(watched, me, Instant::now())
    }

    /// Lets the plugins go whose pods are in `programmed`, which the kernel holds.
    pub(crate) fn answer(&mut self, programmed: &Snapshot) {
        let known = |waiting: &WaitingPlugin| {
            let pod = programmed.pods.get(&waiting.key);
            pod.is_some_and(|pod| waiting.addresses.is_subset(&pod.sources))
        };
        for waiting in self.waiting.extract_if(.., |waiting| known(waiting)) {
            // A plugin that has given up is no matter.
            let _ = waiting.programmed.send(());
        }
    }

    /// Forgets the plugins that have given up.
    pub(crate) fn forget_closed(&mut self) {
        self.waiting.retain(|waiting| !waiting.programmed.is_closed());
    }
}
