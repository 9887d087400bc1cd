//! Objects that tests of several crates begin with.

use egret_core::model::{AddressPlan, ClaimRef, Millis, PoolName, ProviderKind, Uid};

/// The plan of a bound address on a LAN, of the pool `partners`, with the shortest lease; nobody owns it.
/// The claim's uid is `1`.
#[must_use]
pub fn bare_plan(claim: ClaimRef, fence: u64) -> AddressPlan {
    AddressPlan {
        claim,
        claim_uid: Uid::new("1"),
        pool: PoolName::new("partners"),
        provider: ProviderKind::L2,
        owner: None,
        standbys: Vec::new(),
        fence,
        made_for: None,
        lease: Millis(450),
        end: None,
        preferred_node: None,
        home: None,
        paused: false,
        rebalanced_at: None,
        moved_off: None,
    }
}
