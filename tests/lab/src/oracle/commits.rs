use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use crate::clock::Stamp;
use crate::node::Node;

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h, as a bit of the group mask.
const NFTABLES: u32 = 1 << 6;

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
    pub fn listen(node: &Node) -> Result<Self> {
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
    pub fn next(&self, limit: Duration) -> Result<Stamp> {
        let begun = Instant::now();
        while let Some(left) = limit.checked_sub(begun.elapsed()) {
            let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(millis))? > 0 {
                let at = Stamp::now();
                self.clear();
                return Ok(at);
            }
        }
        bail!("the rule set did not change within {limit:?}")
    }
}
