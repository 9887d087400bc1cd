//! S25 and S26: a claim begins and ends over busy pods; all gateways are gone.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::{Family, OUTSIDE, node};
use egret_lab::checks::{PATIENCE, alive, run_for};
use egret_lab::load::{Load, Plan, source_seen};
use egret_lab::oracle::Expect;
use egret_lab::{Ground, PodSpec, Role, Stamp, wait_until};

use crate::world::{Bench, Stage, all_back, knock};

const BUSY: [&str; 2] = ["busy-1", "busy-2"];

/// S25: what pods had open goes on with the node's address, what they open leaves with the
/// claim's; what was opened under the claim survives its end.
pub fn over_busy_pods(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let pods = [(BUSY[0], "director-1"), (BUSY[1], "director-2")];
    let pods = pods.map(|(name, on)| PodSpec::new(on, "payments", name).label("app", "busy"));
    stage.lab.add_pods(&pods)?;
    let nodes: Vec<_> = (1..=5).flat_map(node).collect();
    let mut plan = Plan::new("s25 before", &BUSY);
    plan.udp = false;
    let old = Load::start(&mut stage.lab, plan, Some((&stage.sources, &nodes)))?;
    let begun = Stamp::now();
    stage.lab.kubectl().apply(&claim("busy", "Drop"))?;
    let addresses = bound(stage, "busy")?;
    for pod in BUSY {
        for family in Family::BOTH {
            leaves_as(stage, pod, family, &addresses)?;
        }
    }
    let plan = Plan::new("s25 after", &BUSY).connections(4).probe(Duration::from_millis(250));
    let new = Load::start(&mut stage.lab, plan, Some((&stage.sources, &addresses)))?;
    run_for(3000);
    for load in [&old, &new] {
        alive(stage, load, begun)?;
    }
    drop(new);
    let plan = Plan::new("s25 last", &BUSY).connections(4);
    let last = Load::start(&mut stage.lab, plan, Some((&stage.sources, &addresses)))?;
    let removed = Stamp::now();
    stage.lab.kubectl().ask(&["delete", "seip", "-n", "payments", "busy", "--wait=true"])?;
    run_for(5000);
    for load in [&old, &last] {
        alive(stage, load, removed)?;
    }
    for (pod, number) in BUSY.iter().zip([4, 5]) {
        leaves_as(stage, pod, Family::V4, &node(number))?;
    }
    drop((old, last));
    BUSY.iter().try_for_each(|pod| stage.lab.remove_pod("payments", pod))
}

/// S26: fail closed by default; a claim that says so falls back to the node's address.
pub fn no_gateway(bench: &mut Bench) -> Result<()> {
    let stage = bench.stage()?;
    let opted = PodSpec::new("director-1", "payments", "opted-1").label("app", "open");
    stage.lab.add_pods(&[opted])?;
    stage.lab.kubectl().apply(&claim("open", "Node"))?;
    let open = bound(stage, "open")?;
    leaves_as(stage, "opted-1", Family::V4, &open)?;
    let port = stage.lab.around_mut().reserve_ports();
    stage.sources.expect(Expect {
        name: "closed".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: stage.addresses.clone(),
    });
    let pod = stage.lab.pod_net("settle-1")?.path;
    let to = |family: Family| SocketAddr::new(family.pick(OUTSIDE), port);
    // The pod's node may still be waiting for its first port block.
    wait_until("a packet of the claim before", PATIENCE, || {
        knock(&pod, to(Family::V4), 1);
        (stage.sources.ledger("closed").right > 0).then_some(())
    })?;
    let gateways = gateways(stage);
    for name in &gateways {
        stage.lab.power_off(name)?;
    }
    for _ in 0..8 {
        for family in Family::BOTH {
            knock(&pod, to(family), 20);
        }
    }
    let ledger = stage.sources.ledger("closed");
    ensure!(ledger.wrong == 0, "leaked: {:?}", ledger.examples.first());
    leaves_as(stage, "opted-1", Family::V4, &stage.lab.worker("director-1")?.addresses())?;
    all_back(stage, &gateways)?;
    stage.lab.kubectl().ask(&["delete", "seip", "-n", "payments", "open", "--wait=false"])?;
    stage.lab.remove_pod("payments", "opted-1")
}

fn gateways(stage: &Stage) -> Vec<String> {
    let all = stage.lab.workers().iter().filter(|worker| worker.role == Role::Gateway);
    all.map(|worker| worker.name.clone()).collect()
}

fn claim(name: &str, unavailable: &str) -> String {
    format!(
        "apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {{name: {name}, namespace: payments}}
spec:
  poolRef: {{name: partners}}
  families: [IPv4, IPv6]
  podSelector: {{matchLabels: {{app: {name}}}}}
  destinations: [{{cidr: 198.51.100.0/24}}, {{cidr: '2001:db8:6::/64'}}]
  whenUnavailable: {unavailable}
"
    )
}

/// The addresses of a claim, when it is ready.
fn bound(stage: &Stage, name: &str) -> Result<Vec<IpAddr>> {
    let what = format!("claim {name} to be ready");
    let addresses = wait_until(&what, Duration::from_secs(40), || {
        let object = stage.lab.kubectl().get(&["seip", "-n", "payments", name]).ok()?;
        let mut all = object["status"]["conditions"].as_array()?.iter();
        let ready = all.any(|c| c["type"] == "Ready" && c["status"] == "True");
        let addresses = object["status"]["summary"]["addresses"].as_str()?.to_owned();
        ready.then_some(addresses)
    })?;
    let parsed = addresses.split(',').map(|text| text.parse().context("an address"));
    parsed.collect()
}

/// Waits until the outside sees a pod with one of these addresses.
fn leaves_as(stage: &mut Stage, pod: &str, family: Family, wanted: &[IpAddr]) -> Result<()> {
    wait_until(&format!("{pod} to leave as one of {wanted:?}"), Duration::from_secs(20), || {
        let seen = source_seen(&mut stage.lab, pod, family).ok()?;
        wanted.contains(&seen).then_some(())
    })
}
