//! S24: real pods that send as soon as they run; no packet leaves with another source.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::OUTSIDE;
use egret_lab::checks::run_for;
use egret_lab::oracle::Expect;
use egret_lab::{Ground, wait_until};

use crate::world::{Bench, Stage};

/// How many pods run at a time, and how many times.
const BATCH: u32 = 20;
const ROUNDS: u32 = 5;

/// 100 starts while the agent is up.
pub fn agent_up(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let port = stage.lab.around_mut().reserve_ports();
    stage.sources.expect(Expect {
        name: "s24".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: stage.addresses.clone(),
    });
    for round in 0..ROUNDS {
        start(stage, round, port)?;
    }
    run_for(500);
    let ledger = stage.sources.ledger("s24");
    ensure!(ledger.wrong == 0, "{} leaked: {:?}", ledger.wrong, ledger.examples.first());
    let starts = u64::from(BATCH * ROUNDS);
    ensure!(ledger.right >= starts, "only {} packets of {starts} pods arrived", ledger.right);
    println!("    {starts} starts, {} packets, none with another source", ledger.right);
    Ok(())
}

/// Pods whose first act is to send datagrams over both families, ten in half a second.
fn start(stage: &mut Stage, round: u32, port: u16) -> Result<()> {
    let [v4, v6] = OUTSIDE;
    let mut text = String::new();
    for number in 0..BATCH {
        let director = number % 2 + 1;
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
  nodeSelector: {{kubernetes.io/hostname: director-{director}}}
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
    - for n in 0 1 2 3 4; do echo $n | nc -u -w 1 {v4} {port} & echo $n | nc -u -w 1 {v6} {port} &
      sleep 0.1; done; wait
",
            image = egret_kubernetes::BOX,
        );
    }
    stage.lab.kubectl().apply(&text)?;
    let selector = format!("start={round}");
    let get = ["pods", "-n", "payments", "-l", &selector];
    let ended = wait_until("the end of every pod", Duration::from_secs(60), || {
        let pods = stage.lab.kubectl().get(&get).ok()?;
        let phases: Vec<_> =
            pods["items"].as_array()?.iter().map(|pod| pod["status"]["phase"].clone()).collect();
        let over = |phase: &serde_json::Value| phase == "Succeeded" || phase == "Failed";
        (phases.len() == BATCH as usize && phases.iter().all(over)).then_some(phases)
    });
    ended.with_context(|| {
        stage.lab.kubectl().ask(&["get", "pods", "-n", "payments"]).unwrap_or_default()
    })?;
    let delete = ["delete", "pods", "-n", "payments", "-l", &selector, "--wait=true"];
    stage.lab.kubectl().ask(&delete).map(drop)
}
