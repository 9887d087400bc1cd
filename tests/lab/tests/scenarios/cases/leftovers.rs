//! What a killed agent, or a person, has left on a node before its agent starts.

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::{LabFixture, TestBed, WallTime};

use crate::fixtures::{BANK, PATIENCE, await_source, bank, holder, usual, with_claim};

/// By name: what is left on a node. `$table` and `$pref` are those of our rule.
const LEFT: [(&str, &str); 7] = [
    ("the address of a claim", "ip addr add 203.0.113.17/32 dev eth0"),
    ("a default route in our table", "ip route replace default dev eth0 table $table"),
    ("a second rule with our mark", "ip rule add pref $pref fwmark $mark lookup main"),
    ("a device of our name of another kind", "ip link del egret0; ip link add egret0 type dummy"),
    (
        "a tunnel of our name, down, with another number",
        "ip link del egret0; ip link add egret0 type vxlan id 7 dstport 4799",
    ),
    ("the rule and no table", "ip route flush table $table; ip -6 route flush table $table"),
    (
        "a qdisc and a filter on the uplink",
        "tc qdisc add dev eth0 clsact; tc filter add dev eth0 egress pref 9 protocol all matchall action ok",
    ),
];

/// On a director and on the holder: killed, something is left, started again. It serves as before.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    let mut failed = Vec::new();
    for (what, line) in LEFT {
        for gateway in [false, true] {
            let node = if gateway { holder(fixture)? } else { "director-1".to_owned() };
            if let Err(error) = left(fixture, &node, line) {
                failed.push(format!("{what} on {node}: {error:#}"));
            }
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn left(fixture: &mut LabFixture, node: &str, line: &str) -> Result<()> {
    let rules = fixture.lab.node(node)?.shell("ip rule")?;
    let rule = rules.lines().find(|rule| rule.contains("fwmark")).context("no rule of ours")?;
    let words: Vec<&str> = rule.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|other| *other == word)?;
        words.get(at + 1).copied()
    };
    let line = line
        .replace("$pref", rule.split(':').next().unwrap_or_default())
        .replace("$mark", after("fwmark").context("no mark")?)
        .replace("$table", after("lookup").context("no table")?);
    fixture.lab.kill_agent(node)?;
    fixture.lab.node(node)?.shell(&format!("{line}; true"))?;
    let begun = WallTime::now();
    fixture.lab.start_agent(node)?;
    fixture.lab.await_agent(node, begun)?;
    fixture.await_held(PATIENCE)?;
    for pod in ["settle-1", "settle-2"] {
        await_source(fixture, pod, bank()[0])?;
    }
    fixture.lab.node(node)?.shell(&format!(
        "ip addr del {}/32 dev eth0 2>/dev/null; tc filter del dev eth0 egress pref 9 2>/dev/null; true",
        BANK[0]
    ))?;
    Ok(())
}
