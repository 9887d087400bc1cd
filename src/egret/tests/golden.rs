//! What the binary prints, byte by byte: answers about the golden store of `egret-state`
//! (`src/state/tests/golden/full`), what its commands change there, and the help of each.
//!
//! Names in the code may change; these files may not. Where they must:
//! `EGRET_UPDATE=1 cargo test -p egret --test golden`, and read the diff. Ages and the times of now
//! are masked, and versions: see `golden/run.rs`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "golden/truth.rs"]
mod truth;

#[path = "golden/run.rs"]
mod run;

use run::{Store, compare};

/// Questions, with the file that has the answers.
const QUESTIONS: [(&str, &[&str]); 6] = [
    ("status", &["status", "status --short", "status -o json", "status -o yaml"]),
    ("voters", &["voters", "voters -o json", "voters -o yaml"]),
    (
        "explain",
        &[
            // It leaves with an egress address, of either family.
            "explain pod/settle-1 -n payments --to 198.51.100.20",
            "explain settle-1 -n payments --to 198.51.100.20 -o json",
            "explain settle-1 -n payments --to 198.51.100.20 -o yaml",
            "explain settle-1 -n payments --to 2001:db8:6::1",
            // The cluster's own; a default claim; no address of the family, or none at all.
            "explain settle-1 -n payments --to 10.96.0.1 -o json",
            "explain settle-1 -n payments --to 8.8.8.8",
            "explain settle-1 -n payments --to 8.8.8.8 -o json",
            "explain settle-1 -n payments --to 2001:db8:7::1 -o json",
            "explain probe -n payments --to 198.51.100.20 -o json",
            // Claims of the original project, and a cluster-wide one.
            "explain ledger-1 -n books --to 192.0.2.200 -o json",
            "explain ledger-1 -n books --to 192.0.2.77 -o json",
            "explain ledger-1 -n books --to 8.8.8.8 -o json",
            "explain nobody -n books --to 8.8.8.8",
            "explain nobody -n books",
        ],
    ),
    (
        "what-if",
        &[
            "what-if node/node-1",
            "what-if node-1 -o json",
            "what-if node-1 -o yaml",
            "what-if node-3",
            "what-if node-9",
        ],
    ),
    ("events", &["events"]),
    (
        "check",
        &[
            "check store",
            "check broken.yaml store/pools.yaml",
            "check nothing.yaml",
            "check empty",
            "check -",
            "check",
        ],
    ),
];

/// Changes, each of a store of its own.
const CHANGES: [&str; 16] = [
    "drain node-1 --wait 0",
    "drain node-1 --wait 1",
    "drain node-9 --wait 0",
    "drain node/node-2 --wait 5",
    "uncordon node-1",
    "uncordon node-2",
    "move 203.0.113.17 --to node-2",
    "move 203.0.113.17 --to node-9",
    "move 203.0.113.99 --to node-2",
    "release 2001:db8:5::11",
    "release 203.0.113.17",
    "release 10.0.1.70",
    "pause partners",
    "resume cloud",
    "pause nothing",
    "voters reset --old-voters-are-stopped node-4",
];

#[test]
fn answers_are_as_they_were() {
    let store = Store::golden();
    store.put("broken.yaml", run::BROKEN);
    store.put("empty/notes.txt", "no manifest");
    for (file, questions) in QUESTIONS {
        let answers: Vec<String> = questions.iter().map(|question| store.run(question)).collect();
        compare(&format!("{file}.txt"), &answers.concat());
    }
}

#[test]
fn changes_are_as_they_were() {
    let changed = |command: &str| {
        let store = Store::golden();
        let before = store.files();
        let said = store.run(command);
        let after = store.files();
        let new = after.iter().filter(|(path, text)| before.get(*path) != Some(text));
        let new: Vec<String> = new.map(|(path, text)| format!("--- {path}\n{text}\n")).collect();
        said + &new.concat()
    };
    compare("changes.txt", &CHANGES.map(changed).concat());
}

/// It waits for the longest grant of an old voter: here ten milliseconds.
#[test]
fn a_new_set_of_voters_is_written_as_it_was() {
    let store = Store::golden();
    let path = "store/egret.dev/egressclusters/cluster.yaml";
    let nodes = "store/workloads/nodes.yaml";
    let files = store.files();
    store.put(path, &files[path].replace("tMax: 10s", "tMax: 10ms"));
    store.put(nodes, &files[nodes].replace("unschedulable: true", "unschedulable: false"));
    let said = store.run("voters reset --old-voters-are-stopped node-1 node-4");
    compare("voters-reset.txt", &format!("{said}--- {path}\n{}", store.files()[path]));
}

#[test]
fn a_store_is_made_as_it_was() {
    let store = Store::empty();
    let said = store.run("init") + &store.run("init") + &store.run("status -o json");
    let files: Vec<String> =
        store.files().iter().map(|(path, text)| format!("--- {path}\n{text}")).collect();
    compare("init.txt", &(said + &files.concat()));
}

/// What a pipe brings is checked as a file is; nothing is no manifest.
#[test]
fn manifests_are_checked_from_standard_input() {
    let store = Store::empty();
    let good = "apiVersion: v1\nkind: Namespace\nmetadata: {name: payments}\n";
    let said = store.pipe("check -", good);
    assert!(said.ends_with("standard input: ok\nexit 0\n\n"), "{said}");
    let said = store.pipe("check -", run::BROKEN);
    assert!(
        said.contains("standard input:7: spec.gateways") && said.ends_with("exit 2\n\n"),
        "{said}"
    );
}

/// The example claims the address that was named, and is never written over another file.
#[test]
fn init_writes_an_example_that_is_well() {
    let store = Store::empty();
    let line = "init --node Host-1 --example 203.0.113.17";
    let said = store.run(line);
    assert!(said.contains("store/example.yaml claims 203.0.113.17"), "{said}");
    let text = store.files()["store/example.yaml"].clone();
    assert!(text.contains("name: host-1\n") && text.contains("[\"203.0.113.17\"]"), "{text}");
    assert!(store.run("check store").ends_with("store: ok\nexit 0\n\n"));
    let again = store.run(line);
    assert!(again.contains("is there already") && again.ends_with("exit 2\n\n"), "{again}");
    let refused = store.run("init --node a/b --example 203.0.113.18");
    assert!(refused.ends_with("exit 2\n\n"), "{refused}");
}

/// What `egret check` would refuse is not written, and no store is left behind.
#[test]
fn init_writes_no_example_that_is_wrong() {
    let lines = [
        "init --node a --example 127.0.0.1",
        "init --node a --example 224.0.0.1",
        "init --node a --example fe80::1",
        "init --node a..b --example 203.0.113.18",
    ];
    for line in lines {
        let store = Store::empty();
        let said = store.run(line);
        assert!(said.contains("example.yaml:") && said.ends_with("exit 2\n\n"), "{said}");
        assert!(store.files().is_empty(), "{said}");
    }
}

/// A cordoned node is a standby, and yet nothing moves there.
#[test]
fn an_address_moves_where_it_may_be() {
    let store = Store::golden();
    let (node, manifests) =
        ("store/egret.dev/egressnodes/node-2.yaml", "store/workloads/nodes.yaml");
    let line = "move 203.0.113.17 --to node-2";
    let uplinks = "uplinks: [{name: eth0, subnets: [203.0.113.2/24]}]";
    store.put(node, &store.files()[node].replace("uplinks: []", uplinks));
    let said = store.run(line);
    let remedy = "it is cordoned: `kubectl uncordon node-2` first, or `egret drain node-1`";
    assert!(said.contains(remedy) && said.ends_with("exit 2\n\n"), "{said}");
    let text = store.files()[manifests].replace("unschedulable: true", "unschedulable: false");
    store.put(manifests, &text);
    store.run("drain node-2 --wait 0");
    let said = store.run(line);
    assert!(said.contains("it is drained: `egret uncordon node-2` first"), "{said}");
    store.run("uncordon node-2");
    let said = store.run(line);
    assert!(said.ends_with("moves to node-2 as soon as it can\nexit 0\n\n"), "{said}");
    let moved = &store.files()["store/egret.dev/egressaddresses/203.0.113.17.yaml"];
    assert!(moved.contains("owner: node-2") && moved.contains("preferredNode: node-2"), "{moved}");
}

/// The watcher of a store writes records, under its lock: a command that makes one write has none.
#[test]
fn a_command_makes_its_own_write_alone() {
    for _ in 0..20 {
        let store = Store::golden();
        store.put("store/more.yaml", "{apiVersion: egret.dev/v1alpha1, kind: EgressPool, metadata: {name: \
             more}, spec: {provider: L2, addresses: [198.51.100.77], gateways: {nodeSelector: {}}}}");
        let before = store.files();
        assert!(store.run("uncordon node-1").ends_with("exit 0\n\n"));
        let after = store.files();
        let differ = after.iter().filter(|(path, text)| before.get(*path) != Some(text));
        let differ: Vec<&str> = differ.map(|(path, _)| path.as_str()).collect();
        assert_eq!(differ, ["store/egret.dev/egressnodes/node-1.yaml"]);
    }
}

/// A command or a flag that is lost by accident is missing here.
#[test]
fn the_help_of_every_command_is_as_it_was() {
    let store = Store::empty();
    let mut pending = vec![String::new(), "cni".to_owned()];
    let mut seen = Vec::new();
    while let Some(command) = pending.pop() {
        let help = store.run_bare(&format!("{command} --help"));
        let listed = run::subcommands(&help).into_iter();
        pending.extend(listed.map(|name| format!("{command} {name}").trim().to_owned()));
        let name = if command.is_empty() { "egret".to_owned() } else { command.replace(' ', "-") };
        compare(&format!("help/{name}.txt"), &help);
        seen.push(command);
    }
    seen.sort();
    compare("help/commands.txt", &format!("egret{}\n", seen.join("\negret ")));
}

/// What a person writes wrongly ends with 2 and a sentence.
#[test]
fn wrong_command_lines_are_refused_as_they_were() {
    let store = Store::empty();
    let lines = [
        "",
        "initt",
        "status --manifest a",
        "status -o xml",
        "explain",
        "move 1.2.3 --to a",
        "agent --mark 3",
        "agent --next-hop eth1",
        "agent --metrics-listen nowhere",
        "agent --cni-conf-dir a",
        "controller --aws-call-timeout 1ms --manifests a",
        "status --kubeconfig a --manifests b",
    ];
    let said: Vec<String> = lines.iter().map(|line| store.run_bare(line)).collect();
    compare("refused.txt", &said.concat());
}
