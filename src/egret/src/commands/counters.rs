//! The page for 3 a.m. has every counter of a node's kernel.

use std::fmt::Write as _;

use egret_datapath::bpf;
use egret_ports::steering::SteeringDrop;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
const BEGIN: &str = "<!-- counters: generated -->\n";
const END: &str = "<!-- end -->";

fn table() -> String {
    let mut table =
        String::from("| dropped by | counter | meaning | remedy |\n|---|---|---|---|\n");
    for drop in SteeringDrop::ALL {
        let (name, meaning, remedy) = drop.describe();
        writeln!(table, "| director's rules | `{name}` | {meaning} | {remedy} |").unwrap();
    }
    for reason in bpf::reasons().iter().filter(|reason| reason.drop) {
        let bpf::DropReason { name, meaning, remedy, .. } = reason;
        writeln!(table, "| BPF programs | `{name}` | {meaning} | {remedy} |").unwrap();
    }
    table
}

#[test]
fn the_page_for_3_am_has_every_counter() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let fresh = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var_os("EGRET_UPDATE").is_some() {
        std::fs::write(PAGE, &fresh).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(PAGE).unwrap(),
        fresh,
        "docs/operations.md is stale: EGRET_UPDATE=1 cargo test -p egret"
    );
}
