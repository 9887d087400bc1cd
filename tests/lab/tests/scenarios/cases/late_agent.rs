//! A node boots, its pods start, and its agent comes late.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use egret_lab::load::{RawShape, inject};
use egret_lab::oracle::Expect;
use egret_lab::{LabFixture, TestBed as _, wait_until};

use super::s18_on_interface::condition;
use crate::fixtures::{PATIENCE, await_source, bank, run_for, settle, usual, with_claim};
use egret_lab::bench::Bench;

const NODE: &str = "director-2";
/// On the node: the agent's folder outlives the boot.
const GUARD: &str = "/var/lib/egret/guard.json";

/// The plugin loads the guard at the first ADD: a selected pod's packets are dropped until the agent's first
/// rules are there, and no packet has the node's address at any time.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let node = fixture.lab.node(NODE)?;
    wait_until("the guard on the disk", PATIENCE, || {
        node.shell(&format!("grep -q claimed {GUARD}")).ok()
    })?;
    fixture.lab.power_off(NODE)?;
    fixture.lab.boot_network(NODE)?;
    let port = fixture.lab.reserve_ports();
    fixture.sources.expect(Expect {
        name: "late".to_owned(),
        destinations: Vec::new(),
        ports: Some((port, port + 9)),
        allowed: bank().to_vec(),
    });
    let plugin = fixture.lab.dir().join("egret-cni");
    std::os::unix::fs::symlink(fixture.lab.egret()?, &plugin)?;
    for number in 0..3 {
        let name = format!("early-{number}");
        fixture.lab.add_pod(&settle(NODE, &name))?;
        let said = add(fixture, &plugin, &name)?;
        ensure!(said.contains("prevResultOfTheTest"), "the pod would not start: {said}");
        for count in 0..5 {
            inject(fixture.lab.pod(&name)?, RawShape::Syn, 45_000 + count, port)?;
        }
    }
    run_for(500);
    let ledger = fixture.sources.ledger("late");
    ensure!(ledger.wrong == 0, "{} leaked: {:?}", ledger.wrong, ledger.examples.first());
    let listing = fixture.lab.node(NODE)?.shell("nft list table inet egret")?;
    let dropped = listing
        .lines()
        .any(|line| line.contains("@claimed4 counter packets") && !line.contains("packets 0 "));
    ensure!(dropped, "the guard has dropped nothing: {listing}");
    fixture.lab.start_agent(NODE)?;
    for count in 0..200 {
        inject(fixture.lab.pod("early-0")?, RawShape::Syn, 46_000 + count, port)?;
        run_for(20);
    }
    await_source(fixture, "early-0", bank()[0])?;
    let ledger = fixture.sources.end("late");
    ensure!(ledger.wrong == 0, "{} leaked: {:?}", ledger.wrong, ledger.examples.first());
    ensure!(ledger.right > 0, "nothing arrived once the agent ran");
    let listing = fixture.lab.node(NODE)?.shell("nft list table inet egret")?;
    ensure!(!listing.contains("guard-output"), "the agent has left the guard: {listing}");
    egret_lab::note!("    {} packets, none with another source", ledger.right);
    says_of_its_boot(fixture, true, "GuardLoaded")?;
    fixture.lab.power_off(NODE)?;
    fixture.lab.boot_network(NODE)?;
    fixture.lab.start_agent(NODE)?;
    says_of_its_boot(fixture, false, "GuardNotLoaded")?;
    teardown_forgets_it(fixture)
}

/// Whether something had loaded the guard before the agent, which the agent alone can tell.
fn says_of_its_boot(fixture: &LabFixture, guarded: bool, reason: &str) -> Result<()> {
    wait_until("what the node says of its boot", PATIENCE, || {
        let (is_guarded, said, _) = condition(&fixture.lab, "EgressNode", NODE, "GuardedAtBoot")?;
        (is_guarded == guarded && said == reason).then_some(())
    })
}

/// What takes Egret off a node that is off during the uninstall.
fn teardown_forgets_it(fixture: &mut LabFixture) -> Result<()> {
    fixture.lab.power_off(NODE)?;
    fixture.lab.boot_network(NODE)?;
    let plugin = fixture.lab.dir().join("egret-cni");
    let node = fixture.lab.node(NODE)?;
    node.shell(&format!("'{}' guard {GUARD} && nft list table inet egret", plugin.display()))?;
    node.shell(&format!("'{}' teardown", fixture.lab.egret()?.display()))?;
    let left =
        node.shell(&format!("ls {GUARD} 2>/dev/null; nft list tables | grep egret; true"))?;
    ensure!(left.trim().is_empty(), "left behind: {left}");
    node.shell(&format!("'{}' guard {GUARD}", plugin.display()))?;
    let left = node.shell("nft list tables | grep egret; true")?;
    ensure!(left.trim().is_empty(), "loaded again: {left}");
    Ok(())
}

/// Calls the plugin for a pod as a container runtime does: no agent answers.
fn add(fixture: &LabFixture, plugin: &Path, name: &str) -> Result<String> {
    let pod = fixture.lab.pod(name)?;
    let [v4, v6] = pod.addresses;
    let input = format!(
        r#"{{"cniVersion":"1.0.0","name":"pods","type":"egret-cni","socket":"{}","guard":"{GUARD}",
        "failClosed":true,"prevResult":{{"prevResultOfTheTest":1,
        "ips":[{{"address":"{v4}/24"}},{{"address":"{v6}/64"}}]}}}}"#,
        fixture.lab.cni_socket(NODE).display()
    );
    let mut command = fixture.lab.node(NODE)?.command(&plugin.to_string_lossy())?;
    command.env("CNI_COMMAND", "ADD");
    command.env("CNI_ARGS", format!("K8S_POD_NAMESPACE=payments;K8S_POD_NAME={name}"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("no pipe")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "the ADD of {name} failed: {said}");
    Ok(said)
}
