//! S24: real pods that send as soon as they run; no packet leaves with another source.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use egret_kubernetes::{NAMESPACE, POD_PATIENCE};
use egret_lab::address::{AddressFamily, OUTSIDE, WATCH};
use egret_lab::checks::{alive, load, run_for};
use egret_lab::load::{seen_by, source_seen};
use egret_lab::oracle::Expect;
use egret_lab::{PodOptions, TestBed, WallTime, wait_until};
use serde_json::{Value, json};

use crate::fixtures::{ClusterBench, ClusterFixture, soak};

/// How many pods run at a time.
const BATCH: u32 = 20;

/// 100 starts while the agent is up, in the soak 1,000.
pub fn agent_up(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let port = fixture.lab.network_mut().reserve_ports();
    fixture.sources.expect(Expect {
        name: "s24".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: fixture.addresses.clone(),
    });
    let rounds = if soak() { 50 } else { 5 };
    for round in 0..rounds {
        start(fixture, &format!("up-{round}"), port, &["director-1", "director-2"])?;
    }
    run_for(500);
    let ledger = fixture.sources.ledger("s24");
    ensure!(ledger.wrong == 0, "{} leaked: {:?}", ledger.wrong, ledger.examples.first());
    let starts = u64::from(BATCH * rounds);
    ensure!(ledger.right >= starts, "only {} packets of {starts} pods arrived", ledger.right);
    egret_lab::note!("    {starts} starts, {} packets, none with another source", ledger.right);
    Ok(())
}

/// 20 starts while their node has no agent: what the node does not know reaches nothing outside.
/// Pods that it knows go on, and what no claim selects is reached by all.
pub fn agent_down(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let port = fixture.lab.network_mut().reserve_ports();
    fixture.sources.expect(Expect {
        name: "s24 without an agent".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: fixture.addresses.clone(),
    });
    let load = load(fixture, "s24 known pods")?;
    let begun = WallTime::now();
    banish_agent(fixture, true)?;
    let new = PodOptions::new("director-2", "payments", "unknown").label("app", "settle");
    let outcome = start(fixture, "down", port, &["director-2"])
        .and_then(|()| fixture.lab.add_pods(&[new]))
        .and_then(|()| {
            let (watch, pod) =
                (fixture.lab.network().watch.path(), fixture.lab.pod_net("unknown")?);
            let elsewhere = SocketAddr::new(WATCH[0], port);
            seen_by(&watch, elsewhere, &pod.path, elsewhere)
        });
    banish_agent(fixture, false)?;
    let own = fixture.lab.worker("director-2")?.addresses();
    let seen = outcome?;
    ensure!(seen == own[0], "to what no claim selects an unknown pod leaves as {seen}");
    let ledger = fixture.sources.ledger("s24 without an agent");
    ensure!(ledger.wrong == 0, "{} leaked: {:?}", ledger.wrong, ledger.examples.first());
    alive(fixture, &load, begun)?;
    drop(load);
    let seen = source_seen(&mut fixture.lab, "unknown", AddressFamily::V4)?;
    ensure!(fixture.addresses.contains(&seen), "with an agent it leaves as {seen}");
    fixture.lab.remove_pod("payments", "unknown")
}

/// Takes the agent away from director-2 (true), and leaves the others alone, or lets it come back.
fn banish_agent(fixture: &ClusterFixture, away: bool) -> Result<()> {
    let affinity = if away {
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["director-2"]},
            ]}],
        }}})
    } else {
        Value::Null
    };
    // Otherwise every agent would be replaced for the new affinity.
    let strategy = if away {
        json!({"type": "OnDelete", "rollingUpdate": null})
    } else {
        json!({"type": "RollingUpdate"})
    };
    let spec = json!({"spec": {
        "updateStrategy": strategy,
        "template": {"spec": {"affinity": affinity}},
    }});
    let patch = ["patch", "daemonset", "-n", NAMESPACE, "egret-agent", "--type=merge", "-p"];
    fixture.lab.kubectl().ask(&[&patch[..], &[&spec.to_string()]].concat())?;
    let what = if away { "no agent on director-2" } else { "an agent on director-2" };
    wait_until(what, POD_PATIENCE, || {
        (fixture.lab.agent_pod("director-2").is_err() == away).then_some(())
    })?;
    if away { Ok(()) } else { fixture.lab.await_egret() }
}

/// Pods whose first act is to connect over both families, ten times in half a second. Nobody
/// listens, so that nothing is left of a connection but its first packet.
fn start(fixture: &mut ClusterFixture, round: &str, port: u16, workers: &[&str]) -> Result<()> {
    let [v4, v6] = OUTSIDE;
    let mut text = String::new();
    for (number, worker) in (0..BATCH).zip(workers.iter().cycle()) {
        let _ = write!(
            text,
            "---
apiVersion: v1
kind: Pod
metadata:
  name: start-{round}-{number}
  namespace: payments
  labels: {{app: settle, start: \"{round}\"}}
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
    - for n in 0 1 2 3 4; do nc -w 3 {v4} {port} </dev/null & nc -w 3 {v6} {port} </dev/null & sleep 0.1;
      done; wait
",
            image = egret_kubernetes::BOX,
        );
    }
    fixture.lab.kubectl().apply(&text)?;
    let selector = format!("start={round}");
    let get = ["pods", "-n", "payments", "-l", &selector];
    let ended = wait_until("the end of every pod", POD_PATIENCE, || {
        let pods = fixture.lab.kubectl().get(&get).ok()?;
        let phases: Vec<_> =
            pods["items"].as_array()?.iter().map(|pod| pod["status"]["phase"].clone()).collect();
        let over = |phase: &serde_json::Value| phase == "Succeeded" || phase == "Failed";
        (phases.len() == BATCH as usize && phases.iter().all(over)).then_some(phases)
    });
    ended.with_context(|| {
        fixture.lab.kubectl().ask(&["get", "pods", "-n", "payments"]).unwrap_or_default()
    })?;
    let delete = ["delete", "pods", "-n", "payments", "-l", &selector, "--wait=true"];
    fixture.lab.kubectl().ask(&delete).map(drop)
}
