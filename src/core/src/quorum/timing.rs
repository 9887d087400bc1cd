//! Lengths of time of the protocol, in one place.

use crate::model::Millis;

/// Nanoseconds of one millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// A length of time in nanoseconds.
pub(crate) fn ns(length: Millis) -> u64 {
    length.0.saturating_mul(MS)
}

/// The protocol's constants. Lengths that depend on T are percents or parts of it; the others are
/// nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// A voter's grant, in percent of T: 112, since CLOCK_BOOTTIME may be bent by up to 10 %.
    pub grant_percent: u64,
    /// Silence of the holder before a standby asks, in percent of T: 113.
    pub ask_percent: u64,
    /// Renewals in one T: 5.
    pub renewals: u64,
    /// Between one rank's question and the next one's: 50 ms.
    pub rank_step: u64,
    /// A candidate's round without a majority ends after this: 50 ms.
    pub round: u64,
    /// Who has not answered is asked again after these: 15 and 45 ms.
    pub repeats: [u64; 2],
    /// Longest pause after a failed round, before what rank and chance add: 50 ms.
    pub pause: u64,
    /// Added to the pause per rank: 12 ms.
    pub pause_rank: u64,
    /// Added to the pause at random, up to: 12 ms.
    pub pause_random: u64,
    /// A candidate asks at multiples of this, so that the addresses of a node that has died share
    /// rounds, whatever the moments in which its last renewals came: 4 ms.
    pub ask_step: u64,
    /// How long an address is `Leaving`: 2 s.
    pub leaving: u64,
    /// A successor that has not answered within this is given up by who stops: 150 ms.
    pub successor: u64,
    /// Between heartbeats to each voter: 1 s.
    pub heartbeat: u64,
    /// A node not heard for this is absent: 10 s.
    pub absence: u64,
    /// First repetition of a notice; doubled up to `notice_max`: 20 ms.
    pub notice_first: u64,
    /// Longest pause between repetitions of a notice: 1 s.
    pub notice_max: u64,
    /// Notices and announcements of a held address are repeated this often: 30 s.
    pub again: u64,
    /// Between the first five announcements: 1.1 s.
    pub announce_step: u64,
    /// A director that has heard no announcement for this asks the voters: 65 s.
    pub director_silence: u64,
    /// Between a director's questions about one address: 1 s.
    pub ask_interval: u64,
    /// How long the voters must say that nobody holds an address: 5 s.
    pub unavailable: u64,
    /// Between attempts of a consistent read: 2 s.
    pub read_again: u64,
    /// Less than a majority for this long is reported: 2 s.
    pub majority_lost: u64,
    /// A conflicting address is probed again after this: 60 s.
    pub probe_again: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            grant_percent: 112,
            ask_percent: 113,
            renewals: 5,
            rank_step: 50 * MS,
            round: 50 * MS,
            repeats: [15 * MS, 45 * MS],
            pause: 50 * MS,
            pause_rank: 12 * MS,
            pause_random: 12 * MS,
            ask_step: 4 * MS,
            leaving: 2000 * MS,
            successor: 150 * MS,
            heartbeat: 1000 * MS,
            absence: 10_000 * MS,
            notice_first: 20 * MS,
            notice_max: 1000 * MS,
            again: 30_000 * MS,
            announce_step: 1100 * MS,
            director_silence: 65_000 * MS,
            ask_interval: 1000 * MS,
            unavailable: 5000 * MS,
            read_again: 2000 * MS,
            majority_lost: 2000 * MS,
            probe_again: 60_000 * MS,
        }
    }
}

impl Timing {
    /// How long a voter's grant of a lease of `lease` nanoseconds lasts; also the silence of a
    /// voter after its boot, where `lease` is T_max.
    pub(crate) fn grant(&self, lease: u64) -> u64 {
        percent(lease, self.grant_percent)
    }

    /// How long a standby must not have heard a renewal before it asks.
    pub(crate) fn ask(&self, lease: u64) -> u64 {
        percent(lease, self.ask_percent)
    }

    /// Between a holder's renewals.
    pub(crate) fn renewal(&self, lease: u64) -> u64 {
        lease / self.renewals.max(1)
    }
}

fn percent(length: u64, percent: u64) -> u64 {
    length.saturating_mul(percent) / 100
}
