//! Leases: who may hold an address. The protocol of docs/leases.md as a pure state machine.
//!
//! State: one [`Machine`] per agent is everything that the node knows of leases: as a voter (its
//! grants, the set, the fences), as a candidate or holder (its open rounds and deadlines), as a
//! director (who holds what). Written by its owner alone, through [`Machine::handle`].
//! Always: no clock, no I/O, no randomness but the seed; equal inputs give equal effects. Effects
//! are carried out in order, and what must not be lost ([`Effect::Persist`]) comes before what rests
//! on it.

mod address;
mod addresses;
mod announcements;
mod applied_grants;
mod candidate;
mod clock;
mod config;
mod context;
mod director;
mod durable;
mod effect;
mod encoding;
#[cfg(feature = "fault-injection")]
mod fault_injection;
mod handover;
mod heartbeat;
mod holder;
mod input;
mod invocation;
mod machine;
mod message;
mod moves;
mod notices;
mod persisted;
mod plan_view;
mod probe_state;
mod proposer;
mod random;
mod report;
mod resends;
mod round;
mod rounds;
mod set_assembly;
#[cfg(test)]
mod tests;
mod timers;
mod timing;
mod undelivered;
mod voter;

pub use clock::{BootTime, Now, RawTime};
pub use config::LeaseConfig;
pub use effect::{AddressState, Effect};
#[cfg(feature = "fault-injection")]
pub use fault_injection::{InjectedFault, InjectedFaults};
pub use input::{Input, ProbeFinding, StopMode};
pub use machine::Machine;
pub use message::*;
pub use persisted::{KnownFence, PersistedLease, VoterGrant};
pub use plan_view::{AddressView, ClusterView, PlanView, UplinkReach};
pub use report::Report;
pub use timing::Timing;
