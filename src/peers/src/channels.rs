//! All peers of a node, without sockets: messages and datagrams as values.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use egret_core::model::{NodeName, PublicKey};

use crate::channel::{Channel, Verified};
use crate::discard::Discard;
use crate::header::{HEADER, Header, MAX_MESSAGE, SenderId, TAG};
use crate::identity::Identity;
use crate::keys;
use crate::peer::Peer;

/// Seals and opens the datagrams of one node. No I/O but the random salt of a new channel; time is
/// passed in.
pub struct Channels {
    me: NodeName,
    identity: Identity,
    cluster: String,
    channels: BTreeMap<SenderId, Channel>,
    by_name: BTreeMap<NodeName, SenderId>,
    out: Vec<u8>,
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels").field("me", &self.me).field("peers", &self.by_name).finish()
    }
}

/// A peer that cannot be taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// Its public key is one that no key pair has.
    #[error("EgressNode {0}: publicKey is not a usable X25519 key; remove peer.key on that node")]
    WeakKey(NodeName),
    /// The system has no random bytes.
    #[error("no random bytes for the channel to {0}: {1}")]
    NoRandom(NodeName, String),
}

/// A message that cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not among the peers (this node itself never is).
    #[error("node {0} is not among the peers")]
    UnknownPeer(NodeName),
    /// Split it.
    #[error("a message of {0} bytes is longer than {MAX_MESSAGE}")]
    TooLong(usize),
    /// 2^64 datagrams were sealed.
    #[error("the channel to {0} is used up")]
    UsedUp(NodeName),
}

/// What a datagram was.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// A message, to be acted on.
    Message(&'a NodeName, &'a [u8]),
    /// Nothing to act on, but this datagram is to be sent to that peer: a hello, or a message that
    /// the peer had refused. `counted` says why, where what came was dropped.
    Reply {
        /// Whom to.
        to: &'a NodeName,
        /// The sealed datagram.
        datagram: &'a [u8],
        /// The reason to count, if what came was a message.
        counted: Option<Discard>,
    },
    /// A hello that needed no reply.
    Nothing,
}

impl Channels {
    /// No peers yet: nothing can be sealed or opened.
    #[must_use]
    pub fn new(identity: Identity, me: NodeName) -> Self {
        Self {
            me,
            identity,
            cluster: String::new(),
            channels: BTreeMap::new(),
            by_name: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// This node's public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// Makes `peers` of the cluster named `cluster` the ones to talk with; an entry for this node
    /// itself is ignored. A peer whose key is unchanged keeps its channel; another cluster's id
    /// makes all anew. One X25519 per new peer (some 50 µs), none per datagram.
    ///
    /// Returns the peers that could not be taken up.
    pub fn set_peers(
        &mut self,
        cluster: &str,
        peers: &BTreeMap<NodeName, Peer>,
    ) -> Vec<PeerRefusal> {
        let mut old = std::mem::take(&mut self.channels);
        let mut old_names = std::mem::take(&mut self.by_name);
        if self.cluster != cluster {
            old.clear();
            self.cluster = cluster.into();
        }
        let mut refused = Vec::new();
        for (name, peer) in peers {
            if *name == self.me {
                continue;
            }
            let kept = old_names.remove(name).and_then(|id| Some((id, old.remove(&id)?)));
            let kept = kept.filter(|(_, kept)| kept.peer.public_key == peer.public_key);
            let (id, channel) = match kept {
                Some((id, mut channel)) => {
                    channel.peer.clone_from(peer);
                    (id, channel)
                }
                None => match self.channel(name, peer) {
                    Ok(channel) => (keys::sender_id(cluster, name, &peer.public_key), channel),
                    Err(refusal) => {
                        refused.push(refusal);
                        continue;
                    }
                },
            };
            self.by_name.insert(name.clone(), id);
            self.channels.insert(id, channel);
        }
        refused
    }

    fn channel(&mut self, name: &NodeName, peer: &Peer) -> Result<Channel, PeerRefusal> {
        let cluster = self.cluster.as_str();
        let (secret, me) = (&self.identity.secret, &self.me);
        let keys = keys::derive(secret, cluster, me, name, &peer.public_key)
            .ok_or_else(|| PeerRefusal::WeakKey(name.clone()))?;
        let my_id = keys::sender_id(cluster, me, &self.identity.public_key());
        let mine = self
            .identity
            .incarnate()
            .map_err(|error| PeerRefusal::NoRandom(name.clone(), error.to_string()))?;
        Ok(Channel::new(name.clone(), peer.clone(), keys, my_id, mine))
    }

    /// The peers that messages can be sent to.
    pub fn peers(&self) -> impl Iterator<Item = &NodeName> {
        self.by_name.keys()
    }

    /// The datagram that carries `message` to `to`, until the next call.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal(
        &mut self,
        to: &NodeName,
        message: &[u8],
        now: Instant,
    ) -> Result<&[u8], SealError> {
        if message.len() > MAX_MESSAGE {
            return Err(SealError::TooLong(message.len()));
        }
        let channel = self.by_name.get(to).and_then(|id| self.channels.get_mut(id));
        let channel = channel.ok_or_else(|| SealError::UnknownPeer(to.clone()))?;
        if !channel.seal(message, now, &mut self.out) {
            return Err(SealError::UsedUp(to.clone()));
        }
        Ok(&self.out)
    }

    /// Opens a datagram that came from `source`, decrypting it in place.
    ///
    /// # Errors
    /// Why it is to be dropped without an answer.
    pub fn open<'a>(
        &'a mut self,
        datagram: &'a mut [u8],
        source: IpAddr,
        now: Instant,
    ) -> Result<Opened<'a>, Discard> {
        let header = Header::decode(datagram)?;
        let channel = self.channels.get_mut(&header.sender).ok_or(Discard::UnknownSender)?;
        let verified = channel.open(&header, datagram, now)?;
        let (sealed, counted) = match verified {
            Verified::Message => {
                channel.received_from(source);
                let end = datagram.len() - TAG;
                return Ok(Opened::Message(&channel.name, &datagram[HEADER..end]));
            }
            Verified::Met(None) => return Ok(Opened::Nothing),
            Verified::Met(Some(message)) => {
                channel.received_from(source);
                (channel.seal_again(&message, &mut self.out), None)
            }
            Verified::Refused => (channel.hello(&header, &mut self.out), Some(Discard::NotMet)),
        };
        if !sealed {
            return Err(counted.unwrap_or(Discard::NotMet));
        }
        Ok(Opened::Reply { to: &channel.name, datagram: &self.out, counted })
    }

    /// Where the next datagram to `to` goes, among its endpoints that `reachable` admits.
    pub(crate) fn route(
        &mut self,
        to: &NodeName,
        reachable: impl Fn(IpAddr) -> bool,
    ) -> Option<(IpAddr, u16)> {
        let channel = self.channels.get_mut(self.by_name.get(to)?)?;
        let port = channel.peer.port;
        channel.route(reachable).map(|endpoint| (endpoint, port))
    }
}
