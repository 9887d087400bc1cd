//! Addresses that are ending, which their claims may get back.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::model::{AddressEnd, EgressAddress, Snapshot};

use super::contested;

/// All but those that another host was found to have. Where a claim has room for some of them alone,
/// it gets back those with connections, and of these what it had last: the first here.
pub(super) fn by_preference(snapshot: &Snapshot) -> Vec<(IpAddr, &EgressAddress, AddressEnd)> {
    let ended = snapshot.addresses.iter().filter_map(|(address, stored)| {
        let end = stored.value.plan.end?;
        let contested = contested::is_contested(snapshot, &stored.value);
        (!contested).then_some((*address, &stored.value, end))
    });
    let mut ended: Vec<_> = ended.collect();
    ended.sort_by_key(|(address, _, end)| match end {
        AddressEnd::Released { since, .. } => (false, Reverse(*since), *address),
        AddressEnd::Revoked { since } => (true, Reverse(*since), *address),
    });
    ended
}
