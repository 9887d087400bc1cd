use std::collections::BTreeMap;
use std::io;
use std::net::Ipv6Addr;

use socket2::{Domain, Protocol, Socket, Type};

use super::frame::solicited_node_group;

/// Memberships of one socket are charged to net.core.optmem_max, 20 KiB before Linux 6.9: that is
/// some 300.
const MEMBERSHIPS_A_SOCKET: usize = 128;

type Membership = (Ipv6Addr, u32);

/// Memberships in solicited-node groups. A network card filters multicast that nobody joined, and
/// a switch with MLD snooping does not deliver it; joining does both, and holds as long as the
/// socket.
#[derive(Debug, Default)]
pub(super) struct Groups {
    sockets: Vec<(Socket, usize)>,
    /// Which socket holds a membership.
    joined: BTreeMap<Membership, usize>,
    /// Addresses that need it; two may share a group.
    wanted: BTreeMap<Ipv6Addr, Membership>,
}

impl Groups {
    pub(super) fn join(&mut self, address: Ipv6Addr, index: u32) -> io::Result<()> {
        let membership = (solicited_node_group(address), index);
        if self.wanted.get(&address).is_some_and(|old| *old != membership) {
            self.leave(address)?;
        }
        if !self.joined.contains_key(&membership) {
            let number = self.socket_with_room()?;
            let (socket, count) = &mut self.sockets[number];
            socket.join_multicast_v6(&membership.0, index)?;
            *count += 1;
            self.joined.insert(membership, number);
        }
        self.wanted.insert(address, membership);
        Ok(())
    }

    pub(super) fn leave(&mut self, address: Ipv6Addr) -> io::Result<()> {
        let Some(membership) = self.wanted.remove(&address) else { return Ok(()) };
        if self.wanted.values().any(|other| *other == membership) {
            return Ok(());
        }
        let Some(number) = self.joined.remove(&membership) else { return Ok(()) };
        let (socket, count) = &mut self.sockets[number];
        *count -= 1;
        match socket.leave_multicast_v6(&membership.0, membership.1) {
            // The interface is gone, and the membership with it.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENODEV | libc::EADDRNOTAVAIL | libc::ENXIO)
                ) =>
            {
                Ok(())
            }
            left => left,
        }
    }

    fn socket_with_room(&mut self) -> io::Result<usize> {
        let room = self.sockets.iter().position(|(_, count)| *count < MEMBERSHIPS_A_SOCKET);
        if let Some(number) = room {
            return Ok(number);
        }
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        self.sockets.push((socket, 0));
        Ok(self.sockets.len() - 1)
    }
}
