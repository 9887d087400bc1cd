//! S29 where no chained CNI plugin tells of pods: that a pod has ended only the API says.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use egret_lab::address::AddressFamily;
use egret_lab::bench::Bench;
use egret_lab::{LabFixture, PodOptions, wait_until};

use super::s29_address_reuse::{
    ANSWERED, FROM, NODE, PodKind, ReuseServer, WITHOUT_FIN, connect, from, leaves_right, second,
    talk, with_second,
};
use crate::fixtures::{await_source, bank};

/// Shorter than the kernel keeps any entry that is waited for here: UDP without answers, 30 s.
const ENDED: Duration = Duration::from_secs(20);

/// When the next pod has the address.
#[derive(Clone, Copy, Debug)]
enum NextPod {
    /// Once nothing of the old pod is left.
    Later,
    /// While the agent may not have seen the old one's end: both may come in one snapshot.
    AtOnce,
}

/// The changes of [`super::s29_address_reuse::run`]; a neighbour's connections stay the same ones.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    with_second(fixture, |fixture| {
        let node = fixture.lab.node(NODE)?.addresses();
        let [settle, nobody, second] =
            [("settle", bank()), ("nobody", node), ("second", second()?)];
        start(fixture, "s29-warm", second)?;
        fixture.lab.remove_pod("s29-warm")?;
        start(fixture, "s29-neighbour", settle)?;
        // An answered datagram keeps its entry for half a minute by default; a busy machine takes longer.
        fixture.lab.node(NODE)?.net()?.sysctl("net/netfilter/nf_conntrack_udp_timeout", "600");
        let mut neighbour = Neighbour::open(fixture, "s29-neighbour")?;
        let mut number = 0;
        for when in [NextPod::Later, NextPod::AtOnce] {
            for (old, new) in
                [(settle, nobody), (nobody, settle), (settle, second), (second, nobody)]
            {
                number += 1;
                let names = [format!("s29-{number}-ended"), format!("s29-{number}-next")];
                one_after_another(fixture, &names, (old, new), when)
                    .with_context(|| format!("{} → {}, {when:?}", old.0, new.0))?;
                neighbour.goes_on(fixture)?;
            }
        }
        fixture.lab.remove_pod("s29-neighbour")
    })
}

/// A pod of which nobody tells the agent's socket; steered as its kind says.
fn start(fixture: &mut LabFixture, name: &str, (app, source): PodKind) -> Result<()> {
    fixture.lab.add_pod(&PodOptions::new(NODE, "payments", name).label("app", app))?;
    source.iter().try_for_each(|own| await_source(fixture, name, *own))
}

fn one_after_another(
    fixture: &mut LabFixture,
    [first, next]: &[String; 2],
    (old, new): (PodKind, PodKind),
    when: NextPod,
) -> Result<()> {
    start(fixture, first, old)?;
    let addresses = fixture.lab.pod(first)?.addresses;
    let mut sides = Vec::new();
    for family in AddressFamily::BOTH {
        let base = fixture.lab.reserve_ports();
        let outside = ReuseServer::open(fixture, family, base)?;
        let talk = talk(fixture, first, &outside)?;
        ensure!(talk.seen == [family.pick(old.1)].into(), "{first} left with {:?}", talk.seen);
        let entries = Entry::of(fixture, family.pick(addresses), &outside)?;
        ensure!(entries.len() >= 3, "only {entries:?}");
        // What the server has open stays so; nothing of it is the next pod's.
        sides.push((outside, talk.open));
    }
    fixture.lab.remove_pod(first)?;
    if matches!(when, NextPod::Later) {
        for (outside, _open) in &sides {
            await_end(fixture, addresses, outside, None)?;
        }
    }
    fixture.lab.use_again(NODE, addresses)?;
    start(fixture, next, new)?;
    ensure!(fixture.lab.pod(next)?.addresses == addresses, "another address");
    for (outside, _open) in &sides {
        await_end(fixture, addresses, outside, Some(new.1))?;
        leaves_right(fixture, outside, next, (&format!("{} → {}", old.0, new.0), new.1))?;
    }
    fixture.lab.remove_pod(next)
}

/// Waits until the kernel has no entry from a pod's address to this server but, for the pod that has it
/// now, with its own source.
fn await_end(
    fixture: &LabFixture,
    pod: [IpAddr; 2],
    outside: &ReuseServer,
    own: Option<[IpAddr; 2]>,
) -> Result<()> {
    let family = outside.family;
    let own = own.map(|source| family.pick(source));
    let left = || -> Result<Vec<Entry>> {
        let mut entries = Entry::of(fixture, family.pick(pod), outside)?;
        entries.retain(|entry| Some(entry.leaves_as) != own);
        Ok(entries)
    };
    let ended = || left().ok().filter(Vec::is_empty).map(drop);
    wait_until("the end of what the old pod had", ENDED, ended)
        .with_context(|| format!("left: {:?}", left()))
}

/// A connection that the node's kernel tracks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// The kernel's own, another one where it is made anew.
    id: String,
    leaves_as: IpAddr,
}

impl Entry {
    /// Those from a pod's address to a server.
    fn of(fixture: &LabFixture, pod: IpAddr, to: &ReuseServer) -> Result<Vec<Self>> {
        let family = to.family.name().to_lowercase();
        let list = format!("conntrack -L -o id -f {family} -s {pod} 2>/dev/null");
        let listed = fixture.lab.node(NODE)?.shell(&list)?;
        let mut entries = Vec::new();
        for line in listed.lines() {
            let all = |key: &'static str| {
                line.split_whitespace().filter_map(move |word| word.strip_prefix(key))
            };
            let port: u16 = match all("dport=").next() {
                Some(text) => text.parse()?,
                None => continue,
            };
            if (to.base..to.base + 10).contains(&port) {
                let reply = all("dst=").nth(1).with_context(|| line.to_owned())?;
                let id = all("id=").next().with_context(|| line.to_owned())?;
                entries.push(Self { id: id.to_owned(), leaves_as: reply.parse()? });
            }
        }
        entries.sort();
        Ok(entries)
    }
}

/// A pod that goes on, with a datagram socket and a TCP connection of each family.
struct Neighbour {
    addresses: [IpAddr; 2],
    sides: Vec<NeighbourSide>,
}

struct NeighbourSide {
    outside: ReuseServer,
    socket: UdpSocket,
    /// The pod's end and the server's.
    stream: [TcpStream; 2],
    entries: Vec<Entry>,
}

impl Neighbour {
    fn open(fixture: &mut LabFixture, pod: &str) -> Result<Self> {
        let mut sides = Vec::new();
        let addresses = fixture.lab.pod(pod)?.addresses;
        for family in AddressFamily::BOTH {
            let base = fixture.lab.reserve_ports();
            let outside = ReuseServer::open(fixture, family, base)?;
            let (net, own) = (fixture.lab.pod(pod)?.net.path(), family.pick(addresses));
            let socket = from(&net, SocketAddr::new(own, FROM))?;
            let client =
                connect(&net, SocketAddr::new(own, FROM + WITHOUT_FIN), outside.at(WITHOUT_FIN))?;
            let (server, _) = outside.tcp[1].accept()?;
            for stream in [&client, &server] {
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            }
            let mut side =
                NeighbourSide { outside, socket, stream: [client, server], entries: Vec::new() };
            side.echo()?;
            side.entries = Entry::of(fixture, own, &side.outside)?;
            ensure!(side.entries.len() == 2, "{:?}", side.entries);
            sides.push(side);
        }
        Ok(Self { addresses, sides })
    }

    /// All are answered, by the entries that they began with.
    fn goes_on(&mut self, fixture: &LabFixture) -> Result<()> {
        for side in &mut self.sides {
            side.echo().context("a neighbour's connection")?;
            let own = side.outside.family.pick(self.addresses);
            let now = Entry::of(fixture, own, &side.outside)?;
            ensure!(now == side.entries, "a neighbour had {:?}, has {now:?}", side.entries);
        }
        Ok(())
    }
}

impl NeighbourSide {
    fn echo(&mut self) -> Result<()> {
        let (mut bytes, server) = ([0; 16], &self.outside.udp[usize::from(ANSWERED)]);
        self.socket.send_to(b"hello", self.outside.at(ANSWERED))?;
        let (_, source) = server.recv_from(&mut bytes)?;
        server.send_to(b"hello", source)?;
        self.socket.recv(&mut bytes)?;
        let [client, server] = &mut self.stream;
        client.write_all(b"hello")?;
        server.read_exact(&mut bytes[..5])?;
        server.write_all(b"hello")?;
        client.read_exact(&mut bytes[..5])?;
        Ok(())
    }
}
