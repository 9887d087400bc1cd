use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::client::seen_source;
use super::server;
use crate::address::{AddressFamily, OUTSIDE};
use crate::tap::FrameTap;
use crate::test_bed::{PodNet, TestBed};
use crate::wire::checksum;

/// Which source address the outside server sees when `pod` connects to it.
///
/// # Errors
/// Where the pod does not run or no connection comes about within 5 s.
pub fn source_seen(lab: &mut impl TestBed, pod: &str, family: AddressFamily) -> Result<IpAddr> {
    let to = SocketAddr::new(family.pick(OUTSIDE), lab.network_mut().reserve_ports());
    let client = lab.pod_net(pod)?.path;
    seen_by(&lab.network().out.path(), to, &client, to).with_context(|| pod.to_owned())
}

/// Which source address a server in namespace `server`, listening at `listen`, sees when somebody
/// in namespace `client` connects to `to` (which a Service may turn into `listen`).
///
/// # Errors
/// Where no connection comes about within 5 s.
pub fn seen_by(server: &str, listen: SocketAddr, client: &str, to: SocketAddr) -> Result<IpAddr> {
    let (ready, bound) = std::sync::mpsc::channel();
    let (server, client) = (server.to_owned(), client.to_owned());
    let (done, asked) = tokio::sync::oneshot::channel::<()>();
    let serving = std::thread::spawn(move || -> Result<()> {
        let _inside = egret_netns::enter(&server);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = server::listen(listen)?;
            let _ = ready.send(());
            tokio::select! {
                stream = listener.accept() => server::tell_source(stream?.0).await?,
                _ = asked => {}
            }
            Ok(())
        })
    });
    bound.recv().with_context(|| format!("cannot listen at {listen}"))?;
    let asking = std::thread::spawn(move || -> Result<String> {
        let _inside = egret_netns::enter(&client);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let limit = Duration::from_secs(5);
        let answer = runtime.block_on(async { timeout(limit, seen_source(to)).await });
        drop(done);
        Ok(answer.context("no connection within 5 s")??)
    });
    let Ok(seen) = asking.join() else { bail!("the asking thread panicked") };
    let _ = serving.join();
    let seen = seen.with_context(|| format!("to {to}"))?;
    seen.parse().with_context(|| format!("the server said {seen:?}"))
}

/// Packets that conntrack takes for no connection, or that come before any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawShape {
    /// A TCP reset without a connection.
    LoneReset,
    /// A SYN|ACK that nobody asked for.
    SynAck,
    /// Every flag.
    Xmas,
    /// A SYN whose checksum is wrong.
    BadChecksum,
    /// A SYN as it should be.
    Syn,
}

/// Sends one crafted TCP/IPv4 packet from a pod to the outside server's `port`.
///
/// # Errors
/// Where the tap cannot be opened in the pod.
pub fn inject(pod: impl Into<PodNet>, shape: RawShape, source_port: u16, port: u16) -> Result<()> {
    let pod = pod.into();
    let (IpAddr::V4(from), IpAddr::V4(to)) = (pod.addresses[0], OUTSIDE[0]) else {
        bail!("the first address of a pair is IPv4")
    };
    let flags = match shape {
        RawShape::LoneReset => 0x04,
        RawShape::SynAck => 0x12,
        RawShape::Xmas => 0xff,
        RawShape::BadChecksum | RawShape::Syn => 0x02,
    };
    let mut tcp = Vec::from(source_port.to_be_bytes());
    tcp.extend(port.to_be_bytes());
    tcp.extend([0, 0, 0, 7, 0, 0, 0, 0, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    let mut pseudo = [from.octets(), to.octets()].concat();
    pseudo.extend([0, 6, 0, 20]);
    let mut sum = checksum(&[pseudo, tcp.clone()].concat());
    if shape == RawShape::BadChecksum {
        sum ^= 0x5555;
    }
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0];
    ip.extend(from.octets());
    ip.extend(to.octets());
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let _inside = egret_netns::enter(&pod.path);
    let tap = FrameTap::open(Some("eth0"))?;
    let own = crate::tap::link_address("eth0")?.addr().context("eth0 has no hardware address")?;
    let frame = [&[0x02, 0xe6, 0xff, 0xff, 0xff, 0xfe][..], &own, &[8, 0], &ip, &tcp].concat();
    tap.send(&frame)?;
    Ok(())
}

/// Opens `count` connections at once from the pod in namespace `pod`; waits a second for answers.
pub fn knock(pod: &str, to: SocketAddr, count: u8) {
    let attempt = || {
        let _inside = egret_netns::enter(pod);
        // What becomes of it is the oracle's to see.
        let _ = TcpStream::connect_timeout(&to, Duration::from_secs(1));
    };
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(attempt);
        }
    });
}
