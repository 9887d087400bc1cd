//! Notices what others do to our part of the kernel.
//!
//! Two threads, one per netlink protocol, each blocked in `recv`; they end when the receiver of the
//! changes is dropped. They write nothing: whoever reads the channel calls the `ensure`s and
//! [`crate::nft::NftSteering`], which write only what is missing. Our own writes are noticed too;
//! a check after them costs one netlink request.

mod candidates;
mod nftables;
mod rtnetlink;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use egret_core::model::Family;
use egret_ports::error::PortError;
use ipnet::IpNet;
use netlink_sys::{Socket, SocketAddr};
use tokio::sync::mpsc;

use crate::constants::Settings;
use crate::netlink::refused;

/// A change that nobody has read makes further ones of its kind redundant.
const QUEUE: usize = 256;

/// How long a thread may live on after the receiver was dropped.
const LINGER: Duration = Duration::from_secs(1);

/// Something of ours was changed, by us or by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub what: What,
    /// When this process read the kernel's word.
    pub at: Instant,
    /// Whose transaction it was, such as `nft (4711)`, where the kernel says.
    pub by: Option<String>,
}

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Our device was removed.
    DeviceRemoved,
    /// Our device was set down.
    DeviceDown,
    /// Another setting of our device: MTU, ARP, address, `rp_filter`.
    DeviceChanged,
    /// A route of our table was removed, or a foreign one added.
    Route(IpNet),
    /// Our rule was removed.
    RuleRemoved(Family),
    /// Our nft table was removed.
    TableRemoved,
    /// Something in our nft table was changed: what was removed or added, such as `rule`.
    TableChanged(BTreeSet<&'static str>),
    /// An address, a way out or a setting of another link: the uplinks may be others now.
    Uplinks,
    /// The kernel dropped notices since they were not read fast enough: anything may have changed.
    Unknown,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceRemoved => write!(f, "the tunnel device was removed"),
            Self::DeviceDown => write!(f, "the tunnel device was set down"),
            Self::DeviceChanged => write!(f, "the tunnel device was changed"),
            Self::Route(net) => write!(f, "the route to {net} in our table was changed"),
            Self::RuleRemoved(family) => write!(f, "the {family} rule was removed"),
            Self::TableRemoved => write!(f, "the nft table was removed"),
            Self::TableChanged(parts) => {
                let parts: Vec<&str> = parts.iter().copied().collect();
                write!(f, "the nft table was changed ({})", parts.join(", "))
            }
            Self::Uplinks => write!(f, "an address, route or setting of an uplink was changed"),
            Self::Unknown => write!(f, "notices were lost"),
        }
    }
}

/// Listens in the network namespace of the calling thread until the receiver is dropped.
///
/// Guarantees: what happens after this returns is noticed, or [`What::Unknown`] is sent.
///
/// # Errors
/// `Denied` or `Invalid` where the kernel refuses the sockets; `Transient` where no thread could be
/// made.
pub fn watch(settings: &Settings) -> Result<mpsc::Receiver<Change>, PortError> {
    let operation = || "listen to the kernel's notices";
    let links = rtnetlink::Watcher::new(settings).map_err(|e| refused(operation(), e))?;
    let tables = nftables::Watcher::new(settings).map_err(|e| refused(operation(), e))?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let sender = Arc::new(sender);
    start("egret-links", links, Arc::clone(&sender)).map_err(|e| refused(operation(), e))?;
    start("egret-tables", tables, sender).map_err(|e| refused(operation(), e))?;
    Ok(receiver)
}

/// Makes changes of what one socket brings.
trait Watch: Send + 'static {
    fn socket(&self) -> &Socket;
    /// One read of the socket.
    fn read(&mut self, bytes: &[u8]) -> Vec<(What, Option<String>)>;
}

fn start(name: &str, mut watcher: impl Watch, sender: Arc<mpsc::Sender<Change>>) -> io::Result<()> {
    socket2::SockRef::from(watcher.socket()).set_read_timeout(Some(LINGER))?;
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        while !sender.is_closed() {
            let changes = match watcher.socket().recv_from_full() {
                Ok((bytes, _)) => watcher.read(&bytes),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::EINTR) => Vec::new(),
                    Some(libc::ENOBUFS) => vec![(What::Unknown, None)],
                    _ => {
                        tracing::error!(%error, "the kernel's notices cannot be read any more");
                        return;
                    }
                },
            };
            let at = Instant::now();
            for (what, by) in changes {
                // A full queue says as much as one more change in it would.
                let _ = sender.try_send(Change { what, at, by });
            }
        }
    })?;
    Ok(())
}

fn listen(protocol: isize, groups: &[u32]) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    // A burst: `nft flush ruleset` of kube-proxy's rules is one notice per rule.
    let _ = socket.set_rx_buf_sz(4_000_000_u32);
    socket.bind(&SocketAddr::new(0, 0))?;
    for group in groups {
        socket.add_membership(*group)?;
    }
    Ok(socket)
}
