//! One request of this node to all voters, and how it stands (docs/leases.md rules 1, 4 and 9).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::{Ask, BootTime, RequestKind, SetId, Vote};
use crate::model::NodeName;

/// A round that may still be answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Round {
    /// When it was started: what a majority of answers is counted from.
    pub started: BootTime,
    pub set: SetId,
    /// The voters of that set.
    pub members: BTreeSet<NodeName>,
    pub kind: RequestKind,
    /// What is asked, without the addresses that were given up since.
    pub asks: BTreeMap<IpAddr, Ask>,
    /// By address and voter; `None`: it refused the request as a whole.
    pub answers: BTreeMap<IpAddr, BTreeMap<NodeName, Option<(Vote, u64)>>>,
    /// How often those who had not answered were asked again.
    pub repeated: usize,
}

/// How a round stands for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoundTally {
    Granted,
    Open,
    Impossible,
}

impl Round {
    pub(super) fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    pub(super) fn tally(&self, address: IpAddr) -> RoundTally {
        let none = BTreeMap::new();
        let answers = self.answers.get(&address).unwrap_or(&none);
        let granted =
            answers.values().filter(|answer| matches!(answer, Some((Vote::Granted, _)))).count();
        if granted >= self.majority() {
            RoundTally::Granted
        } else if granted + self.members.len() - answers.len() < self.majority() {
            RoundTally::Impossible
        } else {
            RoundTally::Open
        }
    }

    /// The greatest epoch counter that the voters know of the address.
    pub(super) fn epoch(&self, address: IpAddr) -> u64 {
        let answers = self.answers.get(&address).into_iter().flat_map(BTreeMap::values);
        answers.flatten().map(|(_, epoch)| *epoch).max().unwrap_or(0)
    }

    /// What the refusals say: how long until enough of them have run out; `None`
    /// where they do not say.
    pub(super) fn wait(&self, address: IpAddr) -> Option<Duration> {
        let answers = self.answers.get(&address)?;
        let mut waits: Vec<Duration> = answers
            .values()
            .filter_map(|answer| match answer {
                Some((Vote::Granted, _)) => Some(Duration::ZERO),
                Some((Vote::Taken { remaining }, _)) => {
                    Some(Duration::from_millis(u64::from(*remaining)))
                }
                _ => None,
            })
            .collect();
        waits.sort_unstable();
        waits.get(self.majority() - 1).copied()
    }

    pub(super) fn silent(&self) -> BTreeSet<NodeName> {
        let answered = |voter: &&NodeName| {
            self.asks.keys().all(|address| {
                self.answers.get(address).is_some_and(|answers| answers.contains_key(*voter))
            })
        };
        self.members.iter().filter(|voter| !answered(voter)).cloned().collect()
    }

    /// The longest T that it asks for.
    fn longest(&self) -> Duration {
        self.asks
            .values()
            .map(|ask| Duration::from_millis(u64::from(ask.lease)))
            .max()
            .unwrap_or_default()
    }

    /// When it is over whatever comes: a holder's counts for T, a candidate's for its 50 ms.
    pub(super) fn ends(&self, candidate: Duration) -> BootTime {
        match self.kind {
            RequestKind::Renewal => self.started + self.longest(),
            RequestKind::PreVote | RequestKind::Vote => self.started + candidate,
        }
    }
}
