//! S17 and S18: somebody else has the address; two claims want it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::{TestBed, WallTime, wait_until};

use crate::cases::s18_on_interface::condition;
use crate::fixtures::{BANK, PATIENCE, POOL, bank, claim, run_for, usual, with_claim};
use egret_lab::bench::Bench;

/// A foreign host answers for an address before it is announced: a condition, and no fight.
pub fn foreign_host(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let begun = WallTime::now();
    fixture.lab.watch.run("ip addr add 203.0.113.20/32 dev eth0");
    fixture
        .lab
        .write_manifest("taken.yaml", &claim("taken", "nobody", &["203.0.113.20"], "Drop"))?;
    let found = wait_until("a conflict that is named", PATIENCE, || {
        condition(&fixture.lab, "EgressAddress", "203.0.113.20", "Conflict").filter(|said| said.0)
    });
    let told = wait_until("an event that names it", PATIENCE, || {
        let events = fixture.lab.run_egret(&["events"]).ok()?;
        let of_it = |line: &&str| line.contains("Conflict") && line.contains("203.0.113.20");
        events.lines().find(of_it).map(drop)
    });
    run_for(6000); // RFC 5227 asks for less before an announcement
    let fights = fixture.answers.announcements(begun);
    fixture.lab.remove_manifest("taken.yaml")?;
    fixture.lab.watch.run("ip addr del 203.0.113.20/32 dev eth0");
    found?;
    told?;
    let fight = fights.iter().find(|a| a.address.to_string() == "203.0.113.20");
    ensure!(fight.is_none(), "it was announced against the host that has it: {fight:?}");
    Ok(())
}

/// Who only asks whether a held address is free is answered, and is no conflict.
pub fn probes(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    fixture.lab.watch.run("sysctl -qw net.ipv6.conf.eth0.accept_dad=1");
    fixture.lab.watch.run(&format!("ip addr add {}/128 dev eth0", BANK[1]));
    let failed = || {
        let said = fixture.lab.watch.run("ip -6 addr show dev eth0 dadfailed");
        said.contains(BANK[1]).then_some(())
    };
    let answered = wait_until("an answer to the probe", PATIENCE, failed);
    run_for(1000);
    fixture.lab.watch.run(&format!("ip addr del {}/128 dev eth0", BANK[1]));
    fixture.lab.watch.run("sysctl -qw net.ipv6.conf.eth0.accept_dad=0");
    answered?;
    let (conflict, _, message) = condition(&fixture.lab, "EgressAddress", BANK[1], "Conflict")
        .context("no condition Conflict")?;
    ensure!(!conflict, "a probe is taken for a conflict: {message}");
    Ok(())
}

/// A foreign host has taken an address while no agent ran: it is not announced against, and the
/// condition says who has it.
pub fn taken_meanwhile(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let names = fixture.lab.node_names();
    run_for(1500); // every agent has read it
    for name in &names {
        fixture.lab.kill_agent(name)?;
    }
    run_for(3000); // T × 1.13 + 2 s
    fixture.lab.watch.run(&format!("ip addr add {}/32 dev eth0", BANK[0]));
    let begun = WallTime::now();
    for name in &names {
        fixture.lab.start_agent(name)?;
    }
    wait_until("a conflict that is named", PATIENCE, || {
        condition(&fixture.lab, "EgressAddress", BANK[0], "Conflict").filter(|said| said.0)
    })?;
    run_for(6000);
    let fight = fixture.answers.announcements(begun).into_iter().find(|a| a.address == bank()[0]);
    ensure!(fight.is_none(), "it was announced against the host that has it: {fight:?}");
    let other = || condition(&fixture.lab, "EgressAddress", BANK[1], "Ready").filter(|said| said.0);
    wait_until("the other address to go on", PATIENCE, other).map(drop)
}

/// Two claims want one address: the first keeps it, the second says why it has none. An address
/// outside the pool is refused by name, and so are a node's own and the router's, also where the pool has
/// them.
pub fn duplicates(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let own = POOL
        .replace("name: partners", "name: networks-own")
        .replace("'203.0.113.16/29', '2001:db8:5::10/124'", "203.0.113.1, 203.0.113.101");
    fixture.lab.write_manifest("networks-own.yaml", &own)?;
    let wishes = [
        ("second", "partners", "203.0.113.17", "AddressInUse"),
        ("outside", "partners", "203.0.113.99", "AddressOutsidePool"),
        ("node", "partners", "203.0.113.101", "AddressOutsidePool"),
        ("router", "partners", "203.0.113.1", "AddressOutsidePool"),
        ("node-of-pool", "networks-own", "203.0.113.101", "AddressIsNodeAddress"),
        ("router-of-pool", "networks-own", "203.0.113.1", "AddressIsNextHop"),
    ];
    for (name, pool, address, _) in wishes {
        let text = claim(name, "nobody", &[address], "Drop");
        let text = text.replace("name: partners", &format!("name: {pool}"));
        fixture.lab.write_manifest(&format!("{name}.yaml"), &text)?;
    }
    for (name, _, address, reason) in wishes {
        let what = format!("claim {name} says {reason} of {address}");
        let refused = wait_until(&what, Duration::from_secs(20), || {
            let objects = fixture.lab.objects("StaticEgressIP").ok()?;
            let own = objects.into_iter().find(|object| object["metadata"]["name"] == name)?;
            let conditions = own["status"]["conditions"].as_array()?.clone();
            let refusal = |c: &serde_json::Value| {
                let names_it = c["message"].as_str().is_some_and(|says| says.contains(address));
                c["status"] == "False" && c["reason"] == reason && names_it
            };
            conditions.into_iter().find(refusal)
        })?;
        egret_lab::note!("    {name}: {}: {}", refused["reason"], refused["message"]);
    }
    for (name, ..) in wishes {
        fixture.lab.remove_manifest(&format!("{name}.yaml"))?;
    }
    fixture.lab.remove_manifest("networks-own.yaml")?;
    run_for(500);
    fixture.await_held(PATIENCE)
}
