//! A newer set of voters that comes in parts, since its members do not fit into one datagram.

use std::collections::BTreeMap;

use super::durable::DurableState;
use super::{SetId, SetPart};
use crate::model::{Voter, VoterSet};

/// The parts that have come of one set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SetAssembly(Option<(SetId, BTreeMap<u8, Voter>)>);

impl SetAssembly {
    /// Takes in a part; the set once it is whole, newer than the one known, and the one that the
    /// parts name.
    pub(super) fn on_part(&mut self, durable: &DurableState, part: SetPart) -> Option<VoterSet> {
        let known = durable.set_id().map_or(0, |id| id.number);
        if part.set.number <= known || usize::from(part.total) > usize::from(u8::MAX / 8) {
            return None;
        }
        let mut members = match self.0.take() {
            Some((id, members)) if id == part.set => members,
            _ => BTreeMap::new(),
        };
        members.extend((part.first..part.total).zip(part.members));
        if members.len() < usize::from(part.total) {
            self.0 = Some((part.set, members));
            return None;
        }
        let set = VoterSet { number: part.set.number, members: members.into_values().collect() };
        let named = SetId::of(durable.kept.cluster.as_deref()?, &set) == part.set;
        named.then_some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::PersistedLease;
    use crate::lease::tests::voter_set;

    fn part(of: SetId, set: &VoterSet, place: u8) -> SetPart {
        let members = vec![set.members[usize::from(place)].clone()];
        SetPart { set: of, total: 3, first: place, members }
    }

    #[test]
    fn a_set_is_whole_with_its_last_part_in_whatever_order() {
        let kept = PersistedLease {
            cluster: Some("c".to_owned()),
            set: Some(voter_set(3, &[1, 2, 3])),
            ..Default::default()
        };
        let durable = DurableState::new(kept);
        let (old, new) = (voter_set(3, &[1, 2, 4]), voter_set(4, &[1, 2, 4]));
        let id = SetId::of("c", &new);
        let mut assembly = SetAssembly::default();
        let mut take = |part| assembly.on_part(&durable, part);
        assert_eq!(take(part(id, &new, 2)), None);
        assert_eq!(take(part(SetId::of("c", &old), &old, 0)), None, "not newer");
        assert_eq!(take(part(id, &new, 0)), None);
        assert_eq!(take(part(id, &new, 1)), Some(new.clone()));
        let other = SetId { digest: id.digest + 1, ..id };
        let parts = [0, 1, 2].map(|place| take(part(other, &new, place)));
        assert_eq!(parts, [None, None, None], "not the set that its parts name");
    }
}
