//! What is on the nodes besides Egret: a network policy's rules, and a CNI that goes past netfilter.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::address::{AddressFamily, OUTSIDE};
use egret_lab::load::{knock, seen_by, source_seen};
use egret_lab::{TestBed, wait_until};

use crate::fixtures::{ClusterBench, ClusterFixture};

/// An egress policy in FORWARD, of a foreign agent, drops what it names, although Egret steers it.
pub fn policy(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let port = fixture.lab.network_mut().reserve_ports();
    fixture.lab.worker("director-1")?.net()?.nft(&format!(
        "table inet foreign-policy {{ chain forward {{
  type filter hook forward priority filter;
  tcp dport {port} drop
}}
}}\n"
    ));
    let (pod, out) = (fixture.lab.pod_net("settle-1")?, fixture.lab.network().out.path());
    let to = move |family: AddressFamily, port| SocketAddr::new(family.pick(OUTSIDE), port);
    for family in AddressFamily::BOTH {
        let beside = to(family, port + 1);
        let seen = seen_by(&out, beside, &pod.path, beside)?;
        ensure!(fixture.addresses.contains(&seen), "the port beside it: {seen}");
    }
    // Each takes as long as one waits for an answer.
    let passed = std::thread::scope(|scope| {
        let reach = |family| {
            let (out, pod) = (&out, &pod.path);
            scope.spawn(move || seen_by(out, to(family, port), pod, to(family, port)))
        };
        AddressFamily::BOTH.map(reach).map(|thread| thread.join().ok())
    });
    let dropped = passed.iter().all(|one| one.as_ref().is_some_and(Result::is_err));
    ensure!(dropped, "the policy's port is reached from {passed:?}");
    fixture.lab.worker("director-1")?.shell("nft delete table inet foreign-policy").map(drop)
}

/// A tc program that carries a pod's traffic past netfilter is dropped at the uplink, found and said,
/// on the node and on the claim; it ends with it.
pub fn bypass(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let (pod, outside) = (fixture.lab.pod_net("settle-2")?.path, SocketAddr::new(OUTSIDE[0], 9));
    let device = host_device(fixture, "settle-2", "director-2")?;
    let worker = fixture.lab.worker("director-2")?;
    worker.shell(&format!(
        "tc qdisc add dev {device} clsact && tc filter add dev {device} ingress \
         protocol ip u32 match u32 0 0 action mirred egress redirect dev eth0"
    ))?;
    let said = wait_until("DatapathBypassed on the node", Duration::from_secs(60), || {
        // One that has no answer could have been lost for any reason.
        knock(&pod, outside, 6);
        // Its agent has seen traffic pass before.
        let node = condition(fixture, &["egressnode", "director-2"], "DatapathBypassed")?;
        let dropped = node["message"].as_str()?.contains("dropped there (counter bypassed)");
        (node["status"] == "True" && dropped).then_some(())
    });
    let claim = ["seip", "-n", "payments", "bank"];
    let claimed = said.and_then(|()| {
        // The controller may still be ending the two hundred addresses of another scenario.
        wait_until("DatapathBypassed in the claim", Duration::from_secs(120), || {
            let object = fixture.lab.kubectl().get(&claim).ok()?;
            object["status"].to_string().contains("DatapathBypassed").then_some(())
        })
    });
    let worker = fixture.lab.worker("director-2")?;
    worker.shell(&format!("tc qdisc del dev {device} clsact"))?;
    claimed?;
    wait_until("the end of DatapathBypassed", Duration::from_secs(120), || {
        knock(&pod, outside, 6);
        let node = condition(fixture, &["egressnode", "director-2"], "DatapathBypassed")?;
        (node["status"] != "True").then_some(())
    })?;
    let seen = source_seen(&mut fixture.lab, "settle-2", AddressFamily::V4)?;
    ensure!(fixture.addresses.contains(&seen), "settle-2 leaves as {seen}");
    Ok(())
}

/// A condition of an object.
fn condition(fixture: &ClusterFixture, object: &[&str], kind: &str) -> Option<serde_json::Value> {
    let object = fixture.lab.kubectl().get(object).ok()?;
    let mut all = object["status"]["conditions"].as_array()?.iter();
    all.find(|condition| condition["type"] == kind).cloned()
}

/// The device on the worker that leads to a pod.
fn host_device(fixture: &ClusterFixture, pod: &str, worker: &str) -> Result<String> {
    let net = format!("--net={}", fixture.lab.pod_net(pod)?.path);
    let shown = ["--", "ip", "-o", "link", "show", "eth0"];
    let shown = Command::new("nsenter").arg(net).args(shown).output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let peer = shown.split_once("eth0@if").and_then(|(_, rest)| rest.split(':').next());
    let peer = peer.with_context(|| format!("the pod's eth0 has no peer: {shown}"))?;
    let links = fixture.lab.worker(worker)?.shell("ip -o link")?;
    let line = links.lines().find(|line| line.split(':').next() == Some(peer));
    let name = line.and_then(|line| line.split(": ").nth(1)?.split('@').next());
    Ok(name.with_context(|| format!("no link {peer} on {worker}: {links}"))?.to_owned())
}
