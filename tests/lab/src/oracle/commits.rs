use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket, sockopt,
};

use crate::clock::WallTime;
use crate::node::LabNode;

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h, as a bit of the group mask.
const NFTABLES: u32 = 1 << 6;

/// Room for messages, in bytes.
const ROOM: usize = 16 << 20;

/// When the rule set of a node changed, as its kernel says it.
#[derive(Debug)]
pub struct Commits {
    socket: OwnedFd,
}

impl Commits {
    /// Listens on a node.
    ///
    /// # Errors
    /// Where the node is off or the kernel refuses it.
    pub fn listen(node: &LabNode) -> Result<Self> {
        Self::listen_in(&node.net()?.path())
    }

    /// Listens in the network namespace that `path` names.
    ///
    /// # Errors
    /// Where the kernel refuses it.
    pub fn listen_in(path: &str) -> Result<Self> {
        let _inside = egret_netns::enter(path);
        let (family, kind) = (AddressFamily::Netlink, SockType::Raw);
        let protocol = SockProtocol::NetlinkNetFilter;
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
        // Hundreds of changes may come before the reader gets to them.
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, NFTABLES)).context("nfnetlink")?;
        Ok(Self { socket })
    }

    /// Forgets what has come until now.
    pub fn clear(&self) {
        let mut bytes = [0; 65_536];
        while recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT).is_ok() {}
    }

    /// Waits for the next change; returns when it was heard of.
    ///
    /// # Errors
    /// Where none comes within `limit`.
    pub fn next(&self, limit: Duration) -> Result<WallTime> {
        let at = self.heard(limit)?.with_context(|| format!("no change within {limit:?}"))?;
        self.clear();
        Ok(at)
    }

    /// Waits for a message about a change; returns when it was heard of and its bytes (linux/netfilter/
    /// nf_tables.h): what was added stands in them in network byte order. `None` where none comes
    /// within `limit`.
    ///
    /// # Errors
    /// Where the kernel had more to say than the socket holds.
    pub fn message(&self, limit: Duration) -> Result<Option<(WallTime, Vec<u8>)>> {
        let Some(at) = self.heard(limit)? else { return Ok(None) };
        let mut bytes = vec![0; 65_536];
        let length = recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT)?;
        bytes.truncate(length);
        Ok(Some((at, bytes)))
    }

    fn heard(&self, limit: Duration) -> Result<Option<WallTime>> {
        let begun = Instant::now();
        while let Some(left) = limit.checked_sub(begun.elapsed()) {
            let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(millis))? > 0 {
                return Ok(Some(WallTime::now()));
            }
        }
        Ok(None)
    }
}
