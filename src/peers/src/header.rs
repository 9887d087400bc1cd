//! The first 58 bytes of a datagram, all of them authenticated, none of them encrypted.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | version: 1 |
//! | 1 | 1 | kind: 0 message, 1 hello |
//! | 2 | 16 | sender: hash of cluster, name and public key |
//! | 18 | 16 | the sender's incarnation towards this receiver: session, salt |
//! | 34 | 8 | counter; with the incarnation it is the nonce |
//! | 42 | 16 | echo: the receiver's incarnation as the sender knows it, or zeros |
//! | 58 | … | what is sealed, then the tag of 16 bytes |
//!
//! Numbers are big-endian.

use crate::discard::Discard;

/// The version that this build speaks.
pub(crate) const VERSION: u8 = 1;
/// Bytes before what is sealed.
pub(crate) const HEADER: usize = 58;
/// Bytes of the tag.
pub(crate) const TAG: usize = 16;

/// Bytes that sealing adds to a message.
pub const OVERHEAD: usize = HEADER + TAG;
/// The largest encoded message: who has more to say says it in several (docs/leases.md rule 7).
pub const MAX_MESSAGE: usize = 1_200;
/// The largest UDP payload sent or taken. With IPv6 and UDP headers 1,322 bytes: under the MTU of
/// every usual underlay, tunnelled ones too; below that the kernel fragments it.
pub const MAX_DATAGRAM: usize = MAX_MESSAGE + OVERHEAD;

/// Tells a sender among the peers.
pub(crate) type SenderId = [u8; 16];

/// One life of one side of a channel: greater where younger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incarnation(pub(crate) [u8; 16]);

impl Incarnation {
    /// What a sender writes as echo before it has met the receiver. No incarnation is zero, since
    /// session numbers begin above it.
    pub(crate) const UNKNOWN: Self = Self([0; 16]);

    pub(crate) fn new(session: u64, salt: [u8; 8]) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&session.to_be_bytes());
        bytes[8..].copy_from_slice(&salt);
        Self(bytes)
    }
}

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatagramKind {
    /// Carries a message of the layer above.
    Message = 0,
    /// Refuses a message whose echo was wrong, and tells the right one.
    Hello = 1,
}

/// The parsed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: DatagramKind,
    pub(crate) sender: SenderId,
    pub(crate) incarnation: Incarnation,
    pub(crate) counter: u64,
    pub(crate) echo: Incarnation,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = VERSION;
        bytes[1] = self.kind as u8;
        bytes[2..18].copy_from_slice(&self.sender);
        bytes[18..42].copy_from_slice(&self.nonce());
        bytes[42..58].copy_from_slice(&self.echo.0);
        bytes
    }

    pub(crate) fn decode(datagram: &[u8]) -> Result<Self, Discard> {
        if datagram.len() > MAX_DATAGRAM {
            return Err(Discard::TooLong);
        }
        if datagram.len() < OVERHEAD {
            return Err(Discard::TooShort);
        }
        if datagram[0] != VERSION {
            return Err(Discard::Version);
        }
        let kind = match datagram[1] {
            0 => DatagramKind::Message,
            1 => DatagramKind::Hello,
            _ => return Err(Discard::Kind),
        };
        Ok(Self {
            kind,
            sender: array(&datagram[2..18]),
            incarnation: Incarnation(array(&datagram[18..34])),
            counter: u64::from_be_bytes(array(&datagram[34..42])),
            echo: Incarnation(array(&datagram[42..58])),
        })
    }

    /// Incarnation and counter: never twice under one key.
    pub(crate) fn nonce(&self) -> [u8; 24] {
        let mut nonce = [0; 24];
        nonce[..16].copy_from_slice(&self.incarnation.0);
        nonce[16..].copy_from_slice(&self.counter.to_be_bytes());
        nonce
    }
}

/// The bytes of a slice whose length the caller has fixed; zeros behind a shorter one.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_encoding_and_orders_incarnations_by_session() {
        let header = Header {
            kind: DatagramKind::Hello,
            sender: [7; 16],
            incarnation: Incarnation::new(9, [1; 8]),
            counter: 0x0102_0304_0506_0708,
            echo: Incarnation::UNKNOWN,
        };
        let mut datagram = header.encode().to_vec();
        datagram.extend([0; TAG]);
        assert_eq!(Header::decode(&datagram), Ok(header));
        assert!(Incarnation::new(9, [0xff; 8]) < Incarnation::new(10, [0; 8]));
        assert!(Incarnation::UNKNOWN < Incarnation::new(1, [0; 8]));
    }

    #[test]
    fn each_malformed_header_has_its_own_reason() {
        let good = [vec![VERSION, 0], vec![0; OVERHEAD - 2]].concat();
        let with = |index: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[index] = value;
            Header::decode(&bytes).unwrap_err()
        };
        assert_eq!(with(0, 2), Discard::Version);
        assert_eq!(with(1, 2), Discard::Kind);
        assert_eq!(Header::decode(&good[1..]), Err(Discard::TooShort));
        assert_eq!(Header::decode(&[1; MAX_DATAGRAM + 1]), Err(Discard::TooLong));
    }
}
