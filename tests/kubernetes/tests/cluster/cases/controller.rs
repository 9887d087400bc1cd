//! S10: the leading controller is killed again and again; traffic does not notice, and another one
//! goes on with the work.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_kubernetes::NAMESPACE;
use egret_lab::scenarios::undisturbed;
use egret_lab::{TestBed, WallTime, wait_until};
use nix::sys::signal::Signal;

use crate::fixtures::{ClusterBench, ClusterFixture};

const KILLS: u8 = 5;

pub fn run(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    undisturbed(fixture, "s10", "while controllers died", killed)?;
    addresses_differ(fixture)?;
    for number in 1..=KILLS {
        let name = format!("killed-{number}");
        fixture.lab.kubectl().ask(&["delete", "seip", "-n", "payments", &name])?;
    }
    fixture.lab.await_egret()
}

fn killed(fixture: &mut ClusterFixture) -> Result<()> {
    let mut changes = Vec::new();
    for number in 1..=KILLS {
        let old = leader(fixture)?;
        // The killed one comes back within a second and would lead again: it has to stay away.
        let killed = fixture.lab.signal(NAMESPACE, &old, "controller", Signal::SIGKILL)?;
        fixture.lab.kubectl().ask(&["delete", "pod", "-n", NAMESPACE, &old, "--wait=false"])?;
        let claim = claim(number);
        fixture.lab.kubectl().apply(&claim)?;
        let another = wait_until("another leader", Duration::from_secs(20), || {
            leader(fixture).ok().filter(|new| *new != old)
        })?;
        changes.push(WallTime::now().since(killed));
        let bound = ["seip", "-n", "payments", &format!("killed-{number}")];
        wait_until("an address for a new claim", Duration::from_secs(20), || {
            let object = fixture.lab.kubectl().get(&bound).ok()?;
            (!object["status"]["summary"]["addresses"].as_str()?.is_empty()).then_some(())
        })
        .with_context(|| format!("{another} leads"))?;
    }
    changes.sort();
    egret_lab::note!("    another leads after {changes:.1?}");
    Ok(())
}

/// The pod that leads, by the Lease; it has to be one that is there.
pub fn leader(fixture: &ClusterFixture) -> Result<String> {
    let lease = fixture.lab.kubectl().get(&["lease", "-n", NAMESPACE, "egret-controller"])?;
    let holder = lease["spec"]["holderIdentity"].as_str().filter(|name| !name.is_empty());
    Ok(holder.context("nobody leads")?.to_owned())
}

/// A claim of an IPv4 address that selects no pod.
fn claim(number: u8) -> String {
    format!(
        "apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {{name: killed-{number}, namespace: payments}}
spec:
  poolRef: {{name: partners}}
  families: [IPv4]
  podSelector: {{matchLabels: {{app: killed-{number}}}}}
  destinations: [{{cidr: 198.51.100.0/24}}]
"
    )
}

/// No address is in two objects, and no claim shares one.
fn addresses_differ(fixture: &ClusterFixture) -> Result<()> {
    let objects = fixture.lab.objects("EgressAddress")?;
    let mut seen: Vec<_> = objects.iter().map(|o| o["spec"]["address"].to_string()).collect();
    let count = seen.len();
    seen.sort();
    seen.dedup();
    ensure!(seen.len() == count, "an address is allocated twice: {count} objects, {seen:?}");
    ensure!(count >= usize::from(KILLS) + 2, "only {count} addresses are allocated");
    Ok(())
}
