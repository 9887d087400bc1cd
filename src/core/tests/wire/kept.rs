//! What an agent keeps, every field with a value of its own, and the least of it.

use egret_core::lease::{BootTime, KnownFence, PersistedLease, RawTime, RoundId, VoterGrant};
use egret_core::model::{PublicKey, Voter, VoterSet};

use crate::messages::{node, v4, v6};

pub(crate) fn voter_set() -> VoterSet {
    let member = |number: u8, endpoints| Voter {
        node: node(number),
        endpoints,
        peer_port: 7_946 + u16::from(number),
        public_key: PublicKey([0xb0 + number; 32]),
    };
    VoterSet { number: 301, members: vec![member(1, vec![v4(), v6()]), member(2, vec![v6()])] }
}

fn full() -> PersistedLease {
    let grant = |number: u8, from: u64| VoterGrant {
        node: node(number),
        round: RoundId { boot: from, counter: from + 1 },
        until: RawTime(from + 2),
        fence: from + 3,
        lower_fence_until: RawTime(from + 4),
        set: from + 5,
        older_set_until: RawTime(from + 6),
    };
    PersistedLease {
        boot_id: "11111111-2222-3333-4444-555555555555".to_owned(),
        cluster: Some("cluster-1".to_owned()),
        boot_grace_since: RawTime(1_000),
        t_max: 10_000,
        may_grant: true,
        set: Some(voter_set()),
        acknowledged_set: 299,
        fences_read_for: 298,
        grants: [(v4(), grant(1, 2_000)), (v6(), grant(2, 3_000))].into(),
        fences: [
            (v4(), KnownFence { fence: 400, gone: true }),
            (v6(), KnownFence { fence: 401, gone: false }),
        ]
        .into(),
        epochs: [(v4(), 500), (v6(), 501)].into(),
        promised: [(v4(), (node(3), BootTime(600)))].into(),
        held: [(v6(), u64::MAX)].into(),
        held_until: [].into(),
    }
}

/// `may_grant` beside other values, so that it is not taken for one of its neighbours.
pub(crate) fn all() -> Vec<(&'static str, PersistedLease)> {
    let bare = PersistedLease {
        boot_id: "b".to_owned(),
        boot_grace_since: RawTime(7),
        ..PersistedLease::default()
    };
    vec![("Kept", full()), ("Kept before the first view", bare)]
}
