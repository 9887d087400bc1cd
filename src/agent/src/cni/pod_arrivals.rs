//! Pods whose addresses the chained CNI plugin tells before the API shows them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use egret_core::model::{NamespaceName, NodeName, Snapshot, Uid};
use egret_core::node_config::PodIdentity;
use ipnet::IpNet;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::listener::PodArrival;
use super::pod_cache::{PodCache, PodKey, UNSEEN};

/// What the CNI has said, and the plugins that wait until the kernel holds it.
#[derive(Debug)]
pub(crate) struct PodArrivals {
    began: Instant,
    cache: PodCache,
    waiting: Vec<WaitingPlugin>,
}

impl Default for PodArrivals {
    fn default() -> Self {
        Self { began: Instant::now(), cache: PodCache::default(), waiting: Vec::new() }
    }
}

/// A plugin that waits for the steering config of its pod.
#[derive(Debug)]
struct WaitingPlugin {
    key: PodKey,
    addresses: BTreeSet<IpNet>,
    programmed: oneshot::Sender<()>,
}

/// Who has which addresses by word of the CNI.
#[derive(Debug)]
pub(crate) struct AddedPod {
    pub(crate) pod: PodIdentity,
    pub(crate) addresses: BTreeSet<IpNet>,
    /// Its plugin has given up already.
    pub(crate) runs: bool,
}

impl PodArrivals {
    /// Takes note of the pods that have just got their addresses, all that wait at once, the newest last.
    pub(crate) fn take(
        &mut self,
        first: PodArrival,
        more: &mut Receiver<PodArrival>,
        watched: Option<&Snapshot>,
    ) -> Vec<AddedPod> {
        let mut all = Vec::new();
        let mut next = Some(first);
        while let Some(PodArrival { added, programmed }) = next {
            let key = (NamespaceName::new(added.namespace.clone()), added.name.clone());
            let addresses: BTreeSet<IpNet> = added.ips.iter().copied().map(IpNet::from).collect();
            let (namespace, name) = key.clone();
            let pod = PodIdentity { namespace, name, uid: Uid::new(added.uid.clone()) };
            let runs = programmed.is_closed();
            all.push(AddedPod { pod, addresses: addresses.clone(), runs });
            self.cache.add(added, watched, Instant::now());
            self.waiting.push(WaitingPlugin { key, addresses, programmed });
            next = more.try_recv().ok();
        }
        all
    }

    /// Addresses of pods that the watch does not show with them yet.
    pub(crate) fn awaited(&self) -> BTreeSet<IpNet> {
        self.cache.addresses()
    }

    /// Whether an earlier process may have heard of pods that the watch does not show yet.
    pub(crate) fn is_young(&self) -> bool {
        self.began.elapsed() < UNSEEN
    }

    /// The watched snapshot with the addresses that it lacks.
    pub(crate) fn merge(&mut self, watched: &Arc<Snapshot>, me: &NodeName) -> Arc<Snapshot> {
        self.cache.merge(watched, me, Instant::now())
    }

    /// The plugins that may go, with their pods' addresses: these are in `programmed`, which the kernel
    /// holds.
    pub(crate) fn take_programmed(
        &mut self,
        programmed: &Snapshot,
    ) -> Vec<(BTreeSet<IpNet>, oneshot::Sender<()>)> {
        let known = |waiting: &WaitingPlugin| {
            let pod = programmed.pods.get(&waiting.key);
            pod.is_some_and(|pod| waiting.addresses.is_subset(&pod.sources))
        };
        let programmed = self.waiting.extract_if(.., |waiting| known(waiting));
        programmed.map(|waiting| (waiting.addresses, waiting.programmed)).collect()
    }

    /// Forgets the plugins that have given up: their pods' addresses.
    pub(crate) fn forget_closed(&mut self) -> BTreeSet<IpNet> {
        let closed = self.waiting.extract_if(.., |waiting| waiting.programmed.is_closed());
        closed.flat_map(|waiting| waiting.addresses).collect()
    }
}
