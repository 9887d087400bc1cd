//! The chained CNI plugin: real pods that connect as soon as they run, without it and with it.

use std::io::Write as _;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_kubernetes::NAMESPACE;
use egret_lab::address::OUTSIDE;
use egret_lab::checks::{PATIENCE, run_for};
use egret_lab::oracle::Expect;
use egret_lab::{TestBed, wait_until};

use crate::fixtures::{ClusterBench, ClusterFixture};

const PODS: u8 = 20;
const DIRECTORS: [&str; 2] = ["director-1", "director-2"];
const CONFLIST: &str = "cat /run/cni/net.d/10-egret.conflist";
const PLUGIN: &str = "/run/cni/bin/egret-cni";

/// With the plugin every pod's first packet is answered, and nothing leaks; the plugin leaves the
/// configuration as it was.
pub fn run(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let port = fixture.lab.network_mut().reserve_ports();
    fixture.sources.expect(Expect {
        name: "chained".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: fixture.addresses.clone(),
    });
    let [v4, v6] = OUTSIDE;
    let servers = [Server::start(fixture, v4, port)?, Server::start(fixture, v6, port)?];
    let before = fixture.lab.worker(DIRECTORS[0])?.shell(CONFLIST)?;
    let without = connect(fixture, "without", port)?;
    report("without the plugin", &without);

    // Nobody looks at how the agents are replaced here: all at once.
    let at_once = ["updateStrategy.maxUnavailable=100%", "updateStrategy.minReadySeconds=0"];
    let folders = ["cni.chained.binDir=/run/cni/bin", "cni.chained.confDir=/run/cni/net.d"];
    set(fixture, &[&["cni.chained.enabled=true"], &at_once[..], &folders].concat())?;
    await_conflists(fixture, "the entry in every configuration", |text| {
        text.contains("egret-cni")
    })?;
    let with = connect(fixture, "with", port)?;
    report("with the plugin", &with);

    set(fixture, &["cni.chained.enabled=false", "cni.chained.remove=true"])?;
    await_conflists(fixture, "the configuration as it was", |text| !text.contains("egret-cni"))?;
    ensure!(fixture.lab.worker(DIRECTORS[0])?.shell(CONFLIST)? == before, "it was changed");
    for director in DIRECTORS {
        wait_until("the plugin's file to go", Duration::from_secs(30), || {
            let there =
                fixture.lab.worker(director).ok()?.output(&format!("test -e {PLUGIN}")).ok()?;
            (!there.status.success()).then_some(())
        })?;
    }
    set(fixture, &["cni.chained.remove=false"])?;
    fixture.await_held(PATIENCE)?;
    let in_turn = ["updateStrategy.maxUnavailable=1", "updateStrategy.minReadySeconds=5"];
    set(fixture, &in_turn)?;
    drop(servers);

    let ledger = fixture.sources.ledger("chained");
    ensure!(ledger.wrong == 0, "{} leaked: {:?}", ledger.wrong, ledger.examples.first());
    ensure!(ledger.right >= u64::from(PODS), "only {} packets arrived", ledger.right);
    // The plugin waits for half a second and no longer: on a machine that stalls, a few pods of
    // twenty that start at once are let go before the kernel knows them.
    let again: Vec<_> = with.iter().filter(|first| first.retransmitted > 0).collect();
    let example = again.first().map(|first| first.pod.as_str());
    ensure!(
        again.len() * 2 < with.len(),
        "{} first packets of {} were lost, such as {example:?}'s",
        again.len(),
        with.len()
    );
    Ok(())
}

/// A pod's first connection.
#[derive(Clone, Debug)]
struct First {
    pod: String,
    /// Until the server's answer was read, to a hundredth of a second.
    seconds: f64,
    /// Segments that the pod had to send again: nothing but a SYN can be lost here.
    retransmitted: u64,
}

fn report(title: &str, all: &[First]) {
    let mut seconds: Vec<f64> = all.iter().map(|first| first.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let lost = all.iter().filter(|first| first.retransmitted > 0).count();
    let (median, longest) = (seconds[seconds.len() / 2], seconds[seconds.len() - 1]);
    egret_lab::note!(
        "    {title}: {} pods, first answer after {median:.2} s (median), {longest:.2} s (longest); \
         {lost} lost their first packet",
        all.len()
    );
}

fn set(fixture: &ClusterFixture, values: &[&str]) -> Result<()> {
    let values: Vec<_> = values.iter().map(|value| format!("--set=agent.{value}")).collect();
    let upgrade = ["upgrade", "egret", "deploy/helm/egret", "-n", NAMESPACE, "--reuse-values"];
    // Another scenario has patched the strategy.
    let upgrade = [&upgrade[..], &["--force-conflicts"]].concat();
    let values = values.iter().map(String::as_str);
    fixture.lab.helm(&upgrade.into_iter().chain(values).collect::<Vec<_>>())?;
    fixture.lab.await_egret()
}

fn await_conflists(
    fixture: &ClusterFixture,
    what: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    for director in DIRECTORS {
        wait_until(what, Duration::from_secs(30), || {
            let text = fixture.lab.worker(director).ok()?.shell(CONFLIST).ok()?;
            wanted(&text).then_some(())
        })?;
    }
    // The runtime hears of the change by inotify, and says nothing of it.
    run_for(1_000);
    Ok(())
}

/// Pods whose first act is a TCP connection; each says how it went when it ends.
fn connect(fixture: &mut ClusterFixture, round: &str, port: u16) -> Result<Vec<First>> {
    let mut text = String::new();
    for (number, worker) in (0..PODS).zip(DIRECTORS.iter().cycle()) {
        let to = OUTSIDE[usize::from(number / 2 % 2)];
        text += &manifest(round, number, worker, to, port);
    }
    fixture.lab.kubectl().apply(&text)?;
    let selector = format!("chained={round}");
    let get = ["pods", "-n", "payments", "-l", &selector];
    let pods = wait_until("the end of every pod", Duration::from_secs(120), || {
        let pods = fixture.lab.kubectl().get(&get).ok()?;
        let pods = pods["items"].as_array()?.clone();
        let over = |pod: &serde_json::Value| pod["status"]["phase"] == "Succeeded";
        (pods.len() == usize::from(PODS) && pods.iter().all(over)).then_some(pods)
    });
    let pods = pods.with_context(|| {
        fixture.lab.kubectl().ask(&["get", "pods", "-n", "payments"]).unwrap_or_default()
    })?;
    let all = pods.iter().map(first).collect::<Result<Vec<_>>>()?;
    let delete = ["delete", "pods", "-n", "payments", "-l", &selector, "--wait=true"];
    fixture.lab.kubectl().ask(&delete)?;
    Ok(all)
}

fn first(pod: &serde_json::Value) -> Result<First> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"];
    let said = ended.as_str().with_context(|| format!("{name} says nothing"))?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let [begun, answered, retransmitted] = words[..] else { anyhow::bail!("{name} says {said:?}") };
    Ok(First {
        pod: name,
        seconds: answered.parse::<f64>()? - begun.parse::<f64>()?,
        retransmitted: retransmitted.parse()?,
    })
}

/// The twelfth value of TCP in /proc/net/snmp is RetransSegs (RFC 4022, tcpRetransSegs).
fn manifest(round: &str, number: u8, worker: &str, to: IpAddr, port: u16) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata:
  name: chained-{round}-{number}
  namespace: payments
  labels: {{app: settle, chained: \"{round}\"}}
spec:
  nodeSelector: {{kubernetes.io/hostname: {worker}}}
  automountServiceAccountToken: false
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: box
    image: {image}
    imagePullPolicy: Never
    command:
    - sh
    - -c
    - |
      read -r begun _ </proc/uptime
      nc -w 10 {to} {port} </dev/null >/tmp/answer || exit 1
      read -r answered _ </proc/uptime
      while read -r name values; do [ \"$name\" = Tcp: ] && tcp=$values; done </proc/net/snmp
      set -- $tcp
      echo \"$begun $answered ${{12}}\" >/dev/termination-log
",
        image = egret_kubernetes::BOX,
    )
}

/// Answers and closes every connection at one address outside.
struct Server {
    stop: Arc<AtomicBool>,
    at: (String, IpAddr, u16),
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(fixture: &ClusterFixture, address: IpAddr, port: u16) -> Result<Self> {
        let path = fixture.lab.network().out.path();
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, bound) = std::sync::mpsc::channel();
        let at = (path.clone(), address, port);
        let ended = stop.clone();
        let thread = std::thread::spawn(move || {
            let _inside = egret_netns::enter(&path);
            let listener = match TcpListener::bind((address, port)) {
                Ok(listener) => listener,
                Err(error) => return drop(ready.send(Err(error))),
            };
            drop(ready.send(Ok(())));
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                // A pod that is gone again is no matter.
                let _ = stream.and_then(|mut stream| stream.write_all(b"hello\n"));
            }
        });
        bound.recv()?.with_context(|| format!("cannot listen at {address} port {port}"))?;
        Ok(Self { stop, at, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let (path, address, port) = self.at.clone();
        let woken = std::thread::spawn(move || {
            let _inside = egret_netns::enter(&path);
            std::net::TcpStream::connect((address, port)).is_ok()
        });
        if woken.join().is_ok_and(|woken| woken)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}
