//! What one call of the machine gives to the part that asks for leases.

use super::context::Context;
use super::durable::DurableState;
use super::effect::Effects;
use super::voter::VoterState;

/// Its surroundings, what is kept, this node's own voter, which needs no datagram, and where
/// effects go.
#[derive(Debug)]
pub(super) struct Invocation<'a> {
    pub cx: Context<'a>,
    pub durable: &'a mut DurableState,
    pub voter: &'a mut VoterState,
    pub out: &'a mut Effects,
}
