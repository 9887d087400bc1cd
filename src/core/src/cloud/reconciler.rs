use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::task::{CloudTask, TaskKey};
use super::{CloudState, DesiredState};
use crate::model::{
    Attachment, Labels, Millis, NodeName, PoolName, ProviderKind, Snapshot, Timestamp,
};

/// How long a gateway that could not be made ready for an address is taken to stay so.
const REFUSED_FOR: Millis = Millis::from_secs(600);

/// What a gateway was last made ready for, and where those addresses were then.
pub(super) type Preparation = BTreeMap<IpAddr, Option<NodeName>>;

/// What is not tried again before a time.
#[derive(Clone, Debug)]
pub(super) struct Pause {
    pub(super) task: CloudTask,
    pub(super) until: Timestamp,
    /// How often it has failed in a row.
    pub(super) failures: u32,
}

/// The leader's work in one cloud: what it knows, what is under way, what waits.
#[derive(Clone, Debug)]
pub struct Reconciler {
    kind: ProviderKind,
    interval: Millis,
    pub(super) state: CloudState,
    pub(super) desired: DesiredState,
    pub(super) under_way: BTreeMap<TaskKey, Preparation>,
    /// What failed, and when it is tried again: nothing else knows. Another task of the same key does
    /// not wait.
    pub(super) pauses: BTreeMap<TaskKey, Pause>,
    pub(super) scanned: Option<(CloudTask, Timestamp)>,
    /// Addresses that a task was under way for since the scan that is under way began.
    pub(super) touched: BTreeSet<IpAddr>,
    pub(super) searched: BTreeMap<PoolName, (Labels, Timestamp)>,
    pub(super) ready_for: BTreeMap<NodeName, Preparation>,
    pub(super) refused_at: BTreeMap<(NodeName, IpAddr), Timestamp>,
    pub(super) detached: BTreeMap<IpAddr, BTreeSet<NodeName>>,
}

impl Reconciler {
    /// A reconciler that has seen nothing; the cloud is read at least every `interval`.
    pub fn new(kind: ProviderKind, interval: Millis) -> Self {
        Self {
            kind,
            interval,
            state: CloudState::default(),
            desired: DesiredState::default(),
            under_way: BTreeMap::new(),
            pauses: BTreeMap::new(),
            scanned: None,
            touched: BTreeSet::new(),
            searched: BTreeMap::new(),
            ready_for: BTreeMap::new(),
            refused_at: BTreeMap::new(),
            detached: BTreeMap::new(),
        }
    }

    /// What is known.
    pub fn state(&self) -> &CloudState {
        &self.state
    }

    /// What was wanted when [`Reconciler::tasks`] was last asked.
    pub fn desired(&self) -> &DesiredState {
        &self.desired
    }

    /// How often `task` has failed in a row until now: the longer the next [`TaskFailure::wait`]. A
    /// gateway that is to be made ready for other addresses is the same task here.
    ///
    /// [`TaskFailure::wait`]: super::TaskFailure::wait
    pub fn failures(&self, task: &CloudTask) -> u32 {
        let paused = self.pauses.get(&task.key());
        let same = paused.filter(|pause| pause.task.subject() == task.subject());
        same.map_or(0, |pause| pause.failures)
    }

    /// What to begin now: all of it counts as under way until [`Reconciler::done`]. Attachments come
    /// first: connections wait for them.
    pub fn tasks(&mut self, snapshot: &Snapshot, now: Timestamp) -> Vec<CloudTask> {
        self.desired = DesiredState::of(snapshot, self.kind);
        self.learn(snapshot);
        self.forget(now);
        self.note_detached();
        if !self.desired.any {
            return Vec::new();
        }
        let due = self.attachments();
        let scan = self.scan(now);
        let preparations = self.preparations(scan.is_some());
        let tasks = due.into_iter().chain(scan).chain(self.searches(now)).chain(preparations);
        let tasks: Vec<CloudTask> = tasks.filter(|task| self.is_due(task, now)).collect();
        for task in &tasks {
            self.begin(task);
        }
        tasks
    }

    fn begin(&mut self, task: &CloudTask) {
        let mut basis = Preparation::new();
        match task {
            CloudTask::Scan { .. } => self.touched = self.busy_addresses(),
            CloudTask::Attach { address, .. } => {
                self.touched.insert(*address);
                self.detached.remove(address);
            }
            CloudTask::Observe { address, .. } => {
                self.touched.insert(*address);
            }
            CloudTask::Detach { address, .. } => {
                self.touched.insert(*address);
            }
            CloudTask::Prepare { node, addresses } => {
                basis = self.basis(addresses);
                for (_, from) in self.detached.iter_mut().filter(|(a, _)| addresses.contains(a)) {
                    from.remove(node);
                }
            }
            CloudTask::Discover { .. } => {}
        }
        self.under_way.insert(task.key(), basis);
    }

    /// Revoked addresses of which nothing is left anywhere.
    pub(super) fn note_detached(&mut self) {
        for (address, nodes) in &self.desired.nowhere {
            let done = self.detached.get(address);
            let all = done.map_or(nodes.is_empty(), |done| nodes.is_subset(done));
            if all && !self.under_way.contains_key(&TaskKey::Address(*address)) {
                self.state.gone.insert(*address);
            }
        }
    }

    /// When to ask again although nothing has changed: after `now`, since what is past waits for
    /// something that is under way, or for the end of a pause.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.desired.any {
            return None;
        }
        let scan = self.scanned.as_ref().map(|(_, at)| *at + self.interval);
        let searches = self.searched.values().map(|(_, at)| *at + self.interval);
        let pauses = self.pauses.values().map(|pause| pause.until);
        scan.into_iter().chain(searches).chain(pauses).filter(|at| *at > now).min()
    }

    /// Until this process has read the cloud, the statuses count.
    fn learn(&mut self, snapshot: &Snapshot) {
        for address in &self.desired.addresses {
            let Some(stored) = snapshot.addresses.get(address) else { continue };
            let status = &stored.value.status;
            if let (false, Some(attachment)) = (self.state.observed, &status.attachment) {
                self.state.attached.entry(*address).or_insert_with(|| attachment.clone());
            }
            if let Some(accepted) = &status.accepted
                && self.counts(*address, accepted)
            {
                let known = self.state.accepted.entry(*address);
                known.or_insert_with(|| accepted.clone());
            }
            for ready in &status.prepared {
                if !self.ready_for.contains_key(&ready.node)
                    && !self.detached.get(address).is_some_and(|from| from.contains(&ready.node))
                {
                    let there = self.state.prepared.entry(ready.node.clone()).or_default();
                    there.entry(*address).or_insert_with(|| ready.clone());
                }
            }
        }
    }

    /// Whether the answer that a leader before this one wrote is still worth something: directors send
    /// connections to the holder by it. A call that has failed since, or is seen to have worked, has
    /// ended it, though the status may not say so yet.
    fn counts(&self, address: IpAddr, accepted: &Attachment) -> bool {
        let at = self.state.attached.get(&address).map(|at| &at.node);
        !self.state.observed
            && self.desired.at.get(&address) == Some(&accepted.node)
            && at != Some(&accepted.node)
            && !self.state.faults.contains_key(&address)
    }

    fn forget(&mut self, now: Timestamp) {
        let Self { desired: wanted, state: cloud_state, .. } = self;
        let used = |address: &IpAddr| wanted.addresses.contains(address);
        cloud_state.attached.retain(|address, _| used(address));
        // Another holder's is void, and so is what is to be nowhere.
        let to = |address: &IpAddr, at: &mut Attachment| wanted.at.get(address) == Some(&at.node);
        cloud_state.accepted.retain(to);
        cloud_state.faults.retain(|address, _| used(address));
        cloud_state.gone.retain(|address| wanted.nowhere.contains_key(address));
        for ready in cloud_state.prepared.values_mut() {
            ready.retain(|address, _| used(address));
        }
        cloud_state.found.retain(|pool, _| wanted.tags.contains_key(pool));
        cloud_state.nothing_found.retain(|pool, _| wanted.tags.contains_key(pool));
        cloud_state.not_found.retain(|pool, _| wanted.tags.contains_key(pool));
        self.detached.retain(|address, _| used(address));
        self.searched.retain(|pool, _| wanted.tags.contains_key(pool));
        self.refused_at.retain(|(_, address), at| used(address) && now.since(*at) < REFUSED_FOR);
        let refused = &self.refused_at;
        cloud_state.refused.retain(|key, _| refused.contains_key(key));
    }

    fn is_due(&self, task: &CloudTask, now: Timestamp) -> bool {
        let key = task.key();
        let paused = self.pauses.get(&key);
        !self.under_way.contains_key(&key)
            && paused.is_none_or(|pause| pause.task != *task || pause.until <= now)
    }

    fn busy_addresses(&self) -> BTreeSet<IpAddr> {
        let busy = self.under_way.keys().filter_map(|key| match key {
            TaskKey::Address(address) => Some(*address),
            _ => None,
        });
        busy.collect()
    }

    fn attachments(&self) -> Vec<CloudTask> {
        let mut tasks = Vec::new();
        for (address, node) in &self.desired.at {
            let (address, node) = (*address, node.clone());
            let is_there = |at: &Attachment| at.node == node;
            if self.state.attached.get(&address).is_some_and(is_there) {
                continue;
            }
            tasks.push(match self.state.accepted.get(&address).is_some_and(is_there) {
                true => CloudTask::Observe { address, node },
                false => CloudTask::Attach { address, node },
            });
        }
        for (address, nodes) in &self.desired.nowhere {
            // A gateway that is being made ready may still get something for it.
            let preparing =
                |node: &NodeName| self.under_way.contains_key(&TaskKey::Node(node.clone()));
            let done = self.detached.get(address);
            let left = |node: &&NodeName| !done.is_some_and(|done| done.contains(*node));
            if let Some(node) = nodes.iter().find(left)
                && !nodes.iter().any(preparing)
            {
                tasks.push(CloudTask::Detach { address: *address, node: node.clone() });
            }
        }
        let left_behind = self.desired.left_behind.iter().filter(|(address, node)| {
            !self.detached.get(address).is_some_and(|from| from.contains(node))
                && self.state.attached.get(address).is_none_or(|at| at.node != *node)
        });
        tasks.extend(
            left_behind
                .map(|(address, node)| CloudTask::Detach { address: *address, node: node.clone() }),
        );
        let mut keys = BTreeSet::new();
        tasks.retain(|task| keys.insert(task.key()));
        tasks
    }

    fn scan(&self, now: Timestamp) -> Option<CloudTask> {
        let scan = CloudTask::Scan {
            addresses: self.desired.addresses.clone(),
            nodes: self.desired.nodes.keys().cloned().collect(),
        };
        let fresh = |(last, at): &(CloudTask, Timestamp)| {
            self.state.observed && *last == scan && now.since(*at) < self.interval
        };
        let due = !self.scanned.as_ref().is_some_and(fresh);
        (due && self.is_due(&scan, now)).then_some(scan)
    }

    fn searches(&self, now: Timestamp) -> Vec<CloudTask> {
        let fresh = |pool: &PoolName, tags: &Labels| {
            let last = self.searched.get(pool);
            last.is_some_and(|(last, at)| last == tags && now.since(*at) < self.interval)
        };
        let due = self.desired.tags.iter().filter(|(pool, tags)| !fresh(pool, tags));
        due.map(|(pool, tags)| CloudTask::Discover { pool: pool.clone(), tags: tags.clone() })
            .collect()
    }

    /// On its way to its holder, and nothing has gone wrong so far.
    fn is_moving(&self, address: IpAddr) -> bool {
        let holder = self.desired.at.get(&address);
        let at = self.state.attached.get(&address).map(|at| &at.node);
        holder.is_some() && holder != at && !self.state.faults.contains_key(&address)
    }

    fn basis(&self, addresses: &BTreeSet<IpAddr>) -> Preparation {
        let node = |address| self.state.attached.get(address).map(|at| at.node.clone());
        addresses.iter().map(|address| (*address, node(address))).collect()
    }

    /// At every change of the plan, when an address has moved, and beside every scan (whose reads
    /// they share).
    fn preparations(&self, all: bool) -> Vec<CloudTask> {
        let due = |(node, addresses): &(&NodeName, &BTreeSet<IpAddr>)| {
            let known = self.desired.nodes.contains_key(*node);
            let done = self.ready_for.get(*node);
            let something = done.is_some_and(|done| !done.is_empty()) || !addresses.is_empty();
            let has = self.state.prepared.get(*node).is_some_and(|ready| !ready.is_empty());
            let stale = done.is_none_or(|done| *done != self.basis(addresses));
            // Where an address is decides what its standbys need.
            let settled = !addresses.iter().any(|address| self.is_moving(*address));
            known && settled && ((something || has) && (all || stale))
        };
        let ready = self.desired.ready.iter().filter(due);
        ready
            .map(|(node, addresses)| CloudTask::Prepare {
                node: node.clone(),
                addresses: addresses.clone(),
            })
            .collect()
    }
}
