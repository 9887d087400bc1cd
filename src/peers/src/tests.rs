//! Two or three nodes as values: datagrams are handed over, lost, kept and altered by hand.

mod attacks;
mod golden;
mod meeting;
mod sockets;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::NodeName;

use crate::{Channels, Discard, Identity, Opened, Peer};

const CLUSTER: &str = "cluster-1";

/// A node that can be started anew with the same key, as after a restart or a boot.
struct Node {
    name: NodeName,
    secret: [u8; 32],
    address: IpAddr,
    starts: u64,
    channels: Channels,
    table: Vec<(NodeName, Peer)>,
    now: Instant,
}

impl Node {
    fn new(name: &str, number: u8) -> Self {
        let secret = [number; 32];
        Self {
            name: name.into(),
            secret,
            address: IpAddr::from([192, 0, 2, number]),
            starts: 1,
            channels: Channels::new(Identity::for_test(secret, 1 << 32), name.into()),
            table: Vec::new(),
            now: Instant::now(),
        }
    }

    fn peer(&self) -> Peer {
        let public_key = Identity::for_test(self.secret, 0).public_key();
        Peer { endpoints: vec![self.address], port: 7_946, public_key }
    }

    fn know(&mut self, others: &[(NodeName, Peer)]) {
        self.table = others.to_vec();
        let refused = self.channels.set_peers(CLUSTER, &self.table.iter().cloned().collect());
        assert_eq!(refused, []);
    }

    fn restart(&mut self) {
        self.starts += 1;
        let identity = Identity::for_test(self.secret, self.starts << 32);
        self.channels = Channels::new(identity, self.name.clone());
        self.know(&self.table.clone());
    }

    fn seal(&mut self, to: &str, message: &str) -> Vec<u8> {
        self.channels.seal(&to.into(), message.as_bytes(), self.now).unwrap().to_vec()
    }

    fn open(&mut self, datagram: &[u8]) -> Got {
        self.open_from(datagram, IpAddr::from([192, 0, 2, 99]))
    }

    fn open_from(&mut self, datagram: &[u8], source: IpAddr) -> Got {
        match self.channels.open(&mut datagram.to_vec(), source, self.now) {
            Ok(Opened::Message(from, bytes)) => {
                Got::Message(from.to_string(), String::from_utf8(bytes.to_vec()).unwrap())
            }
            Ok(Opened::Reply { to, datagram, counted }) => {
                Got::Reply(to.to_string(), datagram.to_vec(), counted)
            }
            Ok(Opened::Nothing) => Got::Nothing,
            Err(discard) => Got::Dropped(discard),
        }
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
    }
}

/// What came of a datagram, owned.
#[derive(Debug, PartialEq)]
enum Got {
    Message(String, String),
    Reply(String, Vec<u8>, Option<Discard>),
    Nothing,
    Dropped(Discard),
}

impl Got {
    fn message(from: &str, text: &str) -> Self {
        Self::Message(from.into(), text.into())
    }

    /// The datagram of a reply.
    fn reply(self) -> Vec<u8> {
        match self {
            Self::Reply(_, datagram, _) => datagram,
            other => panic!("no reply: {other:?}"),
        }
    }
}

/// Nodes a and b that know each other's keys and have not met.
fn strangers() -> (Node, Node) {
    let (mut a, mut b) = (Node::new("a", 1), Node::new("b", 2));
    let (table_a, table_b) = ([("b".into(), b.peer())], [("a".into(), a.peer())]);
    a.know(&table_a);
    b.know(&table_b);
    (a, b)
}

/// Sends `text` from one to the other, through refusal and hello.
fn deliver(from: &mut Node, to: &mut Node, text: &str) {
    let (from_name, to_name) = (from.name.to_string(), to.name.to_string());
    let datagram = from.seal(&to_name, text);
    let got = match to.open(&datagram) {
        Got::Reply(_, hello, _) => {
            let again = from.open(&hello).reply();
            to.open(&again)
        }
        got => got,
    };
    assert_eq!(got, Got::message(&from_name, text));
}

/// Two nodes that have met in both directions.
fn friends() -> (Node, Node) {
    let (mut a, mut b) = strangers();
    deliver(&mut a, &mut b, "hello");
    deliver(&mut b, &mut a, "hello");
    (a, b)
}
