//! What one node keeps of one peer: keys, counters, window.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{Tag, XNonce};
use egret_core::model::NodeName;

use crate::discard::Discard;
use crate::header::{DatagramKind, HEADER, Header, Incarnation, OVERHEAD, SenderId, TAG};
use crate::keys::PairKeys;
use crate::peer::Peer;
use crate::window::Window;

/// Messages kept for a peer that may refuse them.
const KEPT: usize = 4;
/// How long a refused message is worth sending again.
const WORTH_REPEATING: Duration = Duration::from_millis(200);
/// Hellos to one peer: so many at once,
const HELLO_BURST: u32 = 8;
/// and then one in this time.
const HELLO_INTERVAL: Duration = Duration::from_millis(50);
/// After so many datagrams to a silent peer the others go to its endpoints in turn.
const SILENT: u32 = 8;

/// Always: `sent` grows with every seal, and `mine` is of this channel alone, so no nonce is used
/// twice under `keys.seal`.
pub(crate) struct Channel {
    pub(crate) name: NodeName,
    pub(crate) peer: Peer,
    keys: PairKeys,
    my_id: SenderId,
    mine: Incarnation,
    sent: u64,
    theirs: Option<(Incarnation, Window)>,
    kept: VecDeque<KeptChannel>,
    hellos: Limit,
    unanswered: u32,
    preferred: Option<IpAddr>,
}

struct KeptChannel {
    counter: u64,
    at: Instant,
    message: Vec<u8>,
}

/// What a verified datagram was.
pub(crate) enum Verified {
    /// The plain message is at this place of the datagram.
    Message,
    /// The peer told its incarnation; the message that it had refused, if it is worth repeating.
    Met(Option<Vec<u8>>),
    /// The peer has to be told this node's incarnation before its message counts.
    Refused,
}

impl Channel {
    pub(crate) fn new(
        name: NodeName,
        peer: Peer,
        keys: PairKeys,
        my_id: SenderId,
        mine: Incarnation,
    ) -> Self {
        Self {
            name,
            peer,
            keys,
            my_id,
            mine,
            sent: 0,
            theirs: None,
            kept: VecDeque::with_capacity(KEPT),
            hellos: Limit { used: 0, since: None },
            unanswered: 0,
            preferred: None,
        }
    }

    /// Seals a message into `out`, which is overwritten. False where the counter is used up.
    pub(crate) fn seal(&mut self, message: &[u8], now: Instant, out: &mut Vec<u8>) -> bool {
        let echo = self.theirs.as_ref().map_or(Incarnation::UNKNOWN, |(theirs, _)| *theirs);
        let sealed = self.write(DatagramKind::Message, echo, message, out);
        if sealed {
            self.keep(message, now);
        }
        sealed
    }

    /// Seals a message again that the peer has refused.
    pub(crate) fn seal_again(&mut self, message: &[u8], out: &mut Vec<u8>) -> bool {
        let echo = self.theirs.as_ref().map_or(Incarnation::UNKNOWN, |(theirs, _)| *theirs);
        self.write(DatagramKind::Message, echo, message, out)
    }

    /// Seals the answer to a message that was refused.
    pub(crate) fn hello(&mut self, refused: &Header, out: &mut Vec<u8>) -> bool {
        self.write(DatagramKind::Hello, refused.incarnation, &refused.counter.to_be_bytes(), out)
    }

    /// Verifies and decrypts in place; the plain bytes are `datagram[HEADER..len - TAG]`.
    pub(crate) fn open(
        &mut self,
        header: &Header,
        datagram: &mut [u8],
        now: Instant,
    ) -> Result<Verified, Discard> {
        let (head, rest) = datagram.split_at_mut(HEADER);
        let (body, tag) = rest.split_at_mut(rest.len() - TAG);
        let tag = Tag::try_from(&*tag).map_err(|_| Discard::TooShort)?;
        self.keys
            .open
            .decrypt_inout_detached(&XNonce::from(header.nonce()), head, (&mut *body).into(), &tag)
            .map_err(|_| Discard::Forged)?;
        if self.theirs.as_ref().is_some_and(|(theirs, _)| header.incarnation < *theirs) {
            return Err(Discard::OldIncarnation);
        }
        if header.echo != self.mine {
            return match header.kind {
                DatagramKind::Hello => Err(Discard::StaleHello),
                DatagramKind::Message if self.hellos.allow(now) => Ok(Verified::Refused),
                DatagramKind::Message => Err(Discard::HelloLimit),
            };
        }
        match &mut self.theirs {
            Some((theirs, window)) if *theirs == header.incarnation => {
                window.accept(header.counter)?;
            }
            theirs => {
                let mut window = Window::new();
                window.accept(header.counter)?;
                *theirs = Some((header.incarnation, window));
            }
        }
        self.unanswered = 0;
        Ok(match header.kind {
            DatagramKind::Message => Verified::Message,
            DatagramKind::Hello => Verified::Met(self.refused(body, now)),
        })
    }

    /// Where the next datagram goes: the endpoint that answered last, or, while the peer is
    /// silent, each that `reachable` admits in turn.
    pub(crate) fn route(&mut self, reachable: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let usable: Vec<_> =
            self.peer.endpoints.iter().copied().filter(|endpoint| reachable(*endpoint)).collect();
        let sent = self.unanswered;
        self.unanswered = self.unanswered.wrapping_add(1).max(1);
        if sent >= SILENT {
            return usable.get(sent as usize % usable.len().max(1)).copied();
        }
        let preferred = self.preferred.filter(|endpoint| usable.contains(endpoint));
        preferred.or_else(|| usable.first().copied())
    }

    /// A verified datagram of the peer's present life came from `source`.
    pub(crate) fn received_from(&mut self, source: IpAddr) {
        if self.peer.endpoints.contains(&source) {
            self.preferred = Some(source);
        }
    }

    fn write(
        &mut self,
        kind: DatagramKind,
        echo: Incarnation,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(counter) = self.sent.checked_add(1) else { return false };
        self.sent = counter;
        let header = Header { kind, sender: self.my_id, incarnation: self.mine, counter, echo };
        let head = header.encode();
        out.clear();
        out.reserve(OVERHEAD + plain.len());
        out.extend(head);
        out.extend(plain);
        let body = &mut out[HEADER..];
        let nonce = XNonce::from(header.nonce());
        let Ok(tag) = self.keys.seal.encrypt_inout_detached(&nonce, &head, body.into()) else {
            return false;
        };
        out.extend(tag);
        true
    }

    fn keep(&mut self, message: &[u8], now: Instant) {
        let mut buffer = Vec::new();
        if self.kept.len() == KEPT
            && let Some(oldest) = self.kept.pop_front()
        {
            buffer = oldest.message;
            buffer.clear();
        }
        buffer.extend(message);
        self.kept.push_back(KeptChannel { counter: self.sent, at: now, message: buffer });
    }

    /// The kept message that a hello names, once.
    fn refused(&mut self, hello: &[u8], now: Instant) -> Option<Vec<u8>> {
        let counter = u64::from_be_bytes(hello.try_into().ok()?);
        let place = self.kept.iter().position(|kept| kept.counter == counter)?;
        let kept = self.kept.remove(place)?;
        (now.saturating_duration_since(kept.at) <= WORTH_REPEATING).then_some(kept.message)
    }
}

/// At most [`HELLO_BURST`] at once, one more every [`HELLO_INTERVAL`].
struct Limit {
    used: u32,
    since: Option<Instant>,
}

impl Limit {
    fn allow(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_millis() / HELLO_INTERVAL.as_millis();
        if let Ok(passed @ 1..) = u32::try_from(passed) {
            self.used = self.used.saturating_sub(passed);
            self.since = Some(now);
        } else if passed > 0 {
            (self.used, self.since) = (0, Some(now));
        }
        let allowed = self.used < HELLO_BURST;
        self.used += u32::from(allowed);
        allowed
    }
}
