//! S27 and S28: pods come and go, claims are edited, and a node's kernel follows.
//!
//! The node's kubelet stands still, and its part is played: hundreds of pods get their addresses as
//! fast as the API server takes them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Ipv6Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_kubernetes::binary;
use egret_lab::oracle::Commits;
use egret_lab::{Daemon, TestBed as _, WallTime, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fixtures::{ClusterBench, ClusterFixture};

const NODE: &str = "director-2";
const PODS: usize = 300;
const CLAIMS: usize = 30;
const ROUNDS: usize = 5;
const CLAIMS_PATH: &str = "/apis/egret.dev/v1alpha1/namespaces/payments/staticegressips";
/// A bound that shows that the node follows at all; what it takes is printed.
const LIMIT: Duration = Duration::from_secs(20);

pub fn run(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    fixture.lab.kubectl().apply(POOL)?;
    let claims = list((0..CLAIMS).map(|number| claim(number, 0)));
    fixture.lab.kubectl().apply(&claims.to_string())?;
    wait_until("a holder of every address", Duration::from_secs(60), || {
        (held(fixture)? == CLAIMS).then_some(())
    })?;
    fixture.lab.worker(NODE)?.daemon("kubelet")?.signal(Signal::SIGSTOP)?;
    let outcome = churn(fixture);
    // Force, since nobody answers for the node; and before its kubelet would run them.
    let gone = fixture.lab.kubectl().ask(
        &[
            &["delete", "pods", "-n", "payments", "-l", "egret-test=churn", "--wait=false"][..],
            &["--force", "--grace-period=0"],
        ]
        .concat(),
    );
    fixture.lab.worker(NODE)?.daemon("kubelet")?.signal(Signal::SIGCONT)?;
    let watch = outcome?;
    gone?;
    watch.await_gone()?;
    fixture.lab.kubectl().ask(&["delete", "seip", "-n", "payments", "-l", "egret-test=churn"])?;
    fixture.lab.kubectl().ask(&["delete", "egresspool", "churn"])?;
    fixture.lab.wait_ready()
}

fn churn(fixture: &ClusterFixture) -> Result<Watch> {
    let range = pod_range(fixture)?;
    let watch = Watch::start(fixture)?;
    let api = Api::open(fixture)?;
    let pods = list((0..PODS).map(pod));
    fixture.lab.kubectl().apply(&pods.to_string())?;
    let mut written = BTreeMap::new();
    for number in 0..PODS {
        let (name, address) = (pod_name(number), address(range, number));
        let path = format!("/api/v1/namespaces/payments/pods/{name}/status");
        written.insert(address, api.patch(&path, &running(address))?);
    }
    report("S27: from writing a pod's address until its node's kernel has it", &written, &watch)?;
    let mut edited = BTreeMap::new();
    for round in 1..=ROUNDS {
        for number in 0..CLAIMS {
            let (name, to) = (claim_name(number), destination(number, round));
            let path = format!("{CLAIMS_PATH}/{name}");
            let spec = json!({"spec": {"destinations": [{"cidr": format!("{to}/64")}]}});
            edited.insert(to, api.patch(&path, &spec)?);
        }
        // A destination that is edited again before its node has looked is never in the kernel.
        arrived(&edited, &watch)?;
    }
    report(
        "S28: from writing a claim's destination until a node's kernel has it",
        &edited,
        &watch,
    )?;
    Ok(watch)
}

/// The API server through `kubectl proxy`: requests without a process for each.
struct Api {
    socket: PathBuf,
    _proxy: Daemon,
}

impl Api {
    fn open(fixture: &ClusterFixture) -> Result<Self> {
        let dir = fixture.lab.worker(NODE)?.dir();
        let socket = dir.join("api.sock");
        let mut command = fixture.lab.kubectl().command(&binary("kubectl")?);
        command.arg("proxy").arg(format!("--unix-socket={}", socket.display()));
        let proxy = Daemon::start(command, &dir.join("kubectl-proxy.log"))?;
        wait_until("kubectl proxy", Duration::from_secs(10), || UnixStream::connect(&socket).ok())?;
        Ok(Self { socket, _proxy: proxy })
    }

    /// A merge patch; returns when it was sent: the answer comes after the node has heard of it.
    fn patch(&self, path: &str, patch: &Value) -> Result<WallTime> {
        let body = patch.to_string();
        let mut stream = UnixStream::connect(&self.socket)?;
        let at = WallTime::now();
        write!(
            stream,
            "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/merge-patch+json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = BufReader::new(stream);
        let mut status = String::new();
        answer.read_line(&mut status)?;
        let mut rest = String::new();
        answer.read_to_string(&mut rest)?;
        ensure!(status.contains(" 200 "), "PATCH {path}: {status}{rest}");
        Ok(at)
    }
}

/// Waits until the kernel has said everything that was written.
fn arrived(written: &BTreeMap<Ipv6Addr, WallTime>, watch: &Watch) -> Result<()> {
    let missing = || written.keys().filter(|key| watch.first(**key).is_none()).count();
    wait_until("everything in the kernel", LIMIT, || (missing() == 0).then_some(()))
        .with_context(|| format!("{} of {} are missing", missing(), written.len()))
}

/// From a request to the API server until the kernel's own word, for each.
fn report(what: &str, written: &BTreeMap<Ipv6Addr, WallTime>, watch: &Watch) -> Result<()> {
    arrived(written, watch)?;
    let mut delays: Vec<Duration> =
        written.iter().filter_map(|(key, begun)| Some(watch.first(*key)?.since(*begun))).collect();
    delays.sort_unstable();
    let at = |percent: usize| delays[(delays.len() - 1) * percent / 100].as_millis();
    let (first, last) = (written.values().min(), written.values().max());
    let seconds = last.zip(first).map_or(0.0, |(last, first)| last.since(*first).as_secs_f64());
    egret_lab::note!(
        "    {what}: p50 {} ms, p99 {} ms, of {} in {seconds:.1} s",
        at(50),
        at(99),
        delays.len()
    );
    Ok(())
}

/// How the addresses of pods and of destinations begin.
const SITES: [&[u8]; 2] = [&[0xfd, 0x00], &[0x20, 0x01]];

type Key = [u8; 16];

/// What the node's kernel says was added to its sets, with the moment in which each key first was.
struct Watch {
    first: Arc<Mutex<BTreeMap<Key, WallTime>>>,
    path: String,
    over: Arc<AtomicBool>,
}

impl Watch {
    fn start(fixture: &ClusterFixture) -> Result<Self> {
        let path = fixture.lab.worker(NODE)?.net()?.path();
        let commits = Commits::listen_in(&path)?;
        let watch = Self { first: Arc::default(), path, over: Arc::default() };
        let (first, over) = (Arc::clone(&watch.first), Arc::clone(&watch.over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let heard = commits.message(Duration::from_millis(100));
                let Ok(Some((at, bytes))) = heard else { continue };
                let Ok(mut first) = first.lock() else { return };
                for (place, _) in
                    bytes.windows(2).enumerate().filter(|(_, two)| SITES.contains(two))
                {
                    let key = bytes.get(place..place + 16).and_then(|key| key.try_into().ok());
                    if let Some(key) = key {
                        first.entry(key).or_insert(at);
                    }
                }
            }
        });
        Ok(watch)
    }

    fn first(&self, key: Ipv6Addr) -> Option<WallTime> {
        self.first.lock().ok()?.get(&key.octets()).copied()
    }

    /// Nothing of the pods is left in the kernel.
    fn await_gone(&self) -> Result<()> {
        let mut rules = Command::new("nsenter");
        rules.args([&format!("--net={}", self.path), "--", "nft", "list", "ruleset"]);
        wait_until(&format!("{NODE} without the pods that are gone"), LIMIT, || {
            let said = String::from_utf8(rules.output().ok()?.stdout).ok()?;
            (!said.contains(MARK)).then_some(())
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// In the address of every pod of the scenario, and in no other.
const MARK: &str = ":c4e5:";

fn address(range: Ipv6Addr, number: usize) -> Ipv6Addr {
    let mut segments = range.segments();
    segments[6] = 0xc4e5;
    segments[7] = u16::try_from(number + 1).unwrap_or(u16::MAX);
    segments.into()
}

/// The node's range of IPv6 addresses for pods.
fn pod_range(fixture: &ClusterFixture) -> Result<Ipv6Addr> {
    let node = fixture.lab.kubectl().get(&["node", NODE])?;
    let ranges = node["spec"]["podCIDRs"].as_array().context("no podCIDRs")?;
    let mut found =
        ranges.iter().filter_map(|range| range.as_str()?.split_once('/')?.0.parse().ok());
    found.next().context("no IPv6 range")
}

fn held(fixture: &ClusterFixture) -> Option<usize> {
    std::thread::sleep(Duration::from_millis(500));
    let objects = fixture.lab.objects("EgressAddress").ok()?;
    let of = |object: &&Value| object["spec"]["poolRef"]["name"] == "churn";
    Some(objects.iter().filter(of).filter(|o| !o["status"]["holding"].is_null()).count())
}

fn list(items: impl Iterator<Item = Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items.collect::<Vec<_>>()})
}

fn pod_name(number: usize) -> String {
    format!("churn-{number}")
}

fn claim_name(number: usize) -> String {
    format!("churn-{number}")
}

fn pod(number: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(number),
            "namespace": "payments",
            "labels": {"egret-test": "churn", "app": claim_name(number % CLAIMS)},
        },
        "spec": {
            "nodeName": NODE,
            "containers": [{"name": "pause", "image": "localhost/none"}],
        },
    })
}

/// As a kubelet would write it.
fn running(address: Ipv6Addr) -> Value {
    json!({"status": {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }})
}

/// The first address of a /64, another one in each round.
fn destination(number: usize, round: usize) -> Ipv6Addr {
    let network = u16::try_from(round * 256 + number + 1).unwrap_or(u16::MAX);
    Ipv6Addr::new(0x2001, 0xdb8, 7, network, 0, 0, 0, 0)
}

fn claim(number: usize, round: usize) -> Value {
    json!({
        "apiVersion": "egret.dev/v1alpha1",
        "kind": "StaticEgressIP",
        "metadata": {
            "name": claim_name(number),
            "namespace": "payments",
            "labels": {"egret-test": "churn"},
        },
        "spec": {
            "poolRef": {"name": "churn"},
            "families": ["IPv6"],
            "podSelector": {"matchLabels": {"app": claim_name(number)}},
            "destinations": [{"cidr": format!("{}/64", destination(number, round))}],
        },
    })
}

const POOL: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: churn}
spec:
  provider: L2
  addresses: ['2001:db8:5::2:0/121']
  gateways:
    nodeSelector: {matchLabels: {egret.dev/gateway: \"true\"}}
  allowedNamespaces: {matchLabels: {egress: partners}}
  failover: {releaseAfter: 0s}
";
