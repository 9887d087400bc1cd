//! Leases: who may hold an address. The protocol of docs/leases.md as a pure state machine.
//!
//! State: one [`Machine`] per agent is everything that the node knows of leases: as a voter (its
//! grants, the set, the fences), as a candidate or holder (its open rounds and deadlines), as a
//! director (who holds what). Written by its owner alone, through [`Machine::handle`].
//! Always: no clock, no I/O, no randomness but the seed; equal inputs give equal effects. Effects
//! are carried out in order, and what must not be lost ([`Effect::Keep`]) comes before what rests
//! on it.

mod address;
mod candidate;
mod cloud;
mod director;
#[cfg(feature = "mistakes")]
mod essence;
mod handover;
mod holder;
mod kept;
mod machine;
mod message;
#[cfg(feature = "mistakes")]
mod mistakes;
mod notices;
mod plan;
mod presence;
mod rounds;
mod size;
#[cfg(test)]
mod tests;
mod timing;
mod types;
mod voter;

pub use kept::{Fence, Grant, Kept};
pub use machine::Machine;
pub use message::*;
#[cfg(feature = "mistakes")]
pub use mistakes::{Mistake, Mistakes};
pub use timing::Timing;
pub use types::*;
