//! The chart: what it serves after `helm install` and `kubectl apply`, and what `helm uninstall`
//! leaves.

use std::time::Duration;

use anyhow::{Result, ensure};
use egret_kubernetes::NAMESPACE;
use egret_lab::address::{AddressFamily, OUTSIDE};
use egret_lab::checks::run_for;
use egret_lab::load::{Load, LoadPlan, source_seen};
use egret_lab::{TestBed, WallTime, wait_until};

use crate::fixtures::{ClusterBench, ClusterFixture, clean, names};

/// Selected pods leave with the claim's addresses, others with their node's; what people read says
/// so too.
pub fn serves(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    for family in AddressFamily::BOTH {
        for number in 1..=2 {
            let seen = source_seen(&mut fixture.lab, &format!("settle-{number}"), family)?;
            ensure!(fixture.addresses.contains(&seen), "settle-{number}: {seen}");
            let seen = source_seen(&mut fixture.lab, &format!("other-{number}"), family)?;
            let own = fixture.lab.worker(&format!("director-{number}"))?.addresses();
            ensure!(seen == family.pick(own), "other-{number}: {seen}");
        }
    }
    for kind in ["egresspools", "seip", "egressaddresses", "egressnodes", "egressclusters"] {
        let table = fixture.lab.kubectl().ask(&["get", kind, "--all-namespaces"])?;
        ensure!(table.lines().count() > 1, "no {kind}: {table}");
        for line in table.lines() {
            egret_lab::note!("    {line}");
        }
    }
    egret_lab::note!("{}", fixture.lab.run_egret(&["status"])?);
    let said = explained(fixture)?;
    egret_lab::note!("{said}");
    for line in ["payments/bank", "connections of director-1", "has heard gateway-"] {
        ensure!(said.contains(line), "explain does not say {line:?}: {said}");
    }
    // Agents that start together drop what others send before they have read of them; once they
    // know each other nothing is dropped any more.
    run_for(2000);
    let later = explained(fixture)?;
    let drops = |said: &str| said.lines().find(|line| line.contains("drops")).map(str::to_owned);
    let (before, now) = (drops(&said), drops(&later));
    ensure!(before.is_some(), "explain does not say what was dropped: {said}");
    ensure!(before == now, "dropped at rest: {before:?}, then {now:?}");
    Ok(())
}

fn explained(fixture: &mut ClusterFixture) -> Result<String> {
    let to = OUTSIDE[0].to_string();
    fixture.lab.run_egret(&["explain", "pod/settle-1", "-n", "payments", "--to", &to])
}

/// It has no connection, and is off while Egret is uninstalled.
const AWAY: &str = "gateway-3";
const GUARD: &str = "/var/lib/egret/guard.json";

/// No rule is left, and no object but pools and claims, which say that nobody serves them; connections of pods that
/// nobody selected go on. On a node that was off meanwhile nothing is left either, once it is back.
pub fn uninstall(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let plan = LoadPlan::new("not selected", &["other-1", "other-2"]);
    let load = Load::start(&mut fixture.lab, plan, None)?;
    run_for(500);
    let (begun, addresses) = (WallTime::now(), names(fixture)?);
    ensure!(!addresses.is_empty(), "no EgressAddress: the test shows nothing");
    goes_away(fixture)?;
    fixture.lab.helm(&["uninstall", "egret", "-n", NAMESPACE, "--wait", "--timeout=5m"])?;
    let report = load.report(begun);
    ensure!(report.lost.is_empty(), "{} lost: {:?}", report.lost.len(), report.lost.first());
    for name in fixture.lab.names().iter().filter(|name| *name != AWAY) {
        clean(fixture, name)?;
    }
    comes_back(fixture)?;
    let claim = fixture.lab.kubectl().get(&["seip", "bank", "-n", "payments"])?;
    let conditions = claim["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    ensure!(ready.is_some_and(|ready| ready["reason"] == "NotServed"), "{claim}");
    ensure!(claim["status"]["addresses"].as_array().is_some_and(|all| !all.is_empty()), "{claim}");
    for kind in [
        "egressaddresses",
        "egressnodes",
        "egressclusters",
        "clusterroles",
        "clusterrolebindings",
        "validatingadmissionpolicies",
        "pods -n egret-system",
    ] {
        let arguments: Vec<_> = ["get", "-o", "name"].into_iter().chain(kind.split(' ')).collect();
        // A pod that is told to end is there until its process has gone.
        wait_until(&format!("the end of {kind}"), Duration::from_secs(30), || {
            let all = fixture.lab.kubectl().ask(&arguments).ok()?;
            (!all.lines().any(|line| line.contains("egret"))).then_some(())
        })?;
    }
    for family in AddressFamily::BOTH {
        let seen = source_seen(&mut fixture.lab, "settle-1", family)?;
        let own = fixture.lab.worker("director-1")?.addresses();
        ensure!(seen == family.pick(own), "after the uninstallation settle-1 leaves as {seen}");
    }
    bench.spoil();
    Ok(())
}

/// As a power-off; nobody is to wait for it for long, and nothing is to be started there.
fn goes_away(fixture: &mut ClusterFixture) -> Result<()> {
    let upgrade = ["upgrade", "egret", "deploy/helm/egret", "--reuse-values", "-n", NAMESPACE];
    fixture.lab.helm(&[&upgrade[..], &["--set=uninstall.waitSeconds=10", "--wait"]].concat())?;
    fixture.lab.worker(AWAY)?.shell(&format!("test -s {GUARD}"))?;
    fixture.lab.kubectl().ask(&["cordon", AWAY])?;
    fixture.lab.power_off(AWAY).map(drop)
}

/// Its guard is there after the boot, loaded as the unit does it, until the Job that was left for it takes both away.
fn comes_back(fixture: &mut ClusterFixture) -> Result<()> {
    let plugin = fixture.lab.dir().join("egret-cni");
    std::os::unix::fs::symlink(egret_lab::binary(None)?, &plugin)?;
    let job = format!("egret-teardown-{AWAY}");
    let owner = fixture.lab.kubectl().get(&["job", &job, "-n", NAMESPACE])?;
    ensure!(owner["metadata"]["ownerReferences"][0]["name"] == AWAY, "{owner}");
    fixture.lab.boot(AWAY)?;
    let worker = fixture.lab.worker(AWAY)?;
    worker.shell(&format!("'{}' guard {GUARD}", plugin.display()))?;
    wait_until("the Job's end", Duration::from_secs(90), || {
        let job = fixture.lab.kubectl().get(&["job", &job, "-n", NAMESPACE]).ok()?;
        (job["status"]["succeeded"] == 1).then_some(())
    })?;
    clean(fixture, AWAY)?;
    worker.shell(&format!("test ! -e {GUARD}"))?;
    let pods = ["delete", "job", &job, "-n", NAMESPACE, "--wait=true"];
    fixture.lab.kubectl().ask(&pods).map(drop)
}
