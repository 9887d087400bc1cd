//! What a killed agent, or a person, has left on a node before its agent starts.

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};

use crate::fixtures::{PATIENCE, await_source, bank, holder, usual, with_claim};

/// What is left on a node, how it is taken away, and what an agent says that refuses to start beside it.
/// `$table` and `$pref` are those of our rule.
struct Leftover {
    what: &'static str,
    left: &'static str,
    undone: &'static str,
    refused: Option<&'static str>,
}

const ON_DIRECTOR: [Leftover; 6] = [
    Leftover {
        what: "a tunnel of our name, down, with another number",
        left: "ip link del egret0; ip link add egret0 type vxlan id 7 dstport 4799",
        undone: "true",
        refused: None,
    },
    Leftover {
        what: "our rule, and none of our routes",
        left: "ip route flush table $table; ip -6 route flush table $table",
        undone: "true",
        refused: None,
    },
    Leftover {
        what: "the rule of an agent that matched one bit",
        left: "ip rule add pref $pref fwmark 0x1000/0x1000 lookup $table proto kernel; \
               ip rule del pref $pref fwmark $mark",
        undone: "test $(ip rule show pref $pref | wc -l) = 1",
        refused: None,
    },
    Leftover {
        what: "a route of another in our table",
        left: "ip route replace default dev eth0 table $table",
        undone: "ip route del default dev eth0 table $table",
        refused: Some("the routing table $table is used by the IPv4 route to 0.0.0.0/0"),
    },
    Leftover {
        what: "a rule of another with our mark and priority",
        left: "ip rule add pref $pref fwmark $mark lookup main",
        undone: "ip rule del pref $pref fwmark $mark lookup main",
        refused: Some("the rule priority $pref is used by"),
    },
    Leftover {
        what: "a device of our name of another kind",
        left: "ip link del egret0; ip link add egret0 type bridge",
        undone: "ip link del egret0",
        refused: Some("the device name egret0 is used by a bridge device"),
    },
];

const ON_HOLDER: [Leftover; 2] = [
    Leftover {
        what: "the address of a claim",
        left: "ip addr add 203.0.113.17/32 dev eth0",
        undone: "ip addr del 203.0.113.17/32 dev eth0",
        refused: None,
    },
    Leftover {
        what: "a qdisc on the uplink",
        left: "tc qdisc add dev eth0 clsact",
        undone: "tc qdisc del dev eth0 clsact; true",
        refused: None,
    },
];

/// On a director and on the holder: killed, something is left, started again. It serves as before, or
/// says what is in its way, and serves when that is gone.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.own(with_claim(usual().build()?)?);
    for leftover in ON_DIRECTOR {
        left(fixture, "director-1", &leftover).context(leftover.what)?;
    }
    for leftover in ON_HOLDER {
        let node = holder(fixture)?;
        left(fixture, &node, &leftover).context(leftover.what)?;
    }
    Ok(())
}

fn left(fixture: &mut LabFixture, node: &str, leftover: &Leftover) -> Result<()> {
    let ours = our_rule(fixture, node)?;
    let words = |line: &str| {
        let [pref, mark, table] = &ours;
        line.replace("$pref", pref).replace("$mark", mark).replace("$table", table)
    };
    fixture.lab.kill_agent(node)?;
    fixture.lab.node(node)?.shell(&format!("{}; true", words(leftover.left)))?;
    let begun = WallTime::now();
    fixture.lab.start_agent(node)?;
    if let Some(refused) = leftover.refused.map(words) {
        let said =
            || fixture.lab.journal().noise().into_iter().find(|line| line.contains(&refused));
        wait_until("a word on what is in the way", PATIENCE, said)?;
        fixture.lab.node(node)?.shell(&words(leftover.undone))?;
        let again = WallTime::now();
        fixture.lab.start_agent(node)?;
        fixture.lab.await_agent(node, again)?;
    } else {
        fixture.lab.await_agent(node, begun)?;
    }
    fixture.await_held(PATIENCE)?;
    for pod in ["settle-1", "settle-2"] {
        await_source(fixture, pod, bank()[0])?;
    }
    if leftover.refused.is_none() {
        // The agent takes leftovers away beside its work.
        let node = fixture.lab.node(node)?;
        wait_until("what was left is gone", PATIENCE, || node.shell(&words(leftover.undone)).ok())
            .context(leftover.undone)?;
    }
    ensure!(our_rule(fixture, node)? == ours, "another rule than before");
    Ok(())
}

/// Priority, mark and table of our rule on a node.
fn our_rule(fixture: &LabFixture, node: &str) -> Result<[String; 3]> {
    let rules = fixture.lab.node(node)?.shell("ip rule")?;
    let rule = rules.lines().find(|rule| rule.contains("fwmark")).context("no rule of ours")?;
    let words: Vec<&str> = rule.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|other| *other == word)?;
        Some((*words.get(at + 1)?).to_owned())
    };
    let pref = rule.split(':').next().unwrap_or_default().to_owned();
    Ok([pref, after("fwmark").context("no mark")?, after("lookup").context("no table")?])
}
