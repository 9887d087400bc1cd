//! An echo over IPv4 and its reply (RFC 792) as frames: pure.

use std::net::Ipv4Addr;

use super::frame::ethernet;

const IPV4: [u8; 2] = [0x08, 0x00];
const ICMP: u8 = 1;
const ECHO: u8 = 8;
const REPLY: u8 = 0;
const IP: usize = 14;
const MESSAGE: usize = IP + 20;
/// Of the question; no flow of anybody else's host is meant, so any will do.
const ID: [u8; 2] = [0x45, 0x67];

/// May a neighbour answer? It goes no further than the link: its time to live is 1.
pub(crate) fn request(from: ([u8; 6], Ipv4Addr), to: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    let mut message = vec![ECHO, 0, 0, 0];
    message.extend(ID);
    message.extend([0, 1]);
    let check = checksum(&message);
    message[2..4].copy_from_slice(&check.to_be_bytes());
    let length = u16::try_from(20 + message.len()).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0, 0, 1, ICMP, 0, 0]);
    header.extend(from.1.octets());
    header.extend(to.1.octets());
    let check = checksum(&header);
    header[10..12].copy_from_slice(&check.to_be_bytes());
    let mut frame = [ethernet(to.0, from.0, IPV4), header, message].concat();
    frame.resize(60, 0); // the shortest Ethernet frame without its check sequence
    frame
}

/// Whether a frame is the reply that `asker` waits for, of the neighbour that was asked.
pub(crate) fn is_reply(
    frame: &[u8],
    asker: ([u8; 6], Ipv4Addr),
    asked: ([u8; 6], Ipv4Addr),
) -> bool {
    let at = |from: usize, wanted: &[u8]| frame.get(from..from + wanted.len()) == Some(wanted);
    at(0, &asker.0)
        && at(6, &asked.0)
        && at(12, &IPV4)
        && at(IP, &[0x45])
        && at(IP + 9, &[ICMP])
        && at(IP + 12, &asked.1.octets())
        && at(IP + 16, &asker.1.octets())
        && at(MESSAGE, &[REPLY, 0])
        && at(MESSAGE + 4, &ID)
}

/// RFC 1071, of an even number of bytes whose own field is zero.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: ([u8; 6], Ipv4Addr) = ([2, 0, 0, 0, 0, 7], Ipv4Addr::new(192, 0, 2, 11));
    const OTHER: ([u8; 6], Ipv4Addr) = ([2, 0, 0, 0, 0, 8], Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn an_echo_checks_and_its_reply_is_known() {
        let frame = request(OWN, OTHER);
        let folded = |bytes: &[u8]| checksum(bytes);
        assert_eq!((folded(&frame[IP..MESSAGE]), folded(&frame[MESSAGE..MESSAGE + 8])), (0, 0));
        assert!(!is_reply(&frame, OWN, OTHER) && !is_reply(&frame, OTHER, OWN), "a question");
        let mut reply = request(OTHER, OWN);
        reply[MESSAGE] = REPLY;
        assert!(is_reply(&reply, OWN, OTHER));
        assert!(!is_reply(&reply, OTHER, OWN), "somebody else's");
        assert!((0..MESSAGE + 6).all(|length| !is_reply(&reply[..length], OWN, OTHER)));
    }
}
