//! Heartbeats, absence of nodes, and whether a majority of the voters answers (docs/design.md
//! decision 8).

use std::collections::{BTreeMap, BTreeSet};

use super::address::Role;
use super::machine::{Machine, Out};
use super::{Message, Now, Report};
use crate::model::NodeName;

/// Who was heard when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Presence {
    /// When this process began to listen, on CLOCK_MONOTONIC_RAW.
    since: u64,
    /// The last datagram of each node, on the same clock.
    heard: BTreeMap<NodeName, u64>,
    absent: BTreeSet<NodeName>,
    next: u64,
    /// Since when this node asks for addresses, on the boot-time clock.
    asking_since: Option<u64>,
    majority_lost: bool,
}

impl Presence {
    pub(super) fn new(now: Now) -> Self {
        Self {
            since: now.raw,
            heard: BTreeMap::new(),
            absent: BTreeSet::new(),
            next: now.boot.0,
            asking_since: None,
            majority_lost: false,
        }
    }
}

impl Machine {
    pub(super) fn heard_from(&mut self, now: Now, from: &NodeName) {
        self.presence.heard.insert(from.clone(), now.raw);
        if self.presence.absent.contains(from) {
            self.presence.next = self.presence.next.min(now.boot.0);
        }
    }

    /// Once a second.
    pub(super) fn advance_presence(&mut self, now: Now, out: &mut Out) {
        if self.presence.next > now.boot.0 {
            return;
        }
        self.presence.next = now.boot.0 + self.config.timing.heartbeat;
        for voter in self.voters() {
            if voter != self.config.me {
                out.send(&voter, Message::Heartbeat);
            }
        }
        self.look_for_absent(now, out);
        self.look_for_majority(now, out);
    }

    pub(super) fn presence_due(&self) -> Option<u64> {
        Some(self.presence.next)
    }

    fn look_for_absent(&mut self, now: Now, out: &mut Out) {
        let nodes = self.view.iter().flat_map(|view| &view.nodes);
        let silent = |node: &&NodeName| {
            let heard = self.presence.heard.get(*node).copied().unwrap_or(self.presence.since);
            **node != self.config.me && heard + self.config.timing.absence <= now.raw
        };
        let absent: BTreeSet<NodeName> = match self.is_voter() {
            true => nodes.filter(silent).cloned().collect(),
            false => BTreeSet::new(),
        };
        if absent != self.presence.absent {
            self.presence.absent.clone_from(&absent);
            out.report(Report::Absent { nodes: absent });
        }
    }

    fn look_for_majority(&mut self, now: Now, out: &mut Out) {
        let length = self.config.timing.majority_lost;
        let recent = now.boot.0.saturating_sub(length);
        let asking = self
            .addresses
            .values()
            .any(|entry| entry.role != Role::Idle || (entry.pause > 0 && entry.pause >= recent));
        if !asking {
            self.presence.asking_since = None;
        }
        let voters = self.voters();
        let silent: BTreeSet<NodeName> = voters
            .iter()
            .filter(|voter| self.answered.get(*voter).is_none_or(|at| *at < recent))
            .cloned()
            .collect();
        let enough = voters.len() - silent.len() > voters.len() / 2;
        if asking && !enough {
            let since = *self.presence.asking_since.get_or_insert(now.boot.0);
            let long = since + length <= now.boot.0;
            if long && !std::mem::replace(&mut self.presence.majority_lost, true) {
                out.report(Report::MajorityLost { silent });
            }
        } else if std::mem::take(&mut self.presence.majority_lost) {
            out.report(Report::MajorityBack);
        }
    }
}
