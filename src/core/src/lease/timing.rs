//! Lengths of time of the protocol, in one place.

use std::time::Duration;

use super::clock::nanoseconds;

/// The protocol's constants. Lengths that depend on T are percents or parts of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// A voter's grant, in percent of T: 112, since CLOCK_BOOTTIME may be bent by up to 10 %.
    pub grant_percent: u64,
    /// Silence of the holder before a standby asks, in percent of T: 113.
    pub ask_percent: u64,
    /// Renewals in one T: 5.
    pub renewals: u64,
    /// Between one rank's question and the next one's: 50 ms.
    pub rank_step: Duration,
    /// A candidate's round without a majority ends after this: 50 ms.
    pub round: Duration,
    /// Who has not answered is asked again after these: 15 and 45 ms.
    pub repeats: [Duration; 2],
    /// Longest pause after a failed round, before what rank and chance add: 50 ms.
    pub pause: Duration,
    /// Added to the pause per rank: 12 ms.
    pub pause_rank: Duration,
    /// Added to the pause at random, up to: 12 ms.
    pub pause_random: Duration,
    /// A candidate asks at multiples of this, so that the addresses of a node that has died share
    /// rounds, whatever the moments in which its last renewals came: 4 ms.
    pub ask_step: Duration,
    /// How long an address is `Leaving`: 2 s.
    pub leaving: Duration,
    /// A successor that has not answered within this is given up by who stops: 150 ms.
    pub successor: Duration,
    /// A standby that has not taken over within this is followed by the next one by who is cut off: 1 s.
    pub cut_off: Duration,
    /// The same once each has been asked in vain: 5 s.
    pub cut_off_again: Duration,
    /// Between heartbeats to each voter: 1 s.
    pub heartbeat: Duration,
    /// A node not heard for this is absent: 10 s.
    pub absence: Duration,
    /// First repetition of a notice; doubled up to `notice_max`: 20 ms.
    pub notice_first: Duration,
    /// Longest pause between repetitions of a notice: 1 s.
    pub notice_max: Duration,
    /// Notices, and announcements by ARP and NDP, of a held address are repeated this often: 30 s.
    pub again: Duration,
    /// Between the first five announcements by ARP and NDP: 1.1 s.
    pub announce_step: Duration,
    /// Between the first announcements in Google's form, so that they come after 1, 3 and 6 s.
    pub garp_steps: [Duration; 3],
    /// Between later announcements in Google's form: 10 s.
    pub garp_again: Duration,
    /// Announcements in Google's form end this long after the cloud is seen to deliver here by its
    /// own settings: 10 min.
    pub garp_settled: Duration,
    /// A director that has heard no announcement for this asks the voters: 65 s.
    pub director_silence: Duration,
    /// Between a director's questions about one address: 1 s.
    pub ask_interval: Duration,
    /// How long the voters must say that nobody holds an address: 5 s.
    pub unavailable: Duration,
    /// Between attempts of a consistent read: 2 s.
    pub read_again: Duration,
    /// Less than a majority for this long is reported: 2 s.
    pub majority_lost: Duration,
    /// A conflicting address is probed again after this: 60 s.
    pub probe_again: Duration,
    /// Beyond the silence before a standby asks: a holder that was heard no longer ago is followed
    /// without a probe: 2 s.
    pub follow_within: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            grant_percent: 112,
            ask_percent: 113,
            renewals: 5,
            rank_step: Duration::from_millis(50),
            round: Duration::from_millis(50),
            repeats: [Duration::from_millis(15), Duration::from_millis(45)],
            pause: Duration::from_millis(50),
            pause_rank: Duration::from_millis(12),
            pause_random: Duration::from_millis(12),
            ask_step: Duration::from_millis(4),
            leaving: Duration::from_millis(2000),
            successor: Duration::from_millis(150),
            cut_off: Duration::from_millis(1000),
            cut_off_again: Duration::from_millis(5000),
            heartbeat: Duration::from_millis(1000),
            absence: Duration::from_millis(10_000),
            notice_first: Duration::from_millis(20),
            notice_max: Duration::from_millis(1000),
            again: Duration::from_millis(30_000),
            announce_step: Duration::from_millis(1100),
            garp_steps: [1000, 2000, 3000].map(Duration::from_millis),
            garp_again: Duration::from_millis(10_000),
            garp_settled: Duration::from_millis(600_000),
            director_silence: Duration::from_millis(65_000),
            ask_interval: Duration::from_millis(1000),
            unavailable: Duration::from_millis(5000),
            read_again: Duration::from_millis(2000),
            majority_lost: Duration::from_millis(2000),
            probe_again: Duration::from_millis(60_000),
            follow_within: Duration::from_millis(2000),
        }
    }
}

impl Timing {
    /// How long a voter's grant of a lease lasts; also the silence of a
    /// voter after its boot, where `lease` is T_max.
    pub(super) fn grant(&self, lease: Duration) -> Duration {
        percent(lease, self.grant_percent)
    }

    /// How long a standby must not have heard a renewal before it asks.
    pub(crate) fn ask(&self, lease: Duration) -> Duration {
        percent(lease, self.ask_percent)
    }

    /// Between a holder's renewals.
    pub(super) fn renewal(&self, lease: Duration) -> Duration {
        Duration::from_nanos(nanoseconds(lease) / self.renewals.max(1))
    }
}

fn percent(length: Duration, percent: u64) -> Duration {
    Duration::from_nanos(nanoseconds(length).saturating_mul(percent) / 100)
}
