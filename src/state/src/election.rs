//! Who leads: the rule of the leader lease, the same in both stores.
//!
//! Clocks of two processes are never compared: a lease has run out when *we* have seen it unchanged
//! for as long as it says. So a leader that was stopped for that long has lost it, and one whose
//! clock is wrong has not.

use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize};

/// The spec of a Lease of `coordination.k8s.io/v1`. Its times are for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderLease {
    /// Who leads; empty where nobody does.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub holder_identity: String,
    /// For how long after a change; 0 where it does not say.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub lease_duration_seconds: u32,
    /// Since when this one leads.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub acquire_time: String,
    /// When it was renewed last.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub renew_time: String,
    /// How often another took over.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub lease_transitions: u64,
}

fn null_is_empty<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// What a store has of the lease.
#[derive(Clone, Copy, Debug)]
pub enum FoundLease<'a> {
    /// Nothing.
    Nothing,
    /// Something that cannot be read: somebody's, for as long as we would have it.
    Unreadable,
    /// The lease.
    Lease(&'a LeaderLease),
}

/// Who asks, and for how long; 0 seconds give the lease up.
#[derive(Clone, Copy, Debug)]
pub struct LeadershipRequest<'a> {
    /// A name that no other process uses.
    pub holder: &'a str,
    /// How long it would lead without a renewal.
    pub for_seconds: u32,
    /// Now, as the store writes times.
    pub now: &'a str,
}

/// The lease to write; `None` where it stays as it is, and is not the one's who asks. `unchanged` is
/// for how long we have seen it like this.
pub fn decide(
    found: FoundLease<'_>,
    unchanged: Duration,
    request: LeadershipRequest<'_>,
) -> Option<LeaderLease> {
    let LeadershipRequest { holder, for_seconds, now } = request;
    let present = match found {
        FoundLease::Lease(lease) => Some(lease),
        FoundLease::Nothing | FoundLease::Unreadable => None,
    };
    let ours = present.filter(|lease| lease.holder_identity == holder);
    if for_seconds == 0 {
        let ended = |lease: &LeaderLease| LeaderLease {
            holder_identity: String::new(),
            renew_time: now.to_owned(),
            ..lease.clone()
        };
        return ours.map(ended);
    }
    if let Some(lease) = ours {
        let lease_duration_seconds = for_seconds;
        return Some(LeaderLease {
            lease_duration_seconds,
            renew_time: now.to_owned(),
            ..lease.clone()
        });
    }
    let free = match found {
        FoundLease::Nothing => true,
        FoundLease::Unreadable => false,
        FoundLease::Lease(lease) => lease.holder_identity.is_empty(),
    };
    let lasts = present.map(|lease| lease.lease_duration_seconds).filter(|seconds| *seconds > 0);
    let lasts = Duration::from_secs(lasts.unwrap_or(for_seconds).into());
    (free || unchanged >= lasts).then(|| LeaderLease {
        holder_identity: holder.to_owned(),
        lease_duration_seconds: for_seconds,
        acquire_time: now.to_owned(),
        renew_time: now.to_owned(),
        lease_transitions: present.map_or(0, |lease| lease.lease_transitions + 1),
    })
}

/// The lease of somebody else as it was seen last, by what tells two states of it apart.
#[derive(Debug)]
pub struct ObservedLease<V>(Option<(V, Instant)>);

impl<V> Default for ObservedLease<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V: PartialEq> ObservedLease<V> {
    /// For how long it has been seen like this, with this look at it.
    pub fn unchanged(&mut self, version: V) -> Duration {
        match &self.0 {
            Some((before, since)) if *before == version => since.elapsed(),
            _ => {
                self.0 = Some((version, Instant::now()));
                Duration::ZERO
            }
        }
    }

    /// It has been written by us: what was seen is moot.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: LeadershipRequest<'_> =
        LeadershipRequest { holder: "me", for_seconds: 4, now: "now" };

    fn lease(holder: &str) -> LeaderLease {
        LeaderLease {
            holder_identity: holder.to_owned(),
            lease_duration_seconds: 10,
            acquire_time: "then".to_owned(),
            renew_time: "then".to_owned(),
            lease_transitions: 7,
        }
    }

    fn holder(found: FoundLease<'_>, unchanged: u64) -> Option<(String, u64)> {
        let written = decide(found, Duration::from_secs(unchanged), ME)?;
        assert_eq!((written.lease_duration_seconds, written.renew_time.as_str()), (4, "now"));
        Some((written.holder_identity, written.lease_transitions))
    }

    #[test]
    fn a_lease_of_another_is_taken_when_it_was_seen_unchanged_for_as_long_as_it_says() {
        let (theirs, ours, free) = (lease("them"), lease("me"), lease(""));
        let taken = |transitions| Some(("me".to_owned(), transitions));
        assert_eq!(holder(FoundLease::Nothing, 0), taken(0));
        assert_eq!(holder(FoundLease::Lease(&free), 0), taken(8));
        assert_eq!(holder(FoundLease::Lease(&ours), 0), taken(7), "a renewal is no transition");
        assert_eq!(holder(FoundLease::Lease(&theirs), 9), None);
        assert_eq!(holder(FoundLease::Lease(&theirs), 10), taken(8));
        assert_eq!(holder(FoundLease::Unreadable, 3), None);
        assert_eq!(holder(FoundLease::Unreadable, 4), taken(0));
        let without_duration = LeaderLease { lease_duration_seconds: 0, ..theirs };
        assert_eq!(
            holder(FoundLease::Lease(&without_duration), 3),
            None,
            "as long as we would have it"
        );
    }

    #[test]
    fn only_its_holder_gives_a_lease_up() {
        let given_up = LeadershipRequest { for_seconds: 0, ..ME };
        let end = |lease: &LeaderLease| decide(FoundLease::Lease(lease), Duration::MAX, given_up);
        assert_eq!(end(&lease("them")), None);
        let ended = end(&lease("me")).unwrap();
        assert_eq!((ended.holder_identity.as_str(), ended.lease_transitions), ("", 7));
        assert_eq!(decide(FoundLease::Nothing, Duration::MAX, given_up), None);
    }

    #[test]
    fn what_changes_is_seen_for_the_first_time_again() {
        let mut observed = ObservedLease::default();
        assert_eq!(observed.unchanged("1"), Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert!(observed.unchanged("1") >= Duration::from_millis(2));
        assert_eq!(observed.unchanged("2"), Duration::ZERO);
        observed.forget();
        assert_eq!(observed.unchanged("2"), Duration::ZERO);
    }
}
