//! What came of the tasks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::reconciler::{Pause, Preparation, Reconciler};
use super::task::{CloudTask, TaskFailure, TaskOutcome};
use super::{CloudState, NodeCapacity, attached_message};
use crate::model::{Attachment, NodeName, Timestamp};
use crate::model::{EventDraft, ObjectRef};
use crate::reason::EventReason;

impl Reconciler {
    /// Takes in what came of a task; returns what to tell people.
    pub fn done(
        &mut self,
        task: CloudTask,
        result: Result<TaskOutcome, TaskFailure>,
        now: Timestamp,
    ) -> Vec<EventDraft> {
        let key = task.key();
        let basis = self.under_way.remove(&key).unwrap_or_default();
        match result {
            Ok(outcome) => {
                // What was accepted in vain until now is tried again in ever longer pauses.
                if !matches!(outcome, TaskOutcome::Accepted(_)) {
                    self.pauses.remove(&key);
                }
                self.succeeded(task, outcome, basis, now)
            }
            Err(failure) => {
                let failures = self.failures(&task).saturating_add(1);
                let until = now + failure.wait;
                self.pauses.insert(key, Pause { task: task.retried(), until, failures });
                self.failed(&task, failure.message)
            }
        }
    }

    fn succeeded(
        &mut self,
        task: CloudTask,
        outcome: TaskOutcome,
        basis: Preparation,
        now: Timestamp,
    ) -> Vec<EventDraft> {
        match (task, outcome) {
            (
                CloudTask::Scan { addresses, nodes },
                TaskOutcome::Seen { attached, capacities: offers },
            ) => {
                self.state.asked = addresses.clone();
                self.scanned = Some((CloudTask::Scan { addresses, nodes }, now));
                self.saw(attached, offers)
            }
            (CloudTask::Discover { pool, tags }, TaskOutcome::Found { addresses, nothing }) => {
                self.searched.insert(pool.clone(), (tags, now));
                self.state.not_found.remove(&pool);
                match nothing {
                    Some(message) => self.state.nothing_found.insert(pool.clone(), message),
                    None => self.state.nothing_found.remove(&pool),
                };
                self.state.found.insert(pool, addresses);
                Vec::new()
            }
            (CloudTask::Attach { address, .. }, TaskOutcome::Accepted(attachment)) => {
                self.touched.insert(address);
                self.state.accepted.insert(address, attachment);
                Vec::new()
            }
            (
                CloudTask::Attach { address, .. } | CloudTask::Observe { address, .. },
                TaskOutcome::Attached(attachment),
            ) => {
                self.touched.insert(address);
                self.state.accepted.remove(&address);
                self.state.faults.remove(&address);
                let note = note(address, EventReason::Attached, attached_message(&attachment));
                self.state.attached.insert(address, attachment);
                vec![note]
            }
            (CloudTask::Detach { address, node }, TaskOutcome::Detached) => {
                self.detached_from(address, node);
                Vec::new()
            }
            (CloudTask::Prepare { node, .. }, TaskOutcome::Prepared(results)) => {
                self.ready_for.insert(node.clone(), basis);
                self.state.unready.remove(&node);
                self.prepared(node, results, now)
            }
            _ => Vec::new(),
        }
    }

    /// What a scan saw counts, but for addresses that were on their way meanwhile.
    fn saw(
        &mut self,
        attached: BTreeMap<IpAddr, Attachment>,
        capacities: BTreeMap<NodeName, NodeCapacity>,
    ) -> Vec<EventDraft> {
        let mut notes = Vec::new();
        for address in &self.desired.addresses {
            if self.touched.contains(address) {
                continue;
            }
            let before = self.state.attached.get(address);
            let now = attached.get(address);
            let wanted = self.desired.at.get(address);
            if before.map(|at| &at.node) == wanted && now.map(|at| &at.node) != wanted {
                notes.extend(wanted.map(|wanted| drifted(*address, wanted, now)));
            }
            match now {
                Some(at) => self.state.attached.insert(*address, at.clone()),
                None => self.state.attached.remove(address),
            };
        }
        self.state.capacities = capacities;
        self.state.observed = true;
        self.state.read_error = None;
        notes
    }

    fn detached_from(&mut self, address: IpAddr, node: NodeName) {
        self.touched.insert(address);
        self.state.accepted.remove(&address);
        self.state.faults.remove(&address);
        if self.state.attached.get(&address).is_some_and(|at| at.node == node) {
            self.state.attached.remove(&address);
        }
        if let Some(ready) = self.state.prepared.get_mut(&node) {
            ready.remove(&address);
        }
        self.detached.entry(address).or_default().insert(node);
        self.note_detached();
    }

    fn prepared(
        &mut self,
        node: NodeName,
        results: BTreeMap<IpAddr, Result<Attachment, String>>,
        now: Timestamp,
    ) -> Vec<EventDraft> {
        let mut notes = Vec::new();
        let mut ready = BTreeMap::new();
        for (address, result) in results {
            let key = (node.clone(), address);
            match result {
                Ok(attachment) => {
                    self.refused_at.remove(&key);
                    self.state.refused.remove(&key);
                    ready.insert(address, attachment);
                }
                Err(why) => {
                    self.refused_at.insert(key.clone(), now);
                    let message = format!("{node} cannot be made ready for it: {why}");
                    if self.state.refused.insert(key, why).is_none() {
                        notes.push(EventDraft {
                            warning: true,
                            ..note(address, EventReason::NotPrepared, message)
                        });
                    }
                }
            }
        }
        self.state.prepared.insert(node, ready);
        notes
    }

    /// Told once for each reason.
    fn failed(&mut self, task: &CloudTask, message: String) -> Vec<EventDraft> {
        let why = message.clone();
        if let CloudTask::Attach { address, .. } | CloudTask::Observe { address, .. } = task {
            self.state.accepted.remove(address);
        }
        let CloudState { read_error: unread, not_found, unready, faults, .. } = &mut self.state;
        let (before, about, reason) = match task {
            CloudTask::Scan { .. } => {
                *unread = Some(message);
                return Vec::new();
            }
            CloudTask::Discover { pool, .. } => (
                not_found.insert(pool.clone(), why),
                ObjectRef::pool(pool),
                EventReason::DiscoveryFailed,
            ),
            CloudTask::Prepare { node, .. } => (
                unready.insert(node.clone(), why),
                ObjectRef::egress_node(node),
                EventReason::NotPrepared,
            ),
            CloudTask::Attach { address, .. } | CloudTask::Observe { address, .. } => (
                faults.insert(*address, why),
                ObjectRef::address(*address),
                EventReason::AttachFailed,
            ),
            CloudTask::Detach { address, .. } => (
                faults.insert(*address, why),
                ObjectRef::address(*address),
                EventReason::DetachFailed,
            ),
        };
        let new = before.as_ref() != Some(&message);
        new.then(|| EventDraft::warning(about, reason, message)).into_iter().collect()
    }
}

fn drifted(address: IpAddr, wanted: &NodeName, now: Option<&Attachment>) -> EventDraft {
    let found = match now {
        Some(at) => format!("is {}", attached_message(at)),
        None => "is attached to no gateway".to_owned(),
    };
    let message = format!("{address} {found}, and not to {wanted}: somebody moved it; moving back");
    EventDraft { warning: true, ..note(address, EventReason::Drifted, message) }
}

fn note(address: IpAddr, reason: EventReason, message: String) -> EventDraft {
    EventDraft::normal(ObjectRef::address(address), reason, message)
}
