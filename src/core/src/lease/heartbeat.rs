//! Heartbeats, absence of nodes, and whether a majority of the voters answers (docs/design.md
//! decision 8).

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::durable::DurableState;
use super::effect::Effects;
use super::{BootTime, Message, Now, RawTime, Report};
use crate::model::NodeName;

/// Who was heard when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Heartbeats {
    /// When this process began to listen.
    since: RawTime,
    /// The last datagram of each node.
    last_received: BTreeMap<NodeName, RawTime>,
    absent: BTreeSet<NodeName>,
    next: BootTime,
    /// Since when this node asks for addresses.
    asking_since: Option<BootTime>,
    majority_lost: bool,
}

impl Heartbeats {
    pub(super) fn new(now: Now) -> Self {
        Self {
            since: now.raw,
            last_received: BTreeMap::new(),
            absent: BTreeSet::new(),
            next: now.boot,
            asking_since: None,
            majority_lost: false,
        }
    }

    /// A datagram has come from this node.
    pub(super) fn note_received(&mut self, now: Now, from: &NodeName) {
        self.last_received.insert(from.clone(), now.raw);
        if self.absent.contains(from) {
            self.next = self.next.min(now.boot);
        }
    }

    pub(super) fn deadline(&self) -> Option<BootTime> {
        Some(self.next)
    }

    /// Once a second: tells the voters that this node lives, and looks who else does. `asking`:
    /// this node holds or wants an address. `answered`: when each voter last answered.
    pub(super) fn advance(
        &mut self,
        cx: &Context<'_>,
        durable: &DurableState,
        asking: bool,
        answered: &BTreeMap<NodeName, BootTime>,
        out: &mut Effects,
    ) {
        if self.next > cx.now.boot {
            return;
        }
        self.next = cx.now.boot + cx.config.timing.heartbeat;
        let voters = durable.voters();
        for voter in voters.iter().filter(|voter| **voter != cx.config.me) {
            out.send(voter, Message::Heartbeat);
        }
        self.look_for_absent(cx, durable.is_voter(&cx.config.me), out);
        self.look_for_majority(cx, &voters, asking, answered, out);
    }

    fn look_for_absent(&mut self, cx: &Context<'_>, is_voter: bool, out: &mut Effects) {
        let nodes = cx.view.into_iter().flat_map(|view| &view.nodes);
        let silent = |node: &&NodeName| {
            let heard = self.last_received.get(*node).copied().unwrap_or(self.since);
            **node != cx.config.me && heard + cx.config.timing.absence <= cx.now.raw
        };
        let absent: BTreeSet<NodeName> = match is_voter {
            true => nodes.filter(silent).cloned().collect(),
            false => BTreeSet::new(),
        };
        if absent != self.absent {
            self.absent.clone_from(&absent);
            out.report(Report::Absent { nodes: absent });
        }
    }

    fn look_for_majority(
        &mut self,
        cx: &Context<'_>,
        voters: &[NodeName],
        asking: bool,
        answered: &BTreeMap<NodeName, BootTime>,
        out: &mut Effects,
    ) {
        let length = cx.config.timing.majority_lost;
        let recent = cx.now.boot - length;
        if !asking {
            self.asking_since = None;
        }
        let silent: BTreeSet<NodeName> = voters
            .iter()
            .filter(|voter| answered.get(*voter).is_none_or(|at| *at < recent))
            .cloned()
            .collect();
        let enough = voters.len() - silent.len() > voters.len() / 2;
        if asking && !enough {
            let since = *self.asking_since.get_or_insert(cx.now.boot);
            let long = since + length <= cx.now.boot;
            if long && !std::mem::replace(&mut self.majority_lost, true) {
                out.report(Report::MajorityLost { silent });
            }
        } else if std::mem::take(&mut self.majority_lost) {
            out.report(Report::MajorityBack);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::{at, name, view, voter_set};
    use crate::lease::{Effect, LeaseConfig, PersistedLease};

    fn reports(heartbeats: &mut Heartbeats, ms: u64, asking: bool) -> Vec<Report> {
        let kept = PersistedLease { set: Some(voter_set(1, &[1, 2, 3])), ..Default::default() };
        let (config, view) = (LeaseConfig::new(name(1), "boot"), view());
        let cx = Context { config: &config, view: Some(&view), now: at(ms) };
        let mut out = Effects::default();
        let durable = DurableState::new(kept);
        heartbeats.advance(&cx, &durable, asking, &BTreeMap::new(), &mut out);
        let reports = out.0.into_iter().filter_map(|effect| match effect {
            Effect::Report(report) => Some(report),
            _ => None,
        });
        reports.collect()
    }

    #[test]
    fn who_is_not_heard_for_ten_seconds_is_absent() {
        let mut heartbeats = Heartbeats::new(at(0));
        heartbeats.note_received(at(5000), &name(2));
        assert_eq!(reports(&mut heartbeats, 9999, false), []);
        let nodes = BTreeSet::from([name(3), name(4)]);
        assert_eq!(reports(&mut heartbeats, 11_000, false), [Report::Absent { nodes }]);
        heartbeats.note_received(at(11_001), &name(3));
        assert_eq!(heartbeats.deadline(), Some(at(11_001).boot), "its return is said at once");
    }

    #[test]
    fn a_majority_that_is_silent_for_two_seconds_is_reported_once() {
        let mut heartbeats = Heartbeats::new(at(0));
        assert_eq!(reports(&mut heartbeats, 3000, true), []);
        let lost = reports(&mut heartbeats, 5000, true);
        assert!(matches!(&lost[..], [Report::MajorityLost { silent }] if silent.len() == 3));
        assert_eq!(reports(&mut heartbeats, 6000, true), []);
        assert_eq!(reports(&mut heartbeats, 7000, false), [Report::MajorityBack]);
    }
}
