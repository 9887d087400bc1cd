//! What of a machine can still change who holds an address: for the checker's state hash.

use std::hash::{Hash, Hasher};

use super::machine::Machine;

impl Machine {
    /// Hashes everything but what no lease rests on: who was heard or answered when, notices,
    /// directors, and, where `epochs` is false, epochs.
    pub fn hash_essence(&self, epochs: bool, state: &mut impl Hasher) {
        let kept = &self.kept;
        (kept.silent_since, kept.may_grant, &kept.set, kept.acknowledged_set).hash(state);
        (kept.fences_read_for, &kept.grants, &kept.fences, &kept.promised).hash(state);
        (self.boot, self.next_round, &self.set_parts, self.stopping).hash(state);
        (self.voting.set_seen, self.voting.said_set, &self.voting.said_fences).hash(state);
        for (counter, round) in &self.rounds {
            (counter, round.started, round.kind, round.set, &round.members).hash(state);
            for (address, ask) in &round.asks {
                (address, ask.fence, ask.lease).hash(state);
                for (voter, answer) in round.answers.get(address).into_iter().flatten() {
                    (voter, answer.map(|(verdict, _)| verdict)).hash(state);
                }
            }
        }
        for entry in self.addresses.values() {
            (&entry.role_essence(), entry.heard, entry.pause, entry.ranked).hash(state);
            (&entry.coming, &entry.leaving, entry.adopted_until, &entry.kernel).hash(state);
            entry.known.as_ref().map(|known| &known.node).hash(state);
        }
        if epochs {
            (&kept.epochs, &kept.held).hash(state);
        }
    }
}

impl super::address::Address {
    fn role_essence(&self) -> impl Hash {
        let holder = self.holder().map(|holder| {
            (
                holder.fence,
                holder.lease,
                holder.deadline,
                holder.next_renewal,
                holder.handover.clone(),
            )
        });
        (std::mem::discriminant(&self.role), holder)
    }
}
