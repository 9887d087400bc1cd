//! A gateway with 100 addresses dies: all have another holder, and the API server hears of it in a
//! bounded number of writes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::checks::rejoin;
use egret_lab::{TestBed, wait_until};

use crate::fixtures::{ClusterBench, ClusterFixture};

const GATEWAYS: [&str; 2] = ["gateway-1", "gateway-2"];
/// Claims of so many addresses each: 200, of which one of the two gateways has at least a half.
const CLAIMS: u8 = 4;
const EACH: usize = 50;
/// What is asserted is who holds what and by how many writes, not how fast this machine's API server
/// takes them: 200 statuses took 95 s on two cores.
const SETTLES: Duration = Duration::from_secs(240);

pub fn run(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    for gateway in GATEWAYS {
        fixture.lab.kubectl().ask(&["label", "node", gateway, "egret-test/hundred=true"])?;
    }
    fixture.lab.kubectl().apply(&manifests())?;
    let all = usize::from(CLAIMS) * EACH;
    let held = wait_until("a holder of every address", SETTLES, || {
        let held = holders(fixture)?;
        (held.values().sum::<usize>() == all).then_some(held)
    })
    .with_context(|| format!("held by {:?}", holders(fixture)))?;
    // Not which: a lease thread that comes late on a busy machine loses some to the other gateway.
    let most = held.iter().max_by_key(|(_, count)| **count);
    let (old, count) = most.map(|(node, count)| (node.as_str(), *count)).context("no gateway")?;
    let other = GATEWAYS.into_iter().find(|name| *name != old).context("no other gateway")?;
    let before = fixture.lab.writes()?;
    fixture.lab.power_off(old)?;
    wait_until("another holder of every address", SETTLES, || {
        let held = holders(fixture)?;
        (held.get(other).copied() == Some(all)).then_some(())
    })
    .with_context(|| format!("held by {:?}", holders(fixture)))?;
    std::thread::sleep(Duration::from_secs(5));
    let after = fixture.lab.writes()?;
    let mut total = 0;
    for (what, count) in after.iter().filter(|(what, _)| what.contains("egret.dev")) {
        let more = count - before.get(what).copied().unwrap_or_default();
        total += usize::try_from(more)?;
        if more > 0 {
            egret_lab::note!("    {what}: {more}");
        }
    }
    egret_lab::note!("    {total} writes for {count} addresses");
    ensure!(total >= count, "fewer writes than addresses: the measurement is blind");
    // Plan, grant and status of each, and some for nodes, claims and the set of voters; plan and status of the others, which
    // lose a standby. A leader that writes plans faster finds more states in between.
    ensure!(total <= 9 * count + 100, "{total} writes for {count} addresses");
    // Its ports rest for two minutes, which nobody here waits for.
    let delete = ["delete", "--wait=false", "-n", "payments", "seip", "-l", "egret-test=hundred"];
    fixture.lab.kubectl().ask(&delete)?;
    fixture.lab.kubectl().ask(&["delete", "--wait=false", "egresspool", "hundred"])?;
    for gateway in GATEWAYS {
        fixture.lab.kubectl().ask(&["label", "node", gateway, "egret-test/hundred-"])?;
    }
    // Two hundred addresses end meanwhile.
    rejoin(fixture, &[old.to_owned()], SETTLES)?;
    fixture.lab.await_nodes()?;
    fixture.lab.await_egret()?;
    fixture.await_held(SETTLES)
}

/// How many addresses of the pool each gateway holds, by their status. A second passes: it is a
/// long list, and the API server has other things to do.
fn holders(fixture: &ClusterFixture) -> Option<BTreeMap<String, usize>> {
    std::thread::sleep(Duration::from_secs(1));
    let mut found = BTreeMap::new();
    for object in fixture.lab.objects("EgressAddress").ok()? {
        if object["spec"]["poolRef"]["name"] == "hundred" {
            let holder = object["status"]["holding"]["node"].as_str();
            if let Some(holder) = holder {
                *found.entry(holder.to_owned()).or_default() += 1;
            }
        }
    }
    Some(found)
}

/// A pool of IPv6 addresses, and claims that name them.
fn manifests() -> String {
    let mut text = "apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: hundred}
spec:
  provider: L2
  addresses: ['2001:db8:5::1:0/120']
  gateways:
    nodeSelector: {matchLabels: {egret-test/hundred: \"true\"}}
    maxAddressesPerNode: 250
  allowedNamespaces: {matchLabels: {egress: partners}}
"
    .to_owned();
    for claim in 0..CLAIMS {
        let addresses: Vec<_> = (0..EACH)
            .map(|number| format!("'2001:db8:5::1:{:x}'", usize::from(claim) * EACH + number + 16))
            .collect();
        text += &format!(
            "---
apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {{name: hundred-{claim}, namespace: payments, labels: {{egret-test: hundred}}}}
spec:
  poolRef: {{name: hundred}}
  families: [IPv6]
  addresses: [{}]
  podSelector: {{matchLabels: {{app: hundred-{claim}}}}}
  destinations: [{{cidr: '2001:db8:6::/64'}}]
",
            addresses.join(", ")
        );
    }
    text
}
