//! Single datagrams, for what a network does with them.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_netns::NetworkNamespace;

/// Longer than any way through the router, on a machine that is busy elsewhere.
const SILENCE: Duration = Duration::from_secs(1);

/// A socket of a namespace, with an address and a port, or any port (0).
pub fn socket(net: &NetworkNamespace, own: Ipv4Addr, port: u16) -> Result<UdpSocket> {
    let _inside = net.enter();
    let socket = egret_lab::bound(|| UdpSocket::bind((own, port)))?;
    socket.set_read_timeout(Some(SILENCE))?;
    Ok(socket)
}

/// What comes next; `None` where that is nothing.
pub fn receive(socket: &UdpSocket) -> Result<Option<(Vec<u8>, SocketAddr)>> {
    let mut bytes = [0; 16];
    loop {
        match socket.recv_from(&mut bytes) {
            Ok((length, from)) => return Ok(Some((bytes[..length].to_vec(), from))),
            // A signal ends a wait that has a limit (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The source that the outside sees of a datagram from `inside`, where it comes and its answer too.
pub fn exchange(inside: &UdpSocket, outside: &UdpSocket) -> Result<Option<IpAddr>> {
    inside.send_to(b"hello", outside.local_addr()?)?;
    let Some((bytes, from)) = receive(outside)? else { return Ok(None) };
    outside.send_to(&bytes, from)?;
    let (answer, _) = receive(inside)?.with_context(|| format!("no answer through {from}"))?;
    ensure!(answer == bytes, "another datagram");
    Ok(Some(from.ip()))
}

/// The same of a datagram from `own` to an address of the outside.
pub fn seen(
    net: &NetworkNamespace,
    (outside, to): (&NetworkNamespace, Ipv4Addr),
    own: Ipv4Addr,
) -> Result<Option<IpAddr>> {
    exchange(&socket(net, own, 0)?, &socket(outside, to, 5003)?)
}
