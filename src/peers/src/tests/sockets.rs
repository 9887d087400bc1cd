//! Real sockets on the loopback of a network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;

use egret_netns::NetworkNamespace;

use super::*;
use crate::socket::Bound;
use crate::{BindError, Endpoint, MAX_DATAGRAM, MAX_MESSAGE, SealError, SendError, WaitOutcome};

/// Far above what a loopback datagram takes; only a failing test waits for it.
const LONG: Duration = Duration::from_secs(20);

fn endpoint(name: &str, number: u8, addresses: &[IpAddr]) -> Endpoint {
    let identity = Identity::for_test([number; 32], 1 << 32);
    Endpoint::bind(addresses, 0, identity, name.into()).unwrap()
}

fn introduce(to: &mut Endpoint, others: &[(&str, &Endpoint)]) {
    let peers: BTreeMap<_, _> = others
        .iter()
        .map(|(name, endpoint)| {
            let bound = endpoint.local_addresses().unwrap();
            let peer = Peer {
                endpoints: bound.iter().map(std::net::SocketAddr::ip).collect(),
                port: bound[0].port(),
                public_key: endpoint.public_key(),
            };
            (NodeName::from(*name), peer)
        })
        .collect();
    assert_eq!(to.set_peers(CLUSTER, &peers), []);
}

fn pair(a: &[IpAddr], b: &[IpAddr]) -> (Endpoint, Endpoint) {
    let (mut a, mut b) = (endpoint("a", 1, a), endpoint("b", 2, b));
    introduce(&mut a, &[("b", &b)]);
    introduce(&mut b, &[("a", &a)]);
    (a, b)
}

fn loopback() -> [IpAddr; 2] {
    ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]
}

/// Lets `other` do its part below the messages until `one` has received.
fn receive(one: &mut Endpoint, other: &mut Endpoint) -> WaitOutcome<String> {
    let end = Instant::now() + LONG;
    while Instant::now() < end {
        let WaitOutcome::Timeout = other.recv::<String>(Duration::from_millis(1)).unwrap() else {
            panic!("the other side received something")
        };
        let event = one.recv(Duration::from_millis(1)).unwrap();
        if event != WaitOutcome::Timeout {
            return event;
        }
    }
    WaitOutcome::Timeout
}

fn message(from: &str, text: &str) -> WaitOutcome<String> {
    WaitOutcome::Message { from: from.into(), message: text.into() }
}

#[test]
fn messages_pass_over_either_family_and_both() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let [v4, v6] = loopback();
    for (left, right) in [(&[v4][..], &[v4][..]), (&[v6], &[v6]), (&[v4, v6], &[v6, v4])] {
        let (mut a, mut b) = pair(left, right);
        a.send(&"b".into(), &"ping".to_string()).unwrap();
        assert_eq!(receive(&mut b, &mut a), message("a", "ping"));
        b.send(&"a".into(), &"pong".to_string()).unwrap();
        assert_eq!(a.recv(LONG).unwrap(), message("b", "pong"));
        assert!(a.last_received().silences()[&"b".into()] < LONG);
        assert_eq!(b.discarded().get(Discard::NotMet), 1);
    }
}

#[test]
fn a_wake_from_another_thread_ends_the_wait() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let mut a = endpoint("a", 1, &loopback()[..1]);
    let waker = a.waker();
    waker.wake();
    waker.wake();
    assert_eq!(
        a.recv::<String>(LONG).unwrap(),
        WaitOutcome::Woken,
        "a wake before the wait counts"
    );
    assert_eq!(a.recv::<String>(Duration::ZERO).unwrap(), WaitOutcome::Timeout, "several are one");
    let thread = std::thread::spawn(move || waker.wake());
    assert_eq!(a.recv::<String>(LONG).unwrap(), WaitOutcome::Woken);
    thread.join().unwrap();
}

#[test]
fn noise_is_counted_never_answered_and_does_not_outlast_the_timeout() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let mut a = endpoint("a", 1, &loopback()[..1]);
    let target = a.local_addresses().unwrap()[0];
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    for size in [0, 1, 74, 500, MAX_DATAGRAM, MAX_DATAGRAM + 1, 9_000] {
        stranger.send_to(&vec![1; size], target).unwrap();
    }
    let discarded = a.discarded();
    let end = Instant::now() + LONG;
    while discarded.all().map(|(_, count)| count).sum::<u64>() < 7 && Instant::now() < end {
        assert_eq!(a.recv::<String>(Duration::from_millis(1)).unwrap(), WaitOutcome::Timeout);
    }
    assert_eq!(discarded.get(Discard::TooShort), 2);
    assert_eq!(discarded.get(Discard::TooLong), 2);
    let mut buffer = [0; 64];
    let answer = stranger.recv(&mut buffer).map_err(|error| error.kind());
    assert_eq!(answer, Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn a_message_of_another_build_is_counted() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let (mut a, mut b) = pair(&loopback()[..1], &loopback()[..1]);
    a.send(&"b".into(), &"ping".to_string()).unwrap();
    assert_eq!(receive(&mut b, &mut a), message("a", "ping"));
    a.send(&"b".into(), &u64::MAX).unwrap();
    let discarded = b.discarded();
    let end = Instant::now() + LONG;
    while discarded.get(Discard::Undecodable) == 0 {
        assert!(Instant::now() < end, "it was never counted");
        assert_eq!(b.recv::<String>(Duration::from_millis(1)).unwrap(), WaitOutcome::Timeout);
    }
}

/// Returns when the kernel stamps what arrives. The first socket that asks for it has a work queue
/// switch it on (`net_enable_timestamp`, net/core/dev.c): until then what has waited looks new.
fn stamps_are_on() {
    let bound = Bound::open("127.0.0.1:0".parse().unwrap()).unwrap();
    let own = bound.local_address().unwrap();
    let end = Instant::now() + LONG;
    loop {
        bound.send_to(b"stamp", own).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        match bound.receive(&mut [0; 8]) {
            Ok(received) if received.waited >= Duration::from_millis(5) => return,
            _ => assert!(Instant::now() < end, "the kernel stamps nothing"),
        }
    }
}

#[test]
fn what_has_waited_too_long_is_dropped_and_what_came_since_is_read() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let (mut a, mut b) = pair(&loopback()[..1], &loopback()[..1]);
    a.send(&"b".into(), &"ping".to_string()).unwrap();
    assert_eq!(receive(&mut b, &mut a), message("a", "ping"));
    stamps_are_on();
    for _ in 0..3 {
        a.send(&"b".into(), &"old".to_string()).unwrap();
    }
    std::thread::sleep(Duration::from_millis(150));
    let end = Instant::now() + LONG;
    loop {
        // Also the new one may be late, on a machine that stands still between the two lines.
        a.send(&"b".into(), &"new".to_string()).unwrap();
        let event = b.recv(Duration::from_millis(1)).unwrap();
        if event == message("a", "new") {
            break;
        }
        assert_eq!(event, WaitOutcome::Timeout);
        assert!(Instant::now() < end, "nothing was read any more");
    }
    assert!(b.discarded().get(Discard::Late) >= 3);
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// As where a DHCP server gives a node another address.
#[test]
fn messages_go_on_with_another_address_on_the_same_channel() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let [v4, v6] = loopback();
    let (old, new) = (ip("192.0.2.1"), ip("192.0.2.2"));
    namespace.run("ip addr add 192.0.2.1/32 dev lo");
    let (mut a, mut b) = pair(&[old, v6], &[v4]);
    let met = |a: &mut Endpoint, b: &mut Endpoint, text: &str| {
        a.send(&"b".into(), &text.to_string()).unwrap();
        assert_eq!(receive(b, a), message("a", text));
        b.send(&"a".into(), &text.to_string()).unwrap();
        assert_eq!(receive(a, b), message("b", text));
    };
    met(&mut a, &mut b, "before");
    let refused = b.discarded().get(Discard::NotMet);
    namespace.run("ip addr del 192.0.2.1/32 dev lo");
    assert!(matches!(a.send(&"b".into(), &"gone".to_string()), Err(SendError::Io(..))));
    // Told of before it is there.
    a.listen_on(&[new, v6]).unwrap();
    namespace.run("ip addr add 192.0.2.2/32 dev lo");
    introduce(&mut b, &[("a", &a)]);
    met(&mut a, &mut b, "after");
    assert_eq!(b.discarded().get(Discard::NotMet), refused, "the channel is the same");
    assert_eq!(a.addresses().into_iter().collect::<BTreeSet<_>>(), [new, v6].into());
}

#[test]
fn an_address_that_cannot_be_bound_changes_nothing() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let [v4, v6] = loopback();
    let mut a = endpoint("a", 1, &[v4]);
    let port = a.local_addresses().unwrap()[0].port();
    let _taken = UdpSocket::bind((v6, port)).unwrap();
    assert!(matches!(a.listen_on(&[v4, v6]), Err(BindError::Bind { .. })));
    assert!(matches!(a.listen_on(&[]), Err(BindError::NoAddress)));
    assert_eq!(a.addresses(), [v4]);
}

#[test]
fn of_two_families_the_one_that_can_be_bound_is() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let [v4, v6] = loopback();
    let mut a = endpoint("a", 1, &[v4, v6]);
    let port = a.local_addresses().unwrap()[0].port();
    let (other4, other6) = (ip("127.0.0.2"), ip("2001:db8::2"));
    let taken = UdpSocket::bind((other4, port)).unwrap();
    assert!(matches!(a.listen_on(&[other4, other6]), Err(BindError::Bind { .. })));
    assert_eq!(a.addresses(), [other6, v4], "the one before goes on in the other's family");
    drop(taken);
    // A program that another test is starting has a copy of the socket until its exec.
    let end = Instant::now() + LONG;
    while let Err(error) = a.listen_on(&[other4, other6]) {
        assert!(Instant::now() < end, "{error}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(a.addresses().into_iter().collect::<BTreeSet<_>>(), [other4, other6].into());
}

#[test]
fn of_two_of_one_family_the_first_one_sends() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let (old, new) = (ip("127.0.0.1"), ip("127.0.0.2"));
    let mut a = endpoint("a", 1, &[old]);
    a.listen_on(&[old, new]).unwrap();
    assert_eq!(a.addresses(), [old, new], "peers do not know it yet");
    a.listen_on(&[new, old]).unwrap();
    assert_eq!(a.addresses(), [new, old]);
}

#[test]
fn what_cannot_be_sent_or_bound_says_why() {
    let namespace = NetworkNamespace::new("peers");
    let _inside = namespace.enter();
    let [v4, v6] = loopback();
    let (mut a, b) = pair(&[v4], &[v6]);
    let far = a.send(&"b".into(), &1u8);
    assert!(matches!(far, Err(SendError::NoEndpoint(_))), "{far:?}");
    let unknown = a.send(&"c".into(), &1u8);
    assert!(matches!(unknown, Err(SendError::Seal(SealError::UnknownPeer(_)))), "{unknown:?}");
    let long = a.send(&"b".into(), &vec![0u8; MAX_MESSAGE]);
    let size = MAX_MESSAGE + 2;
    assert!(matches!(long, Err(SendError::Seal(SealError::TooLong(n))) if n == size), "{long:?}");

    let port = b.local_addresses().unwrap()[0].port();
    let bind = |addresses: &[IpAddr]| {
        Endpoint::bind(addresses, port, Identity::for_test([3; 32], 1), "c".into()).unwrap_err()
    };
    assert!(matches!(bind(&[]), BindError::NoAddress));
    let taken = bind(&[v6]).to_string();
    assert!(taken.contains(&format!("[::1]:{port}")) && taken.contains("port free"), "{taken}");
}
