//! Notices of what anybody changes in the kernel.

use std::io;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr};

/// How long one read waits: who waits can end that often.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A socket that hears the notices of some groups of one netlink protocol, in the network namespace
/// of the thread that made it.
pub(crate) struct NoticeSocket(Socket);

/// What one read brings.
pub(crate) enum NoticeRead {
    /// Messages, or nothing so far.
    Messages(Vec<u8>),
    /// The kernel dropped notices since they were not read fast enough.
    Lost,
}

impl NoticeSocket {
    /// What happens after this returns is read, or said to be lost.
    pub(crate) fn open(protocol: isize, groups: &[u32]) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        // A burst: `nft flush ruleset` of kube-proxy's rules is one notice per rule.
        let _ = socket.set_rx_buf_sz(4_000_000_u32);
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in groups {
            socket.add_membership(*group)?;
        }
        socket2::SockRef::from(&socket).set_read_timeout(Some(LONGEST_WAIT))?;
        Ok(Self(socket))
    }

    /// Waits for the next notices, a second at most.
    pub(crate) fn read(&self) -> io::Result<NoticeRead> {
        match self.0.recv_from_full() {
            Ok((bytes, _)) => Ok(NoticeRead::Messages(bytes)),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(NoticeRead::Messages(Vec::new())),
                Some(libc::ENOBUFS) => Ok(NoticeRead::Lost),
                _ => Err(error),
            },
        }
    }
}
