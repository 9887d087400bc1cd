//! The one place that speaks netlink: blocking sockets, errors classified by errno, and the
//! kernel's records as values of this crate. No netlink type leaves this module and its children.

pub(crate) mod address;
pub(crate) mod link;
pub(crate) mod local_route;
pub(crate) mod neighbour;
pub(crate) mod notices;
pub(crate) mod route;
pub(crate) mod rule;
pub(crate) mod way;

use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use egret_ports::error::{ErrorClass, PortError};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// The kernel answers a request before `send` returns; this only bounds a bug.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Messages of a lower type are netlink's own, and the length of its header (linux/netlink.h).
const NLMSG_MIN_TYPE: u16 = 16;
const NLMSG_HDRLEN: usize = 16;

/// A dump that changed under way is taken again, this often at most.
const DUMP_ATTEMPTS: usize = 5;

/// A socket of one netlink protocol, in the network namespace of the thread that made it.
pub(crate) struct Netlink<I> {
    socket: Socket,
    sequence: u32,
    message: PhantomData<I>,
}

/// Links, addresses, routes, rules.
pub(crate) type RouteNetlink = Netlink<RouteNetlinkMessage>;

impl RouteNetlink {
    /// A socket of NETLINK_ROUTE.
    pub(crate) fn route() -> io::Result<Self> {
        let netlink = Self::new(NETLINK_ROUTE)?;
        // Lets a dump be filtered by table (Linux 4.20); without it the filter here does the work.
        let _ = netlink.socket.set_netlink_get_strict_chk(true);
        Ok(netlink)
    }
}

impl<I> Netlink<I>
where
    I: NetlinkSerializable + NetlinkDeserializable + Debug,
{
    /// A socket of `protocol`.
    pub(crate) fn new(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket2::SockRef::from(&socket).set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { socket, sequence: 0, message: PhantomData })
    }

    /// Sends a request that changes something and waits for the kernel's yes.
    pub(crate) fn change(&mut self, message: I, flags: u16) -> io::Result<()> {
        self.transact(message, NLM_F_REQUEST | NLM_F_ACK | flags, |_| true).map(drop)
    }

    /// Asks for one thing.
    pub(crate) fn get(&mut self, message: I) -> io::Result<Vec<I>> {
        self.transact(message, NLM_F_REQUEST | NLM_F_ACK, |_| true)
    }

    /// Lists.
    pub(crate) fn dump(&mut self, make: impl Fn() -> I) -> io::Result<Vec<I>> {
        self.dump_where(make, |_| true)
    }

    /// Lists the records that `keep` says yes to, by the bytes after the netlink header. The others
    /// are not decoded, which is most of what a long list costs here.
    pub(crate) fn dump_where(
        &mut self,
        make: impl Fn() -> I,
        keep: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Vec<I>> {
        for _ in 0..DUMP_ATTEMPTS {
            match self.transact(make(), NLM_F_REQUEST | NLM_F_DUMP, &keep) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    fn transact(
        &mut self,
        message: I,
        flags: u16,
        keep: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Vec<I>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        self.answers(keep)
    }

    fn answers(&self, keep: impl Fn(&[u8]) -> bool) -> io::Result<Vec<I>> {
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            for message in split(&bytes) {
                if is_unwanted(message, &keep) {
                    continue;
                }
                let Ok(message) = NetlinkMessage::<I>::deserialize(message) else {
                    // An attribute of a newer kernel in somebody else's record.
                    tracing::debug!("skipped a netlink record that does not decode");
                    continue;
                };
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    NetlinkPayload::Error(error) => match error.code {
                        None => return Ok(answers),
                        Some(code) => {
                            return Err(io::Error::from_raw_os_error(code.get().saturating_abs()));
                        }
                    },
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(done.code.saturating_abs()));
                    }
                    NetlinkPayload::Done(_) if interrupted => {
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Overrun(_) => return Err(io::ErrorKind::Interrupted.into()),
                    _ => {}
                }
            }
        }
    }
}

/// A record, and one that `keep` says no to. Where it says that the list changed under way it is
/// decoded all the same.
fn is_unwanted(message: &[u8], keep: impl Fn(&[u8]) -> bool) -> bool {
    let half = |at: usize| {
        message.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_ne_bytes)
    };
    let (kind, flags) = (half(4), half(6));
    kind >= NLMSG_MIN_TYPE
        && flags & NLM_F_DUMP_INTR == 0
        && !keep(message.get(NLMSG_HDRLEN..).unwrap_or_default())
}

/// Cuts one read of a netlink socket into messages.
pub(crate) fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?);
        let length = usize::try_from(length).ok()?;
        if length < 16 || length > rest.len() {
            return None;
        }
        let (message, after) = rest.split_at(length);
        let padding = (length.next_multiple_of(4) - length).min(after.len());
        rest = after.get(padding..).unwrap_or_default();
        Some(message)
    })
}

/// A kernel's refusal, classified by errno.
pub(crate) fn refused(operation: impl Into<String>, error: io::Error) -> PortError {
    PortError::new(class_of(&error), operation, error)
}

/// What kind of failure an errno is.
pub(crate) fn class_of(error: &io::Error) -> ErrorClass {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ErrorClass::Denied,
        Some(libc::ENOENT | libc::ENODEV | libc::ESRCH | libc::ENXIO) => ErrorClass::NotFound,
        Some(libc::EEXIST) => ErrorClass::Conflict,
        Some(
            libc::EINVAL
            | libc::EOPNOTSUPP
            | libc::EAFNOSUPPORT
            | libc::EPROTONOSUPPORT
            | libc::ERANGE
            | libc::ENOSYS,
        ) => ErrorClass::Invalid,
        Some(libc::ENOSPC | libc::EMFILE | libc::ENFILE) => ErrorClass::Quota,
        _ => ErrorClass::Transient,
    }
}

/// True where the kernel says that it has no IPv6, or that it is switched off here.
pub(crate) fn no_such_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EACCES)
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::{IpAddr, Ipv4Addr};

    use egret_netns::NetworkNamespace;
    use netlink_packet_route::AddressFamily;
    use netlink_packet_route::address::{AddressAttribute, AddressMessage};
    use netlink_packet_route::route::{RouteAttribute, RouteMessage};

    use super::*;

    /// The kernel goes on by position: an address that goes while the list is read shifts another
    /// one out of it, and only a flag in a header says so. The crate rtnetlink drops the headers and
    /// gives the list as good (docs/design.md decision 13).
    #[test]
    fn a_list_that_changed_under_way_is_read_again() {
        // Some 50 addresses fill a part of the list, and three parts are made before the third is
        // read.
        let address = |number: u16| Ipv4Addr::new(10, 0, (number >> 8) as u8, number as u8);
        let ns = NetworkNamespace::new("interrupted");
        let _inside = ns.enter();
        let line = |number| format!("addr add {}/32 dev lo\n", address(number));
        ns.batch(&(1..=400).map(line).collect::<String>());
        let removed = Cell::new(false);
        let remove_one = |_: &[u8]| {
            if !removed.replace(true) {
                ns.run("ip addr del 10.0.0.1/32 dev lo");
            }
            true
        };
        let ask = || RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = RouteNetlink::route().unwrap().dump_where(ask, remove_one).unwrap();
        let attributes = answers.into_iter().flat_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(address) => address.attributes,
            _ => Vec::new(),
        });
        let listed = attributes.filter_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) if !address.is_loopback() => Some(address),
            _ => None,
        });
        assert!(listed.eq((2..=400).map(address)));
    }

    /// A list that the kernel cannot make ends with an error in its last message, which rtnetlink
    /// takes for the end of an empty list.
    #[test]
    fn a_list_that_ends_with_an_error_is_no_empty_list() {
        let ns = NetworkNamespace::new("refused");
        let _inside = ns.enter();
        let ask = || {
            let mut ask = RouteMessage::default();
            ask.header.address_family = AddressFamily::Inet;
            ask.attributes.push(RouteAttribute::Oif(4711));
            RouteNetlinkMessage::GetRoute(ask)
        };
        let error = RouteNetlink::route().unwrap().dump(ask).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn a_read_is_cut_into_its_messages() {
        let mut bytes = Vec::new();
        for length in [16_u32, 18, 16] {
            let start = bytes.len();
            bytes.extend(length.to_ne_bytes());
            bytes.resize(start + usize::try_from(length.next_multiple_of(4)).unwrap(), 0);
        }
        let lengths: Vec<usize> = split(&bytes).map(<[u8]>::len).collect();
        assert_eq!(lengths, [16, 18, 16]);
    }

    #[test]
    fn a_broken_length_ends_the_read() {
        let mut bytes = vec![0; 32];
        bytes[..4].copy_from_slice(&400_u32.to_ne_bytes());
        assert_eq!(split(&bytes).count(), 0);
        bytes[..4].copy_from_slice(&3_u32.to_ne_bytes());
        assert_eq!(split(&bytes).count(), 0);
    }

    #[test]
    fn errors_are_classed_by_number() {
        let class = |errno| class_of(&io::Error::from_raw_os_error(errno));
        assert_eq!(class(libc::EPERM), ErrorClass::Denied);
        assert_eq!(class(libc::ENODEV), ErrorClass::NotFound);
        assert_eq!(class(libc::EEXIST), ErrorClass::Conflict);
        assert_eq!(class(libc::ENOBUFS), ErrorClass::Transient);
    }
}
