//! What came of the tasks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::desk::{Basis, Desk};
use super::task::{Failure, Outcome, Task};
use super::{Fabric, NodeOffer, attached_message};
use crate::model::{Attachment, NodeName, Timestamp};
use crate::plan::Note;

impl Desk {
    /// Takes in what came of a task; returns what to tell people.
    pub fn done(
        &mut self,
        task: Task,
        result: Result<Outcome, Failure>,
        now: Timestamp,
    ) -> Vec<Note> {
        let key = task.key();
        let basis = self.under_way.remove(&key).unwrap_or_default();
        match result {
            Ok(outcome) => {
                self.pauses.remove(&key);
                self.succeeded(task, outcome, basis, now)
            }
            Err(failure) => {
                self.pauses.insert(key, (task.clone(), now + failure.wait));
                self.failed(&task, failure.message)
            }
        }
    }

    fn succeeded(
        &mut self,
        task: Task,
        outcome: Outcome,
        basis: Basis,
        now: Timestamp,
    ) -> Vec<Note> {
        match (task, outcome) {
            (Task::Scan { addresses, nodes }, Outcome::Seen { attached, offers }) => {
                self.fabric.asked = addresses.clone();
                self.scanned = Some((Task::Scan { addresses, nodes }, now));
                self.saw(attached, offers)
            }
            (Task::Discover { pool, tags }, Outcome::Found(found)) => {
                self.searched.insert(pool.clone(), (tags, now));
                self.fabric.not_found.remove(&pool);
                self.fabric.found.insert(pool, found);
                Vec::new()
            }
            (Task::Attach { address, .. }, Outcome::Attached(attachment)) => {
                self.touched.insert(address);
                self.fabric.faults.remove(&address);
                let note = note(address, "Attached", attached_message(&attachment));
                self.fabric.attached.insert(address, attachment);
                vec![note]
            }
            (Task::Detach { address, node }, Outcome::Detached) => {
                self.detached_from(address, node);
                Vec::new()
            }
            (Task::Prepare { node, .. }, Outcome::Prepared(results)) => {
                self.ready_for.insert(node.clone(), basis);
                self.fabric.unready.remove(&node);
                self.prepared(node, results, now)
            }
            _ => Vec::new(),
        }
    }

    /// What a scan saw counts, but for addresses that were on their way meanwhile.
    fn saw(
        &mut self,
        attached: BTreeMap<IpAddr, Attachment>,
        offers: BTreeMap<NodeName, NodeOffer>,
    ) -> Vec<Note> {
        let mut notes = Vec::new();
        for address in &self.wanted.addresses {
            if self.touched.contains(address) {
                continue;
            }
            let before = self.fabric.attached.get(address);
            let now = attached.get(address);
            let wanted = self.wanted.at.get(address);
            if before.map(|at| &at.node) == wanted && now.map(|at| &at.node) != wanted {
                notes.extend(wanted.map(|wanted| drifted(*address, wanted, now)));
            }
            match now {
                Some(at) => self.fabric.attached.insert(*address, at.clone()),
                None => self.fabric.attached.remove(address),
            };
        }
        self.fabric.offers = offers;
        self.fabric.seen = true;
        self.fabric.unread = None;
        notes
    }

    fn detached_from(&mut self, address: IpAddr, node: NodeName) {
        self.touched.insert(address);
        self.fabric.faults.remove(&address);
        if self.fabric.attached.get(&address).is_some_and(|at| at.node == node) {
            self.fabric.attached.remove(&address);
        }
        if let Some(ready) = self.fabric.prepared.get_mut(&node) {
            ready.remove(&address);
        }
        self.detached.entry(address).or_default().insert(node);
        self.note_gone();
    }

    fn prepared(
        &mut self,
        node: NodeName,
        results: BTreeMap<IpAddr, Result<Attachment, String>>,
        now: Timestamp,
    ) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut ready = BTreeMap::new();
        for (address, result) in results {
            let key = (node.clone(), address);
            match result {
                Ok(attachment) => {
                    self.refused_at.remove(&key);
                    self.fabric.refused.remove(&key);
                    ready.insert(address, attachment);
                }
                Err(why) => {
                    self.refused_at.insert(key.clone(), now);
                    let message = format!("{node} cannot be made ready for it: {why}");
                    if self.fabric.refused.insert(key, why).is_none() {
                        notes.push(Note { warning: true, ..note(address, "NotPrepared", message) });
                    }
                }
            }
        }
        self.fabric.prepared.insert(node, ready);
        notes
    }

    /// Told once for each reason.
    fn failed(&mut self, task: &Task, message: String) -> Vec<Note> {
        let why = message.clone();
        let Fabric { unread, not_found, unready, faults, .. } = &mut self.fabric;
        let (before, about, reason) = match task {
            Task::Scan { .. } => {
                *unread = Some(message);
                return Vec::new();
            }
            Task::Discover { pool, .. } => (
                not_found.insert(pool.clone(), why),
                format!("EgressPool {pool}"),
                "DiscoveryFailed",
            ),
            Task::Prepare { node, .. } => {
                (unready.insert(node.clone(), why), format!("EgressNode {node}"), "NotPrepared")
            }
            Task::Attach { address, .. } => {
                (faults.insert(*address, why), about_address(*address), "AttachFailed")
            }
            Task::Detach { address, .. } => {
                (faults.insert(*address, why), about_address(*address), "DetachFailed")
            }
        };
        let new = before.as_ref() != Some(&message);
        new.then(|| Note::warning(about, reason, message)).into_iter().collect()
    }
}

fn drifted(address: IpAddr, wanted: &NodeName, now: Option<&Attachment>) -> Note {
    let found = match now {
        Some(at) => format!("is {}", attached_message(at)),
        None => "is attached to no gateway".to_owned(),
    };
    let message = format!("{address} {found}, and not to {wanted}: somebody moved it; moving back");
    Note { warning: true, ..note(address, "Drifted", message) }
}

fn note(address: IpAddr, reason: &'static str, message: String) -> Note {
    Note::normal(about_address(address), reason, message)
}

fn about_address(address: IpAddr) -> String {
    format!("EgressAddress {address}")
}
