//! Model checker and simulation of the leases (docs/leases.md), over the real
//! [`Machine`](egret_core::lease::Machine): nothing of the protocol is written a second time.
//!
//! # What is checked
//! A state is a handful of machines, their map entries, the datagrams under way and the store. A
//! step is a datagram delivered (lost, late, out of order, in one model twice), a timer, a read of
//! the store (the cluster object may come before the addresses), a restart, a boot, a thread
//! stopped between two effects, time, or the next act of the controller. Never: two nodes whose
//! entries of one address are *held* and open; one that is open after the address was freed; a
//! successor that is *coming* beside anybody but its predecessor; a holder in no rank that lets go to
//! nobody; in a cloud, a holder that calls
//! directors from one that has handed over before the cloud delivers to it.
//!
//! One model per mechanism ([`models`], [`catalogue`]): three voters at a time of up to five nodes,
//! two or three candidates. Time is coarse (T is one to three steps, and runs out in the very step
//! in which the grants do). Left out: heartbeats, notices and directors, on which no lease rests;
//! pre-votes say yes always, so that candidates ask in earnest whenever they may; epochs, except
//! where a mistake makes safety rest on them. More than one address adds nothing: each is granted
//! by itself.
//!
//! [`ends`] is a model of the end of an address, and of its taking back, over the real planner.
//!
//! # How far
//! Whole (every state of the model): releases 3,186, lengths 163,281, restarts 100,936, reboots
//! 592, clocks 9,955, set restarts 785,610, fences 1,825, fence reboots 4,156, fence restarts
//! 491,044, moves 472,932, moves of three 13,677, stops 14,002. Sets, fences and sets, and move
//! restarts are larger: 1,500,000 states of each were searched; of leases (without a duplicate)
//! 400,000. `check --long` gives every model one step of time more; there 1,500,000 states each
//! of leases and releases were searched. The tests see the first 15,000 of each model, in a
//! shuffled order.
//!
//! Every mistake that docs/leases.md lists is refused with a chain of 3 to 14 steps from the
//! model's start: [`catalogue::refused`].
//!
//! # What the checker changed in the rules
//! docs/leases.md rule 6: a holder that has told its successor how long its lease still runs must
//! not release without naming it until then, and must not forget that in a restart
//! (`PersistedLease::promised`): a revocation during a planned move otherwise freed the address while the
//! successor was coming.
//!
//! # The simulation
//! [`simulation`]: five agents over a network with a tail, loss, partitions (also in one
//! direction), stalls, kills, power cuts and bent clocks, in simulated time from a seed; it shows
//! what the coarse time of the models cannot: that there is a holder again soon, split votes
//! included, how long a takeover takes, and that none happens at rest.
#![forbid(unsafe_code)]

pub mod catalogue;
pub mod ends;
pub mod hash;
pub mod models;
pub mod scenario;
pub mod search;
pub mod simulation;
pub mod world;
