//! Sealed UDP between agents: who sent it, unchanged, once, and to this process.
//!
//! # State
//! On disk, in the agent's state directory (mode 0600, survives a boot): the node's X25519 key
//! pair and its greatest session number ([`Identity`]).
//! In memory, per peer: two keys, a counter, a replay window. One thread owns an [`Endpoint`];
//! [`Waker`] and [`Discarded`] may be used from others.
//!
//! # What a datagram proves
//! A message that [`Endpoint::recv`] returns was sealed by the node that it names, which is in the
//! peers' table, for this node and this cluster; it has not been returned before; and its sender
//! had heard from *this* process (see below). Everything else is counted by reason
//! ([`Discard`]) and dropped, without an answer and without a log line.
//!
//! # How
//! - *Keys*: static-static X25519 (RFC 7748), then HKDF-SHA256 (RFC 5869) whose info holds the
//!   version, the cluster's id and the names of sender and receiver in that order: each direction
//!   has its own key, and neither a renamed node nor another cluster can open it. No forward
//!   secrecy: what is said (names, addresses, grants) is no secret, what counts is who says it.
//! - *Nonces*: XChaCha20-Poly1305. The 24 bytes are an *incarnation* (a session number of 8 bytes,
//!   a random salt of 8) and a counter of 8. The session number grows at every start of a process
//!   and every time a peer is added: it is the greater of the wall clock in nanoseconds and what
//!   the disk remembers, and is on disk before it is used. Where disk *and* clock go back (a
//!   restored image), the salt still keeps nonces apart.
//! - *Replay within an incarnation*: a window over the last 1,024 counters. *Of an older
//!   incarnation of the sender*: incarnations are ordered, and a lower one than the last seen is
//!   dropped. *After the receiver has restarted* and remembers nothing: every datagram carries the
//!   incarnation of the receiver that its sender knows (the *echo*), and a receiver acts only on
//!   its own. So nothing that was recorded before a restart or a boot is ever acted on after it,
//!   and no replay state has to survive anything.
//! - *Meeting*: a datagram that verifies but has the wrong echo (the two have not met, or one has
//!   restarted) is refused with a *hello*, which carries the right one. The sender learns it and
//!   seals the refused message again, if it is no older than 200 ms: a first contact costs one
//!   round trip and no message. Hellos go to the endpoint of the peers' table, never to the
//!   datagram's source, are at most 8 bytes longer than what they answer, and limited to 20 a
//!   second and peer. Nothing that does not verify is answered.
#![forbid(unsafe_code)]

mod channel;
mod channels;
mod discard;
mod endpoint;
mod file;
mod header;
mod identity;
mod keys;
mod last_received;
mod peer;
mod socket;
mod window;

pub use channels::{Channels, Opened, PeerRefusal, SealError};
pub use discard::{Discard, Discarded};
pub use endpoint::{BindError, Endpoint, SendError, WaitOutcome, Waker};
pub use file::StateError;
pub use header::{MAX_DATAGRAM, MAX_MESSAGE, OVERHEAD};
pub use identity::Identity;
pub use last_received::LastReceived;
pub use peer::Peer;

#[cfg(test)]
mod tests;
