//! The sockets of a node: thin, blocking, for one thread.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_core::model::{NodeName, PublicKey};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channels::{Channels, Opened, PeerRefusal, SealError};
use crate::discard::{Discard, Discarded};
use crate::header::{MAX_DATAGRAM, MAX_MESSAGE};
use crate::identity::Identity;
use crate::last_received::LastReceived;
use crate::peer::Peer;
use crate::socket::Bound;

/// A datagram that has waited this long to be read is dropped unread. A candidate's round lasts
/// 50 ms, so its answer would come too late; and a node that cannot keep up must not spend its time
/// on questions that are over, or every answer of it comes too late, and nobody's lease is renewed.
const WORTH_READING: Duration = Duration::from_millis(100);

/// The socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// No address was given.
    #[error("no address to listen on for messages of the other agents: name at least one")]
    NoAddress,
    /// The address or port cannot be bound.
    #[error(
        "cannot listen on UDP {address}: {source}; make the port free (another agent running?)"
    )]
    Bind {
        /// What was to be bound.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The handle for waking could not be made.
    #[error("cannot make an eventfd: {0}")]
    Waker(#[source] io::Error),
}

/// The message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It cannot be encoded.
    #[error("cannot encode a message: {0}")]
    Encode(#[source] postcard::Error),
    /// This node has no socket of a family in which the peer listens.
    #[error("node {0} listens on no address of a family that this node listens on")]
    NoEndpoint(NodeName),
    /// The kernel refused. Like a loss on the way: the message may be sent again.
    #[error("cannot send to {0}: {1}")]
    Io(SocketAddr, #[source] io::Error),
}

/// What ended a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitOutcome<M> {
    /// A message of a peer.
    Message {
        /// Who sent it.
        from: NodeName,
        /// What it said.
        message: M,
    },
    /// A [`Waker`] was used, once or more since the last such event.
    Woken,
    /// The time is over.
    Timeout,
}

/// Wakes the thread that waits in [`Endpoint::recv`]. Usable from any thread, and lost by none: a
/// wake before the wait ends the wait at once.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Makes the present or next [`Endpoint::recv`] return [`WaitOutcome::Woken`]. Never blocks.
    pub fn wake(&self) {
        // Fails only when the counter is full, and then the waiter is awake anyway.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// One node's end of all its channels: owned by one thread.
pub struct Endpoint {
    channels: Channels,
    port: u16,
    sockets: Vec<Bound>,
    wakes: Arc<OwnedFd>,
    discarded: Discarded,
    last_received: LastReceived,
    incoming: [u8; MAX_DATAGRAM + 1],
    outgoing: [u8; MAX_MESSAGE],
    /// The socket to read next: a flood on one must not starve the others.
    turn: usize,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Binds one UDP socket per address (usually one per family). Port 0 lets the kernel choose for
    /// the first, and takes the same for the others. An address that is on no interface is bound all
    /// the same: it is heard, and sent from, once it is there.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(
        addresses: &[IpAddr],
        port: u16,
        identity: Identity,
        me: NodeName,
    ) -> Result<Self, BindError> {
        if addresses.is_empty() {
            return Err(BindError::NoAddress);
        }
        let (sockets, port) = open(addresses, port)?;
        let wakes = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| BindError::Waker(error.into()))?;
        Ok(Self {
            channels: Channels::new(identity, me),
            port,
            sockets,
            wakes: Arc::new(wakes),
            discarded: Discarded::default(),
            last_received: LastReceived::default(),
            incoming: [0; MAX_DATAGRAM + 1],
            outgoing: [0; MAX_MESSAGE],
            turn: 0,
        })
    }

    /// Binds other addresses to the same port in place of those before. Channels, and what peers know of
    /// this process, stay.
    ///
    /// # Errors
    /// See [`BindError`], of the first address that cannot be bound. What was bound before stays in that
    /// one's family; the others are bound.
    pub fn listen_on(&mut self, addresses: &[IpAddr]) -> Result<(), BindError> {
        if addresses.is_empty() {
            return Err(BindError::NoAddress);
        }
        let bound = self.addresses();
        let new: Vec<IpAddr> =
            addresses.iter().copied().filter(|address| !bound.contains(address)).collect();
        let (mut opened, mut failed) = (Vec::new(), Vec::new());
        for address in new {
            match open(&[address], self.port) {
                Ok((sockets, _)) => opened.extend(sockets),
                Err(error) => failed.push((address, error)),
            }
        }
        self.sockets.retain(|socket| {
            let is_needed = failed.iter().any(|(address, _)| socket.reaches(*address));
            is_needed || addresses.contains(&socket.address())
        });
        self.sockets.extend(opened);
        // Of two of one family the first one sends.
        let place = |bound: &Bound| addresses.iter().position(|own| *own == bound.address());
        self.sockets.sort_by_key(|bound| place(bound).unwrap_or(usize::MAX));
        failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// The addresses that were to be bound.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.sockets.iter().map(Bound::address).collect()
    }

    /// The addresses bound, with the port.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn local_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(Bound::local_address).collect()
    }

    /// This node's public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.channels.public_key()
    }

    /// See [`Channels::set_peers`].
    pub fn set_peers(
        &mut self,
        cluster: &str,
        peers: &BTreeMap<NodeName, Peer>,
    ) -> Vec<PeerRefusal> {
        self.channels.set_peers(cluster, peers)
    }

    /// A handle that ends waits of this endpoint.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wakes))
    }

    /// The counters of dropped datagrams.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        self.discarded.clone()
    }

    /// When each peer was last heard.
    #[must_use]
    pub fn last_received(&self) -> LastReceived {
        self.last_received.clone()
    }

    /// Encodes, seals and sends one datagram. Never blocks: a full socket buffer is an error, which
    /// is met like a loss.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send<M: Serialize>(&mut self, to: &NodeName, message: &M) -> Result<(), SendError> {
        let encoded = match postcard::to_slice(message, &mut self.outgoing) {
            Ok(encoded) => &*encoded,
            Err(postcard::Error::SerializeBufferFull) => {
                let size = postcard::experimental::serialized_size(message).unwrap_or(usize::MAX);
                return Err(SealError::TooLong(size).into());
            }
            Err(error) => return Err(SendError::Encode(error)),
        };
        let Some((socket, target)) = route(&mut self.channels, &self.sockets, to) else {
            // Sealing tells an unknown peer from one that is out of reach.
            self.channels.seal(to, encoded, Instant::now())?;
            return Err(SendError::NoEndpoint(to.clone()));
        };
        let datagram = self.channels.seal(to, encoded, Instant::now())?;
        match socket.send_to(datagram, target) {
            Ok(()) => Ok(()),
            Err(error) => Err(SendError::Io(target, error)),
        }
    }

    /// Waits for a message, a wake or the end of `timeout`, whichever comes first, also under a
    /// flood of datagrams that do not verify. What does not verify is counted; what has to be
    /// answered below the messages (hellos) is.
    ///
    /// # Errors
    /// Where the kernel cannot wait.
    pub fn recv<M: DeserializeOwned>(&mut self, timeout: Duration) -> io::Result<WaitOutcome<M>> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (woken, readable) = self.wait(left)?;
            if woken {
                return Ok(WaitOutcome::Woken);
            }
            let Some(socket) = readable else {
                if left.is_zero() {
                    return Ok(WaitOutcome::Timeout);
                }
                continue;
            };
            if let Some((from, message)) = self.take(socket) {
                return Ok(WaitOutcome::Message { from, message });
            }
            if Instant::now() >= deadline {
                return Ok(WaitOutcome::Timeout);
            }
        }
    }

    /// Whether a waker was used, and the next socket that has a datagram.
    fn wait(&mut self, timeout: Duration) -> io::Result<(bool, Option<usize>)> {
        let mut polled: Vec<_> = vec![PollFd::new(&*self.wakes, PollFlags::IN)];
        polled.extend(self.sockets.iter().map(|bound| PollFd::new(bound, PollFlags::IN)));
        let timeout = timeout.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !polled[0].revents().is_empty() {
            let mut count = [0; 8];
            return Ok((rustix::io::read(&*self.wakes, &mut count).is_ok(), None));
        }
        let sockets = self.sockets.len();
        let ready = |index: &usize| !polled[index + 1].revents().is_empty();
        let next = (0..sockets).map(|step| (self.turn + step) % sockets).find(ready);
        self.turn = next.map_or(self.turn, |index| index + 1);
        Ok((false, next))
    }

    /// Reads one datagram and opens it.
    fn take<M: DeserializeOwned>(&mut self, socket: usize) -> Option<(NodeName, M)> {
        let (length, source) = match self.sockets[socket].receive(&mut self.incoming) {
            Ok(received) if received.waited > WORTH_READING => {
                self.discarded.count(Discard::Late);
                return None;
            }
            Ok(received) => (received.length, received.source),
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.discarded.count(Discard::Socket);
                }
                return None;
            }
        };
        let datagram = &mut self.incoming[..length];
        let (to, reply) = match self.channels.open(datagram, source, Instant::now()) {
            Ok(Opened::Message(from, bytes)) => match postcard::from_bytes(bytes) {
                Ok(message) => {
                    self.last_received.note(from);
                    return Some((from.clone(), message));
                }
                Err(_) => {
                    self.discarded.count(Discard::Undecodable);
                    return None;
                }
            },
            Ok(Opened::Reply { to, datagram, counted }) => {
                counted.into_iter().for_each(|reason| self.discarded.count(reason));
                (to.clone(), datagram.to_vec())
            }
            Ok(Opened::Nothing) => return None,
            Err(reason) => {
                self.discarded.count(reason);
                return None;
            }
        };
        if let Some((socket, target)) = route(&mut self.channels, &self.sockets, &to) {
            // A lost reply is repeated when the peer tries again.
            let _ = socket.send_to(&reply, target);
        }
        None
    }
}

/// One socket per address, and their port.
fn open(addresses: &[IpAddr], mut port: u16) -> Result<(Vec<Bound>, u16), BindError> {
    let mut sockets = Vec::new();
    for address in addresses {
        let address = SocketAddr::new(*address, port);
        let socket = Bound::open(address).map_err(|source| BindError::Bind { address, source })?;
        port = socket.local_address().map_or(port, |bound| bound.port());
        sockets.push(socket);
    }
    Ok((sockets, port))
}

fn route<'a>(
    channels: &mut Channels,
    sockets: &'a [Bound],
    to: &NodeName,
) -> Option<(&'a Bound, SocketAddr)> {
    let of_family = |address: IpAddr| sockets.iter().find(|bound| bound.reaches(address));
    let (endpoint, port) = channels.route(to, |endpoint| of_family(endpoint).is_some())?;
    Some((of_family(endpoint)?, SocketAddr::new(endpoint, port)))
}
