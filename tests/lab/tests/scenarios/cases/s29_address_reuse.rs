//! S29: a pod's address is another pod's at once, and what the next one sends has its own source.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use egret_lab::address::{AddressFamily, OUTSIDE};
use egret_lab::oracle::Expect;
use egret_lab::{Lab, LabFixture, PodOptions, TestBed as _, pod_manifest, wait_until};
use egret_netns::enter;
use socket2::{Domain, Protocol, Socket, Type};

use crate::fixtures::{PATIENCE, bank, claim, run_for};
use egret_lab::bench::Bench;

pub const NODE: &str = "director-2";
/// The claim that pods labelled `app: second` have.
const SECOND: [&str; 2] = ["203.0.113.18", "2001:db8:5::12"];
/// The ports that every pod sends from, and those that it sends to, from a base on.
pub const FROM: u16 = 27_000;
pub const ANSWERED: u16 = 0;
const ONE_WAY: u16 = 1;
const WITH_FIN: u16 = 2;
pub const WITHOUT_FIN: u16 = 3;

/// What a pod is labelled, and what it leaves with.
pub type PodKind = (&'static str, [IpAddr; 2]);

pub fn second() -> Result<[IpAddr; 2]> {
    let [v4, v6] = SECOND;
    Ok([v4.parse()?, v6.parse()?])
}

/// The claim payments/second over pods of which none runs yet; ends with it.
pub fn with_second(
    fixture: &mut LabFixture,
    run: impl FnOnce(&mut LabFixture) -> Result<()>,
) -> Result<()> {
    let lab = &fixture.lab;
    lab.write_manifest("second.yaml", &claim("second", "second", &SECOND, "Drop"))?;
    let outcome = run(fixture);
    fixture.lab.remove_manifest("second.yaml")?;
    outcome
}

/// Selected → unselected, unselected → selected, claim A → claim B; both families; UDP with and
/// without answers, TCP with and without FIN.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    with_second(fixture, |fixture| {
        let node = fixture.lab.node(NODE)?.addresses();
        let kinds = [("settle", bank()), ("nobody", node), ("second", second()?)];
        let [settle, nobody, second] = kinds;
        warm_up(fixture, second)?;
        for (number, (old, new)) in
            [(settle, nobody), (nobody, settle), (settle, second), (second, nobody)]
                .into_iter()
                .enumerate()
        {
            one_after_another(fixture, number, old, new)?;
        }
        Ok(())
    })
}

/// A pod of the claim, until its datagrams are answered: a new address is probed for 5 s, and its holder
/// answers for it only then.
fn warm_up(fixture: &mut LabFixture, kind: PodKind) -> Result<()> {
    start(fixture, "warm", kind.0)?;
    for family in AddressFamily::BOTH {
        let base = fixture.lab.reserve_ports();
        let outside = ReuseServer::open(fixture, family, base)?;
        let pod = fixture.lab.pod("warm")?;
        let socket = from(&pod.net.path(), SocketAddr::new(family.pick(pod.addresses), FROM))?;
        let answered = || {
            let server = outside.udp.first()?;
            socket.send_to(b"hello", outside.at(ANSWERED)).ok()?;
            let (_, from) = server.recv_from(&mut [0; 16]).ok()?;
            server.send_to(b"hello", from).ok()?;
            socket.recv(&mut [0; 16]).ok().filter(|_| from.ip() == family.pick(kind.1))
        };
        wait_until("the second claim's pods are answered", Duration::from_secs(30), answered)?;
    }
    fixture.lab.remove_pod("warm")
}

fn one_after_another(
    fixture: &mut LabFixture,
    number: usize,
    (old, old_source): PodKind,
    (new, new_source): PodKind,
) -> Result<()> {
    let (first, next) = (format!("s29-{number}-old"), format!("s29-{number}-new"));
    start(fixture, &first, old)?;
    let mut sides = Vec::new();
    for family in AddressFamily::BOTH {
        let base = fixture.lab.reserve_ports();
        let outside = ReuseServer::open(fixture, family, base)?;
        let talk = talk(fixture, &first, &outside)?;
        let seen = talk.seen;
        ensure!(seen == [family.pick(old_source)].into(), "{first} left with {seen:?}");
        // What the server has open goes on trying; nothing of it is the next pod's.
        sides.push((outside, talk.open));
    }
    let addresses = fixture.lab.pod(&first)?.addresses;
    fixture.lab.remove_pod(&first)?;
    fixture.lab.use_again(NODE, addresses)?;
    start(fixture, &next, new)?;
    ensure!(fixture.lab.pod(&next)?.addresses == addresses, "another address");
    for (outside, _open) in &sides {
        leaves_right(fixture, outside, &next, (&format!("{old} → {new}"), new_source))?;
    }
    fixture.lab.remove_pod(&next)
}

/// All that the pod does leaves with its own source from the first packet on.
pub fn leaves_right(
    fixture: &mut LabFixture,
    outside: &ReuseServer,
    pod: &str,
    (change, source): (&str, [IpAddr; 2]),
) -> Result<()> {
    let name = format!("{pod} {}", outside.family.name());
    let own = outside.family.pick(source);
    fixture.sources.expect(Expect {
        name: name.clone(),
        destinations: Vec::new(),
        ports: Some((outside.base, outside.base + 9)),
        allowed: vec![own],
    });
    let seen = talk(fixture, pod, outside)?.seen;
    ensure!(seen == [own].into(), "{change}: the next pod left with {seen:?}");
    run_for(100);
    // What the outside still has of the old pod's connections ends next: where that had its node's
    // address, the node itself answers it.
    let ledger = fixture.sources.end(&name);
    ensure!(ledger.wrong == 0, "{change}: wrong on the wire: {:?}", ledger.examples);
    ensure!(ledger.right >= 10, "{change}: only {} packets", ledger.right);
    Ok(())
}

/// Starts a pod as a container runtime does: its containers wait for the CNI's answer. A busy machine is asked
/// again, as by a second attempt of the runtime.
fn start(fixture: &mut LabFixture, name: &str, app: &str) -> Result<()> {
    fixture.lab.add_pod(&PodOptions::new(NODE, "payments", name).label("app", app))?;
    let ips = fixture.lab.pod(name)?.addresses.map(|address| format!("\"{address}\"")).join(",");
    let request = format!(
        "{{\"namespace\":\"payments\",\"name\":\"{name}\",\"uid\":\"\",\"ips\":[{ips}]}}\n"
    );
    let socket = fixture.lab.cni_socket(NODE);
    wait_until(&format!("the answer that {name} is programmed"), PATIENCE, || {
        ask(&socket, &request).ok()?.contains("true").then_some(())
    })
}

fn ask(socket: &Path, request: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer)
}

/// The outside server's sockets, by port from its base on.
pub struct ReuseServer {
    pub family: AddressFamily,
    pub base: u16,
    pub udp: Vec<UdpSocket>,
    pub tcp: Vec<TcpListener>,
}

impl ReuseServer {
    pub fn open(fixture: &LabFixture, family: AddressFamily, base: u16) -> Result<Self> {
        let _inside = enter(&fixture.lab.out.path());
        let at = |offset| SocketAddr::new(family.pick(OUTSIDE), base + offset);
        let mut udp = Vec::new();
        for offset in [ANSWERED, ONE_WAY] {
            let socket = UdpSocket::bind(at(offset))?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            udp.push(socket);
        }
        let listen = |offset| TcpListener::bind(at(offset));
        Ok(Self { family, base, udp, tcp: vec![listen(WITH_FIN)?, listen(WITHOUT_FIN)?] })
    }

    pub fn at(&self, offset: u16) -> SocketAddr {
        SocketAddr::new(self.family.pick(OUTSIDE), self.base + offset)
    }
}

/// What the outside saw of a pod, and the connection that nobody has closed.
pub struct PodTalk {
    pub seen: std::collections::BTreeSet<IpAddr>,
    pub open: Vec<TcpStream>,
}

/// Everything that a pod does, from the same ports whichever pod it is.
pub fn talk(fixture: &LabFixture, pod: &str, outside: &ReuseServer) -> Result<PodTalk> {
    let pod = fixture.lab.pod(pod)?;
    let (net, own) = (pod.net.path(), outside.family.pick(pod.addresses));
    let mut talk = PodTalk { seen: std::collections::BTreeSet::new(), open: Vec::new() };
    let mut bytes = [0; 16];
    for (offset, server) in [ANSWERED, ONE_WAY].into_iter().zip(&outside.udp) {
        let socket = from(&net, SocketAddr::new(own, FROM + offset))?;
        for round in 0..3 {
            socket.send_to(b"hello", outside.at(offset))?;
            let (_, source) = server.recv_from(&mut bytes).context("no datagram came")?;
            talk.seen.insert(source.ip());
            if offset == ANSWERED {
                server.send_to(b"hello", source)?;
                let answer = socket.recv(&mut bytes);
                answer.with_context(|| format!("no answer to {own} by {source}, round {round}"))?;
            }
        }
    }
    for (offset, server) in [WITH_FIN, WITHOUT_FIN].into_iter().zip(&outside.tcp) {
        let client = connect(&net, SocketAddr::new(own, FROM + offset), outside.at(offset))?;
        let (stream, source) = server.accept()?;
        talk.seen.insert(source.ip());
        if offset == WITH_FIN {
            drop((client, stream));
        } else {
            // A pod that is killed sends nothing more: its namespace goes with all that it has.
            talk.open.extend([client, stream]);
        }
    }
    Ok(talk)
}

pub fn from(net: &str, own: SocketAddr) -> Result<UdpSocket> {
    let _inside = enter(net);
    let socket = UdpSocket::bind(own)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

pub fn connect(net: &str, own: SocketAddr, to: SocketAddr) -> Result<TcpStream> {
    let _inside = enter(net);
    let socket = Socket::new(Domain::for_address(own), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&own.into())?;
    socket.connect_timeout(&to.into(), Duration::from_secs(5)).context("no connection")?;
    Ok(socket.into())
}

/// A pod gets another label while it runs: what has answers goes on, a stream without any takes the new
/// claim.
pub fn relabelled(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    with_second(fixture, |fixture| {
        warm_up(fixture, ("second", second()?))?;
        start(fixture, "relabelled", "settle")?;
        let base = fixture.lab.reserve_ports();
        let outside = ReuseServer::open(fixture, AddressFamily::V4, base)?;
        let pod = fixture.lab.pod("relabelled")?;
        let (net, own) = (pod.net.path(), pod.addresses[0]);
        let answered = from(&net, SocketAddr::new(own, FROM))?;
        let one_way = from(&net, SocketAddr::new(own, FROM + ONE_WAY))?;
        let source = |socket: &UdpSocket, offset: u16| -> Result<IpAddr> {
            socket.send_to(b"hello", outside.at(offset))?;
            let server = &outside.udp[usize::from(offset)];
            let (_, from) = server.recv_from(&mut [0; 16])?;
            if offset == ANSWERED {
                server.send_to(b"hello", from)?;
                socket.recv(&mut [0; 16])?;
            }
            Ok(from.ip())
        };
        let [first, next] = [bank()[0], second()?[0]];
        ensure!(source(&answered, ANSWERED)? == first && source(&one_way, ONE_WAY)? == first);
        let text = std::fs::read_to_string(fixture.lab.store().join("pod-relabelled.yaml"))?;
        let text = text.replace("settle", "second");
        fixture.lab.write_manifest("pod-relabelled.yaml", &text)?;
        wait_until("the stream has the new claim's address", PATIENCE, || {
            source(&one_way, ONE_WAY).ok().filter(|seen| *seen == next)
        })?;
        ensure!(source(&answered, ANSWERED)? == first, "a connection was cut");
        fixture.lab.remove_pod("relabelled")
    })
}

/// Two live pods with one address: the CNI gave it to the one that the API alone would not believe. The
/// kernel, the node's status, an event and `egret explain` say the same pod.
pub fn one_address_of_two_pods(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    start(fixture, "twin-b", "settle")?;
    let own = fixture.lab.pod("twin-b")?.addresses;
    let labels = [("app".to_owned(), "nobody".to_owned())].into();
    let twin = pod_manifest("payments", "twin-a", NODE, &labels, own);
    fixture.lab.write_manifest("pod-twin-a.yaml", &twin)?;
    let outcome = told_of_twins(fixture, own);
    fixture.lab.remove_manifest("pod-twin-a.yaml")?;
    outcome?;
    let to = OUTSIDE[0].to_string();
    let explain = ["explain", "twin-b", "-n", "payments", "--to", &to];
    let shared = || node_file(&fixture.lab).ok().filter(|text| !text.contains(SHARED));
    wait_until("a status that names no shared address", PATIENCE, shared)?;
    let said = fixture.lab.run_egret(&explain)?;
    ensure!(said.contains("leaves with the egress address"), "{said}");
    fixture.lab.remove_pod("twin-b")
}

/// The field of an EgressNode's status.
const SHARED: &str = "sharedPodAddresses";

fn node_file(lab: &Lab) -> Result<String> {
    let file = lab.store().join(format!("egret.dev/egressnodes/{NODE}.yaml"));
    Ok(std::fs::read_to_string(file)?)
}

fn told_of_twins(fixture: &mut LabFixture, own: [IpAddr; 2]) -> Result<()> {
    let lab = &fixture.lab;
    let named = || node_file(lab).ok().filter(|text| text.contains(SHARED));
    let status = wait_until("a status that names the shared address", PATIENCE, named)?;
    ensure!(status.contains("payments/twin-b") && !status.contains("payments/twin-a"), "{status}");
    for to in OUTSIDE {
        let to = to.to_string();
        let ask = |pod: &str| lab.run_egret(&["explain", pod, "-n", "payments", "--to", &to]);
        let (loser, winner) = (ask("twin-a")?, ask("twin-b")?);
        ensure!(loser.contains("pod payments/twin-b"), "{loser}");
        ensure!(winner.contains("leaves with the egress address"), "{winner}");
    }
    let event = || {
        let events = lab.run_egret(&["events"]).ok()?;
        let of_loser = |line: &&str| line.contains("AddressShared") && line.contains("twin-a");
        events.lines().find(of_loser).map(str::to_owned)
    };
    let told = wait_until("an event at the pod that has not got it", PATIENCE, event)?;
    ensure!(told.contains("payments/twin-b"), "{told}");
    // The kernel takes what it sends for the selected pod's.
    let base = fixture.lab.reserve_ports();
    for family in AddressFamily::BOTH {
        let outside = ReuseServer::open(fixture, family, base)?;
        let net = fixture.lab.pod("twin-b")?.net.path();
        let socket = from(&net, SocketAddr::new(family.pick(own), FROM))?;
        socket.send_to(b"hello", outside.at(ANSWERED))?;
        let (_, seen) = outside.udp[0].recv_from(&mut [0; 16])?;
        ensure!(seen.ip() == family.pick(bank()), "it left with {seen}");
    }
    Ok(())
}
