//! What the leader should write now: `plan(snapshot, memory, settings, now)` → actions.
//!
//! State: none; what the leader remembers is a [`Memory`] that the caller keeps.
//!
//! Always (held by property tests):
//! - a plan is made of what is read, never of what an earlier plan wanted: after any prefix of it,
//!   planning again finishes the work. After all of it the next plan is empty, but for what waited
//!   for something that this one has freed;
//! - no address has two claims and no port of an address two grants, after any *subset* of a
//!   plan's actions: what a plan frees, only a later one gives out;
//! - the order of the input does not matter.
//!
//! How to carry it out: draw [`Plan::numbers`] from the fence counter, [`Plan::fill`], then write
//! in order. Address plans come first and may go in parallel. Node specs must be written one after
//! the other, in order, and the first failure ends the turn: a gateway acknowledges "every number
//! up to this one", so a smaller number must not appear after a greater one. Statuses come last and
//! fail by themselves.

mod action;
mod apply;
mod memory;

use crate::model::Timestamp;

pub use action::{Action, BlockDraw, BlockField, Note, about_claim};
pub use apply::apply;
pub use memory::{Memory, Settings};

/// What to write, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes, in order.
    pub actions: Vec<Action>,
    /// How many numbers to draw from the cluster's fence counter before [`Plan::fill`].
    pub numbers: u64,
    /// When time alone will change the plan (a release ends, a quarantine is over): plan again
    /// then, even if nothing was written by others.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    /// The actions with the drawn numbers `first .. first + self.numbers` put in.
    pub fn fill(self, first: u64) -> Vec<Action> {
        let mut actions = self.actions;
        for action in &mut actions {
            action.fill(first);
        }
        actions
    }
}
