//! Traffic: echo servers and clients of std sockets, each in a namespace.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use egret_netns::{NetworkNamespace, enter};
use socket2::{Domain, Socket, Type};

use super::addresses::PORT;
use super::oracle::Oracle;
use super::packets::UDP;

/// A client's bound for one exchange: a refused connection ends sooner, a dropped one here.
const WITHIN: Duration = Duration::from_secs(2);

/// How often a server looks whether it shall end.
const TICK: Duration = Duration::from_millis(50);

/// Echoes TCP and UDP on port [`PORT`] of one address.
pub(super) struct Server {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(namespace: &NetworkNamespace, address: IpAddr) -> Self {
        let at = SocketAddr::new(address, PORT);
        let (tcp, udp) = {
            let _inside = enter(&namespace.path());
            let bound = TcpListener::bind(at).and_then(|tcp| Ok((tcp, UdpSocket::bind(at)?)));
            bound.unwrap_or_else(|error| panic!("in {}: {at}: {error}", namespace.name()))
        };
        let stop = Arc::new(AtomicBool::new(false));
        let (of_tcp, of_udp) = (Arc::clone(&stop), Arc::clone(&stop));
        let threads = vec![
            std::thread::spawn(move || accept(&tcp, &of_tcp)),
            std::thread::spawn(move || reflect(&udp, &of_udp)),
        ];
        Self { stop, threads }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, stop: &Arc<AtomicBool>) {
    let _ = listener.set_nonblocking(true);
    let mut sessions = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let stop = Arc::clone(stop);
                sessions.push(std::thread::spawn(move || echo(stream, &stop)));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    for session in sessions {
        let _ = session.join();
    }
}

fn echo(mut stream: TcpStream, stop: &AtomicBool) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(TICK));
    let mut bytes = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(length) => {
                let Some(read) = bytes.get(..length) else { return };
                if stream.write_all(read).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn reflect(socket: &UdpSocket, stop: &AtomicBool) {
    let _ = socket.set_read_timeout(Some(TICK));
    let mut bytes = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut bytes)
            && let Some(read) = bytes.get(..length)
            // What begins so asks for no answer: one-way flows stay `new`.
            && !read.starts_with(b"one-way")
        {
            let _ = socket.send_to(read, from);
        }
    }
}

/// A TCP connection from an address of a namespace.
pub(super) fn connect(
    namespace: &NetworkNamespace,
    from: IpAddr,
    to: SocketAddr,
) -> io::Result<TcpStream> {
    let _inside = enter(&namespace.path());
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), WITHIN)?;
    socket.set_read_timeout(Some(WITHIN))?;
    Ok(socket.into())
}

/// One exchange on a connection.
pub(super) fn talk(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"egret")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    if &answer == b"egret" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Opens a connection and says something.
pub(super) fn tcp_echo(
    namespace: &NetworkNamespace,
    from: IpAddr,
    to: SocketAddr,
) -> io::Result<()> {
    talk(&mut connect(namespace, from, to)?)
}

/// A UDP socket that is connected, so that only answers from `to` come.
pub(super) fn udp(namespace: &NetworkNamespace, from: IpAddr, to: SocketAddr) -> UdpSocket {
    let _inside = enter(&namespace.path());
    let made = UdpSocket::bind(SocketAddr::new(from, 0)).and_then(|socket| {
        socket.connect(to)?;
        socket.set_read_timeout(Some(WITHIN))?;
        Ok(socket)
    });
    made.unwrap_or_else(|error| panic!("in {}: UDP {from}: {error}", namespace.name()))
}

/// One datagram and its answer.
pub(super) fn udp_echo(
    namespace: &NetworkNamespace,
    from: IpAddr,
    to: SocketAddr,
) -> io::Result<()> {
    exchange(&udp(namespace, from, to))
}

/// One datagram and its answer on a socket.
pub(super) fn exchange(socket: &UdpSocket) -> io::Result<()> {
    socket.send(b"egret")?;
    let mut answer = [0; 5];
    let length = socket.recv(&mut answer)?;
    if answer.get(..length) == Some(b"egret") {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// A datagram on a socket that nobody answers. What an ICMP error said about an earlier one is
/// reported at the next send, once: sent again then.
pub(super) fn one_way(socket: &UdpSocket) {
    if socket.send(b"one-way").is_err() {
        let _ = socket.send(b"one-way");
    }
}

/// Sends a datagram that no check looks for and waits until the oracle has seen it.
pub(super) fn marker(namespace: &NetworkNamespace, from: IpAddr, to: IpAddr, oracle: &Oracle) {
    static NEXT: AtomicU16 = AtomicU16::new(60_000);
    let port = NEXT.fetch_add(1, Ordering::Relaxed);
    one_way(&udp(namespace, from, SocketAddr::new(to, port)));
    oracle.wait("marker", 1, |packet| {
        packet.protocol == UDP && packet.destination == to && packet.destination_port == port
    });
}
