//! Why a datagram was not acted on, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a datagram was dropped. [`Discard::name`] is the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Discard {
    /// Shorter than header and tag.
    TooShort,
    /// Longer than [`crate::MAX_DATAGRAM`].
    TooLong,
    /// Another version of the format.
    Version,
    /// A kind that this version does not have.
    Kind,
    /// No peer of this cluster has that name and key.
    UnknownSender,
    /// The seal does not verify: changed, or sealed with another key.
    Forged,
    /// Of an incarnation of the sender before the last one seen.
    OldIncarnation,
    /// The echo is not this process's: refused with a hello. At a first contact and after a
    /// restart of either side this is normal, once.
    NotMet,
    /// The same, and more than 20 hellos a second would have been sent to that peer.
    HelloLimit,
    /// A hello for an earlier process or an earlier peers' table.
    StaleHello,
    /// Its counter was seen already.
    Replayed,
    /// Its counter lies 1,024 or more behind the greatest seen.
    TooOld,
    /// Sealed by the peer, but not a message that this build understands.
    Undecodable,
    /// The socket reported an error instead of a datagram.
    Socket,
    /// It had waited for more than 100 ms to be read: this node does not keep up.
    Late,
}

impl Discard {
    /// Every reason, in order of its number.
    pub const ALL: [Self; 15] = [
        Self::TooShort,
        Self::TooLong,
        Self::Version,
        Self::Kind,
        Self::UnknownSender,
        Self::Forged,
        Self::OldIncarnation,
        Self::NotMet,
        Self::HelloLimit,
        Self::StaleHello,
        Self::Replayed,
        Self::TooOld,
        Self::Undecodable,
        Self::Socket,
        Self::Late,
    ];

    /// The reason in snake_case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Version => "version",
            Self::Kind => "kind",
            Self::UnknownSender => "unknown_sender",
            Self::Forged => "forged",
            Self::OldIncarnation => "old_incarnation",
            Self::NotMet => "not_met",
            Self::HelloLimit => "hello_limit",
            Self::StaleHello => "stale_hello",
            Self::Replayed => "replayed",
            Self::TooOld => "too_old",
            Self::Undecodable => "undecodable",
            Self::Socket => "socket",
            Self::Late => "late",
        }
    }
}

/// Datagrams dropped since the endpoint was bound, by reason. A clone reads the same counters, from
/// any thread.
#[derive(Clone, Debug, Default)]
pub struct Discarded(Arc<[AtomicU64; Discard::ALL.len()]>);

impl Discarded {
    /// How many were dropped for `reason`.
    #[must_use]
    pub fn get(&self, reason: Discard) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }

    /// Every reason with its count.
    pub fn all(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL.into_iter().map(|reason| (reason, self.get(reason)))
    }

    pub(crate) fn count(&self, reason: Discard) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let discarded = Discarded::default();
        for (number, reason) in Discard::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{reason:?} is out of order");
            discarded.count(reason);
        }
        assert!(discarded.clone().all().all(|(_, count)| count == 1));
        let names: std::collections::BTreeSet<_> = Discard::ALL.map(Discard::name).into();
        assert_eq!(names.len(), Discard::ALL.len());
    }
}
