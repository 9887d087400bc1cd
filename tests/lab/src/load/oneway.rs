use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use super::plan::{SOURCE_PORTS, server_address};
use crate::address::AddressFamily;
use crate::test_bed::TestBed;
use crate::wire::checksum;

/// UDP over IPv4 that nobody answers, as syslog and metrics are sent. Dropping it ends it.
#[derive(Debug)]
pub struct OneWay {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// What takes the datagrams outside: a closed port would answer with an ICMP error.
    _sink: UdpSocket,
}

impl OneWay {
    /// Starts; a datagram every `pause`.
    ///
    /// # Errors
    /// Where the pod does not run.
    pub fn start(lab: &mut impl TestBed, pod: &str, pause: Duration) -> Result<Self> {
        let port = lab.network_mut().reserve_ports();
        let to = server_address(AddressFamily::V4, port);
        let sink = {
            let _inside = lab.network().out.enter();
            crate::bound(|| UdpSocket::bind(to))?
        };
        let pod = lab.pod_net(pod)?;
        let socket = {
            let _inside = egret_netns::enter(&pod.path);
            crate::bound(|| {
                UdpSocket::bind(SocketAddr::new(pod.addresses[0], SOURCE_PORTS + 5000))
            })?
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = socket.send_to(b"one way", to);
                std::thread::sleep(pause);
            }
        });
        Ok(Self { port, stop, thread: Some(thread), _sink: sink })
    }

    /// The port outside.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for OneWay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a UDP socket must send to a tunnel's port to look like a tunnel frame (RFC 7348): a VXLAN
/// header, Ethernet, IPv4, UDP. Empty where an address is not IPv4.
#[must_use]
pub fn forged_frame(vni: u32, from: (IpAddr, u16), to: (IpAddr, u16)) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(target)) = (from.0, to.0) else { return Vec::new() };
    let mut frame = vec![0x08, 0, 0, 0];
    frame.extend((vni << 8).to_be_bytes());
    frame.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    let mut ip = vec![0x45, 0, 0, 28, 0, 1, 0x40, 0, 64, 17, 0, 0];
    ip.extend(source.octets());
    ip.extend(target.octets());
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    frame.extend(ip);
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    // A UDP checksum of zero means that there is none.
    frame.extend([0, 8, 0, 0]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Body, decode};

    #[test]
    fn a_forged_frame_reads_as_what_it_claims() {
        let (a, b) = ("203.0.113.17".parse().unwrap(), "198.51.100.20".parse().unwrap());
        let frame = forged_frame(5480, (a, 1024), (b, 53));
        assert_eq!(frame[4..8], [0, 0x15, 0x68, 0]);
        let body = decode(&frame[8..]).unwrap().body;
        assert!(matches!(body, Body::Ip { source, destination_port: 53, .. } if source == a));
    }
}
